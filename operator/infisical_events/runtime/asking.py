"""What people ask of one subscription, from the watch to the pass that takes it up."""

import asyncio

from infisical_events.core.restarts.user_requests import Requests
from infisical_events.runtime.triggers import Wakes


class Asked:
    """The newest requests; the watch puts them, a pass reads them."""

    def __init__(self) -> None:
        self.current = Requests()
        self._news = asyncio.Event()

    def put(self, requests: Requests) -> None:
        """The subscription was seen with these."""
        if requests != self.current:
            self.current = requests
            self._news.set()

    async def wake(self, wakes: Wakes) -> None:
        """Have everything looked at for each new request, until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            wakes.ring()
