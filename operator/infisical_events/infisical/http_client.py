"""One request to Infisical and its response: bounded in time and size, with its errors translated.

`error_responses` translates responses that are no success. Headers, bodies and tokens are never part of an
error.

Responses are untrusted. They are read in chunks: httpx would decompress any chunk completely, and a
compressed kilobyte may be a megabyte, or a gigabyte if it is compressed twice. `event_stream` reads its bytes
in the same way.
"""

import asyncio
import functools
import json
import socket
import ssl
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import httpx

from infisical_events.core.egress.address_allowlist import EgressPolicy
from infisical_events.core.status.reasons import Reason
from infisical_events.core.status.text import counted
from infisical_events.infisical.error_responses import error_for
from infisical_events.infisical.infisical_errors import InfisicalError
from infisical_events.infisical.responses import Response, described
from infisical_events.infisical.transport.address_backoff import AddressBackoffs, BackoffTransport
from infisical_events.infisical.transport.fair_reads import StreamPace, TakeTurn
from infisical_events.infisical.transport.guarded_transport import new_transport
from infisical_events.infisical.transport.name_resolver import NameResolver, Resolve
from infisical_events.infisical.transport.tls import tls_context

TIMEOUT = httpx.Timeout(30.0, connect=10.0)
"""Seconds for each step of an ordinary request: httpx limits each wait for bytes separately."""

MAX_REQUEST_SECONDS = 60.0
"""Seconds for a whole ordinary request with its body: a byte now and then must not extend it."""

ACCEPT_ENCODING = "gzip"
"""The value of `Accept-Encoding`, and the only supported encoding."""

MAX_LIST_BYTES = 64 * 1024 * 1024
"""Decompressed bytes: a list of 10,000 secrets with their imports has 3.3 million."""

MAX_ERROR_BYTES = 64 * 1024
"""Decompressed bytes of a login response or of an error response."""

_MAX_VALUES = 3_000_000
"""JSON values in one response, counted by commas and brackets: enough for 100,000 secrets. A value takes up
to 240 bytes of memory; 64 MiB of empty objects would take 1.5 GiB.
"""

_CHUNK_BYTES = 64 * 1024
"""Bytes that are decompressed at a time."""


async def _no_turns() -> None:
    """Nobody else reads."""


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
    take_turn: TakeTurn = _no_turns
    backoffs: AddressBackoffs = field(default_factory=AddressBackoffs)
    pace: StreamPace = field(default_factory=StreamPace)


def new_client(
    address: str,
    egress: EgressPolicy,
    sharing: NamespaceSharing | None = None,
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


# -- responses ----------------------------------------------------------------------------------------


async def read_response(response: httpx.Response, max_bytes: int) -> Response:
    """Read a response completely; of an error response that is too long, only the status is kept.

    Raises:
        InfisicalError: UNEXPECTED_RESPONSE, more than `max_bytes` bytes.
        httpx.HTTPError: the connection failed, or the compressed data are malformed.
    """
    is_error = response.status_code >= httpx.codes.MULTIPLE_CHOICES
    content = await _collected(response, MAX_ERROR_BYTES if is_error else max_bytes)
    if content is None and not is_error:
        sentence = (
            f"The response is longer than {counted(max_bytes, 'byte')}: check that spec.address is an "
            "Infisical server."
        )
        raise InfisicalError(Reason.UNEXPECTED_RESPONSE, sentence)
    return Response(response.request, response.status_code, response.headers, content or b"")


async def _collected(response: httpx.Response, max_bytes: int) -> bytes | None:
    """All decompressed bytes; None as soon as there are more than `max_bytes`."""
    content = bytearray()
    async with aclosing(decompressed(response)) as chunks:
        async for chunk in chunks:
            content += chunk
            if len(content) > max_bytes:
                return None
    return bytes(content)


async def decompressed(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    """The decompressed bytes of a body as they arrive, in chunks of 64 KiB at most if compressed.

    Raises:
        httpx.HTTPError: the connection failed; DecodingError for malformed data or an unsupported encoding.
    """
    is_compressed = content_encoding_of(response) == ACCEPT_ENCODING
    decompressor = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS) if is_compressed else None
    async for chunk in response.aiter_raw():
        if decompressor is None:
            yield chunk
            continue
        try:
            for part in _parts(decompressor, chunk):
                yield part
        except zlib.error:
            raise httpx.DecodingError("malformed compressed data", request=response.request) from None
        if decompressor.eof:  # zlib would buffer any further data
            return


def content_encoding_of(response: httpx.Response) -> str:
    """`gzip` or `identity`; raises DecodingError for any other encoding."""
    encoding = response.headers.get("content-encoding", "").strip().lower() or "identity"
    if encoding not in {"identity", ACCEPT_ENCODING}:
        raise httpx.DecodingError("unsupported content encoding", request=response.request)
    return encoding


def _parts(decompressor: "zlib._Decompress", compressed: bytes) -> Iterator[bytes]:
    """The decompressed data of these bytes, in bounded chunks."""
    while part := decompressor.decompress(compressed, _CHUNK_BYTES):
        yield part
        compressed = decompressor.unconsumed_tail


def decoded(response: Response) -> Any:  # noqa: ANN401 - JSON
    """The JSON body; raises InfisicalError if it is not JSON or would take too much memory."""
    if sum(response.content.count(mark) for mark in (b",", b"{", b"[")) > _MAX_VALUES:
        sentence = "The response has too many values: check that spec.address is an Infisical server."
        raise InfisicalError(Reason.UNEXPECTED_RESPONSE, sentence)
    try:
        return json.loads(response.content)
    except (ValueError, RecursionError):
        sentence = (
            f"The response is not JSON{described(response)}: check that spec.address is an Infisical server, "
            "and whether a proxy in between demands a login."
        )
        raise InfisicalError(Reason.UNEXPECTED_RESPONSE, sentence) from None
