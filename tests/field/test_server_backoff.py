"""A server that demands a wait by Retry-After gets it from everything that is sent to its address."""

import asyncio
from collections.abc import Callable

import httpx
import pytest

from support.builders import an_entry
from support.http_infisical import HttpHarness, HttpInfisical, Proxy
from support.virtual_time import in_virtual_time

VALUES = "viewSecretValue=true"


def demanding(wait: str, until: float, selects: Callable[[httpx.Request], bool], status: int = 429) -> Proxy:
    """A limiter that answers the selected requests until a moment of the loop's clock."""

    def proxy(request: httpx.Request) -> httpx.Response | None:
        is_over = asyncio.get_running_loop().time() >= until
        refusal = httpx.Response(status, text="slow down", headers={"Retry-After": wait})
        return refusal if not is_over and selects(request) else None

    return proxy


def is_value_read(request: httpx.Request) -> bool:
    """Whether values are requested."""
    return VALUES in str(request.url)


def is_list(request: httpx.Request) -> bool:
    """Whether secrets are requested, with or without values."""
    return request.url.path.startswith("/api/v4/secrets")


def a_harness(server: HttpInfisical, **resync: object) -> HttpHarness:
    """A subscription that writes the Secret shop-env, and a workload that uses it."""
    secrets = [{"name": "shop-env", "environmentSlug": "prod", "secretPath": "/shop"}]
    harness = HttpHarness(
        server=server,
        events=[an_entry(path="/shop")],
        resync={"timeoutSeconds": 60, "secrets": secrets} | resync,
        resyncIntervalSeconds=30,
    )
    harness.create("web", uses=("shop-env",))
    return harness


def a_server() -> HttpInfisical:
    """An Infisical with one key in `prod:/shop`."""
    server = HttpInfisical()
    server.set("prod", "/shop", PIN="1")
    return server


@pytest.mark.parametrize("status", [429, 503])
@in_virtual_time
async def test_a_limited_value_read_is_waited_for(status: int) -> None:
    """Few reads in 300 s, no restart with the old Secret after the time-out, and one with the new one."""
    server = a_server()
    harness = a_harness(server)
    await harness.start(100.0)
    server.proxy = demanding("90", 400.0, is_value_read, status)
    before = len(server.asked(VALUES))
    server.set("prod", "/shop", PIN="2")
    await asyncio.sleep(299.0)
    during = (harness.rollouts("web"), len(server.asked(VALUES)) - before, harness.warnings("SecretRejected"))
    await asyncio.sleep(120.0)
    await harness.crash()

    assert during[0] == [0]
    assert during[1] <= 4
    assert during[2] == 1
    assert harness.rollouts("web") == [1]


@in_virtual_time
async def test_the_wait_survives_a_restart_of_the_operator() -> None:
    """A new process asks once, and neither asks again nor restarts with the old Secret."""
    server = a_server()
    harness = a_harness(server)
    await harness.start(100.0)
    server.proxy = demanding("90", 400.0, is_value_read)
    server.set("prod", "/shop", PIN="2")
    await asyncio.sleep(80.0)
    await harness.crash()
    await harness.start(80.0)

    assert harness.rollouts("web") == [0]
    await asyncio.sleep(250.0)
    await harness.crash()
    assert harness.rollouts("web") == [1]


@in_virtual_time
async def test_the_wait_does_not_count_against_the_timeout() -> None:
    """After the wait the server fails otherwise: the restart comes when the rest of the time is over."""
    server = a_server()
    harness = a_harness(server)
    await harness.start(100.0)
    limited = demanding("90", 190.0, is_value_read)
    broken = demanding("", 10_000.0, is_value_read, status=500)
    server.proxy = lambda request: limited(request) or broken(request)
    server.set("prod", "/shop", PIN="2")
    await asyncio.sleep(130.0)
    during = harness.rollouts("web")
    await asyncio.sleep(40.0)
    await harness.crash()

    assert during == [0]
    assert harness.rollouts("web") == [1]


@in_virtual_time
async def test_subscriptions_of_one_address_wait_together() -> None:
    """One meets the limit; the others send neither lists nor subscribes nor values until it is over."""
    server = a_server()
    first, second = a_harness(server), a_harness(server)
    await first.start(10.0)
    server.proxy = demanding("120", 45.0, is_list)
    await asyncio.sleep(50.0)
    sent = len(server.arrived)
    await second.start(80.0)
    during = len(server.arrived) - sent
    await asyncio.sleep(120.0)
    await first.crash()
    await second.crash()

    assert during == 0
    assert second.condition("Ready") == ("True", "Watching")


@pytest.mark.parametrize(("wait", "longest"), [("86400", 3700.0), ("999999999999", 3700.0)])
@in_virtual_time
async def test_an_absurd_wait_is_bounded(wait: str, longest: float) -> None:
    """A day is an hour: then the server is asked again."""
    server = a_server()
    harness = a_harness(server)
    await harness.start(10.0)
    server.proxy = demanding(wait, 60.0, is_list)
    await asyncio.sleep(longest)
    await harness.crash()

    assert harness.condition("Observed") == ("True", "UpToDate")


@in_virtual_time
async def test_a_limited_subscribe_holds_the_lists() -> None:
    """The stream meets the limit first: no read makes it worse, and the condition says why."""
    server = a_server()
    server.proxy = demanding("60", 5.0, lambda request: "events" in request.url.path)
    harness = a_harness(server)
    await harness.start(50.0)
    during = (len(server.asked("/api/v4/secrets")), harness.condition("Streaming"))
    await asyncio.sleep(30.0)
    await harness.crash()

    assert during[0] <= 2  # one read may be under way
    assert during[1] == ("False", "RateLimited")
    assert harness.condition("Ready") == ("True", "Watching")
