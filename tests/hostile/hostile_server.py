"""An HTTP server that says byte by byte what an attack says: a raw asyncio server, since no framework would.

Each route has a reply: a coroutine that writes what it wants to the connection, for as long as it wants. The
connection serves the next request when the reply returns, unless the reply has closed it.
"""

import asyncio
import json
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

_MAX_HEAD = 4 * 1024 * 1024
_LINGER_ZERO = struct.pack("ii", 1, 0)

LOGIN, LISTS, STREAM, OTHER, GREETING = "login", "lists", "stream", "other", "greeting"


class ConnectionLeftError(Exception):
    """The reply has ended the connection."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a reply may know of the surroundings.

    Attributes:
        token: The access token that a login gives.
        trap: The port that must receive no connection.
        payload: What the server has built before the attack.
    """

    token: str
    trap: int
    payload: bytes = b""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and the connection for its reply.

    `number` counts the requests of a route, from 1. `credentials` are those of the request: the client secret
    of a login, or the token.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    number: int
    target: Target
    writer: asyncio.StreamWriter

    @property
    def credentials(self) -> str:
        """What the request has to keep secret."""
        if self.path.endswith("/login"):
            return str(self.json().get("clientSecret", ""))
        return self.headers.get("authorization", "").removeprefix("Bearer ")

    @property
    def client_id(self) -> str:
        """The client id of a login."""
        return str(self.json().get("clientId", ""))

    def json(self) -> dict[str, Any]:
        """The body as a JSON object."""
        return dict(json.loads(self.body or b"{}"))

    async def send(self, data: bytes) -> None:
        """Send, as fast as the operator takes it in."""
        self.writer.write(data)
        await self.writer.drain()

    async def leave(self, *, resets: bool = False) -> None:
        """End the connection by FIN, or by RST; raises ConnectionLeftError."""
        if resets:
            sock = self.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
            self.writer.transport.abort()
        raise ConnectionLeftError


Reply = Callable[[Exchange], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Server:
    """The replies of a hostile Infisical, by route, and what it says to everyone who connects.

    `payload` builds a large body once, before the attack begins.
    """

    login: Reply
    lists: Reply
    stream: Reply
    other: Reply
    greeting: Reply | None = None
    payload: Callable[[], bytes] = bytes
    hostile: frozenset[str] = frozenset()
    """The routes whose replies are hostile: an attack that none of them was asked in proves nothing."""

    def reply(self, route: str) -> Reply:
        """The reply of a route."""
        return {LOGIN: self.login, LISTS: self.lists, STREAM: self.stream, OTHER: self.other}[route]


@dataclass(slots=True)
class Running:
    """A server that runs, and how many requests it has got by route."""

    port: int
    requests: Counter[str] = field(default_factory=Counter)


@asynccontextmanager
async def serving(server: Server, target: Target, port: int = 0) -> AsyncIterator[Running]:
    """Serve on loopback until the block is left."""
    running = Running(port)
    connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            connections.add(task)
            task.add_done_callback(connections.discard)
        try:
            await _serve(server, target, running, reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionLeftError):
            return
        except asyncio.CancelledError:
            return
        finally:
            writer.close()

    listening = await asyncio.start_server(connected, "127.0.0.1", port, limit=_MAX_HEAD, backlog=4096)
    try:
        running.port = listening.sockets[0].getsockname()[1]
        yield running
    finally:
        listening.close()
        for task in tuple(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _serve(
    server: Server,
    target: Target,
    running: Running,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    if server.greeting is not None:
        running.requests[GREETING] += 1
        await server.greeting(Exchange("", "", {}, b"", 0, target, writer))
    while True:
        exchange = await _read(running.requests, target, reader, writer)
        await server.reply(route_of(exchange.path))(exchange)


async def _read(
    requests: Counter[str], target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Exchange:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    path = path.partition("?")[0]
    requests[route_of(path)] += 1
    return Exchange(method, path, headers, body, requests[route_of(path)], target, writer)


def route_of(path: str) -> str:
    """The route of a path."""
    if path.endswith("/login"):
        return LOGIN
    if path.startswith(("/api/v4/secrets", "/api/v3/secrets")):
        return LISTS
    return STREAM if path.startswith("/api/v1/events/") else OTHER
