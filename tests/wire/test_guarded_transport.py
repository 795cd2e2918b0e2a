"""Where the sockets really lead: names are resolved by a script, connections are real ones on loopback."""

import asyncio
import socket
import time
from collections.abc import Iterator
from unittest import mock

import httpcore
import pytest

from infisical_events.core.egress.address_allowlist import EgressPolicy
from infisical_events.core.egress.network_policy import parse_network
from infisical_events.core.status.reasons import Reason
from infisical_events.infisical.http_client import NamespaceSharing, new_client, request_json
from infisical_events.infisical.infisical_errors import InfisicalError
from infisical_events.infisical.transport.guarded_transport import GuardedBackend, proxy_to
from infisical_events.infisical.transport.name_resolver import Resolve
from support.builders import a_spec
from support.infisical_sessions import PROJECT, a_session, logged_in
from support.scripted_server import ScriptedServer, always, answer, serving

TENANTS = EgressPolicy(("http://*.example:*",))
DOCUMENTATION = "192.0.2.1"
"""Nobody is there."""


def names(*answers: tuple[str, ...]) -> Resolve:
    """A resolver whose answers come one after the other, the last one again and again."""
    left = list(answers)

    async def resolve(_: str, __: int) -> tuple[str, ...]:
        return left.pop(0) if len(left) > 1 else left[0]

    return resolve


async def no_turns() -> None:
    """Nobody else reads."""


async def asked(server: ScriptedServer, boundary: EgressPolicy, resolve: Resolve, times: int = 1) -> object:
    """The answer to the last of so many requests, each over a connection of its own."""
    port = server.url.rpartition(":")[2]
    for _ in range(times):
        async with new_client(
            f"http://infisical.example:{port}", boundary, NamespaceSharing(resolve)
        ) as client:
            found = await request_json(client, "GET", "/")
    return found


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "::ffff:127.0.0.1", "::1", "0.0.0.0", "::", "169.254.169.254", "fe80::1%1", "10.96.0.1"],  # noqa: S104 - nothing is bound
)
async def test_a_name_that_leads_inside_is_not_connected_to(address: str) -> None:
    """Under a wildcard a tenant may own the name; the sentence names the flag, and not what was resolved."""
    async with serving(always(answer(200, {}))) as server:
        with pytest.raises(InfisicalError, match="--allowed-network") as error:
            await asked(server, TENANTS, names((address,)))

        assert error.value.reason is Reason.NETWORK_NOT_ALLOWED
        assert address not in str(error.value)
        assert server.connections == 0
        assert server.requests == []


async def test_a_name_that_leads_elsewhere_the_second_time() -> None:
    """What is judged is what is connected to: no second question is there for another answer."""
    boundary = EgressPolicy(TENANTS.addresses, (parse_network("127.0.0.1"),))
    async with serving(always(answer(200, {}))) as server:
        with pytest.raises(InfisicalError) as error:
            await asked(server, boundary, names(("127.0.0.1",), ("127.0.0.2",)), times=2)

        assert error.value.reason is Reason.NETWORK_NOT_ALLOWED
        assert len(server.requests) == 1


async def test_of_several_addresses_the_forbidden_are_left_out() -> None:
    """One good address in an answer opens no way to the others."""
    boundary = EgressPolicy(TENANTS.addresses, (parse_network("127.0.0.1"),))
    backend = mock.AsyncMock(wraps=httpcore.AnyIOBackend())
    async with serving(always(answer(200, {"a": 1}))) as server:
        with mock.patch("httpcore.AnyIOBackend", return_value=backend):
            found = await asked(server, boundary, names(("169.254.169.254", "127.0.0.1", "10.0.0.1")))

    assert found == {"a": 1}
    assert [call.args[0] for call in backend.connect_tcp.await_args_list] == ["127.0.0.1"]


@pytest.mark.parametrize(
    "boundary",
    [
        EgressPolicy(("http://infisical.example:*",)),
        EgressPolicy(TENANTS.addresses, (parse_network("127.0.0.0/8"),)),
    ],
)
async def test_an_infisical_inside_the_cluster(boundary: EgressPolicy) -> None:
    """It is reached where the administrator names its host in full, or its network."""
    async with serving(always(answer(200, {"a": 1}))) as server:
        assert await asked(server, boundary, names(("127.0.0.1",))) == {"a": 1}


async def test_an_address_where_nobody_answers_holds_up_nothing() -> None:
    """The next one gets its try a quarter of a second later, as browsers do it."""
    held = httpcore.AnyIOBackend()

    async def connect(address: str, *_: object) -> httpcore.AsyncNetworkStream:
        if address == DOCUMENTATION:
            await asyncio.sleep(60)
        return await httpcore.AnyIOBackend.connect_tcp(held, address, port)

    async with serving(always(answer(200, {}))) as server:
        port = int(server.url.rpartition(":")[2])
        backend = GuardedBackend(lambda _: "", names((DOCUMENTATION, "127.0.0.1")), no_turns)
        begun = time.monotonic()
        with mock.patch.object(backend._plain, "connect_tcp", connect):
            stream = await backend.connect_tcp("infisical.example", port, timeout=10.0)
        assert time.monotonic() - begun < 5.0
        assert stream.get_extra_info("server_addr") == ("127.0.0.1", port)
        await stream.aclose()


