"""Runs long computations in slices, so that one tenant's computation does not block the others.

All subscriptions share one event loop. A computation that does not end within a slice is queued by its
namespace: one slice runs at a time, with at least as much time for all other tasks in between, and the
namespaces take turns.
"""

import time
from collections.abc import Callable
from typing import TypeVar

from infisical_events.core.interruptible import Interruptible
from infisical_events.runtime.limits.fair_queue import FairQueue

T = TypeVar("T")

SLICE = 0.01
"""Seconds of work without a pause; the last step that starts in a slice may take longer."""


class CooperativeScheduler:
    """Schedules the slices of all computations of the process; `now` is a clock in seconds."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._queue = FairQueue(2 * SLICE, 1)

    async def run(self, namespace: str, steps: Interruptible[T]) -> T:
        """Run a computation to its end and return its result; a short one never waits.

        Raises:
            Exception: what the computation raises.
        """
        while True:
            until = self._now() + SLICE
            try:
                next(steps)
                while self._now() < until:
                    next(steps)
            except StopIteration as end:
                result: T = end.value
                return result
            await self._queue.acquire(namespace)
