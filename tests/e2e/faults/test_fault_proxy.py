"""The proxy treats connections as configured, and not otherwise."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from e2e.faults.fault_proxy import PLAIN, FaultProxy, LoopThread, Treatment

WORD = b"0123456789" * 10


@pytest.fixture
def proxies() -> Iterator[LoopThread]:
    """The thread in which proxies run."""
    with LoopThread() as loop:
        yield loop


@asynccontextmanager
async def echo_server() -> AsyncIterator[int]:
    """Run a server that returns each byte; yield its port."""
    transports: list[asyncio.Transport] = []

    class Echo(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = cast("asyncio.Transport", transport)
            transports.append(self.transport)

        def data_received(self, data: bytes) -> None:
            self.transport.write(data)

    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        for transport in transports:
            transport.abort()
        await asyncio.sleep(0)


@asynccontextmanager
async def connected_client(
    loop: LoopThread, spotting: bytes | None = None
) -> AsyncIterator["tuple[FaultProxy, EchoClient]"]:
    """Connect a client to an echo server through a proxy."""
    async with echo_server() as port:
        with FaultProxy(loop, port, spotting) as proxy:
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            client = EchoClient(reader, writer)
            try:
                await client.received(b".")  # both connections are open
                yield proxy, client
            finally:
                writer.transport.abort()


class EchoClient:
    """A connection to the echo server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def received(self, data: bytes = WORD) -> bytes:
        """Send bytes; return their echo, or the part of it before the end."""
        self.writer.write(data)
        try:
            return await self.reader.readexactly(len(data))
        except asyncio.IncompleteReadError as error:
            return error.partial


async def test_bytes_pass_unchanged(proxies: LoopThread) -> None:
    """Without a fault all bytes arrive unchanged, and the proxy records the pattern."""
    async with connected_client(proxies, spotting=b"567") as (proxy, client):
        assert await client.received(b"x" * 300_000) == b"x" * 300_000
        assert await client.received() == WORD
        assert len(proxy.spotted) == 10


async def test_a_cut_is_an_end(proxies: LoopThread) -> None:
    """A FIN ends the stream without an error."""
    async with connected_client(proxies) as (proxy, client):
        assert await client.received() == WORD
        assert proxy.cut() == 1
        assert await client.reader.read() == b""


async def test_a_reset_is_an_error(proxies: LoopThread) -> None:
    """A RST raises ConnectionResetError."""
    async with connected_client(proxies) as (proxy, client):
        assert await client.received() == WORD
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            await client.reader.read()


@pytest.mark.parametrize("treatment", [Treatment(down=33), Treatment(up=33)])
async def test_a_truncated_connection_ends_early(proxies: LoopThread, treatment: Treatment) -> None:
    """In either direction the allowed number of bytes passes, then the connection ends."""
    async with connected_client(proxies) as (proxy, client):
        assert await client.received() == WORD
        proxy.treat(treatment)
        received = await client.received()
        assert received == WORD[: len(received)]
        assert len(received) <= 33


async def test_held_bytes_arrive_later(proxies: LoopThread) -> None:
    """A stalled connection stays open and delivers after the fault."""
    async with connected_client(proxies) as (proxy, client):
        proxy.treat(Treatment(holds=True))
        client.writer.write(WORD)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.reader.read(1), 0.2)
        proxy.treat(PLAIN)
        assert await asyncio.wait_for(client.reader.readexactly(len(WORD)), 10) == WORD


async def test_a_frozen_connection_is_dead_and_a_new_one_works(proxies: LoopThread) -> None:
    """Only the connections that were open at that moment receive no more bytes."""
    async with connected_client(proxies) as (proxy, client):
        assert await client.received() == WORD
        assert proxy.freeze() == 1
        client.writer.write(WORD)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.reader.read(1), 0.2)
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        assert await EchoClient(reader, writer).received() == WORD
        writer.transport.abort()


async def test_a_refused_connection_is_accepted_later(proxies: LoopThread) -> None:
    """The proxy closes the port and opens it again."""
    async with connected_client(proxies) as (proxy, _):
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", proxy.port)
        proxy.accept()
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        assert await EchoClient(reader, writer).received() == WORD
        writer.transport.abort()


async def first_byte(port: int) -> bytes:
    """Connect and return the first byte."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return await reader.readexactly(1)
    finally:
        writer.transport.abort()


async def test_a_rejected_connection_is_reset_on_arrival(proxies: LoopThread) -> None:
    """The connection opens, then ends with RST before any byte."""
    async with connected_client(proxies) as (proxy, _):
        proxy.treat(Treatment(rejects=True))
        with pytest.raises(ConnectionError):
            await first_byte(proxy.port)
        assert proxy.affected == 1


@pytest.mark.parametrize("treatment", [Treatment(rate=200), Treatment(delay=0.2)])
async def test_slow_bytes_arrive_complete(proxies: LoopThread, treatment: Treatment) -> None:
    """All bytes arrive later: 100 bytes at 200 bytes per second, or after two delays of 0.2 s."""
    async with connected_client(proxies) as (proxy, client):
        proxy.treat(treatment)
        now = asyncio.get_running_loop().time
        begun = now()
        assert await client.received() == WORD
        assert now() - begun >= 0.35
