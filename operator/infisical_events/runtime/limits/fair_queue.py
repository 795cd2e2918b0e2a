"""Whose turn it is, when many wait: one after the other, and the namespaces by turns.

So whoever has ten thousand of them waiting holds up his own, and not those of his neighbours: who comes
anew waits for one of each other namespace at most.
"""

import asyncio
from collections import deque

from infisical_events.runtime.limits.pacing import Pace, begun


class Turns:
    """Turns at a pace: `at_once` of them need not wait, then there is one every `step` seconds."""

    def __init__(self, step: float, at_once: int) -> None:
        self._pace = Pace(step, at_once)
        self._waiting = dict[str, deque[asyncio.Future[None]]]()
        self._timer: asyncio.TimerHandle | None = None

    async def take(self, namespace: str) -> None:
        """Wait for a turn; within a namespace it is first come, first served."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(namespace, deque()).append(turn)
        self._plan()
        await turn

    def _plan(self) -> None:
        loop = asyncio.get_running_loop()
        if self._waiting and self._timer is None:
            _, wait = begun(self._pace, loop.time())
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
                self._pace, _ = begun(self._pace, asyncio.get_running_loop().time())
                turn.set_result(None)
                break
        self._plan()
