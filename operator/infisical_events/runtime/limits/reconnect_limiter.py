"""Limits connects of streams to each address, over all subscriptions of that address.

A few connect at a time. When a server is available again, one subscription notices first. The limiter then
ends the pauses of the others and admits them one after the other: hundreds reconnect within seconds, but
never all at once, because all other clients of the server come back as well.
"""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from infisical_events.runtime.limits.fair_scheduling import FairQueue, FairSemaphore
from infisical_events.runtime.tasks import wait_at_most

_CONNECTS, _OF_NAMESPACE = 16, 12
"""Connects in progress at once, in all and of one namespace."""

_STEP, _BURST = 0.0125, 4
"""Seconds between two reconnects, and how many need not wait: at most 84 begin in any second."""

_RELEASE_INTERVAL = 5.0
"""Seconds between two releases: a server that accepts some connections and rejects others must not get
the connects of all subscriptions all the time."""


class ReconnectLimiter:
    """Limits connects to one address."""

    def __init__(self) -> None:
        self._connects = FairSemaphore(_CONNECTS, _OF_NAMESPACE)
        self._queue = FairQueue(_STEP, _BURST)
        self._recovered = asyncio.Event()
        self._waiting = 0
        self._released_at = -math.inf
        self._release: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def connecting(self, namespace: str = "", *, is_first: bool = False) -> AsyncIterator[None]:
        """Wait until one more stream may connect, which it does in the block; the namespaces take turns.

        The first connect of a subscription is limited only by those in progress: after a start of the
        operator the server is well.
        """
        async with self._connects.permit(namespace):
            if not is_first:
                await self._queue.acquire(namespace)
            yield

    async def wait(self, seconds: float) -> None:
        """Wait for `seconds` after a failed connect, or until another subscription reports a recovery."""
        recovered = self._recovered
        self._waiting += 1
        try:
            await wait_at_most(recovered, seconds)
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
