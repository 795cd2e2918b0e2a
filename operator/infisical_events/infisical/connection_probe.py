"""The steps of a connection one by one, so that a fault has a place: name, port, TLS.

Each step fails with the error that a request would fail with.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from infisical_events.infisical.http_client import connection_error
from infisical_events.infisical.transport.guarded_transport import proxy_to
from infisical_events.infisical.transport.name_resolver import Addresses, NameResolver
from infisical_events.infisical.transport.tls import tls_context

_CONNECT_SECONDS = 10.0
"""Seconds for a connection, as of an ordinary request."""


@dataclass(frozen=True, slots=True)
class ConnectionProbe:
    """The origin of an Infisical, as of `address_allowlist.origin_of`."""

    origin: str

    @property
    def is_tls(self) -> bool:
        """Whether the address is https."""
        return urlsplit(self.origin).scheme == "https"

    @property
    def has_proxy(self) -> bool:
        """Whether a proxy of the environment connects, so that none of the steps are made here."""
        return proxy_to(self.origin) is not None

    @property
    def port(self) -> int:
        """The port, by default that of the scheme."""
        return urlsplit(self.origin).port or (443 if self.is_tls else 80)

    @property
    def host(self) -> str:
        """The host, without the brackets of IPv6."""
        return urlsplit(self.origin).hostname or ""

    async def resolve(self) -> Addresses:
        """The IP addresses of the host.

        Raises:
            InfisicalError: NAME_NOT_RESOLVED.
        """
        async with _translated():
            return await NameResolver().resolve("", self.host, self.port)

    async def connect(self) -> None:
        """Open a TCP connection and close it; raises InfisicalError, UNREACHABLE."""
        await self._open(is_tls=False)

    async def handshake(self) -> None:
        """Open a TLS connection with the trusted authorities, and close it; raises InfisicalError."""
        await self._open(is_tls=True)

    async def _open(self, *, is_tls: bool) -> None:
        context = tls_context() if is_tls else None
        async with _translated(), asyncio.timeout(_CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(
                self.host, self.port, ssl=context, server_hostname=self.host if is_tls else None
            )
            writer.transport.abort()


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    """Raise the errors of the network as an InfisicalError, by the rules for requests."""
    try:
        yield
    except TimeoutError:
        raise connection_error(httpx.ConnectTimeout("")) from None
    except OSError as error:
        wrapped = httpx.ConnectError("")
        wrapped.__cause__ = error
        raise connection_error(wrapped) from None
