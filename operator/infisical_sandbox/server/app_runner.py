"""Starts and stops a local Infisical, in the caller's event loop or in its own thread."""

from __future__ import annotations

import asyncio
import json
import ssl
import tempfile
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar

from aiohttp import web

from infisical_sandbox.server.controls import Controls
from infisical_sandbox.server.domain import projects
from infisical_sandbox.server.instance import Instance
from infisical_sandbox.server.options import Options
from infisical_sandbox.server.web import app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from types import TracebackType

    from infisical_sandbox.server.domain import records
    from infisical_sandbox.server.options import Certificate

P = ParamSpec("P")
T = TypeVar("T")

_START_SECONDS = 30
_SHUTDOWN_SECONDS = 0.1


class Sandbox:
    """A running local Infisical with one project and one machine identity.

    `async with Sandbox.running(options)` serves in the caller's loop, `with Sandbox.in_thread(options)`
    (or `async with`) in its own thread, so that it does not block the code under test.
    """

    def __init__(self, instance: Instance, url: str, loop: asyncio.AbstractEventLoop) -> None:
        self.url = url
        self.controls = Controls(instance)
        self._instance = instance
        self._loop = loop

    @classmethod
    @asynccontextmanager
    async def running(cls, options: Options | None = None) -> AsyncIterator[Self]:
        """Run the server inside the context; its end closes all open streams."""
        options = options or Options()
        instance = Instance(options)
        runner = web.AppRunner(
            app.build(instance),
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=_SHUTDOWN_SECONDS,
        )
        await runner.setup()
        try:
            tls = _tls_context(options.tls) if options.tls else None
            site = web.TCPSite(runner, options.host, options.port, ssl_context=tls)
            await site.start()
            instance.start()
            host, port = runner.addresses[0][:2]
            scheme = "https" if tls else "http"
            yield cls(instance, f"{scheme}://{_for_url(host)}:{port}", asyncio.get_running_loop())
        finally:
            instance.stop()
            await runner.cleanup()

    @classmethod
    def in_thread(cls, options: Options | None = None) -> ThreadedSandbox:
        """Run the server in a thread with its own event loop, inside the context."""
        return ThreadedSandbox(options or Options())

    @property
    def project_id(self) -> str:
        """The id of the project."""
        return self._instance.project.id

    @property
    def project_slug(self) -> str:
        """The slug of the project."""
        return self._instance.project.slug

    @property
    def identity_id(self) -> str:
        """The id of the machine identity."""
        return self._instance.identity.id

    @property
    def client_id(self) -> str:
        """The identity's client id for universal auth."""
        return str(self._instance.identity.client_id)

    @property
    def client_secret(self) -> str:
        """The identity's client secret."""
        return self._instance.client_secret

    @property
    def admin_token(self) -> str:
        """The bearer token of the admin routes."""
        return self._instance.admin_token

    async def do(self, action: Callable[Concatenate[Controls, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a method of `Controls` in the server's loop: `await sandbox.do(Controls.end_streams)`."""
        if asyncio.get_running_loop() is self._loop:
            return action(self.controls, *args, **kwargs)
        return await asyncio.wrap_future(
            asyncio.run_coroutine_threadsafe(self.do(action, *args, **kwargs), self._loop)
        )

    def do_blocking(
        self, action: Callable[Concatenate[Controls, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a method of `Controls` in the server's loop, from another thread."""
        pending = self.do(action, *args, **kwargs)
        return asyncio.run_coroutine_threadsafe(pending, self._loop).result()

    def ready(self) -> dict[str, object]:
        """The content of the ready file."""
        facts: dict[str, object] = {
            "url": self.url,
            "projectId": self.project_id,
            "projectSlug": self.project_slug,
            "environments": [row.slug for row in self._environments()],
            "identityId": self.identity_id,
            "clientId": self.client_id,
            "clientSecret": self.client_secret,
        }
        return facts | ({"adminToken": self.admin_token} if self._instance.options.admin else {})

    def _environments(self) -> tuple[records.Environment, ...]:
        return projects.environments(self._instance.store, self.project_id)


class ThreadedSandbox:
    """A sandbox in a thread; use it as a plain or an asynchronous context manager."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._started: Future[Sandbox] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="infisical-sandbox")
        self._served: Future[None] | None = None

    def __enter__(self) -> Sandbox:
        self._served = self._thread.submit(self._run)
        milestones: list[Future[Any]] = [self._started, self._served]
        wait(milestones, _START_SECONDS, FIRST_COMPLETED)
        if self._served.done():
            self._thread.shutdown()
            self._served.result()
        return self._started.result(timeout=0)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._loop and self._stop and self._served:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.shutdown()
            self._served.result()

    async def __aenter__(self) -> Sandbox:
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, trace)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with Sandbox.running(self._options) as sandbox:
            self._started.set_result(sandbox)
            await self._stop.wait()


def write_ready_file(path: Path, sandbox: Sandbox) -> None:
    """Write the ready file atomically, with mode 0600."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        json.dump(sandbox.ready(), file, indent=2)
        file.write("\n")
    Path(file.name).replace(path)


def _tls_context(files: Certificate) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.key)
    return context


def _for_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
