"""The way to each address, shared by all subscriptions that go there.

A server that comes back is found by one subscription first. The others, who sit out their pauses, are let
go then: one after the other, so that hundreds are back within seconds and never as a herd.
"""

import asyncio
import math
from contextlib import suppress
from weakref import WeakValueDictionary

from infisical_events.runtime.limits.fair_queue import FairQueue

_STEP, _AT_ONCE = 0.04, 4
"""Seconds between two connects, and how many need not wait: 29 are begun in any second at most.

On the way some are delayed, by more than half a second where the loop is busy, and arrive together with
later ones; 50 at once would be a herd.
"""

_BETWEEN_RELEASES = 5.0
"""Seconds: a server that lets in some and refuses others must not be asked by all of them all the time."""


class ReconnectLimiter:
    """The way to one address."""

    def __init__(self) -> None:
        self._turns = FairQueue(_STEP, _AT_ONCE)
        self._is_back = asyncio.Event()
        self._resting = 0
        self._released_at = -math.inf
        self._release: asyncio.TimerHandle | None = None

    async def acquire(self, namespace: str = "") -> None:
        """Wait until one more stream may be connected; the namespaces take turns."""
        await self._turns.acquire(namespace)

    async def wait(self, seconds: float) -> None:
        """Sit out a pause after the server could not be reached, or until somebody found that it is back."""
        is_back = self._is_back
        self._resting += 1
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await is_back.wait()
        finally:
            self._resting -= 1

    def notify_recovered(self) -> None:
        """Somebody who could not reach the server has a stream again: let those go who still rest."""
        if self._resting and self._release is None:
            loop = asyncio.get_running_loop()
            due = max(loop.time(), self._released_at + _BETWEEN_RELEASES)
            self._release = loop.call_at(due, self._let_go)

    def _let_go(self) -> None:
        self._release = None
        self._released_at = asyncio.get_running_loop().time()
        self._is_back.set()
        self._is_back = asyncio.Event()


class ReconnectLimiters:
    """A gate for each address, for as long as somebody goes there."""

    def __init__(self) -> None:
        self._limiters = WeakValueDictionary[str, ReconnectLimiter]()

    def for_address(self, address: str) -> ReconnectLimiter:
        """The gate that all who go to this address share."""
        limiter = self._limiters.get(address)
        if limiter is None:
            limiter = self._limiters[address] = ReconnectLimiter()
        return limiter