async def test_all_addresses_are_tried() -> None:
    """One that refuses is followed by the next at once; the failure of all is the last one's."""
    async with serving(always(answer(200, {"a": 1}))) as server:
        found = await asked(
            server, EgressPolicy(("http://infisical.example:*",)), names(("127.0.0.2", "127.0.0.1"))
        )
    assert found == {"a": 1}

    with pytest.raises(InfisicalError) as error:
        await asked(server, EgressPolicy(("http://infisical.example:*",)), names(("127.0.0.2", "127.0.0.1")))
    assert error.value.reason is Reason.UNREACHABLE


@pytest.mark.parametrize(
    ("failure", "reason"),
    [(socket.gaierror(-2, "unknown"), Reason.NAME_NOT_RESOLVED), (OSError("odd"), Reason.UNREACHABLE)],
)
async def test_a_name_that_is_not_resolved(failure: OSError, reason: Reason) -> None:
    """It is told apart from a host that does not answer."""
    resolve = mock.AsyncMock(side_effect=failure)
    async with new_client("http://infisical.example", TENANTS, NamespaceSharing(resolve)) as client:
        with pytest.raises(InfisicalError) as error:
            await request_json(client, "GET", "/")
    assert error.value.reason is reason


async def test_a_resolver_that_never_answers() -> None:
    """The time to connect is for the name as well."""

    async def resolve(_: str, __: int) -> tuple[str, ...]:
        return await asyncio.get_running_loop().create_future()

    backend = GuardedBackend(lambda _: "", resolve, no_turns)
    with pytest.raises(httpcore.ConnectTimeout):
        await backend.connect_tcp("infisical.example", 443, timeout=0.01)


async def test_tls_is_for_the_name() -> None:
    """An address in the place of a name changes nothing about whose certificate is demanded."""
    demanded = []

    async def start_tls(
        stream: httpcore.AsyncNetworkStream, *_: object, server_hostname: str = "", **__: object
    ) -> None:
        demanded.append(server_hostname)
        await stream.aclose()
        raise httpcore.ConnectError("enough")

    async with serving(always(answer(200, {}))) as server:
        port = server.url.rpartition(":")[2]
        boundary = EgressPolicy(("https://infisical.example:*",))
        with mock.patch("httpcore._backends.anyio.AnyIOStream.start_tls", start_tls):
            async with new_client(
                f"https://infisical.example:{port}", boundary, NamespaceSharing(names(("127.0.0.1",)))
            ) as client:
                with pytest.raises(InfisicalError):
                    await request_json(client, "GET", "/")

    assert demanded == ["infisical.example"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    """No request, and so no token, goes where an answer points."""
    async with serving(always(answer(200, {}))) as elsewhere:
        moved = always(answer(status, {}, {"Location": f"{elsewhere.url}/api"}))
        async with serving(logged_in(v4=moved, subscribe=moved)) as server:
            async with a_session(server.url, a_spec(projectId=PROJECT)) as session:
                with pytest.raises(InfisicalError) as error:
                    async with session.stream():
                        pass
            assert error.value.reason is Reason.UNEXPECTED_RESPONSE
        assert elsewhere.requests == []


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """An environment that names no proxy yet."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "ALL_PROXY"])
async def test_a_proxy_of_the_environment_is_asked(proxied: pytest.MonkeyPatch, variable: str) -> None:
    """It resolves the name, so it is it that has to bound where that leads; NO_PROXY leaves hosts out."""
    async with serving(always(answer(200, {"by": "proxy"}))) as proxy:
        proxied.setenv(variable, proxy.url.removeprefix("http://"))
        async with new_client(
            "http://infisical.example", TENANTS, NamespaceSharing(names(("10.0.0.1",)))
        ) as client:
            assert await request_json(client, "GET", "/x") == {"by": "proxy"}
        assert [request.target for request in proxy.requests] == ["http://infisical.example/x"]

        proxied.setenv("NO_PROXY", "other.example,.example")
        async with new_client(
            "http://infisical.example", TENANTS, NamespaceSharing(names(("10.0.0.1",)))
        ) as client:
            with pytest.raises(InfisicalError, match="--allowed-network"):
                await request_json(client, "GET", "/x")


@pytest.mark.parametrize(
    ("excepted", "origin", "is_straight"),
    [
        ("10.0.0.0/8", "http://10.1.2.3:8080", True),
        ("localhost, 10.0.0.0/8 ,.svc", "http://10.1.2.3", True),
        ("10.1.2.4/8", "http://10.1.2.3", True),
        ("fd00::/8", "http://[fd00::1]:8080", True),
        ("fd00::1", "http://[fd00::1]", True),
        ("10.0.0.0/8", "http://11.1.2.3", False),
        ("10.0.0.0/8", "http://10.example", False),
        ("fd00::/8", "http://10.1.2.3", False),
        ("10.0.0.0/99,/8", "http://10.1.2.3", False),
    ],
)
def test_networks_are_left_out_of_a_proxy(
    proxied: pytest.MonkeyPatch, excepted: str, origin: str, *, is_straight: bool
) -> None:
    """NO_PROXY may have networks, for addresses that are given as numbers."""
    proxied.setenv("HTTP_PROXY", "http://proxy.example:3128")
    proxied.setenv("NO_PROXY", excepted)

    assert (proxy_to(origin) is None) is is_straight
