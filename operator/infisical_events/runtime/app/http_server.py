"""Health, readiness and metrics over HTTP, with bounds on what a client that asks without pause costs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from infisical_events.runtime.limits.fair_scheduling import FairQueue, RateLimit, reserve
from infisical_events.runtime.metrics import Metrics
from infisical_events.runtime.tasks import SharedCall

_METRICS_TYPE = "text/plain; version=1.0.0; charset=utf-8"

_RATE = RateLimit(step=1 / 20, burst=20)
"""Requests of one address: a kubelet and a Prometheus need less than one a second."""
_LONGEST_DELAY = 0.5
"""Seconds that a request waits because of its rate: the probes of a kubelet time out after one second."""
_MOST_ADDRESSES = 1_000
"""Addresses whose rate is known; beyond that, those that asked least recently begin anew."""
_RESPONSE_STEP = 0.01
"""Seconds between two responses with metrics; with a thousand subscriptions one has several MiB."""
_RENDERING_PAUSE = 0.5
"""Seconds between two renderings: scrapes in between wait, and share the next one."""


class BindError(Exception):
    """The HTTP address cannot be bound."""


@dataclass(frozen=True, slots=True)
class Health:
    """The state that the probes report; `summary` says which shards are held, for people."""

    is_alive: Callable[[], bool]
    is_ready: Callable[[], bool]
    summary: Callable[[], str] = lambda: ""


class ClientRates:
    """Delays the requests of an address that sends too many, and no others."""

    def __init__(self) -> None:
        self._rates: dict[str, RateLimit] = {}

    def delay(self, address: str, now: float) -> float:
        """Count a request; the seconds that it has to wait."""
        known = self._rates.pop(address, _RATE)
        counted, wait = reserve(known, now)
        self._rates[address] = counted if wait <= _LONGEST_DELAY else known
        while len(self._rates) > _MOST_ADDRESSES:
            del self._rates[next(iter(self._rates))]
        return min(wait, _LONGEST_DELAY)


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

    async def exposition(request: web.Request) -> web.Response:
        body = await page()
        await responses.acquire(request.remote or "")
        return web.Response(body=body, headers={"Content-Type": _METRICS_TYPE})

    @web.middleware
    async def limited(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        await asyncio.sleep(rates.delay(request.remote or "", asyncio.get_running_loop().time()))
        return await handler(request)

    async def rendered() -> bytes:
        metrics.sample()
        return await asyncio.get_running_loop().run_in_executor(renderer, metrics.render)

    # A thread of its own: whatever keeps the threads of others busy does not blind the monitoring.
    renderer = ThreadPoolExecutor(1, "metrics")
    page, rates = SharedCall(rendered, lambda _: _RENDERING_PAUSE), ClientRates()
    responses = FairQueue(_RESPONSE_STEP, burst=10)  # all who share a rendering would be answered at once
    application = web.Application(middlewares=[limited])
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
