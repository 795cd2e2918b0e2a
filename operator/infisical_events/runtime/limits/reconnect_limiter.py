"""Limits reconnects to each address, over all subscriptions of that address.

When a server is available again, one subscription notices first. The limiter then ends the pauses of the
others and admits them one after the other: hundreds reconnect within seconds, but never all at once.
"""

import asyncio
import math
from contextlib import suppress
from weakref import WeakValueDictionary

from infisical_events.runtime.limits.fair_scheduling import FairQueue

_STEP, _BURST = 0.04, 4
"""Seconds between two connects, and how many need not wait: at most 29 start in any second.

The network delays some, by more than half a second where the loop is busy, so that they arrive together
with later ones; 50 at the same time would overload a server.
"""

_RELEASE_INTERVAL = 5.0
"""Seconds between two releases: a server that accepts some connections and rejects others must not get
the connects of all subscriptions all the time."""


class ReconnectLimiter:
    """Limits reconnects to one address."""

    def __init__(self) -> None:
        self._queue = FairQueue(_STEP, _BURST)
        self._recovered = asyncio.Event()
        self._waiting = 0
        self._released_at = -math.inf
        self._release: asyncio.TimerHandle | None = None

    async def acquire(self, namespace: str = "") -> None:
        """Wait until one more stream may connect; the namespaces take turns."""
        await self._queue.acquire(namespace)

    async def wait(self, seconds: float) -> None:
        """Wait for `seconds` after a failed connect, or until another subscription reports a recovery."""
        recovered = self._recovered
        self._waiting += 1
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await recovered.wait()
        finally:
            self._waiting -= 1

    def notify_recovered(self) -> None:
        """A subscription has a stream again after a failure: end the pauses of the others."""
        if self._waiting and self._release is None:
            loop = asyncio.get_running_loop()
            due = max(loop.time(), self._released_at + _RELEASE_INTERVAL)
            self._release = loop.call_at(due, self._end_pauses)

    def _end_pauses(self) -> None:
        self._release = None
        self._released_at = asyncio.get_running_loop().time()
        self._recovered.set()
        self._recovered = asyncio.Event()


class ReconnectLimiters:
    """One limiter for each address, for as long as a subscription uses the address."""

    def __init__(self) -> None:
        self._limiters = WeakValueDictionary[str, ReconnectLimiter]()

    def for_address(self, address: str) -> ReconnectLimiter:
        """The limiter that all subscriptions of this address share."""
        limiter = self._limiters.get(address)
        if limiter is None:
            limiter = self._limiters[address] = ReconnectLimiter()
        return limiter
