"""HTTP clients that the subscriptions of a namespace share for requests to one address.

A connection with TLS takes more time than the request that is sent over it. Streams have clients of their
own: the cost of httpcore's pool is quadratic in the connections that are in use.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx


@dataclass(slots=True)
class _SharedClient:
    client: httpx.AsyncClient
    users: int = 0


class SharedClients:
    """One client per namespace and address, for as long as a subscription uses it."""

    def __init__(self) -> None:
        self._clients: dict[tuple[str, str], _SharedClient] = {}

    @asynccontextmanager
    async def opened(
        self, namespace: str, address: str, new_client: Callable[[], httpx.AsyncClient]
    ) -> AsyncIterator[httpx.AsyncClient]:
        """The client; its connections are closed when the last user leaves the context."""
        place = (namespace, address)
        if place not in self._clients:
            self._clients[place] = _SharedClient(new_client())
        shared = self._clients[place]
        shared.users += 1
        try:
            yield shared.client
        finally:
            shared.users -= 1
            if not shared.users:
                del self._clients[place]
                await shared.client.aclose()
