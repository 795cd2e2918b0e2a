"""The proxy does to a connection what it was told, and nothing else."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from e2e.faults.proxying import PLAIN, Loop, Manner, Proxy

WORD = b"0123456789" * 10


@pytest.fixture
def proxies() -> Iterator[Loop]:
    """The thread in which proxies live."""
    with Loop() as loop:
        yield loop


@asynccontextmanager
async def echoing() -> AsyncIterator[int]:
    """A server that says again what it hears; its port."""
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
async def talking(loop: Loop, spotting: bytes | None = None) -> AsyncIterator["tuple[Proxy, Talk]"]:
    """A client of an echo behind a proxy."""
    async with echoing() as port:
        with Proxy(loop, port, spotting) as proxy:
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            talk = Talk(reader, writer)
            try:
                await talk.received(b".")  # both connections stand
                yield proxy, talk
            finally:
                writer.transport.abort()


class Talk:
    """What a test says and hears."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def received(self, data: bytes = WORD) -> bytes:
        """All of the echo, or what came of it before the end."""
        self.writer.write(data)
        try:
            return await self.reader.readexactly(len(data))
        except asyncio.IncompleteReadError as error:
            return error.partial


async def test_everything_passes_unharmed(proxies: Loop) -> None:
    """Without a fault bytes arrive as they were sent, and what is looked for is spotted."""
    async with talking(proxies, spotting=b"567") as (proxy, talk):
        assert await talk.received(b"x" * 300_000) == b"x" * 300_000
        assert await talk.received() == WORD
        assert len(proxy.spotted) == 10


async def test_a_cut_is_an_end(proxies: Loop) -> None:
    """After a FIN there is an end of the stream and no error."""
    async with talking(proxies) as (proxy, talk):
        assert await talk.received() == WORD
        assert proxy.cut() == 1
        assert await talk.reader.read() == b""


async def test_a_reset_is_an_error(proxies: Loop) -> None:
    """A RST is noticed as one."""
    async with talking(proxies) as (proxy, talk):
        assert await talk.received() == WORD
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            await talk.reader.read()


@pytest.mark.parametrize("manner", [Manner(down=33), Manner(up=33)])
async def test_what_is_truncated_ends_in_the_midst(proxies: Loop, manner: Manner) -> None:
    """In either direction as many bytes come through as were granted, then the connection ends."""
    async with talking(proxies) as (proxy, talk):
        assert await talk.received() == WORD
        proxy.treat(manner)
        received = await talk.received()
        assert received == WORD[: len(received)]
        assert len(received) <= 33


async def test_what_is_held_comes_later(proxies: Loop) -> None:
    """A stalled connection stays open and delivers when it may."""
    async with talking(proxies) as (proxy, talk):
        proxy.treat(Manner(holds=True))
        talk.writer.write(WORD)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(talk.reader.read(1), 0.2)
        proxy.treat(PLAIN)
        assert await asyncio.wait_for(talk.reader.readexactly(len(WORD)), 10) == WORD


async def test_a_frozen_connection_is_dead_and_a_new_one_is_not(proxies: Loop) -> None:
    """What stood when the line went dead hears nothing any more."""
    async with talking(proxies) as (proxy, talk):
        assert await talk.received() == WORD
        assert proxy.freeze() == 1
        talk.writer.write(WORD)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(talk.reader.read(1), 0.2)
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        assert await Talk(reader, writer).received() == WORD
        writer.transport.abort()


async def test_a_refused_connection_can_be_had_later(proxies: Loop) -> None:
    """The port is closed and opened again."""
    async with talking(proxies) as (proxy, _):
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", proxy.port)
        proxy.accept()
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        assert await Talk(reader, writer).received() == WORD
        writer.transport.abort()


async def said_first(port: int) -> bytes:
    """The first byte that is said to whoever connects."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return await reader.readexactly(1)
    finally:
        writer.transport.abort()


async def test_a_rejected_connection_is_reset_on_arrival(proxies: Loop) -> None:
    """It can be made and bears nothing."""
    async with talking(proxies) as (proxy, _):
        proxy.treat(Manner(rejects=True))
        with pytest.raises(ConnectionError):
            await said_first(proxy.port)
        assert proxy.struck == 1


@pytest.mark.parametrize("manner", [Manner(rate=200), Manner(delay=0.2)])
async def test_what_is_slow_arrives_all_the_same(proxies: Loop, manner: Manner) -> None:
    """Slow is later, and complete: 100 bytes at 200 a second, or two delays, take their time."""
    async with talking(proxies) as (proxy, talk):
        proxy.treat(manner)
        now = asyncio.get_running_loop().time
        begun = now()
        assert await talk.received() == WORD
        assert now() - begun >= 0.35
