"""Stand-ins for tests that are not asynchronous: in an event loop of a thread of its own."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

from support.fake_controllers.calls import Api
from support.fake_controllers.controllers import Controller

Kind = TypeVar("Kind", bound=Controller)
Value = TypeVar("Value")

_SECONDS = 30


class Stage:
    """Where stand-ins play: `eso = stage.play(lambda api: ExternalSecrets(api, namespace, fetch))`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, api: Api, playing: contextlib.AsyncExitStack) -> None:
        self._loop = loop
        self._api = api
        self._playing = playing

    def play(self, make: Callable[[Api], Kind]) -> Kind:
        """Make one and let it work until the stage is left."""
        return self.do(self._play(make))

    def do(self, action: Coroutine[Any, Any, Value]) -> Value:
        """Run what concerns a stand-in in its loop: `stage.do(eso.sync_now())`."""
        return asyncio.run_coroutine_threadsafe(action, self._loop).result(_SECONDS)

    async def _play(self, make: Callable[[Api], Kind]) -> Kind:
        made = make(self._api)
        await self._playing.enter_async_context(made)
        return made


@contextlib.contextmanager
def staged(kubeconfig: Path) -> Iterator[Stage]:
    """A stage until the block is left; what went wrong in a stand-in is raised then."""
    loop, playing = asyncio.new_event_loop(), contextlib.AsyncExitStack()
    thread = threading.Thread(target=loop.run_forever, name="stand-ins", daemon=True)
    thread.start()

    def do(action: Coroutine[Any, Any, Value]) -> Value:
        return asyncio.run_coroutine_threadsafe(action, loop).result(_SECONDS)

    try:
        yield Stage(loop, do(playing.enter_async_context(Api.opened(kubeconfig))), playing)
    finally:
        try:
            do(playing.aclose())
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(_SECONDS)
            loop.close()
