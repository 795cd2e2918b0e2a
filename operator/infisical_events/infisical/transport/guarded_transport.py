"""Connections that check the IP address, in addition to the host name.

The owner of a host name decides which addresses it resolves to, and can change them between two lookups. So
each connection resolves the name once, checks the resulting addresses, and connects to one of these, by
number. TLS still verifies the name.

Proxies of the environment (HTTPS_PROXY, NO_PROXY) are configured by the administrator. Such a proxy resolves
the name itself, and has to restrict the addresses itself.
"""

import asyncio
import itertools
import logging
import ssl
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpcore
import httpx

from infisical_events.core.egress.address_allowlist import ip_of
from infisical_events.core.egress.network_policy import Address
from infisical_events.core.status.reasons import Reason
from infisical_events.infisical.infisical_errors import InfisicalError
from infisical_events.infisical.transport.fair_reads import FairStream, TakeTurn
from infisical_events.infisical.transport.name_resolver import Resolve

DenialReason = Callable[[Address], str]
"""Why an IP address is denied, as the end of a sentence; empty if it is allowed."""

_MAX_CONNECTIONS = 100
_MAX_IDLE = 20
_MAX_IDLE_SECONDS = 5.0
"""Seconds. These three are the defaults of httpx."""

_STAGGER = 0.25
"""Seconds before the next address is tried in parallel (RFC 8305)."""

log = logging.getLogger(__name__)


def new_transport(
    address: str, context: ssl.SSLContext, denial_reason: DenialReason, resolve: Resolve, take_turn: TakeTurn
) -> httpx.AsyncBaseTransport:
    """The transport to one origin: by the environment's proxy for it, or directly to allowed addresses."""
    if proxy := proxy_to(address):
        return httpx.AsyncHTTPTransport(verify=context, proxy=proxy)
    return _DirectTransport(context, GuardedBackend(denial_reason, resolve, take_turn))


def proxy_to(address: str) -> str | None:
    """The proxy in the environment for this address; None if there is none or NO_PROXY excludes the host."""
    parts, proxies = urlsplit(address), getproxies()
    if proxy_bypass(parts.netloc) or _is_excluded(address, proxies.get("no", "")):
        return None
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"


def _is_excluded(origin: str, no_proxy: str) -> bool:
    """Whether the origin has an IP address in a network of NO_PROXY, which urllib treats as a name."""
    address = ip_of(origin)
    return address is not None and any(address in network for network in _networks(no_proxy))


def _networks(no_proxy: str) -> Iterator[IPv4Network | IPv6Network]:
    for entry in no_proxy.split(","):
        with suppress(ValueError):  # a name, which urllib has checked
            yield ip_network(entry.strip(), strict=False)


class _DirectTransport(httpx.AsyncHTTPTransport):
    """httpx's transport with our network backend, for which httpx has no parameter."""

    def __init__(self, context: ssl.SSLContext, backend: httpcore.AsyncNetworkBackend) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            max_connections=_MAX_CONNECTIONS,
            max_keepalive_connections=_MAX_IDLE,
            keepalive_expiry=_MAX_IDLE_SECONDS,
            network_backend=backend,
        )


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Opens TCP connections to allowed IP addresses only."""

    def __init__(self, denial_reason: DenialReason, resolve: Resolve, take_turn: TakeTurn) -> None:
        self._denial_reason = denial_reason
        self._resolve = resolve
        self._take_turn = take_turn
        self._plain = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - of the interface
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect within `timeout` seconds, including the name resolution.

        Raises:
            InfisicalError: NETWORK_NOT_ALLOWED; nothing was sent.
            httpcore.ConnectError, httpcore.ConnectTimeout: as for any connection.
        """

        def connecting(address: str) -> Awaitable[httpcore.AsyncNetworkStream]:
            return self._plain.connect_tcp(address, port, timeout, local_address, socket_options)

        try:
            async with asyncio.timeout(timeout):
                addresses = self._admitted(host, await self._resolve(host, port))
                return FairStream(await _first_of(addresses, connecting), self._take_turn)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error

    async def sleep(self, seconds: float) -> None:
        """Wait before the pool retries."""
        await asyncio.sleep(seconds)

    def _admitted(self, host: str, addresses: tuple[str, ...]) -> tuple[str, ...]:
        """The allowed addresses. The others are in the log only, since status is readable by tenants."""
        denials = {address: self._denial_reason(ip_address(address)) for address in addresses}
        admitted = tuple(address for address, denial_reason in denials.items() if not denial_reason)
        if addresses and not admitted:
            address, denial_reason = next(iter(denials.items()))
            log.warning("connection to %s denied, it resolves to %s: %s", host, address, denial_reason)
            raise InfisicalError(
                Reason.NETWORK_NOT_ALLOWED, f"The host of the address resolves to {denial_reason}."
            )
        return admitted


async def _first_of(
    addresses: tuple[str, ...], connecting: Callable[[str], Awaitable[httpcore.AsyncNetworkStream]]
) -> httpcore.AsyncNetworkStream:
    """The first connection that succeeds; the attempts start one after the other (RFC 8305).

    Raises:
        httpcore.ConnectError, httpcore.ConnectTimeout: the error of the last attempt, if all fail.
    """
    remaining, running = iter(addresses), set[asyncio.Future[httpcore.AsyncNetworkStream]]()
    failure: BaseException = httpcore.ConnectError("the name has no address")
    try:
        while True:
            running |= {
                asyncio.ensure_future(connecting(address)) for address in itertools.islice(remaining, 1)
            }
            if not running:
                raise failure
            done, _ = await asyncio.wait(running, timeout=_STAGGER, return_when=asyncio.FIRST_COMPLETED)
            for attempt in done:
                running.remove(attempt)
                failure = attempt.exception() or failure
                if attempt.exception() is None:
                    return attempt.result()
    finally:
        await _cancel_all(running)


async def _cancel_all(attempts: Iterable[asyncio.Future[httpcore.AsyncNetworkStream]]) -> None:
    """Cancel the other attempts, and close connections that they have opened."""
    for attempt in attempts:
        attempt.cancel()
    for stream in await asyncio.gather(*attempts, return_exceptions=True):
        if isinstance(stream, httpcore.AsyncNetworkStream):
            await stream.aclose()
