"""One request to Infisical: bounded in time and size, with its errors translated.

`error_responses` translates responses that are no success. Headers, bodies and tokens are never part of an
error.
"""

import asyncio
import functools
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import httpx

from infisical_events.core.egress.address_allowlist import EgressPolicy
from infisical_events.core.status.reasons import Reason
from infisical_events.infisical.address_backoff import AddressBackoffs, BackoffTransport
from infisical_events.infisical.error_responses import error_for
from infisical_events.infisical.fair_reads import ReadTurns, StreamPace, TakeTurn
from infisical_events.infisical.guarded_transport import new_transport
from infisical_events.infisical.infisical_errors import InfisicalError
from infisical_events.infisical.name_resolver import NameResolver, Resolve
from infisical_events.infisical.responses import (
    ACCEPT_ENCODING,
    MAX_ERROR_BYTES,
    MAX_LIST_BYTES,
    Response,
    decoded,
    read_response,
)
from infisical_events.infisical.tls import tls_context

TIMEOUT = httpx.Timeout(30.0, connect=10.0)
"""Seconds for each step of an ordinary request: httpx limits each wait for bytes separately."""

MAX_REQUEST_SECONDS = 60.0
"""Seconds for a whole ordinary request with its body: a byte now and then must not extend it."""


@dataclass(frozen=True, slots=True)
class NamespaceSharing:
    """What the clients of a namespace share with one another and with other namespaces.

    Attributes:
        resolve: Resolves host names.
        take_turn: Waits until a connection may take in data.
        backoffs: The waits that servers demand.
        pace: The pace at which event streams are read.
    """

    resolve: Resolve = field(default_factory=lambda: NameResolver().for_namespace(""))
    take_turn: TakeTurn = field(default_factory=lambda: ReadTurns().for_namespace(""))
    backoffs: AddressBackoffs = field(default_factory=AddressBackoffs)
    pace: StreamPace = field(default_factory=StreamPace)


def new_client(
    address: str,
    egress: EgressPolicy,
    sharing: "NamespaceSharing | None" = None,
) -> httpx.AsyncClient:
    """A client for one subscription, which connects to that origin only.

    It follows no redirects, so that no token is sent elsewhere, and it checks the addresses that the origin
    resolves to. One client per subscription keeps httpcore's pool small, whose cost is quadratic in streams.
    """
    sharing = sharing or NamespaceSharing()
    denial_reason = functools.partial(egress.denial_reason, address)
    transport = new_transport(address, tls_context(), denial_reason, sharing.resolve, sharing.take_turn)
    return httpx.AsyncClient(
        base_url=address,
        transport=BackoffTransport(transport, sharing.backoffs),
        timeout=TIMEOUT,
        follow_redirects=False,
        headers={
            "User-Agent": f"infisical-events/{version('infisical-events')}",
            "Accept-Encoding": ACCEPT_ENCODING,
        },
    )


async def request_json(
    client: httpx.AsyncClient,
    method: str,
    path: str,
    **arguments: Any,  # noqa: ANN401 - httpx's own
) -> Any:  # noqa: ANN401 - JSON
    """Send a request with a short response, such as a login, and return its JSON body.

    Raises:
        InfisicalError: any error, of the network or from the server.
    """
    return decoded(await send(client, method, path, MAX_ERROR_BYTES, **arguments))


async def send(
    client: httpx.AsyncClient,
    method: str,
    path: str,
    max_bytes: int = MAX_LIST_BYTES,
    **arguments: Any,  # noqa: ANN401 - httpx's own
) -> Response:
    """Send a request and return its response with status 200 to 299 or 304, of `max_bytes` bytes at most.

    Raises:
        InfisicalError: any error, of the network or from the server.
    """
    async with translated_errors(MAX_REQUEST_SECONDS), client.stream(method, path, **arguments) as stream:
        response = await read_response(stream, max_bytes)
    if httpx.codes.is_success(response.status_code) or response.status_code == httpx.codes.NOT_MODIFIED:
        return response
    raise error_for(response)


@asynccontextmanager
async def translated_errors(seconds: float) -> AsyncIterator[None]:
    """Limit the block to so many seconds; raise the time-out and all network errors as InfisicalError."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        sentence = f"No complete response within {seconds:g} s: check the network, proxies and the server."
        raise InfisicalError(Reason.UNREACHABLE, sentence) from None
    except httpx.HTTPError as error:
        raise connection_error(error) from None


def connection_error(error: httpx.HTTPError) -> InfisicalError:
    """The error for a network error, by its cause, without the cause's text."""
    if isinstance(error, httpx.DecodingError):
        sentence = "The response has an unsupported content encoding: check proxies in between."
        return InfisicalError(Reason.UNEXPECTED_RESPONSE, sentence)
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLError):
            detail = getattr(cause, "verify_message", "") or cause.reason or "handshake failed"
            sentence = f"TLS failed ({detail}): check the server's certificate and its CA."
            return InfisicalError(Reason.TLS_FAILED, sentence)
        if isinstance(cause, socket.gaierror):
            sentence = "The host name cannot be resolved: check spec.address and the cluster's DNS."
            return InfisicalError(Reason.NAME_NOT_RESOLVED, sentence)
    kind = type(error).__name__
    return InfisicalError(
        Reason.UNREACHABLE, f"No response from the server ({kind}): check spec.address and the network."
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and its chain of causes."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
