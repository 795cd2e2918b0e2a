"""A TCP proxy on loopback that can do to a connection what networks do to it.

It stands before the local Infisical and before the API server, whose TLS passes through it as bytes.
Proxies live in the event loop of a thread of their own and are told what to do from any thread.
"""

import asyncio
import contextlib
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

Value = TypeVar("Value")

_LINGER_ZERO = struct.pack("ii", 1, 0)
_PIECE = 65_536
_SLICES_PER_SECOND = 10
_PAUSE = 0.02
_CALL_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Manner:
    """How connections are treated while this holds; the usual one hands on everything at once.

    `delay` is seconds before each piece, `rate` bytes per second and direction. A proxy that `holds` keeps
    what it is given until another manner comes. `down` (to the client) and `up` are bytes of each connection,
    counted from the begin of this manner, after which it is ended: by FIN, or by RST if it `resets`. One that
    `rejects` resets new connections on arrival, as a load balancer does with nobody behind it.
    """

    delay: float = 0.0
    rate: int | None = None
    holds: bool = False
    down: int | None = None
    up: int | None = None
    resets: bool = False
    rejects: bool = False


PLAIN = Manner()


class Loop:
    """An event loop in a thread, for as long as the block lasts."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, Value]) -> Value:
        """Run a coroutine in the loop, from another thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_CALL_SECONDS)

    def call(self, action: Callable[[], Value]) -> Value:
        """Run a function in the loop, from another thread."""

        async def work() -> Value:
            return action()

        return self.run(work())

    async def _cancel_all(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(_PAUSE)  # transports close in the turns of the loop that follow


class Proxy:
    """One port of ours before one port of somebody else's, both on loopback.

    `spotted` has the moments (monotonic) at which `spotting` was seen on its way up; `struck` counts the
    connections that were ended, frozen or treated in another manner than the plain one.
    """

    def __init__(self, loop: Loop, upstream: int, spotting: bytes | None = None) -> None:
        self.manner = PLAIN
        self.spotted: list[float] = []
        self.struck = 0
        self._spotting = re.compile(re.escape(spotting)) if spotting else None
        self._loop = loop
        self._upstream = upstream
        self._links: set[_Link] = set()
        self._socket = _bound(0)
        self.port: int = self._socket.getsockname()[1]
        self._server: asyncio.Server | None = None

    def __enter__(self) -> Self:
        self.accept()
        return self

    def __exit__(self, *_: object) -> None:
        self.refuse()
        self._socket.close()

    def treat(self, manner: Manner = PLAIN) -> None:
        """Treat all connections this way from now on."""
        self.manner = manner

    def cut(self) -> int:
        """End all connections by FIN; their number."""
        return self._loop.call(lambda: self._end_all(resets=False))

    def reset(self) -> int:
        """End all connections by RST; their number."""
        return self._loop.call(lambda: self._end_all(resets=True))

    def freeze(self) -> int:
        """Let nothing through any more on the connections of this moment, for ever; their number."""

        def act() -> int:
            for link in self._links:
                link.is_frozen = True
            self.struck += len(self._links)
            return len(self._links)

        return self._loop.call(act)

    def refuse(self) -> None:
        """Reset all connections and refuse new ones; the port stays ours."""

        def act() -> None:
            if self._server is not None:
                self._server.close()
                self._server = None
                self._socket = _bound(self.port)
            self._end_all(resets=True)

        self._loop.call(act)

    def accept(self) -> None:
        """Take connections (again)."""

        async def act() -> None:
            if self._server is None:
                self._server = await asyncio.start_server(self._connected, sock=self._socket)

        self._loop.run(act())

    def spot(self, data: bytes) -> None:
        """Note what is looked for in bytes on their way up."""
        if self._spotting:
            self.spotted.extend(time.monotonic() for _ in self._spotting.finditer(data))

    def _end_all(self, *, resets: bool) -> int:
        links = tuple(self._links)
        for link in links:
            link.end(resets=resets)
        self.struck += len(links)
        return len(links)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(self, writer)
        if self.manner.rejects:
            self.struck += 1
            link.end(resets=True)
            return
        self._links.add(link)
        try:
            await link.run(reader, self._upstream)
        except (OSError, asyncio.CancelledError):
            link.end(resets=True)  # such as an upstream that refuses
        finally:
            self._links.discard(link)
            link.end(resets=False)


@dataclass(slots=True, eq=False)
class _Link:
    """A connection from a client and the one that was made for it."""

    proxy: Proxy
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    is_frozen: bool = False
    manner: Manner = PLAIN
    handed_on: dict[str, int] = field(default_factory=lambda: {"up": 0, "down": 0})

    async def run(self, from_client: asyncio.StreamReader, port: int) -> None:
        """Hand bytes on until either side has ended."""
        from_server, self.server = await asyncio.open_connection("127.0.0.1", port)
        pumps = [
            asyncio.ensure_future(self._pump(from_client, self.server, "up")),
            asyncio.ensure_future(self._pump(from_server, self.client, "down")),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    def end(self, *, resets: bool) -> None:
        """End both connections."""
        for writer in filter(None, (self.client, self.server)):
            if writer.transport.is_closing():
                continue
            if not resets:
                writer.close()
                continue
            with contextlib.suppress(OSError):
                linger = (socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
                writer.get_extra_info("socket").setsockopt(*linger)
            writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: str) -> None:
        while data := await reader.read(_PIECE):
            if direction == "up":
                self.proxy.spot(data)
            while data:
                data = await self._hand_on(writer, data, direction)

    async def _hand_on(self, writer: asyncio.StreamWriter, data: bytes, direction: str) -> bytes:
        """Write as much as the manner of this moment admits; what is left."""
        await self._held()
        manner = self._present_manner()
        await asyncio.sleep(manner.delay)
        piece = data[: max(1, manner.rate // _SLICES_PER_SECOND)] if manner.rate else data
        limit = manner.up if direction == "up" else manner.down
        left = None if limit is None else max(0, limit - self.handed_on[direction])
        writer.write(piece[:left])
        await writer.drain()
        self.handed_on[direction] += len(piece)
        if left is not None and len(piece) >= left:
            self.end(resets=manner.resets)
            return b""
        if manner.rate:
            await asyncio.sleep(len(piece) / manner.rate)
        return data[len(piece) :]

    async def _held(self) -> None:
        if self.proxy.manner.holds:
            self.proxy.struck += 1
        while self.is_frozen or self.proxy.manner.holds:  # noqa: ASYNC110 - looked at from outside
            await asyncio.sleep(_PAUSE)

    def _present_manner(self) -> Manner:
        if self.manner is not self.proxy.manner:
            self.manner = self.proxy.manner
            self.handed_on = {"up": 0, "down": 0}
            self.proxy.struck += self.manner != PLAIN
        return self.manner


def _bound(port: int) -> socket.socket:
    """A socket that has the port and does not listen: whoever connects is refused."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", port))
    return made
