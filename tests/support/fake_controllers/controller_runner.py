"""Running fake controllers for synchronous tests, in the event loop of a thread of its own."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

from support.fake_controllers.api_client import Api
from support.fake_controllers.controller import Controller

Kind = TypeVar("Kind", bound=Controller)
Value = TypeVar("Value")

_SECONDS = 30


class ControllerRunner:
    """Runs fake controllers: `eso = runner.start(lambda api: ExternalSecrets(api, namespace, fetch))`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, api: Api, stack: contextlib.AsyncExitStack) -> None:
        self._loop = loop
        self._api = api
        self._stack = stack

    def start(self, make: Callable[[Api], Kind]) -> Kind:
        """Make a controller and run it until the runner ends."""
        return self.run(self._start(make))

    def run(self, action: Coroutine[Any, Any, Value]) -> Value:
        """Run a coroutine of a controller in its loop: `runner.run(eso.sync_now())`."""
        return asyncio.run_coroutine_threadsafe(action, self._loop).result(_SECONDS)

    async def _start(self, make: Callable[[Api], Kind]) -> Kind:
        made = make(self._api)
        await self._stack.enter_async_context(made)
        return made


@contextlib.contextmanager
def controller_runner(kubeconfig: Path) -> Iterator[ControllerRunner]:
    """Provide a runner until the block ends; then raise the errors of its controllers."""
    loop, stack = asyncio.new_event_loop(), contextlib.AsyncExitStack()
    thread = threading.Thread(target=loop.run_forever, name="fake-controllers", daemon=True)
    thread.start()

    def run(action: Coroutine[Any, Any, Value]) -> Value:
        return asyncio.run_coroutine_threadsafe(action, loop).result(_SECONDS)

    try:
        yield ControllerRunner(loop, run(stack.enter_async_context(Api.opened(kubeconfig))), stack)
    finally:
        try:
            run(stack.aclose())
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(_SECONDS)
            loop.close()
