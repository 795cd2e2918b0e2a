"""One request to Infisical and its response: bounded in time and size, with its errors translated.

`error_responses` translates responses that are no success. Headers, bodies and tokens are never part of an
error.

Responses are untrusted. They are read in chunks: httpx would decompress any chunk completely, and a
compressed kilobyte may be a megabyte, or a gigabyte if it is compressed twice. `event_stream` reads its bytes
in the same way.
"""

import asyncio
import json
import socket
import ssl
import weakref
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from typing import Any, Protocol, TypeVar

import httpx

from infisical_events.core.egress.address_allowlist import EgressPolicy
from infisical_events.core.request_metrics import CODES, NO_RESPONSE, RequestMetrics
from infisical_events.core.status.reasons import Reason
from infisical_events.core.status.text import counted
from infisical_events.infisical.error_responses import error_for
from infisical_events.infisical.infisical_errors import InfisicalError
from infisical_events.infisical.responses import Response, described
from infisical_events.infisical.shared_clients import SharedClients
from infisical_events.infisical.sse_lines import EventPermit
from infisical_events.infisical.transport.address_backoff import AddressBackoffs, BackoffTransport
from infisical_events.infisical.transport.fair_reads import (
    LimitedTransport,
    PacedTransport,
    ReadPace,
    TakeTurn,
)
from infisical_events.infisical.transport.guarded_transport import new_transport
from infisical_events.infisical.transport.name_resolver import NameResolver, Resolve
from infisical_events.infisical.transport.tls import tls_context

TIMEOUT = httpx.Timeout(30.0, connect=10.0)
"""Seconds for each step of an ordinary request: httpx limits each wait for bytes separately."""

MAX_SHARED_REQUESTS = 8
"""Requests to one address at once, of all subscriptions of a namespace: the work of httpcore's pool for each
request grows with the square of its connections."""

MAX_REQUEST_SECONDS = 60.0
"""Seconds for a whole ordinary request with its body: a byte now and then must not extend it."""

_USER_AGENT = f"infisical-events/{version('infisical-events')}"
"""Read once: it takes 5 ms to find in the metadata of all installed packages."""

ACCEPT_ENCODING = "gzip"
"""The value of `Accept-Encoding`, and the only supported encoding."""

MAX_LIST_BYTES = 32 * 1024 * 1024
"""Decompressed bytes of a list of secrets: 40,000 secrets with all that Infisical says of each have 30 MB."""

MAX_BODY_BYTES = 1024 * 1024
"""Decompressed bytes of any other response, such as a list of the folders in a folder."""

MAX_ERROR_BYTES = 64 * 1024
"""Decompressed bytes of a login response or of an error response."""

_FREE_BYTES = 64 * 1024
"""Bytes of a body that are read without a permit: the first 90 secrets of a list."""

LARGE_BYTES = 1024 * 1024
"""Bytes above which a body needs the permit of a large one, and is parsed in a thread of its own."""

_MAX_VALUES = 200_000
"""JSON values in a response that is no list of secrets, counted by commas and brackets. A value takes up to
240 bytes of memory.
"""

_CHUNK_BYTES = 64 * 1024
"""Bytes that are decompressed at a time."""

T = TypeVar("T")


class Permit(Protocol):
    """Admits one more body that is not small into memory, for a block."""

    def __call__(self, *, is_large: bool) -> AbstractAsyncContextManager[None]: ...  # noqa: D102


class Admit(Protocol):
    """Waits until a body that is not small may be in memory."""

    async def __call__(self, *, is_large: bool) -> None: ...  # noqa: D102


class RunLarge(Protocol):
    """Runs a large computation on frozen values without blocking the event loop."""

    async def __call__(self, computation: Callable[[], T]) -> T: ...  # noqa: D102


class RequestClient(Protocol):
    """Opens the client for requests to an address, which is made unless another subscription has it open."""

    def __call__(  # noqa: D102
        self, address: str, new_client: Callable[[], httpx.AsyncClient], /
    ) -> AbstractAsyncContextManager[httpx.AsyncClient]: ...


async def _no_turns() -> None:
    """Nobody else reads."""


async def _run_at_once(computation: Callable[[], T]) -> T:
    """Nobody else waits."""
    return computation()


async def admit_all(*, is_large: bool) -> None:
    """Nobody else needs the memory."""


def _permit_all(*, is_large: bool) -> AbstractAsyncContextManager[None]:  # noqa: ARG001 - of the protocol
    """Nobody else needs the memory."""
    return nullcontext()


@dataclass(frozen=True, slots=True)
class NamespaceSharing:
    """What the clients of a namespace share with one another and with other namespaces.

    Attributes:
        resolve: Resolves host names.
        take_turn: Waits until a connection may take in data.
        backoffs: The waits that servers demand.
        pace: The pace at which responses are read.
        permit: Admits one more body into memory.
        event_permit: Admits one more long event into memory, for a block.
        run_large: Runs large computations.
        keep: Whether this owner may keep the state of so many secrets; 0 forgets it.
        request_client: Opens the client for requests to an address.
        metrics: Where requests are counted; None counts none.
    """

    resolve: Resolve = field(default_factory=lambda: NameResolver().for_namespace(""))
    take_turn: TakeTurn = _no_turns
    backoffs: AddressBackoffs = field(default_factory=AddressBackoffs)
    pace: ReadPace = field(default_factory=ReadPace)
    permit: Permit = _permit_all
    event_permit: EventPermit = nullcontext
    run_large: RunLarge = _run_at_once
    keep: Callable[[int, int], bool] = lambda _owner, _count: True
    request_client: RequestClient = field(default_factory=lambda: partial(SharedClients().opened, ""))
    metrics: RequestMetrics | None = None


