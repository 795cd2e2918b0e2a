"""Reading an answer that may be anything: piece by piece, unpacked, and no more than can be true.

`calls` reads whole answers with it and `streaming` a stream's bytes. httpx would unpack whatever it gets
at once, and a packed kilobyte may be a megabyte, or a gigabyte when it is packed twice.
"""

import json
import zlib
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import httpx

from infisical_events.core.status.reasons import Reason
from infisical_events.infisical.infisical_errors import InfisicalError

ACCEPT_ENCODING = "gzip"
"""What is asked for with `Accept-Encoding`, and all that is understood."""

MAX_LIST_BYTES = 64 * 1024 * 1024
"""Bytes, unpacked: a list of 10,000 secrets, their imports included, has 3.3 million."""

MAX_ERROR_BYTES = 64 * 1024
"""Bytes, unpacked, of a login's answer or of a refusal."""

_MAX_VALUES = 3_000_000
"""Values in one answer, as commas and brackets tell: 100,000 secrets. A value takes up to 240 bytes;
64 MiB of nothing but empty objects would be 1.5 GiB.
"""

_CHUNK_BYTES = 64 * 1024
"""Bytes that are unpacked at a time."""


@dataclass(frozen=True, slots=True)
class Response:
    """A complete answer."""

    request: httpx.Request = field(repr=False)
    status_code: int
    headers: httpx.Headers = field(repr=False)
    content: bytes = field(repr=False)


async def read_response(response: httpx.Response, max_bytes: int) -> Response:
    """Read a response to its end; a refusal that is longer than any is known by its status alone.

    Raises:
        InfisicalError: UNEXPECTED_RESPONSE, more than `longest` bytes.
        httpx.HTTPError: the connection broke, or the packing did.
    """
    is_error = response.status_code >= httpx.codes.MULTIPLE_CHOICES
    content = await _collected(response, MAX_ERROR_BYTES if is_error else max_bytes)
    if content is None and not is_error:
        sentence = (
            f"The answer is longer than {max_bytes} bytes: check that spec.address is an Infisical server."
        )
        raise InfisicalError(Reason.UNEXPECTED_RESPONSE, sentence)
    return Response(response.request, response.status_code, response.headers, content or b"")


async def _collected(response: httpx.Response, max_bytes: int) -> bytes | None:
    """All bytes, unpacked; None as soon as there are more of them than `longest`."""
    content = bytearray()
    async with aclosing(decompressed(response)) as chunks:
        async for chunk in chunks:
            content += chunk
            if len(content) > max_bytes:
                return None
    return bytes(content)


async def decompressed(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    """The bytes of a body as they come, in pieces of 64 KiB at most.

    Raises:
        httpx.HTTPError: the connection broke; DecodingError for a packing that is broken or unknown.
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
            raise httpx.DecodingError("broken packing", request=response.request) from None
        if decompressor.eof:  # zlib would keep all that comes behind
            return


def content_encoding_of(response: httpx.Response) -> str:
    """`gzip` or `identity`; raises DecodingError for what is not understood."""
    encoding = response.headers.get("content-encoding", "").strip().lower() or "identity"
    if encoding not in {"identity", ACCEPT_ENCODING}:
        raise httpx.DecodingError("unknown packing", request=response.request)
    return encoding


def _parts(decompressor: "zlib._Decompress", compressed: bytes) -> Iterator[bytes]:
    """What these bytes add, never more than a piece at a time."""
    while part := decompressor.decompress(compressed, _CHUNK_BYTES):
        yield part
        compressed = decompressor.unconsumed_tail


def decoded(response: Response) -> Any:  # noqa: ANN401 - JSON
    """The JSON body; raises InfisicalError when it is none, or one that would fill the memory."""
    if sum(response.content.count(mark) for mark in (b",", b"{", b"[")) > _MAX_VALUES:
        sentence = (
            "The answer holds more values than a list can: check that spec.address is an Infisical server."
        )
        raise InfisicalError(Reason.UNEXPECTED_RESPONSE, sentence)
    try:
        return json.loads(response.content)
    except (ValueError, RecursionError):
        raise InfisicalError(
            Reason.UNEXPECTED_RESPONSE,
            "The answer is not JSON: check that spec.address is an Infisical server.",
        ) from None
