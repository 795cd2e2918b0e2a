"""An HTTP/1.1 server on loopback that answers byte by byte what a script says, also what no framework can.

The script is a coroutine function from a request to an answer; it may wait, so a test decides when.
"""

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

_LINGER_ZERO = struct.pack("ii", 1, 0)
_PHRASE = b"Whatever"


class After(Enum):
    """What happens to the connection after the bytes are sent."""

    KEEP = auto()
    """It serves the next request."""
    CLOSE = auto()
    """FIN, whether the answer is complete or not."""
    RESET = auto()
    """RST."""
    SILENCE = auto()
    """Nothing ever comes again, until the client leaves or the server is stopped."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came over the wire; header names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    def json(self) -> Any:  # noqa: ANN401 - JSON
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Answer:
    """Raw bytes, in the pieces in which they are sent, and what comes after them.

    `pause` is the server's own slowness: seconds before each piece.
    """

    pieces: tuple[bytes, ...]
    after: After = After.KEEP
    pause: float = 0.0


Script = Callable[[Request], Awaitable[Answer]]


@dataclass(slots=True)
class ScriptedServer:
    """Where it is, the requests that came so far, and how many connections are open."""

    url: str
    requests: list[Request] = field(default_factory=list)
    connections: int = 0

    def asked(self, path: str) -> list[Request]:
        """The requests for a path, in the order of their coming."""
        return [request for request in self.requests if request.path == path]


def answer(
    status: int = 200,
    body: object = None,
    headers: Mapping[str, str] | None = None,
    after: After = After.KEEP,
) -> Answer:
    """A complete answer; bytes are sent as they are, all else as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    told = {"Content-Type": "application/json", "Content-Length": str(len(content))} | dict(headers or {})
    return Answer((_head(status, told) + content,), after)


def stream(
    chunks: Iterable[bytes], after: After = After.KEEP, content_type: str = "text/event-stream"
) -> Answer:
    """A chunked body, chunk by chunk; only with `After.KEEP` it ends as it should."""
    head = _head(200, {"Content-Type": content_type, "Transfer-Encoding": "chunked"})
    body = [b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks]
    return Answer((head, *body, *((b"0\r\n\r\n",) if after is After.KEEP else ())), after)


def always(given: Answer) -> Script:
    """The same answer to every request."""

    async def script(_: Request) -> Answer:
        return given

    return script


def in_turn(*given: Answer) -> Script:
    """One answer after the other; the last one again and again."""
    left = list(given)

    async def script(_: Request) -> Answer:
        return left.pop(0) if len(left) > 1 else left[0]

    return script


def routed(routes: Mapping[str, Script]) -> Script:
    """A script per path; other paths get the framework's own 404."""

    async def script(request: Request) -> Answer:
        if request.path not in routes:
            message = f"Route {request.method}:{request.target} not found"
            return answer(404, {"message": message, "error": "Not Found", "statusCode": 404})
        return await routes[request.path](request)

    return script


@asynccontextmanager
async def serving(
    script: Script, tls: ssl.SSLContext | None = None, greeting: bytes = b""
) -> AsyncIterator[ScriptedServer]:
    """Serve on a free port until the block is left; connections that still stand are then aborted.

    The greeting is said to everyone who connects, before any request.
    """
    told = ScriptedServer("")
    open_connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            open_connections.add(task)
            task.add_done_callback(open_connections.discard)
        told.connections += 1
        try:
            writer.write(greeting)
            await _serve(script, told.requests, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return
        finally:
            told.connections -= 1
            writer.transport.abort()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    try:
        port = server.sockets[0].getsockname()[1]
        told.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        yield told
    finally:
        server.close()
        tasks = tuple(open_connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def _serve(
    script: Script, requests: list[Request], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    while True:
        request = await _read(reader)
        requests.append(request)
        given = await script(request)
        for piece in given.pieces:
            await asyncio.sleep(given.pause)
            writer.write(piece)
            await writer.drain()
        match given.after:
            case After.CLOSE:
                writer.close()
                await writer.wait_closed()
                return
            case After.RESET:
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
                return
            case After.SILENCE:
                await reader.read()


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, target, headers, body)


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return b"HTTP/1.1 %d %s\r\n" % (status, _PHRASE) + lines.encode("latin-1") + b"\r\n"