def new_client(
    address: str,
    egress: EgressPolicy,
    sharing: NamespaceSharing | None = None,
    most_requests: int | None = None,
) -> httpx.AsyncClient:
    """A client that connects to that origin only, with so many requests at once.

    It follows no redirects, so that no token is sent elsewhere, and it checks the addresses that the origin
    resolves to.
    """
    sharing = sharing or NamespaceSharing()
    denial_reason = partial(egress.denial_reason, address)
    transport = new_transport(address, tls_context(), denial_reason, sharing.resolve, sharing.take_turn)
    transport = PacedTransport(transport, sharing.pace)
    if most_requests:
        transport = LimitedTransport(transport, most_requests)
    transport = BackoffTransport(transport, sharing.backoffs)
    if sharing.metrics:
        transport = MeasuredTransport(transport, sharing.metrics)
    return httpx.AsyncClient(
        base_url=address,
        transport=transport,
        timeout=TIMEOUT,
        follow_redirects=False,
        headers={
            "User-Agent": _USER_AGENT,
            "Accept-Encoding": ACCEPT_ENCODING,
        },
    )


class MeasuredTransport(httpx.AsyncBaseTransport):
    """A transport that counts each request that was sent, and the seconds until the head of its response."""

    def __init__(self, transport: httpx.AsyncBaseTransport, metrics: RequestMetrics) -> None:
        self._transport = transport
        self._metrics = metrics

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """As the transport below; its own errors are of requests that were not sent."""
        begun, code = asyncio.get_running_loop().time(), NO_RESPONSE
        try:
            response = await self._transport.handle_async_request(request)
            code = CODES.get(response.status_code, NO_RESPONSE)
        except InfisicalError:
            code = ""
            raise
        finally:
            if code:
                self._metrics.total.labels(request.method, code).inc()
                seconds = asyncio.get_running_loop().time() - begun
                self._metrics.seconds.labels(request.method).observe(seconds)
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()


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
    max_bytes: int = MAX_BODY_BYTES,
    admit: Admit = admit_all,
    **arguments: Any,  # noqa: ANN401 - httpx's own
) -> Response:
    """Send a request and return its response with status 200 to 299 or 304, of `max_bytes` bytes at most.

    Raises:
        InfisicalError: any error, of the network or from the server.
    """
    async with translated_errors(MAX_REQUEST_SECONDS) as limit:
        admit = partial(_admit_outside, limit, admit)
        async with client.stream(method, path, **arguments) as stream:
            response = await read_response(stream, max_bytes, admit)
    if httpx.codes.is_success(response.status_code) or response.status_code == httpx.codes.NOT_MODIFIED:
        return response
    raise error_for(response)


@asynccontextmanager
async def translated_errors(seconds: float) -> AsyncIterator[asyncio.Timeout]:
    """Limit the block to so many seconds; raise the time-out and all network errors as InfisicalError.

    A time-out knows its task, which may keep the error, which keeps this frame: it would never be freed.
    """
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            yield weakref.proxy(limit)
    except TimeoutError:
        sentence = f"No complete response within {seconds:g} s: check the network, proxies and the server."
        raise InfisicalError(Reason.UNREACHABLE, sentence) from None
    except httpx.HTTPError as error:
        raise connection_error(error) from None
    finally:
        del limit


async def _admit_outside(limit: asyncio.Timeout, admit: Admit, *, is_large: bool) -> None:
    """Wait for memory; this is not the server's time."""
    now, until = asyncio.get_running_loop().time, limit.when()
    begin = now()
    limit.reschedule(None)
    await admit(is_large=is_large)
    if until is not None:
        limit.reschedule(until + now() - begin)


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


async def read_response(response: httpx.Response, max_bytes: int, admit: Admit = admit_all) -> Response:
    """Read a response completely; of an error response that is too long, only the status is kept.

    Raises:
        InfisicalError: RESPONSE_TOO_LARGE or UNEXPECTED_RESPONSE, more than `max_bytes` bytes.
        httpx.HTTPError: the connection failed, or the compressed data are malformed.
    """
    is_error = response.status_code >= httpx.codes.MULTIPLE_CHOICES
    content = await _collected(response, MAX_ERROR_BYTES if is_error else max_bytes, admit)
    if content is None and not is_error:
        raise _too_long(max_bytes)
    return Response(response.request, response.status_code, response.headers, content or b"")


def _too_long(max_bytes: int) -> InfisicalError:
    """Only a list of secrets may be long because the project is large."""
    length = f"The response is longer than {counted(max_bytes, 'byte')}: "
    if max_bytes < MAX_LIST_BYTES:
        advice = "check that spec.address is an Infisical server."
        return InfisicalError(Reason.UNEXPECTED_RESPONSE, length + advice)
    advice = "watch fewer folders, or check that spec.address is an Infisical server."
    return InfisicalError(Reason.RESPONSE_TOO_LARGE, length + advice)


async def _collected(response: httpx.Response, max_bytes: int, admit: Admit) -> bytearray | None:
    """All decompressed bytes; None as soon as there are more than `max_bytes`."""
    content, permits = bytearray(), [(_FREE_BYTES, False), (LARGE_BYTES, True)]
    async with aclosing(decompressed(response)) as chunks:
        async for chunk in chunks:
            content += chunk
            if len(content) > max_bytes:
                return None
            while permits and len(content) > permits[0][0]:
                _, is_large = permits.pop(0)
                await admit(is_large=is_large)
    return content


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
        raise not_json(response) from None


def not_json(response: Response) -> InfisicalError:
    """The error for a body that is not JSON."""
    sentence = (
        f"The response is not JSON{described(response)}: check that spec.address is an Infisical server, "
        "and whether a proxy in between demands a login."
    )
    return InfisicalError(Reason.UNEXPECTED_RESPONSE, sentence)
