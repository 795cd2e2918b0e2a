"""Long computations in slices, so that what a tenant can make long holds up nobody else.

One event loop serves all. A computation that is not over after a slice goes on when it is its namespace's
turn: one slice at a time, with at least as much time for all else in between, and the namespaces by turns.
"""

import time
from collections.abc import Callable
from typing import TypeVar

from infisical_events.core.interruptible import Interruptible
from infisical_events.runtime.limits.fair_queue import FairQueue

T = TypeVar("T")

SLICE = 0.01
"""Seconds of work in one piece; the last step begun in it may take longer."""


class CooperativeScheduler:
    """The slices of all computations of the process; `now` is a clock in seconds."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._turns = FairQueue(2 * SLICE, 1)

    async def run(self, namespace: str, steps: Interruptible[T]) -> T:
        """Carry a computation out; one that is short never waits. What it raises is raised."""
        while True:
            until = self._now() + SLICE
            try:
                next(steps)
                while self._now() < until:
                    next(steps)
            except StopIteration as over:
                result: T = over.value
                return result
            await self._turns.acquire(namespace)
