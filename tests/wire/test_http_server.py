"""Health, readiness and metrics, as the kubelet and Prometheus ask for them."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from infisical_events.core.subscriptions import SubscriptionKey
from infisical_events.runtime.app.http_server import BindError, ClientRates, Health, http_server
from infisical_events.runtime.metrics import Metrics
from support.sandbox_client import free_port


@asynccontextmanager
async def served(
    metrics: Metrics, ready: list[bool], alive: Sequence[bool] = (True,)
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the server."""
    port = free_port()
    async with (
        http_server("127.0.0.1", port, metrics, Health(lambda: alive[0], lambda: ready[0])),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        yield client


async def test_health() -> None:
    """/healthz is 200 while subscriptions are watched, ready or not."""
    alive = [True]
    async with served(Metrics(), [False], alive) as client:
        before = (await client.get("/healthz")).status_code
        alive[0] = False
        assert (before, (await client.get("/healthz")).status_code) == (200, 503)


async def test_readiness() -> None:
    """/readyz is 503 until the operator is ready."""
    ready = [False]
    async with served(Metrics(), ready) as client:
        before = (await client.get("/readyz")).status_code
        ready[0] = True
        assert (before, (await client.get("/readyz")).status_code) == (503, 200)


async def test_metrics() -> None:
    """Metrics are what Prometheus reads, under the type that it asks for."""
    metrics = Metrics()
    metrics.stream_connected(SubscriptionKey("team", 'a"b', "uid"))
    async with served(metrics, [True]) as client:
        response = await client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    families = {family.name: family for family in text_string_to_metric_families(response.text)}
    [sample] = families["infisical_events_stream_connected"].samples
    assert sample.labels == {"namespace": "team", "subscription": 'a"b'}


async def test_scrapes_at_the_same_time_are_one_rendering() -> None:
    """However many clients read the metrics at once, they are rendered twice at most."""
    metrics, rendered = Metrics(), list[float]()
    render = metrics.render

    def counted() -> bytes:
        rendered.append(time.monotonic())
        return render()

    metrics.render = counted  # type: ignore[method-assign]
    async with served(metrics, [True]) as client:
        responses = await asyncio.gather(*(client.get("/metrics") for _ in range(15)))
    assert {response.status_code for response in responses} == {200}
    assert len(rendered) <= 2


def test_a_client_without_pause_is_slowed_down_and_no_other() -> None:
    """Beyond 20 requests a second it waits, and never for long: its address may be a kubelet's as well."""
    rates = ClientRates()
    assert max(rates.delay("10.0.0.1", 0.0) for _ in range(20)) == pytest.approx(0.0)
    assert rates.delay("10.0.0.1", 0.0) == pytest.approx(0.05)
    assert max(rates.delay("10.0.0.1", 0.0) for _ in range(100)) == 0.5
    assert rates.delay("10.0.0.2", 0.0) == 0.0
    assert rates.delay("10.0.0.1", 2.0) == 0.0


def test_the_rates_of_many_addresses_are_bounded() -> None:
    """The ones that asked least recently begin anew."""
    rates = ClientRates()
    for _ in range(21):
        rates.delay("old", 0.0)
    for number in range(1_000):
        rates.delay(str(number), 0.0)
    assert rates.delay("old", 0.0) == 0.0


async def test_nothing_else() -> None:
    """Other paths do not exist."""
    async with served(Metrics(), [True]) as client:
        assert (await client.get("/")).status_code == 404


async def test_port_is_taken() -> None:
    """A port in use is an error; after the server stops, its port is free again."""
    port = free_port()
    for _ in range(2):
        async with http_server("127.0.0.1", port, Metrics(), Health(lambda: True, lambda: True)):
            with pytest.raises(BindError, match="address already in use"):
                async with http_server("127.0.0.1", port, Metrics(), Health(lambda: True, lambda: True)):
                    raise AssertionError("two servers on one port")


async def test_everywhere() -> None:
    """Without a host the server listens on all addresses."""
    port = free_port()
    async with (
        http_server("", port, Metrics(), Health(lambda: True, lambda: True)),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        assert (await client.get("/readyz")).status_code == 200
