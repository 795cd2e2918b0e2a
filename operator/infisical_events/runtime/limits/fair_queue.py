"""A rate-limited queue in which namespaces take turns.

A namespace with ten thousand waiting starts delays its own starts and not those of other namespaces: a
new start waits for at most one start of each other namespace.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A token bucket, kept as the moment until which the admitted starts use up the rate.

    Attributes:
        step: Seconds between two starts, once the burst is used up.
        burst: Starts that need not wait for each other.
        busy_until: The moment, in seconds of the loop's clock.
    """

    step: float
    burst: int
    busy_until: float = 0.0


def reserve(limit: RateLimit, now: float) -> tuple[RateLimit, float]:
    """The limit after one more start, and the seconds for which this start has to wait."""
    busy_until = max(limit.busy_until, now) + limit.step
    wait = max(busy_until - now - limit.burst * limit.step, 0.0)
    return replace(limit, busy_until=busy_until), wait


class FairQueue:
    """Admits starts at a rate: a `burst` without waiting, then one every `step` seconds."""

    def __init__(self, step: float, burst: int) -> None:
        self._limit = RateLimit(step, burst)
        self._waiting = dict[str, deque[asyncio.Future[None]]]()
        self._timer: asyncio.TimerHandle | None = None

    async def acquire(self, namespace: str) -> None:
        """Wait until a start is admitted; within a namespace in the order of the calls."""
        admitted = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(namespace, deque()).append(admitted)
        self._schedule()
        await admitted

    def _schedule(self) -> None:
        loop = asyncio.get_running_loop()
        if self._waiting and self._timer is None:
            _, wait = reserve(self._limit, loop.time())
            self._timer = loop.call_later(wait, self._admit_next)

    def _admit_next(self) -> None:
        """Admit a start of the namespace that waited longest; cancelled starts are skipped."""
        self._timer = None
        while self._waiting:
            namespace = next(iter(self._waiting))
            queue = self._waiting.pop(namespace)
            admitted = queue.popleft()
            if queue:  # behind all others
                self._waiting[namespace] = queue
            if not admitted.done():
                self._limit, _ = reserve(self._limit, asyncio.get_running_loop().time())
                admitted.set_result(None)
                break
        self._schedule()
