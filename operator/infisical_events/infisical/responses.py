"""A complete response of an untrusted server, and short quotes of it for people.

`http_client` reads it. A quote is foreign text: truncated, without control characters and without the secrets
of the request, in whatever form a server may repeat them.
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

_PIECE_LENGTH = 8
"""Characters of a secret that do not stand in a text by accident."""

_RUN = re.compile(r"\w+")

_ORDINARY = re.compile(
    r"[aAI]|[A-Z]{2,5}|[A-Z]?[a-z]{2,15}(?:[A-Z][a-z]{2,15}){0,3}|v\d{1,2}|\d{1,5}", re.ASCII
)
"""Words as in `secretPath`, `HTTP` and `v4`, and short numbers; no other letters, and not both mixed."""

_NUMBER = re.compile(r"\b\d{1,5}\b")
_MAX_NUMBERS = 4
"""Numbers in a text; more may be the codes of characters."""

_REPEATED = re.compile(r"…(?:[^\w\s]*…)+")

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
    """Foreign text in brackets, at most `limit` characters, without credentials; empty if there is none."""
    text = ordinary(single_line(text), request).strip().rstrip(".")
    return f" ({text[:limit]})" if text else ""


def ordinary(text: str, request: httpx.Request) -> str:
    """Foreign text with an ellipsis for whatever may be a credential, in any form.

    A server may repeat what was sent to it cut, encoded, reversed or spaced out, also in the error of another
    request. So only ordinary words stay, and a few short numbers.
    """
    shown = set(_pieces_of(_folded(text)))
    for secret in map(_folded, _sent_secrets(request)):
        if not shown.isdisjoint(_pieces_of(secret)) or not shown.isdisjoint(_pieces_of(secret[::-1])):
            return "…"
    text = _REPEATED.sub("…", _RUN.sub(lambda run: run[0] if _ORDINARY.fullmatch(run[0]) else "…", text))
    return text if len(_NUMBER.findall(text)) <= _MAX_NUMBERS else _NUMBER.sub("…", text)


def _folded(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())


def _pieces_of(letters: str) -> Iterator[str]:
    """All pieces that are long enough to be no accident where a secret and a text have one in common."""
    return (letters[start : start + _PIECE_LENGTH] for start in range(len(letters) - _PIECE_LENGTH + 1))


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
