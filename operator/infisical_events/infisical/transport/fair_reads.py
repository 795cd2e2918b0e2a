"""Fairness between connections: a server that sends without pause delays nobody else.

Whatever a server sends costs processor time of the one event loop. So one connection at a time takes in data,
a few KiB per turn, and namespaces take turns in rotation. If the streams of a namespace still send more than
any Infisical would, they are read slowly, and TCP stops their servers.
"""

import asyncio
import select
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, cast

import httpcore
import httpx

TakeTurn = Callable[[], Awaitable[None]]
"""Waits until a connection may take in data."""

_READ_BYTES = 16 * 1024
"""Bytes per turn: the worst of them, such as chunks of one byte, are parsed within 50 ms."""

_BURST = 200_000.0
_PER_SECOND = 10_000.0
"""Units of a namespace at once, and per second after that: 4,400 and 220 small events in chunks of their own.

A unit is the work for one short line, about 5 microseconds. So the servers of a hostile namespace take a
second of the event loop, a millisecond at a time, and then a twentieth of it. A list of 30 MB takes a fifth
of the burst.
"""

_CHUNK_UNITS = 20.0
_EVENT_UNITS = 20.0
_CHARACTERS_PER_UNIT = 512
_UNITS_IN_ONE_PIECE = 200.0
"""After so many units other tasks run: about a millisecond."""


class FairStream(httpcore.AsyncNetworkStream):
    """A network stream that takes in data in turns."""

    def __init__(self, stream: httpcore.AsyncNetworkStream, take_turn: TakeTurn) -> None:
        self._stream = stream
        self._take_turn = take_turn
        self._socket = stream.get_extra_info("socket")

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - of the interface
        """At most `_READ_BYTES` of what has arrived, as soon as it is this connection's turn."""
        data = await self._stream.read(min(max_bytes, _READ_BYTES), timeout)
        await self._take_turn()
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Send all of it."""
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        """The same connection with TLS."""
        secured = await self._stream.start_tls(ssl_context, server_hostname=server_hostname, timeout=timeout)
        return FairStream(secured, self._take_turn)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - of the interface
        """As the stream below.

        The pool asks for `is_readable` of each idle connection at each request, and the layers below look for
        the socket anew each time: that took a tenth of a start.
        """
        if info == "is_readable" and self._socket is not None:
            return _is_readable(self._socket.fileno())
        return self._stream.get_extra_info(info)


def _is_readable(descriptor: int) -> bool:
    """Whether a read would return at once, as it does at the end of the connection and after it."""
    if descriptor < 0:
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


class ReadPace:
    """The pace at which the responses of a namespace are read: a burst is free, the rest waits."""

    def __init__(self, burst: float = _BURST, per_second: float = _PER_SECOND) -> None:
        self._burst, self._per_second = burst, per_second
        self._left, self._at = burst, 0.0
        self._since_pause = 0.0

    async def chunk(self) -> None:
        """Account for a chunk, of any size."""
        await self._spend(_CHUNK_UNITS)

    async def line(self, line: str) -> None:
        """Account for a line."""
        await self._spend(1 + len(line) / _CHARACTERS_PER_UNIT)

    async def event(self) -> None:
        """Account for an event."""
        await self._spend(_EVENT_UNITS)

    async def _spend(self, units: float) -> None:
        now = asyncio.get_running_loop().time()
        self._left = min(self._burst, self._left + (now - self._at) * self._per_second) - units
        self._at = now
        self._since_pause += units
        if self._left < 0:
            self._since_pause = 0.0
            await asyncio.sleep(-self._left / self._per_second)
        elif self._since_pause >= _UNITS_IN_ONE_PIECE:
            self._since_pause = 0.0
            await asyncio.sleep(0)


class PacedTransport(httpx.AsyncBaseTransport):
    """A transport whose responses are read at a pace: each chunk costs the same, and may have one byte."""

    def __init__(self, transport: httpx.AsyncBaseTransport, pace: ReadPace) -> None:
        self._transport = transport
        self._pace = pace

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """As the transport below."""
        response = await self._transport.handle_async_request(request)
        response.stream = _PacedBody(cast("httpx.AsyncByteStream", response.stream), self._pace)
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()


class _PacedBody(httpx.AsyncByteStream):
    def __init__(self, body: httpx.AsyncByteStream, pace: ReadPace) -> None:
        self._body = body
        self._pace = pace

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._body:
            await self._pace.chunk()
            yield chunk

    async def aclose(self) -> None:
        await self._body.aclose()


class LimitedTransport(httpx.AsyncBaseTransport):
    """A transport with so many requests at once: in httpcore's pool, each one that waits costs all others."""

    def __init__(self, transport: httpx.AsyncBaseTransport, most: int) -> None:
        self._transport = transport
        self._permits = asyncio.Semaphore(most)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """As the transport below; the next request begins when the response is closed."""
        async with AsyncExitStack() as permit:
            await permit.enter_async_context(self._permits)
            response = await self._transport.handle_async_request(request)
            body = cast("httpx.AsyncByteStream", response.stream)
            response.stream = _LimitedBody(body, permit.pop_all())
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()


class _LimitedBody(httpx.AsyncByteStream):
    def __init__(self, body: httpx.AsyncByteStream, permit: AsyncExitStack) -> None:
        self._body = body
        self._permit = permit

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._body.__aiter__()

    async def aclose(self) -> None:
        async with self._permit:
            await self._body.aclose()
