"""Classification of responses that are no success: Infisical's own errors, and those of something in between.

Infisical writes an error as `{statusCode, message, error}` (the Node server with `reqId`), and `error` is a
name of its own. A proxy, a mesh, a firewall or a login page writes anything else. Such a response says
nothing about permissions, tokens or folders, whatever its status is. `http_client` raises these errors.

Error bodies are foreign text. Only their `error` and `message` are quoted, or what `described` has of them.
"""

import http.client
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from infisical_events.core.status.reasons import Reason
from infisical_events.core.status.text import single_line
from infisical_events.infisical.infisical_errors import (
    FolderMissingError,
    InfisicalError,
    NoProjectAccessError,
    TokenRejectedError,
    UnknownRouteError,
)
from infisical_events.infisical.responses import Response, described, ordinary, quoted

_MAX_QUOTE_LENGTH = 240
"""Characters of a foreign message that are quoted."""

_MAX_HOST_LENGTH = 80
"""Characters of a host that a redirect leads to."""

_MAX_RETRY_AFTER = 3600.0
"""Seconds; the longest wait that a server can demand."""

_UNKNOWN_RETRY_AFTER = 60.0
"""Seconds to wait if Retry-After is a date and the response has no Date."""

_UNKNOWN_ROUTE = re.compile(r"Route [A-Z]+:")
"""The begin of the message of Infisical's web framework for a route that it does not have."""

_MISSING_PLACE = re.compile(r"(folder|environment)\b", re.IGNORECASE)
"""The begin of a message of a 404 whose name does not tell a missing folder from a missing project."""


def error_for(response: Response) -> InfisicalError:
    """Translate a response that is no success.

    Expired and malformed tokens are 403 `TokenError`, revoked and used-up ones 401 (of the Go server, all are
    401); a missing permission is a 403 with another name. The `message` of a 422 is an array of issues.
    """
    body = error_body(response)
    if httpx.codes.is_redirect(response.status_code):
        return _redirect_error(response)
    if response.status_code == httpx.codes.TOO_MANY_REQUESTS or httpx.codes.is_server_error(
        response.status_code
    ):
        return _overload_error(response, _quote(response, body))
    if not is_own_error(response.status_code, body):
        return _foreign_error(response, body)
    return _own_error(response, body, _quote(response, body))


def error_body(response: Response) -> Mapping[str, Any]:
    """The JSON object of an error response; empty if it has none."""
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def is_own_error(status: int, body: Mapping[str, Any]) -> bool:
    """Whether the application wrote this error, by its shape.

    The name of a web framework's or a gateway's error is the phrase of its status, such as `Not Found`.
    """
    name = body.get("error")
    return (
        body.get("statusCode") == status
        and isinstance(body.get("message"), str | list)
        and isinstance(name, str)
        and name.casefold() not in {"", http.client.responses.get(status, "").casefold()}
    )


def _overload_error(response: Response, quote: str) -> InfisicalError:
    """A 429 or 5xx means the same from a server and from a proxy."""
    status, wait = response.status_code, retry_after(response.headers)
    if status == httpx.codes.TOO_MANY_REQUESTS:
        sentence = (
            f"The server's rate limit is exceeded{quote}: merge subscriptions or raise resyncIntervalSeconds."
        )
        return InfisicalError(Reason.RATE_LIMITED, sentence, wait, quote)
    sentence = f"The server failed with HTTP {status}{quote}: check the server's log."
    return InfisicalError(Reason.SERVER_ERROR, sentence, wait, quote)


def _own_error(response: Response, body: Mapping[str, Any], quote: str) -> InfisicalError:
    """The error for one that Infisical itself wrote."""
    status, name = response.status_code, body["error"]
    if status == httpx.codes.UNAUTHORIZED or name == "TokenError":
        sentence = f"Infisical rejected the access token{quote}: check whether it is expired or revoked."
        return TokenRejectedError(Reason.TOKEN_REJECTED, sentence, quote=quote)
    if status == httpx.codes.FORBIDDEN:
        kind = InfisicalError if name == "PermissionDenied" else NoProjectAccessError
        sentence = (
            f"The machine identity lacks a permission{quote}: grant it in the project's access control."
        )
        return kind(Reason.PERMISSION_DENIED, sentence, quote=quote)
    if status == httpx.codes.NOT_FOUND:
        return _missing_error(name, str(body["message"]), quote)
    sentence = f"The server rejected the request with HTTP {status}{quote}: check the spec."
    return InfisicalError(Reason.REQUEST_REJECTED, sentence, retry_after(response.headers), quote)


def _missing_error(name: str, message: str, quote: str) -> InfisicalError:
    """Node names a missing folder in `error`; Go says `NotFound` of everything and has it in the message."""
    if name == "SecretPathNotFound" or _MISSING_PLACE.match(message):
        sentence = f"The environment or folder does not exist{quote}: check the spec."
        return FolderMissingError(Reason.FOLDER_NOT_FOUND, sentence, quote=quote)
    sentence = f"The project does not exist{quote}: check the project and spec.address."
    return InfisicalError(Reason.PROJECT_NOT_FOUND, sentence, quote=quote)


def _redirect_error(response: Response) -> InfisicalError:
    """A redirect is not followed: it would carry the token elsewhere. Only its origin is quoted."""
    target = httpx.URL()
    with suppress(httpx.InvalidURL, ValueError):
        target = response.request.url.join(response.headers.get("location", ""))
    host = ordinary(single_line(target.host)[:_MAX_HOST_LENGTH], response.request)
    place = f" to {target.scheme}://{host}" if host else ""
    sentence = (
        f"The server redirects{place} (HTTP {response.status_code}): set spec.address to the final address, "
        "and check whether a proxy in between demands a login."
    )
    return InfisicalError(Reason.UNEXPECTED_RESPONSE, sentence)


def _foreign_error(response: Response, body: Mapping[str, Any]) -> InfisicalError:
    """The error for a response that Infisical did not write; a 404 may be an older or a newer server's."""
    quote = _quote(response, body)
    if response.status_code == httpx.codes.NOT_FOUND:
        sentence = (
            f"The server does not have this endpoint{quote}: check that spec.address is an Infisical server."
        )
        is_infisical = _UNKNOWN_ROUTE.match(str(body.get("message", ""))) is not None
        return UnknownRouteError(sentence, is_infisical=is_infisical)
    sentence = (
        f"HTTP {response.status_code} is not from Infisical{quote}: check spec.address, and the proxies, "
        "meshes and firewalls in between."
    )
    return InfisicalError(Reason.UNEXPECTED_RESPONSE, sentence, retry_after(response.headers))


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


def _quote(response: Response, body: Mapping[str, Any]) -> str:
    """` (PermissionDenied: You are not allowed to …)`, or a description of a body that is no error."""
    text = ": ".join(part for part in (_text(body.get("error")), _text(body.get("message"))) if part)
    return quoted(text, response.request, _MAX_QUOTE_LENGTH) if text else described(response)


def _text(message: object) -> str:
    """A message string, or the messages of an array of validation issues; empty if there is none."""
    if isinstance(message, list):
        issues = [item for item in message if isinstance(item, dict)]
        return "; ".join(str(issue.get("message", "")) for issue in issues)
    return str(message or "")
