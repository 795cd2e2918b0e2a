"""A burst of reasons to look becomes one pass, and none is lost."""

import asyncio
from collections.abc import Iterable

from infisical_events.api.specs import EventType
from infisical_events.core.ledger.acceptance import ReceivedEvent
from infisical_events.core.paths.folders import Folder
from infisical_events.core.snapshots.events import SecretEvent
from infisical_events.runtime.triggers import TriggerQueue
from support.virtual_time import EPOCH, in_virtual_time

FAR = 1_000.0


def received(key: str) -> ReceivedEvent:
    """An event of one key."""
    return ReceivedEvent(SecretEvent(EventType.UPDATE, Folder("prod", "/a"), frozenset({key})), EPOCH)


async def ring_at(triggers: TriggerQueue, moments: Iterable[float]) -> None:
    """Ring at moments of the loop's clock."""
    loop = asyncio.get_running_loop()
    for moment in moments:
        await asyncio.sleep(moment - loop.time())
        triggers.add()


async def waited(triggers: TriggerQueue, rings: Iterable[float], until: float = FAR) -> float:
    """When a wait ended that saw these rings."""
    async with asyncio.TaskGroup() as group:
        ringing = group.create_task(ring_at(triggers, rings))
        await triggers.wait(until)
        ended = asyncio.get_running_loop().time()
        ringing.cancel()
    return ended


@in_virtual_time
async def test_whether_events_alone_rang() -> None:
    """Events point somewhere; one ring for something else among them does not."""
    triggers = TriggerQueue(1.0)
    triggers.add(received("A"))
    assert not triggers.is_whole
    triggers.add()
    triggers.add(received("B"))
    assert triggers.is_whole
    triggers.take()
    assert not triggers.is_whole


@in_virtual_time
async def test_one_ring() -> None:
    """A single ring ends the wait after the quiet time."""
    assert await waited(TriggerQueue(1.0), [5.0]) == 6.0


@in_virtual_time
async def test_burst() -> None:
    """Rings closer together than the quiet time are one burst, which ends when it has been quiet."""
    assert await waited(TriggerQueue(1.0), [5.0, 5.9, 6.8]) == 7.8


@in_virtual_time
async def test_endless_burst() -> None:
    """A burst that does not end is cut after ten quiet times."""
    assert await waited(TriggerQueue(1.0), [5.0 + n / 2 for n in range(100)]) == 15.0


@in_virtual_time
async def test_short_quiet_time() -> None:
    """With a short quiet time a burst may still last two seconds."""
    assert await waited(TriggerQueue(0.125), [5.0 + n / 16 for n in range(100)]) == 7.0


@in_virtual_time
async def test_no_quiet_time() -> None:
    """Without a quiet time a ring ends the wait at once."""
    assert await waited(TriggerQueue(0.0), [5.0]) == 5.0


@in_virtual_time
async def test_ring_before_the_wait() -> None:
    """A ring that came before the wait is not lost."""
    triggers = TriggerQueue(1.0)
    triggers.add()
    assert await waited(triggers, []) == 1.0


@in_virtual_time
async def test_nothing_rings() -> None:
    """Without a ring the wait ends when its time is over."""
    assert await waited(TriggerQueue(1.0), [], until=30.0) == 30.0


@in_virtual_time
async def test_time_over_already() -> None:
    """A wait whose time is over ends at once."""
    await asyncio.sleep(10.0)
    assert await waited(TriggerQueue(1.0), [], until=3.0) == 10.0


@in_virtual_time
async def test_taken_once() -> None:
    """What was heard is taken once, in the order of hearing, and with it the news that the bell rang."""
    triggers = TriggerQueue(1.0)
    triggers.add(received("A"))
    triggers.add(received("B"))

    assert triggers.is_rung
    assert triggers.take() == (received("A"), received("B"))
    assert not triggers.is_rung
    assert triggers.take() == ()


@in_virtual_time
async def test_kept() -> None:
    """What is put back comes before what was heard since, and is no reason to look by itself."""
    triggers = TriggerQueue(1.0)
    triggers.requeue((received("A"),))
    assert await waited(triggers, [], until=3.0) == 3.0

    assert not triggers.is_rung

    triggers.add(received("B"))
    assert triggers.take() == (received("A"), received("B"))
