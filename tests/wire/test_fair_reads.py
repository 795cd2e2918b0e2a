"""A server that sends without pause delays nobody: turns rotate between namespaces, and floods are slow."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from fuzz.corpus import A, B, hearings_of
from infisical_events.infisical.event_stream import StreamItem
from infisical_events.infisical.infisical_errors import StreamEndedError
from infisical_events.infisical.transport.fair_reads import ReadPace
from infisical_events.runtime.limits.fair_scheduling import FairQueue
from support.virtual_time import in_virtual_time


async def test_a_namespace_with_many_connections_does_not_go_first() -> None:
    """Two hundred connections of one namespace wait; the first one of another is the second in turn."""
    turns, order = FairQueue(0, 0), list[str]()

    async def read(namespace: str) -> None:
        await turns.acquire(namespace)
        order.append(namespace)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(200):
            tasks.create_task(read("hostile"))
        tasks.create_task(read("honest"))

    assert len(order) == 201
    assert order.index("honest") <= 2


async def test_a_cancelled_turn_is_the_next_ones() -> None:
    """A stream that is closed while it waits holds up nobody."""
    turns = FairQueue(0, 0)
    await turns.acquire("a")
    cancelled = asyncio.create_task(turns.acquire("a"))
    after = asyncio.create_task(turns.acquire("a"))
    await asyncio.sleep(0)
    cancelled.cancel()

    async with asyncio.timeout(5):
        await after


async def test_turns_are_one_per_iteration_of_the_loop() -> None:
    """Whatever each of them costs, other tasks run in between."""
    turns, iterations, taken = FairQueue(0, 0), 0, list[int]()

    async def count() -> None:
        nonlocal iterations
        while len(taken) < 50:
            iterations += 1
            await asyncio.sleep(0)

    async def read() -> None:
        await turns.acquire("a")
        taken.append(iterations)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(count())
        for _ in range(50):
            tasks.create_task(read())

    assert len(set(taken)) >= 49


@in_virtual_time
async def test_what_is_beyond_a_burst_waits() -> None:
    """At 10 units a second, 100 lines after a burst of 50 take 5 s."""
    pace, loop = ReadPace(burst=50, per_second=10), asyncio.get_running_loop()
    begun = loop.time()

    for _ in range(50):
        await pace.line("")
    assert loop.time() == begun
    for _ in range(50):
        await pace.line("")

    assert loop.time() - begun == pytest.approx(5, abs=0.2)


@in_virtual_time
async def test_a_pause_gives_back_no_more_than_a_burst() -> None:
    """A quiet night is no credit for a flood."""
    pace, loop = ReadPace(burst=50, per_second=10), asyncio.get_running_loop()
    await asyncio.sleep(36_000)
    begun = loop.time()

    for _ in range(100):
        await pace.line("")

    assert loop.time() - begun == pytest.approx(5, abs=0.2)


async def test_a_flood_is_read_in_small_pieces() -> None:
    """Events, comments and empty lines without a pause: other tasks run after a few of them."""
    flood = (A + B + b": comment\n\n" + b"data:x\n\n" * 20) * 100
    pieces = [0]
    async with hearings_of([flood] * 5) as items:
        reading = asyncio.create_task(_count(items, pieces))
        while not reading.done():
            await asyncio.sleep(0)
            pieces.append(0)

    assert sum(pieces) == 5 * 100 * 22
    assert max(pieces) <= 20


async def _count(items: AsyncIterator[StreamItem], pieces: list[int]) -> None:
    with suppress(StreamEndedError):
        async for _ in items:
            pieces[-1] += 1
