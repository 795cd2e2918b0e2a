"""One request to Infisical: made, bounded, and its failure translated.

Error bodies are foreign text. Only their `message` is repeated, capped, without control characters
and without what the request carried in confidence; headers, bodies and tokens never get into an error.
"""

import asyncio
import functools
import json
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import Any

import httpx

from infisical_events.core.egress.address_allowlist import EgressPolicy
from infisical_events.core.status.reasons import Reason
from infisical_events.core.status.text import single_line
from infisical_events.infisical.guarded_transport import Resolve, new_transport, resolved
from infisical_events.infisical.infisical_errors import (
    FolderMissingError,
    InfisicalError,
    TokenRejectedError,
    UnknownRouteError,
)
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
"""Seconds for each step of an ordinary request: httpx counts every wait for bytes by itself."""

MAX_REQUEST_SECONDS = 60.0
"""Seconds for all of an ordinary request, its body included: a byte now and then is no answer."""

_MAX_QUOTE_LENGTH = 240
"""Characters of a foreign message that are repeated."""

_MAX_RETRY_AFTER = 3600.0
"""Seconds that a server may make us wait: nothing is ever given up."""

_UNKNOWN_RETRY_AFTER = 60.0
"""Seconds to wait for a date of a server that does not say what time it is there."""

_MIN_SECRET_LENGTH = 8
"""Characters; hiding shorter texts would make nonsense of a message and protect nobody."""


