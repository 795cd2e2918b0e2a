"""A mirror of all objects of a kind in a namespace, kept by list and watch."""

import asyncio
import contextlib
from collections.abc import Callable

import aiohttp

from support.fake_controllers.api_client import Api, ApiError
from support.fake_controllers.resources import Object

_PAUSE_SECONDS = 0.1
_GONE = 410

Listener = Callable[[Object | None, Object | None], None]
"""Called with an object before and after a change; None means absent."""


class Mirror:
    """The objects by name. The listener receives each version once.

    A watch that ends is resumed. Only an expired version is a gap, closed by a new list; `gaps` counts them.
    """

    def __init__(self, api: Api, path: str, tell: Listener) -> None:
        self.things: dict[str, Object] = {}
        self.listed = asyncio.Event()
        self.gaps = 0
        self._version: str | None = None
        self._api = api
        self._path = path
        self._tell = tell

    async def follow(self) -> None:
        """Follow until cancelled, also across outages of the API server."""
        while True:
            try:
                await self._follow()
            except ApiError as error:
                if error.status == _GONE:
                    self._version = None
                await asyncio.sleep(_PAUSE_SECONDS)
            except (aiohttp.ClientError, TimeoutError, OSError):
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _follow(self) -> None:
        if self._version is None:
            await self._list()
        changes = self._api.watch(self._path, str(self._version))
        async with contextlib.aclosing(changes):
            async for kind, thing in changes:
                self._version = thing["metadata"]["resourceVersion"]
                if kind != "BOOKMARK":
                    self._put(thing["metadata"]["name"], None if kind == "DELETED" else thing)

    async def _list(self) -> None:
        listing = await self._api.get(self._path)
        self._hold(listing["items"])
        self._version = listing["metadata"]["resourceVersion"]
        self.gaps += self.listed.is_set()
        self.listed.set()

    def _hold(self, things: list[Object]) -> None:
        found = {thing["metadata"]["name"]: thing for thing in things}
        for name in [*found, *(self.things.keys() - found.keys())]:
            self._put(name, found.get(name))

    def _put(self, name: str, now: Object | None) -> None:
        before = self.things.pop(name, None)
        if now is not None:
            self.things[name] = now
        if _identity(before) == _identity(now):
            return
        if before is not None and now is not None and before["metadata"]["uid"] != now["metadata"]["uid"]:
            self._tell(before, None)
            before = None
        self._tell(before, now)


def _identity(thing: Object | None) -> tuple[str, str] | None:
    return (thing["metadata"]["uid"], thing["metadata"]["resourceVersion"]) if thing else None
