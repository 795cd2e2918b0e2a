"""Reading of untrusted responses: in chunks, decompressed, and bounded in size; and short quotes of them.

`http_client` reads whole responses with it, `event_stream` the bytes of a stream. httpx would decompress any
chunk completely, and a compressed kilobyte may be a megabyte, or a gigabyte if it is compressed twice.

A quote is foreign text: truncated, without control characters and without the secrets of the request.
"""

import json
import re
import zlib
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import httpx

from infisical_events.core.status.reasons import Reason
from infisical_events.core.status.text import counted, single_line
from infisical_events.infisical.infisical_errors import InfisicalError

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

_MAX_DESCRIPTION_LENGTH = 120
"""Characters that describe a body that Infisical did not write."""

_MIN_SECRET_LENGTH = 8
"""Characters; hiding shorter texts would make a message unreadable and protect nothing."""

_TITLE = re.compile(r"<title[^>]{0,200}>([^<]{0,200})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Response:
    """A complete response."""

    request: httpx.Request = field(repr=False)
    status_code: int
    headers: httpx.Headers = field(repr=False)
    content: bytes = field(repr=False)


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


# -- quotes -------------------------------------------------------------------------------------------


def described(response: Response) -> str:
    """` (text/html, "Sign in")`: media type, and title or first line; ` (empty)` without a body."""
    if not response.content:
        return " (empty)"
    media_type = response.headers.get("content-type", "").partition(";")[0].strip() or "no Content-Type"
    text = response.content.decode(errors="replace")
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