def new_client(address: str, egress: EgressPolicy, resolve: Resolve = resolved) -> httpx.AsyncClient:
    """A client for one subscription, whose connections lead to that origin and nowhere else.

    Redirects are refused, so that no token leaves its address, and the boundary has its say about where the
    address leads. A client of its own keeps httpcore's pool small, whose cost is quadratic in open streams.
    """
    denial_reason = functools.partial(egress.denial_reason, address)
    return httpx.AsyncClient(
        base_url=address,
        transport=new_transport(address, tls_context(), denial_reason, resolve),
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
    """Make a request whose answer is a few words, such as a login, and return its JSON body.

    Raises:
        InfisicalError: for every failure, of the network or told by the server.
    """
    return decoded(await send(client, method, path, MAX_ERROR_BYTES, **arguments))


async def send(
    client: httpx.AsyncClient,
    method: str,
    path: str,
    max_bytes: int = MAX_LIST_BYTES,
    **arguments: Any,  # noqa: ANN401 - httpx's own
) -> Response:
    """Make a request; an answer of 200 to 299, or 304, of `longest` bytes at most is returned.

    Raises:
        InfisicalError: for every failure, of the network or told by the server.
    """
    async with translated_errors(MAX_REQUEST_SECONDS), client.stream(method, path, **arguments) as stream:
        response = await read_response(stream, max_bytes)
    if httpx.codes.is_success(response.status_code) or response.status_code == httpx.codes.NOT_MODIFIED:
        return response
    raise error_for(response)


@asynccontextmanager
async def translated_errors(seconds: float) -> AsyncIterator[None]:
    """Give up after so many seconds, and tell that and every failure of the network as InfisicalError."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        sentence = f"The answer took longer than {seconds:g} s: check the network, proxies and the server."
        raise InfisicalError(Reason.UNREACHABLE, sentence) from None
    except httpx.HTTPError as error:
        raise connection_error(error) from None


def connection_error(error: httpx.HTTPError) -> InfisicalError:
    """A failure of the network, told apart by its cause; the cause's own text stays inside."""
    if isinstance(error, httpx.DecodingError):
        sentence = "The answer is packed in a way that nobody asked for: check proxies in between."
        return InfisicalError(Reason.UNEXPECTED_RESPONSE, sentence)
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLError):
            detail = getattr(cause, "verify_message", "") or cause.reason or "handshake failed"
            sentence = f"TLS failed ({detail}): check the server's certificate and its CA."
            return InfisicalError(Reason.TLS_FAILED, sentence)
        if isinstance(cause, socket.gaierror):
            sentence = "The server's name cannot be resolved: check spec.address and the cluster's DNS."
            return InfisicalError(Reason.NAME_NOT_RESOLVED, sentence)
    kind = type(error).__name__
    return InfisicalError(
        Reason.UNREACHABLE, f"No answer from the server ({kind}): check spec.address and the network."
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what caused it, and so on."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def error_for(response: Response) -> InfisicalError:
    """Translate an error status.

    Expired and malformed tokens are 403 `TokenError`, revoked and used-up ones 401; lacking rights
    are 403 of another name. 422 carries an array of issues in `message`.
    """
    body = _error_body(response)
    quote = _quoted(body.get("message"), _sent_secrets(response.request))
    return _infisical_error(response, body, quote) or _status_error(response, quote)


def _infisical_error(response: Response, body: Mapping[str, Any], quote: str) -> InfisicalError | None:
    status, name = response.status_code, body.get("error")
    if status == httpx.codes.UNAUTHORIZED or name == "TokenError":
        sentence = f"The access token was refused{quote}."
        return TokenRejectedError(Reason.TOKEN_REJECTED, sentence, quote=quote)
    if name == "SecretPathNotFound":
        return FolderMissingError(Reason.FOLDER_NOT_FOUND, f"No such environment or folder{quote}.")
    if status == httpx.codes.NOT_FOUND and "reqId" not in body:
        sentence = "The server does not know this endpoint: check that spec.address is an Infisical server."
        return UnknownRouteError(Reason.UNEXPECTED_RESPONSE, sentence, quote=quote)
    return None


def _status_error(response: Response, quote: str) -> InfisicalError:
    status, wait = response.status_code, retry_after(response.headers)
    if httpx.codes.is_redirect(status):
        sentence = "The server redirects: set spec.address to the address that finally answers."
        return InfisicalError(Reason.UNEXPECTED_RESPONSE, sentence)
    if status in _BY_STATUS:
        reason, sentence = _BY_STATUS[status]
        return InfisicalError(reason, sentence.replace("{quote}", quote), wait, quote)
    if status >= httpx.codes.INTERNAL_SERVER_ERROR:
        return InfisicalError(Reason.SERVER_ERROR, f"The server failed with {status}{quote}.", wait, quote)
    return InfisicalError(Reason.REQUEST_REJECTED, f"The server refused with {status}{quote}.", wait, quote)


_BY_STATUS = {
    403: (
        Reason.PERMISSION_DENIED,
        "The machine identity lacks a permission{quote}: grant it in the project's access control.",
    ),
    404: (Reason.PROJECT_NOT_FOUND, "The project was not found{quote}: check the project and spec.address."),
    429: (Reason.RATE_LIMITED, "The server asks to slow down{quote}."),
}


def retry_after(headers: Mapping[str, str]) -> float:
    """`Retry-After` in seconds, an hour at most; 0 when it is absent, past or makes no sense."""
    value = headers.get("retry-after", "")
    seconds = float(value) if value.isascii() and value.isdigit() else _seconds_until(value, headers)
    return min(max(seconds, 0.0), _MAX_RETRY_AFTER)


def _seconds_until(date: str, headers: Mapping[str, str]) -> float:
    """From the server's own `Date` to this date: whether its clock is right does not matter then."""
    try:
        until = parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        return 0.0
    try:
        return (until - parsedate_to_datetime(headers.get("date", ""))).total_seconds()
    except (ValueError, OverflowError, TypeError):
        return _UNKNOWN_RETRY_AFTER


def _error_body(response: Response) -> Mapping[str, Any]:
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _sent_secrets(request: httpx.Request) -> Iterator[str]:
    """What the request carried that a server may repeat and nobody else may read: a token or a login."""
    yield request.headers.get("Authorization", "").removeprefix("Bearer ")
    if request.url.path.endswith("/login"):
        yield from json.loads(request.content).values()


def _quoted(message: object, secrets: Iterator[str]) -> str:
    """` (…)` from a message string or from an array of validation issues; empty without one."""
    if isinstance(message, list):
        issues = [item for item in message if isinstance(item, dict)]
        message = "; ".join(str(issue.get("message", "")) for issue in issues)
    text = str(message or "")
    for secret in secrets:
        if len(secret) >= _MIN_SECRET_LENGTH:
            text = text.replace(secret, "…")
    text = single_line(text).strip().rstrip(".")
    return f" ({text[:_MAX_QUOTE_LENGTH]})" if text else ""
