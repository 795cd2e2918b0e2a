"""Names that a resolver never answers delay nobody but the namespace that chose them."""

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest

from infisical_events.infisical.transport import name_resolver
from infisical_events.infisical.transport.name_resolver import NameResolver

GOOD = ("192.0.2.7",)


class Dns:
    """A resolver that answers for `good.*` only; other names block until it is closed."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._closed = threading.Event()

    def lookup(self, host: str, _: int) -> tuple[str, ...]:
        """Answer, fail or block."""
        self.asked.append(host)
        if host.startswith("good"):
            return GOOD
        if host.startswith("unknown"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        self._closed.wait(60)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    def close(self) -> None:
        """Release all threads."""
        self._closed.set()


@pytest.fixture
def dns() -> Iterator[Dns]:
    """A resolver whose threads end with the test."""
    dns = Dns()
    yield dns
    dns.close()


async def test_names_that_are_never_answered_delay_no_other_namespace(
    dns: Dns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They keep a few threads, whatever their number, and each lookup ends."""
    monkeypatch.setattr(name_resolver, "LOOKUP_SECONDS", 0.5)
    resolver = NameResolver(dns.lookup)
    hostile = [
        asyncio.create_task(resolver.resolve("hostile", f"silent-{number}.example", 443))
        for number in range(40)
    ]
    await asyncio.sleep(0)

    assert await resolver.resolve("honest", "good.example", 443) == GOOD
    assert sum(host.startswith("silent") for host in dns.asked) <= 3

    failures = await asyncio.gather(*hostile, return_exceptions=True)
    assert {type(failure) for failure in failures} == {socket.gaierror}
    dns.close()


async def test_lookups_of_one_host_are_one(dns: Dns) -> None:
    """A hundred subscriptions of one server start together, and the next one shortly after."""
    resolver = NameResolver(dns.lookup)

    assert set(await asyncio.gather(*(resolver.resolve("a", "good.example", 443) for _ in range(100)))) == {
        GOOD
    }
    assert await resolver.resolve("b", "good.example", 443) == GOOD

    assert dns.asked == ["good.example"]


async def test_addresses_are_remembered_for_a_moment_only(dns: Dns, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that moves is followed."""
    monkeypatch.setattr(name_resolver, "REMEMBERED_SECONDS", 0.0)
    resolver = NameResolver(dns.lookup)

    for _ in range(2):
        await resolver.resolve("a", "good.example", 443)

    assert dns.asked == ["good.example"] * 2


async def test_a_failed_lookup_is_not_remembered(dns: Dns) -> None:
    """A name that is created is found at the next attempt."""
    resolver = NameResolver(dns.lookup)

    for _ in range(2):
        with pytest.raises(socket.gaierror, match="not known"):
            await resolver.resolve("a", "unknown.example", 443)

    assert dns.asked == ["unknown.example"] * 2


@pytest.mark.parametrize("host", ["x" * 64 + ".example", "a..b"])
async def test_what_is_no_name_is_not_found(host: str) -> None:
    """IDNA's rules raise another error than the resolver."""
    with pytest.raises(socket.gaierror):
        await NameResolver().resolve("a", host, 443)
