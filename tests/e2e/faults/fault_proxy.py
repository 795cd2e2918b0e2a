"""A TCP proxy on loopback that injects faults of a network.

It is used before the local Infisical and before the API server, without ending their TLS. Proxies run in
the event loop of their own thread; their methods may be called from any thread.
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
class Treatment:
    """How the proxy treats connections; the default passes everything on without delay.

    `delay` is in seconds before each piece, `rate` in bytes per second and direction. With `holds` the proxy
    keeps all bytes until another treatment is set. `down` (to the client) and `up` limit the bytes of each
    connection from the start of this treatment; the connection then ends by FIN, or by RST with `resets`.
    With `rejects` it resets new connections on arrival, like a load balancer without a backend.
    """

    delay: float = 0.0
    rate: int | None = None
    holds: bool = False
    down: int | None = None
    up: int | None = None
    resets: bool = False
    rejects: bool = False


PLAIN = Treatment()


class LoopThread:
    """An event loop in a thread, until the block ends."""

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
        await asyncio.sleep(_PAUSE)  # transports close in the next iterations of the loop


class FaultProxy:
    """A port on loopback that forwards to another port on loopback.

    `spotted` has the moments (monotonic) at which `spotting` passed on its way up. `affected` counts the
    connections that were ended, frozen or treated otherwise than by the default.
    """

    def __init__(self, loop: LoopThread, upstream: int, spotting: bytes | None = None) -> None:
        self.treatment = PLAIN
        self.spotted: list[float] = []
        self.affected = 0
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

    def treat(self, treatment: Treatment = PLAIN) -> None:
        """Set the treatment of all connections."""
        self.treatment = treatment

    def cut(self) -> int:
        """End all connections by FIN; return their number."""
        return self._loop.call(lambda: self._end_all(resets=False))

    def reset(self) -> int:
        """End all connections by RST; return their number."""
        return self._loop.call(lambda: self._end_all(resets=True))

    def freeze(self) -> int:
        """Stop passing bytes on the open connections without closing them; return their number."""

        def act() -> int:
            for link in self._links:
                link.is_frozen = True
            self.affected += len(self._links)
            return len(self._links)

        return self._loop.call(act)

    def refuse(self) -> None:
        """Reset all connections and refuse new ones; keep the port."""

        def act() -> None:
            if self._server is not None:
                self._server.close()
                self._server = None
                self._socket = _bound(self.port)
            self._end_all(resets=True)

        self._loop.call(act)

    def accept(self) -> None:
        """Accept connections."""

        async def act() -> None:
            if self._server is None:
                self._server = await asyncio.start_server(self._connected, sock=self._socket)

        self._loop.run(act())

    def spot(self, data: bytes) -> None:
        """Record each occurrence of `spotting` in bytes to the server."""
        if self._spotting:
            self.spotted.extend(time.monotonic() for _ in self._spotting.finditer(data))

    def _end_all(self, *, resets: bool) -> int:
        links = tuple(self._links)
        for link in links:
            link.end(resets=resets)
        self.affected += len(links)
        return len(links)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(self, writer)
        if self.treatment.rejects:
            self.affected += 1
            link.end(resets=True)
            return
        self._links.add(link)
        try:
            await link.run(reader, self._upstream)
        except (OSError, asyncio.CancelledError):
            link.end(resets=True)  # for example the server refuses connections
        finally:
            self._links.discard(link)
            link.end(resets=False)


@dataclass(slots=True, eq=False)
class _Link:
    """A connection from a client and the connection to the server that belongs to it."""

    proxy: FaultProxy
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    is_frozen: bool = False
    treatment: Treatment = PLAIN
    passed_on: dict[str, int] = field(default_factory=lambda: {"up": 0, "down": 0})

    async def run(self, from_client: asyncio.StreamReader, port: int) -> None:
        """Pass bytes on until one side ends."""
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
                data = await self._pass_on(writer, data, direction)

    async def _pass_on(self, writer: asyncio.StreamWriter, data: bytes, direction: str) -> bytes:
        """Write as much as the treatment allows; return the rest."""
        await self._held()
        treatment = self._current_treatment()
        await asyncio.sleep(treatment.delay)
        piece = data[: max(1, treatment.rate // _SLICES_PER_SECOND)] if treatment.rate else data
        limit = treatment.up if direction == "up" else treatment.down
        left = None if limit is None else max(0, limit - self.passed_on[direction])
        writer.write(piece[:left])
        await writer.drain()
        self.passed_on[direction] += len(piece)
        if left is not None and len(piece) >= left:
            self.end(resets=treatment.resets)
            return b""
        if treatment.rate:
            await asyncio.sleep(len(piece) / treatment.rate)
        return data[len(piece) :]

    async def _held(self) -> None:
        if self.proxy.treatment.holds:
            self.proxy.affected += 1
        while self.is_frozen or self.proxy.treatment.holds:  # noqa: ASYNC110 - looked at from outside
            await asyncio.sleep(_PAUSE)

    def _current_treatment(self) -> Treatment:
        if self.treatment is not self.proxy.treatment:
            self.treatment = self.proxy.treatment
            self.passed_on = {"up": 0, "down": 0}
            self.proxy.affected += self.treatment != PLAIN
        return self.treatment


def _bound(port: int) -> socket.socket:
    """Return a socket that has the port and does not listen, so that connections are refused."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", port))
    return made
