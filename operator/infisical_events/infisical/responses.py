"""A complete response of an untrusted server, and short quotes of it for people.

`http_client` reads it. A quote is foreign text: truncated, without control characters and without the secrets
of the request.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx

from infisical_events.core.status.text import single_line

_MAX_DESCRIPTION_LENGTH = 120
"""Characters that describe a body that Infisical did not write."""

_MAX_DESCRIBED_BYTES = 64 * 1024
"""Bytes of a body in which a title is searched."""

_MIN_SECRET_LENGTH = 8
"""Characters; hiding shorter texts would make a message unreadable and protect nothing."""

_TITLE = re.compile(r"<title[^>]{0,200}>([^<]{0,200})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Response:
    """A complete response."""

    request: httpx.Request = field(repr=False)
    status_code: int
    headers: httpx.Headers = field(repr=False)
    content: bytes | bytearray = field(repr=False)


def described(response: Response) -> str:
    """` (text/html, "Sign in")`: media type, and title or first line; ` (empty)` without a body."""
    if not response.content:
        return " (empty)"
    media_type = response.headers.get("content-type", "").partition(";")[0].strip() or "no Content-Type"
    text = response.content[:_MAX_DESCRIBED_BYTES].decode(errors="replace")
    quote = _title(text) if "<" in text else _first_line(text)
    return quoted(
        f'{media_type}, "{quote}"' if quote else media_type, response.request, _MAX_DESCRIPTION_LENGTH
    )


def quoted(text: str, request: httpx.Request, limit: int) -> str:
    """Foreign text in brackets, at most `limit` characters; empty if there is none."""
    for secret in _sent_secrets(request):
        if len(secret) >= _MIN_SECRET_LENGTH:
            text = text.replace(secret, "…")
    text = single_line(text).strip().rstrip(".")
    return f" ({text[:limit]})" if text else ""


def _title(page: str) -> str:
    """The title of a page; the rest of it may have tokens of its own."""
    match = _TITLE.search(page)
    return match[1].strip() if match else ""


def _first_line(text: str) -> str:
    """The first line of a plain text; nothing of JSON, whose first line may be all of it."""
    first = text.strip().partition("\n")[0][:_MAX_DESCRIPTION_LENGTH]
    return "" if first.startswith(("{", "[")) or "\0" in first else first


def _sent_secrets(request: httpx.Request) -> Iterator[str]:
    """The secrets of a request that a server may repeat in its error: a token or credentials."""
    yield request.headers.get("Authorization", "").removeprefix("Bearer ")
    if request.url.path.endswith("/login"):
        yield from json.loads(request.content).values()
