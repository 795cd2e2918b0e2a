"""Reasons to look, gathered until it has been quiet for a while: a burst becomes one pass."""

import asyncio
from collections import deque

from infisical_events.core.ledger.acceptance import ReceivedEvent

_LONGEST_FACTOR = 10
"""A burst that does not end is cut after this many quiet times."""

_SHORTEST_BURST, _LONGEST_BURST = 2.0, 30.0
"""Seconds that a burst may last before it is cut, if the quiet time alone is not longer."""

_MOST_HEARD = 10_000
"""Events that are kept while the state cannot be read; of more, the newest: the state decides anyway."""


class TriggerQueue:
    """What was heard since the last pass, and the bell that rings for it."""

    def __init__(self, quiet: float) -> None:
        self._quiet = quiet
        self._longest = max(quiet, min(max(quiet * _LONGEST_FACTOR, _SHORTEST_BURST), _LONGEST_BURST))
        self._bell = asyncio.Event()
        self._received = deque[ReceivedEvent](maxlen=_MOST_HEARD)
        self.is_rung = False
        """Whether the bell rang since what was heard was taken."""
        self.is_whole = False
        """Whether it rang since then for something else than events, which tell where to look."""

    def add(self, *received: ReceivedEvent) -> None:
        """A reason to look, with or without an event."""
        self._received.extend(received)
        self.is_rung = True
        self.is_whole = self.is_whole or not received
        self._bell.set()

    def requeue(self, received: tuple[ReceivedEvent, ...]) -> None:
        """Put back what a pass could not account for; no reason by itself."""
        self._received = deque((*received, *self._received), maxlen=_MOST_HEARD)

    def take(self) -> tuple[ReceivedEvent, ...]:
        """All that was heard, once."""
        taken = tuple(self._received)
        self._received.clear()
        self.is_rung = self.is_whole = False
        return taken

    async def wait(self, until: float) -> None:
        """Until the bell rang and it has been quiet, or until the loop's clock shows `until`."""
        if not await self._rang(until):
            return
        now = asyncio.get_running_loop().time
        cut = now() + self._longest
        while now() < cut and await self._rang(min(cut, now() + self._quiet)):
            pass

    async def _rang(self, until: float) -> bool:
        try:
            async with asyncio.timeout_at(until):
                await self._bell.wait()
        except TimeoutError:
            return False
        self._bell.clear()
        return True
