"""Health, readiness and metrics over HTTP."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from infisical_events.runtime.metrics import Metrics

_METRICS_TYPE = "text/plain; version=1.0.0; charset=utf-8"


class BindError(Exception):
    """The HTTP address cannot be bound."""


@dataclass(frozen=True, slots=True)
class Health:
    """The state that the probes report; `summary` says which shards are held, for people."""

    is_alive: Callable[[], bool]
    is_ready: Callable[[], bool]
    summary: Callable[[], str] = lambda: ""


@asynccontextmanager
async def http_server(host: str, port: int, metrics: Metrics, health: Health) -> AsyncIterator[None]:
    """Serve until the context is left.

    Raises:
        BindError: the address cannot be bound.
    """

    async def healthz(_: web.Request) -> web.Response:
        alive = health.is_alive()
        return web.Response(
            text="ok\n" if alive else "not watching subscriptions\n", status=200 if alive else 503
        )

    async def readyz(_: web.Request) -> web.Response:
        ready = health.is_ready()
        lines = filter(None, ("ok" if ready else "starting", health.summary()))
        return web.Response(text="".join(f"{line}\n" for line in lines), status=200 if ready else 503)

    async def exposition(_: web.Request) -> web.Response:
        body = await asyncio.get_running_loop().run_in_executor(renderer, metrics.render)
        return web.Response(body=body, headers={"Content-Type": _METRICS_TYPE})

    # A thread of its own: whatever keeps the threads of others busy does not blind the monitoring.
    renderer = ThreadPoolExecutor(1, "metrics")
    application = web.Application()
    routes = {"/healthz": healthz, "/readyz": readyz, "/metrics": exposition}
    application.add_routes([web.get(path, handler) for path, handler in routes.items()])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await _bind(runner, host, port)
        yield
    finally:
        await runner.cleanup()
        renderer.shutdown(wait=False)


async def _bind(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        raise BindError(
            f"Cannot listen on {host}:{port} (--http-address): {error.strerror or error}."
        ) from None
