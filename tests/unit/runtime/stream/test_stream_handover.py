"""A stream is replaced before its end, the new one opened before the old one is closed."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from infisical_events.core.snapshots.events import SecretEvent, UnrecognizedFrame
from infisical_events.core.status.reasons import Reason
from infisical_events.infisical.event_stream import StreamItem
from infisical_events.infisical.infisical_errors import InfisicalError, StreamEndedError
from infisical_events.runtime.stream.stream_handover import (
    REPLACED,
    Replaced,
    StreamOpener,
    open_with_handover,
)
from support.builders import an_event
from support.fake_infisical import FakeInfisical, Stream
from support.virtual_time import in_virtual_time

HOUR = 3600.0
LIFE = 3000.0


TOO_MANY = InfisicalError(Reason.CONNECTION_LIMIT_REACHED, "Too many streams.")
A_MINUTE = UnrecognizedFrame("a minute")
AN_HOUR = Stream(lasts=HOUR, every=(60.0, A_MINUTE))
"""A stream that ends after an hour, and sends something each minute."""


async def received(server: FakeInfisical, seconds: float, life: float = LIFE) -> list[object]:
    """What is heard in that time, through every replacement."""
    found: list[object] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds), open_with_handover(server.stream, lambda: life) as relay:
            async for hearing in relay.items():
                found.append(hearing)  # noqa: PERF401 - what was found has to outlive the timeout
    return found


@in_virtual_time
async def test_no_blind_second_over_a_day() -> None:
    """Over a day some stream is always open, never more than two, and each replacement is told."""
    server = FakeInfisical(streams=[AN_HOUR])
    found = await received(server, 24 * HOUR)
    assert (server.blind_seconds, server.most_open_streams, server.open_streams) == (0.0, 2, 0)
    assert server.opened == 1 + found.count(REPLACED)
    assert 24 * HOUR / LIFE - 1 <= found.count(REPLACED) <= 24 * HOUR / (0.8 * LIFE) + 1


@in_virtual_time
async def test_old_stream_stays_while_no_new_one_can_be_had() -> None:
    """A refused successor is tried again each minute, and nothing that the old stream says is lost."""
    server = FakeInfisical(streams=[AN_HOUR, *[TOO_MANY] * 3, AN_HOUR])
    found = await received(server, LIFE + 300.0)
    assert (found.count(REPLACED), server.blind_seconds, server.opened) == (1, 0.0, 2)
    minutes = [hearing for hearing in found if not isinstance(hearing, Replaced)]
    assert len(minutes) >= (LIFE + 300.0) / 60.0 - 2


@in_virtual_time
async def test_end_of_the_open_stream_is_the_end() -> None:
    """A stream that ends before it is replaced ends the relay, with its reason."""
    server = FakeInfisical(streams=[Stream(lasts=100.0, every=(60.0, A_MINUTE))])
    with pytest.raises(StreamEndedError):
        await received(server, HOUR)
    assert server.open_streams == 0


@in_virtual_time
async def test_first_refusal_is_told() -> None:
    """Without a first stream there is no relay."""
    with pytest.raises(InfisicalError, match="Too many"):
        await received(FakeInfisical(streams=[TOO_MANY]), HOUR)


# -- what two open streams tell -----------------------------------------------------------------------


@pytest.fixture
def _no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.uniform", lambda _low, high: high)


A, B = an_event("secret:update", "/a", "A"), an_event("secret:update", "/a", "B")


@pytest.mark.usefixtures("_no_jitter")
@in_virtual_time
async def test_what_is_still_on_its_way_is_heard() -> None:
    """What the replaced stream says for two more seconds is heard, and then it is closed."""
    server = FakeInfisical(streams=[Stream(at={101.5: A}), Stream()])
    assert await received(server, 110.0, life=100.0) == [A, REPLACED]
    assert (server.opened, server.finished_attempts) == (2, 2)


@pytest.mark.parametrize(
    ("former", "successor", "times"),
    [
        ({100.5: A}, {0.5: A}, 1),
        ({100.5: A}, {0.6: A}, 1),
        ({100.6: A}, {0.5: A}, 1),
        ({100.5: A, 100.7: A}, {0.5: A, 0.7: A}, 2),
        ({100.5: A, 100.7: A}, {0.8: A}, 2),
        ({100.5: A}, {0.5: A, 2.5: A}, 2),
        ({99.9: A}, {0.5: A}, 2),
        ({}, {0.5: A, 0.7: A}, 2),
    ],
)
@pytest.mark.usefixtures("_no_jitter")
@in_virtual_time
async def test_heard_once(
    former: dict[float, StreamItem], successor: dict[float, StreamItem], times: int
) -> None:
    """What both streams tell while both are open is heard as often as one of them told it."""
    found = await received(
        FakeInfisical(streams=[Stream(at=former), Stream(at=successor)]), 110.0, life=100.0
    )
    assert found.count(A) == times


@pytest.mark.usefixtures("_no_jitter")
@in_virtual_time
async def test_different_news_of_both() -> None:
    """What only one of two open streams tells is heard, whichever it is."""
    found = await received(
        FakeInfisical(streams=[Stream(at={100.5: A}), Stream(at={0.5: B})]), 110.0, life=100.0
    )
    assert set(found) == {A, B, REPLACED}


# -- a stalled server ---------------------------------------------------------------------------------


@in_virtual_time
async def test_stalled_successor_delays_nothing() -> None:
    """While a new stream is waited for, all that the old one says is heard at once; leaving ends both."""
    server = FakeInfisical(streams=[Stream(every=(1.0, A)), Stream(opens_after=math.inf)])
    assert len(await received(server, 200.5, life=100.0)) == 200
    assert (len(server.attempts), server.finished_attempts) == (2, 2)


@in_virtual_time
async def test_end_while_a_new_one_is_asked_for() -> None:
    """A stream that ends while its successor is asked for ends the relay, and the successor with it."""
    server, asked = FakeInfisical(streams=[Stream(lasts=100.0, every=(60.0, A_MINUTE))]), list[float]()

    @asynccontextmanager
    async def slow() -> AsyncIterator[AsyncIterator[SecretEvent | UnrecognizedFrame]]:
        asked.append(asyncio.get_running_loop().time())
        if len(asked) > 1:
            await asyncio.sleep(50.0)
        async with server.stream() as received_events:
            yield received_events

    with pytest.raises(StreamEndedError):
        await drained(slow, life=95.0)
    assert (len(asked), server.opened, server.open_streams) == (2, 1, 0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def drained(open_stream: StreamOpener, life: float) -> None:
    """Listen until the end."""
    async with open_with_handover(open_stream, lambda: life) as relay:
        async for _ in relay.items():
            pass
