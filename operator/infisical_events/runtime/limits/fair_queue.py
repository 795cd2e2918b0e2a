"""Whose turn it is, when many wait: one after the other, and the namespaces by turns.

So whoever has ten thousand of them waiting holds up his own, and not those of his neighbours: who comes
anew waits for one of each other namespace at most.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Up to when there is enough to do with the starts so far, in seconds of the loop's clock.

    Attributes:
        step: Seconds between two starts, once there are many.
        at_once: Starts that need not wait for each other.
        busy_until: The moment itself.
    """

    step: float
    burst: int
    busy_until: float = 0.0


def reserve(pace: RateLimit, now: float) -> tuple[RateLimit, float]:
    """The pace after one more start, and how many seconds this start has to wait."""
    busy_until = max(pace.busy_until, now) + pace.step
    wait = max(busy_until - now - pace.burst * pace.step, 0.0)
    return replace(pace, busy_until=busy_until), wait


class FairQueue:
    """Turns at a pace: `at_once` of them need not wait, then there is one every `step` seconds."""

    def __init__(self, step: float, at_once: int) -> None:
        self._pace = RateLimit(step, at_once)
        self._waiting = dict[str, deque[asyncio.Future[None]]]()
        self._timer: asyncio.TimerHandle | None = None

    async def acquire(self, namespace: str) -> None:
        """Wait for a turn; within a namespace it is first come, first served."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(namespace, deque()).append(turn)
        self._plan()
        await turn

    def _plan(self) -> None:
        loop = asyncio.get_running_loop()
        if self._waiting and self._timer is None:
            _, wait = reserve(self._pace, loop.time())
            self._timer = loop.call_later(wait, self._give)

    def _give(self) -> None:
        """Give a turn to the namespace that had none for the longest time; who has left gets none."""
        self._timer = None
        while self._waiting:
            namespace = next(iter(self._waiting))
            queue = self._waiting.pop(namespace)
            turn = queue.popleft()
            if queue:  # behind all others
                self._waiting[namespace] = queue
            if not turn.done():
                self._pace, _ = reserve(self._pace, asyncio.get_running_loop().time())
                turn.set_result(None)
                break
        self._plan()
