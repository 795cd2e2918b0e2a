"""One request to Infisical: bounded in time and size, with its errors translated.

Error bodies are foreign text. Only their `message` is quoted: truncated, without control characters and
without the secrets of the request. Headers, bodies and tokens are never part of an error.
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
"""Seconds for each step of an ordinary request: httpx limits each wait for bytes separately."""

MAX_REQUEST_SECONDS = 60.0
"""Seconds for a whole ordinary request with its body: a byte now and then must not extend it."""

_MAX_QUOTE_LENGTH = 240
"""Characters of a foreign message that are quoted."""

_MAX_RETRY_AFTER = 3600.0
"""Seconds; the longest wait that a server can demand."""

_UNKNOWN_RETRY_AFTER = 60.0
"""Seconds to wait if Retry-After is a date and the response has no Date."""

_MIN_SECRET_LENGTH = 8
"""Characters; hiding shorter texts would make a message unreadable and protect nothing."""


def new_client(address: str, egress: EgressPolicy, resolve: Resolve = resolved) -> httpx.AsyncClient:
    """A client for one subscription, which connects to that origin only.

    It follows no redirects, so that no token is sent elsewhere, and it checks the addresses that the origin
    resolves to. One client per subscription keeps httpcore's pool small, whose cost is quadratic in streams.
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


def error_for(response: Response) -> InfisicalError:
    """Translate an error status.

    Expired and malformed tokens are 403 `TokenError`, revoked and used-up ones 401; a missing permission is
    a 403 with another name. The `message` of a 422 is an array of issues.
    """
    body = _error_body(response)
    quote = _quoted(body.get("message"), _sent_secrets(response.request))
    return _infisical_error(response, body, quote) or _status_error(response, quote)


def _infisical_error(response: Response, body: Mapping[str, Any], quote: str) -> InfisicalError | None:
    status, name = response.status_code, body.get("error")
    if status == httpx.codes.UNAUTHORIZED or name == "TokenError":
        sentence = f"Infisical rejected the access token{quote}: check whether it is expired or revoked."
        return TokenRejectedError(Reason.TOKEN_REJECTED, sentence, quote=quote)
    if name == "SecretPathNotFound":
        return FolderMissingError(
            Reason.FOLDER_NOT_FOUND, f"The environment or folder does not exist{quote}: check the spec."
        )
    if status == httpx.codes.NOT_FOUND and "reqId" not in body:
        sentence = "The server does not have this endpoint: check that spec.address is an Infisical server."
        return UnknownRouteError(Reason.UNEXPECTED_RESPONSE, sentence, quote=quote)
    return None


def _status_error(response: Response, quote: str) -> InfisicalError:
    status, wait = response.status_code, retry_after(response.headers)
    if httpx.codes.is_redirect(status):
        sentence = "The server redirects: set spec.address to the final address."
        return InfisicalError(Reason.UNEXPECTED_RESPONSE, sentence)
    if status in _BY_STATUS:
        reason, sentence = _BY_STATUS[status]
        return InfisicalError(reason, sentence.replace("{quote}", quote), wait, quote)
    if status >= httpx.codes.INTERNAL_SERVER_ERROR:
        return InfisicalError(
            Reason.SERVER_ERROR,
            f"The server failed with HTTP {status}{quote}: check the server's log.",
            wait,
            quote,
        )
    return InfisicalError(
        Reason.REQUEST_REJECTED,
        f"The server rejected the request with HTTP {status}{quote}: check the spec.",
        wait,
        quote,
    )


_BY_STATUS = {
    403: (
        Reason.PERMISSION_DENIED,
        "The machine identity lacks a permission{quote}: grant it in the project's access control.",
    ),
    404: (Reason.PROJECT_NOT_FOUND, "The project does not exist{quote}: check the project and spec.address."),
    429: (
        Reason.RATE_LIMITED,
        "The server's rate limit is exceeded{quote}: merge subscriptions or raise resyncIntervalSeconds.",
    ),
}


def retry_after(headers: Mapping[str, str]) -> float:
    """`Retry-After` in seconds, an hour at most; 0 if it is absent, in the past or malformed."""
    value = headers.get("retry-after", "")
    seconds = float(value) if value.isascii() and value.isdigit() else _seconds_until(value, headers)
    return min(max(seconds, 0.0), _MAX_RETRY_AFTER)


def _seconds_until(date: str, headers: Mapping[str, str]) -> float:
    """Seconds from the server's own `Date` to this date, so that the server's clock may be wrong."""
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
    """The secrets of a request that a server may repeat in its error: a token or credentials."""
    yield request.headers.get("Authorization", "").removeprefix("Bearer ")
    if request.url.path.endswith("/login"):
        yield from json.loads(request.content).values()


def _quoted(message: object, secrets: Iterator[str]) -> str:
    """` (…)` from a message string or from an array of validation issues; empty if there is none."""
    if isinstance(message, list):
        issues = [item for item in message if isinstance(item, dict)]
        message = "; ".join(str(issue.get("message", "")) for issue in issues)
    text = str(message or "")
    for secret in secrets:
        if len(secret) >= _MIN_SECRET_LENGTH:
            text = text.replace(secret, "…")
    text = single_line(text).strip().rstrip(".")
    return f" ({text[:_MAX_QUOTE_LENGTH]})" if text else ""
