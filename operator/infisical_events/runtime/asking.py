"""What people ask of one subscription, from the watch to the pass that takes it up."""

import asyncio

from infisical_events.core.restarts.user_requests import UserRequests
from infisical_events.runtime.triggers import TriggerQueue


class PendingUserRequests:
    """The newest requests; the watch puts them, a pass reads them."""

    def __init__(self) -> None:
        self.current = UserRequests()
        self._news = asyncio.Event()

    def put(self, requests: UserRequests) -> None:
        """The subscription was seen with these."""
        if requests != self.current:
            self.current = requests
            self._news.set()

    async def wake(self, triggers: TriggerQueue) -> None:
        """Have everything looked at for each new request, until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            triggers.add()
