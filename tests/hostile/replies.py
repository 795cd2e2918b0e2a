"""Replies of a hostile server, from an honest one to floods without an end."""

import asyncio
import gzip
import itertools
import json
import zlib
from collections.abc import Callable, Mapping

from hostile.hostile_server import Exchange, Reply, Server

JSON_TYPE = {"Content-Type": "application/json"}
SSE_TYPE = {"Content-Type": "text/event-stream"}
_KEY = {"environment": "prod", "secretPath": "/payments", "secretKey": "KEY"}


def different_names(letters: str, length: int, number: int) -> list[str]:
    """So many different names of this length."""
    return ["".join(each) for each in itertools.islice(itertools.product(letters, repeat=length), number)]


# -- bytes ----------------------------------------------------------------------------------------


def head(status: int = 200, headers: Mapping[str, str] | None = None) -> bytes:
    """A status line and headers; their characters are bytes (latin-1)."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    return b"HTTP/1.1 %d Hostile\r\n" % status + lines.encode("latin-1") + b"\r\n"


def whole(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> bytes:
    """A complete response."""
    usual = {**JSON_TYPE, "Content-Length": str(len(body))}
    return head(status, usual | dict(headers or {})) + body


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def frame(event: object, name: str = "secret:update") -> bytes:
    """An SSE event with a JSON payload."""
    return f"event: {name}\ndata: {json.dumps(event)}\n\n".encode()


def update(*items: Mapping[str, object], kind: str = "secret:update") -> dict[str, object]:
    """The envelope of an event, by default of one key of /payments."""
    return {"projectType": "secret-manager", "data": {"eventType": kind, "payload": list(items or [_KEY])}}


def secret(key: str = "KEY", path: str = "/payments", **other: object) -> dict[str, object]:
    """A secret as in a list."""
    return {"id": f"id-{key}", "secretKey": key, "version": 1, "secretPath": path, "type": "shared"} | other


def listed(*secrets: Mapping[str, object]) -> bytes:
    """The body of a list."""
    return json.dumps({"secrets": list(secrets), "imports": []}).encode()


# -- replies --------------------------------------------------------------------------------------


def sends(data: bytes) -> Reply:
    """The same bytes for each request."""

    async def reply(exchange: Exchange) -> None:
        await exchange.send(data)

    return reply


def answers(
    body: bytes | Callable[[Exchange], bytes],
    status: int = 200,
    headers: Mapping[str, str] | Callable[[Exchange], Mapping[str, str]] | None = None,
) -> Reply:
    """A complete response; the body, and the headers, may depend on the request."""

    async def reply(exchange: Exchange) -> None:
        content = body(exchange) if callable(body) else body
        own = headers(exchange) if callable(headers) else headers
        await exchange.send(whole(content, status, own))

    return reply


def payload(status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """A complete response with the payload that the server has built."""
    return answers(lambda exchange: exchange.target.payload, status, headers)


def then_resets(data: bytes) -> Reply:
    """These bytes, and RST."""

    async def reply(exchange: Exchange) -> None:
        if data:
            await exchange.send(data)
        await exchange.leave(resets=True)

    return reply


def then_closes(data: bytes) -> Reply:
    """These bytes, and FIN."""

    async def reply(exchange: Exchange) -> None:
        await exchange.send(data)
        await exchange.leave()

    return reply


def then_repeats(start: bytes, piece: bytes, pause: float = 0.0) -> Reply:
    """These bytes, and then a piece again and again, without an end."""

    async def reply(exchange: Exchange) -> None:
        await exchange.send(start)
        while True:
            await exchange.send(piece)
            await asyncio.sleep(pause)

    return reply


async def silence(_: Exchange) -> None:
    """Nothing, for ever."""
    await asyncio.Event().wait()


async def logs_in(exchange: Exchange) -> None:
    """An honest login, whose token is a canary."""
    body = json.dumps({"accessToken": exchange.target.token, "expiresIn": 7200, "tokenType": "Bearer"})
    await exchange.send(whole(body.encode()))


def streams(*frames: bytes, pause: float = 1.0) -> Reply:
    """A stream that sends each of these in turn, without an end, one per pause."""

    async def reply(exchange: Exchange) -> None:
        await exchange.send(head(200, SSE_TYPE | {"Transfer-Encoding": "chunked"}))
        while True:
            for each in frames:
                await exchange.send(chunk(each))
                await asyncio.sleep(pause)

    return reply


def floods(piece: bytes) -> Reply:
    """A stream that sends a piece without pause; the pieces are chunks of 64 KiB or one piece at least."""
    data = chunk(piece * max(1, 65_536 // max(1, len(piece))))
    return then_repeats(head(200, SSE_TYPE | {"Transfer-Encoding": "chunked"}), data)


def streams_payload(pause: float = 0.0) -> Reply:
    """A stream that sends the payload again and again."""

    async def reply(exchange: Exchange) -> None:
        await exchange.send(head(200, SSE_TYPE | {"Transfer-Encoding": "chunked"}))
        while True:
            await exchange.send(chunk(exchange.target.payload))
            await asyncio.sleep(pause)

    return reply


NUDGES = streams(frame(update()))
"""An event each second: the operator reads the lists again."""
LIST = listed(secret())


def server(**replies: object) -> Server:
    """An honest server, except for these replies."""
    usual: dict[str, object] = {
        "login": logs_in,
        "lists": answers(LIST),
        "stream": NUDGES,
        "other": answers(b'{"folders":[]}'),
    }
    hostile = frozenset(replies) - {"payload"}
    return Server(**(usual | replies), hostile=hostile)  # type: ignore[arg-type]


def compressed_zeros(mebibytes: int, wbits: int = 16 + zlib.MAX_WBITS, letter: bytes = b" ") -> bytes:
    """So much of one letter, compressed by gzip, or by deflate with other `wbits`."""
    compressor, piece = zlib.compressobj(9, zlib.DEFLATED, wbits), letter * (1024 * 1024)
    return b"".join(compressor.compress(piece) for _ in range(mebibytes)) + compressor.flush()


def zipped(body: bytes) -> bytes:
    """Compressed by gzip."""
    return gzip.compress(body, 9)
