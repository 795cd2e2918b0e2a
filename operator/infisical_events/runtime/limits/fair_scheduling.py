"""Scheduling in which namespaces take turns: of starts, of reads, of large bodies and of long computations.

A namespace with ten thousand waiting starts delays its own starts and not those of other namespaces: a
new start waits for at most one start of each other namespace.

All subscriptions share one event loop. A computation that does not end within a slice is queued by its
namespace: one slice runs at a time, with at least as much time for all other tasks in between.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

from infisical_events.core.interruptible import Interruptible

T = TypeVar("T")

MANY_KEYS = 2_000
"""Keys whose comparison or encoding takes about 10 ms."""

SLICE = 0.01
"""Seconds of work without a pause; the last step that starts in a slice may take longer."""


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
    """Admits starts at a rate: a `burst` without waiting, then one every `step` seconds.

    Without a step and a burst it admits one per iteration of the event loop.
    """

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


class FairSemaphore:
    """Admits so many holders at a time, of a namespace only a part of them, and namespaces take turns.

    `may_add` says whether there is room for one more beside others; one alone is always admitted.
    """

    def __init__(
        self, permits: int, per_namespace: int = 1, may_add: Callable[[], bool] = lambda: True
    ) -> None:
        self._free = permits
        self._per_namespace = per_namespace
        self._may_add = may_add
        self._held = Counter[str]()
        self._waiting = dict[str, deque[asyncio.Future[None]]]()

    @asynccontextmanager
    async def permit(self, namespace: str) -> AsyncIterator[None]:
        """Wait for a permit, and hold it for the block."""
        admitted = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(namespace, deque()).append(admitted)
        self._admit()
        try:
            await admitted
            yield
        finally:
            if admitted.done() and not admitted.cancelled():
                self._release(namespace)

    def _admit(self) -> None:
        """Give out what is free; waiters that were cancelled are skipped."""
        while self._free and (not self._held or self._may_add()):
            namespace = next((each for each in self._waiting if self._may_hold(each)), None)
            if namespace is None:
                return
            queue = self._waiting.pop(namespace)
            admitted = queue.popleft()
            if queue:  # behind all others
                self._waiting[namespace] = queue
            if not admitted.done():
                self._free -= 1
                self._held[namespace] += 1
                admitted.set_result(None)

    def _may_hold(self, namespace: str) -> bool:
        return self._held[namespace] < self._per_namespace

    def _release(self, namespace: str) -> None:
        self._free += 1
        self._held -= Counter((namespace,))  # without an entry for a namespace that holds none
        if queue := self._waiting.pop(namespace, None):
            self._waiting[namespace] = queue
        self._admit()


_MUCH_MEMORY = 160 << 20
"""Bytes in memory above which a second large body waits: parsed, one takes up to 70 MiB."""


class MemoryPermits:
    """Admits what servers send into memory: many small bodies and events, and few large ones, in turns.

    Together they take less than 150 MiB, however many connections there are. A server that sends slowly holds
    a permit for a minute at most, and delays other namespaces only if several namespaces do so, or if memory
    is short: then large bodies are admitted one by one. `resident` are the bytes of the process in memory.
    """

    def __init__(self, resident: Callable[[], int] = lambda: 0) -> None:
        self._bodies = FairSemaphore(32, 4)
        self._large_bodies = FairSemaphore(2, may_add=lambda: resident() < _MUCH_MEMORY)
        self._events = FairSemaphore(8, 2)

    def body(self, namespace: str, *, is_large: bool) -> AbstractAsyncContextManager[None]:
        """For a body that is not small."""
        return (self._large_bodies if is_large else self._bodies).permit(namespace)

    def event(self, namespace: str) -> AbstractAsyncContextManager[None]:
        """For an event that is longer than most."""
        return self._events.permit(namespace)


class CooperativeScheduler:
    """Schedules the long computations of the process; `now` is a clock in seconds."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._queue = FairQueue(2 * SLICE, 1)
        self._turns = FairSemaphore(1)
        self._thread = ThreadPoolExecutor(1, "large-computation")

    async def run_large(self, namespace: str, computation: Callable[[], T]) -> T:
        """Run a computation on frozen values that cannot be sliced in a thread of its own.

        One at a time, so that the event loop keeps at least half of the time.

        Raises:
            Exception: what the computation raises.
        """
        async with self._turns.permit(namespace):
            return await asyncio.get_running_loop().run_in_executor(self._thread, computation)

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
