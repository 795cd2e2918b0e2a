"""A burst of reasons to reconcile becomes one trigger, and none is lost."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress

from infisical_events.api.specs import EventType
from infisical_events.core.ledger.acceptance import ReceivedEvent
from infisical_events.core.paths.scopes import Folder
from infisical_events.core.restarts.user_requests import UserRequests
from infisical_events.core.snapshots.events import SecretEvent
from infisical_events.runtime.triggers import PendingUserRequests, Trigger, TriggerQueue
from support.virtual_time import EPOCH, in_virtual_time

FAR = 1_000.0


def received(*keys: str) -> ReceivedEvent:
    """An event of these keys."""
    return ReceivedEvent(SecretEvent(EventType.UPDATE, Folder("prod", "/a"), frozenset(keys)), EPOCH)


async def add_at(triggers: TriggerQueue, moments: Iterable[float]) -> None:
    """Add triggers at moments of the loop's clock."""
    loop = asyncio.get_running_loop()
    for moment in moments:
        await asyncio.sleep(moment - loop.time())
        triggers.add()


async def got_at(triggers: TriggerQueue, added: Iterable[float], until: float = FAR) -> float:
    """When a `get` ended during which triggers were added at these moments."""
    async with asyncio.TaskGroup() as group:
        adding = group.create_task(add_at(triggers, added))
        await triggers.get(until)
        ended = asyncio.get_running_loop().time()
        adding.cancel()
    return ended


@in_virtual_time
async def test_events_alone_are_no_full_trigger() -> None:
    """Events name their folders; one reason without an event among them calls for everything."""
    triggers = TriggerQueue(1.0)
    triggers.add(received("A"))
    assert not (await triggers.get(0.0)).is_full
    triggers.add(received("A"))
    triggers.add()
    triggers.add(received("B"))
    assert (await triggers.get(0.0)).is_full
    assert not (await triggers.get(0.0)).is_full


@in_virtual_time
async def test_one_trigger() -> None:
    """A single trigger is delivered after the debounce time."""
    assert await got_at(TriggerQueue(1.0), [5.0]) == 6.0


@in_virtual_time
async def test_burst() -> None:
    """Triggers closer together than the debounce time are one burst, which ends without a new one."""
    assert await got_at(TriggerQueue(1.0), [5.0, 5.9, 6.8]) == 7.8


@in_virtual_time
async def test_endless_burst() -> None:
    """A burst that does not end is cut after ten debounce times."""
    assert await got_at(TriggerQueue(1.0), [5.0 + n / 2 for n in range(100)]) == 15.0


@in_virtual_time
async def test_short_debounce_time() -> None:
    """With a short debounce time a burst may still last two seconds."""
    assert await got_at(TriggerQueue(0.125), [5.0 + n / 16 for n in range(100)]) == 7.0


@in_virtual_time
async def test_no_debounce_time() -> None:
    """Without a debounce time a trigger is delivered at once."""
    assert await got_at(TriggerQueue(0.0), [5.0]) == 5.0


@in_virtual_time
async def test_added_before() -> None:
    """A trigger that was added before the `get` is not lost."""
    triggers = TriggerQueue(1.0)
    triggers.add()
    assert await got_at(triggers, []) == 1.0


@in_virtual_time
async def test_no_trigger() -> None:
    """Without a trigger `get` ends when its time is up, with an empty one."""
    triggers = TriggerQueue(1.0)
    assert await got_at(triggers, [], until=30.0) == 30.0
    assert await triggers.get(31.0) == Trigger()


@in_virtual_time
async def test_time_is_up_already() -> None:
    """A `get` whose time is up ends at once."""
    await asyncio.sleep(10.0)
    assert await got_at(TriggerQueue(1.0), [], until=3.0) == 10.0


@in_virtual_time
async def test_delivered_once() -> None:
    """Events are delivered once, in the order of their receipt."""
    triggers = TriggerQueue(1.0)
    triggers.add(received("A"))
    triggers.add(received("B"))

    assert await triggers.get(FAR) == Trigger((received("A"), received("B")), is_new=True)
    assert await triggers.get(FAR) == Trigger()


@in_virtual_time
async def test_requeued() -> None:
    """Requeued events come before those received since, and are no new trigger by themselves."""
    triggers = TriggerQueue(1.0)
    triggers.requeue((received("A"),))
    assert await triggers.get(3.0) == Trigger((received("A"),))
    assert asyncio.get_running_loop().time() == 3.0

    triggers.requeue((received("A"),))
    triggers.add(received("B"))
    assert await triggers.get(FAR) == Trigger((received("A"), received("B")), is_new=True)


@in_virtual_time
async def test_put_back() -> None:
    """A trigger that was put back wakes no `get`, and is part of the next one."""
    triggers = TriggerQueue(1.0)
    triggers.put_back(Trigger((received("A"),), is_new=True, is_full=True))
    triggers.put_back(Trigger())
    assert await got_at(triggers, [], until=3.0) == 3.0

    triggers.put_back(Trigger((received("A"),), is_new=True, is_full=True))
    triggers.add(received("B"))
    assert await triggers.get(FAR) == Trigger((received("A"), received("B")), is_new=True, is_full=True)


@in_virtual_time
async def test_put_back_trigger_survives_a_time_out() -> None:
    """What was put back is delivered when the time is up, as new as it was."""
    triggers = TriggerQueue(1.0)
    triggers.put_back(Trigger((received("A"),), is_new=True))
    assert await triggers.get(3.0) == Trigger((received("A"),), is_new=True)


@in_virtual_time
async def test_newest_events_are_kept() -> None:
    """Of more events than are kept the newest remain, and everything is read for the others."""
    triggers = TriggerQueue(0.0)
    for number in range(10_005):
        triggers.add(received(str(number)))
    trigger = await triggers.get(0.0)
    assert trigger.is_full
    assert 100 < len(trigger.events) < 1_000
    assert trigger.events == tuple(
        received(str(number)) for number in range(10_005 - len(trigger.events), 10_005)
    )


@in_virtual_time
async def test_few_large_events_are_kept() -> None:
    """However large an event is, the newest one is kept."""
    triggers = TriggerQueue(0.0)
    events = [received(*(f"{name}{number}" for number in range(10_000))) for name in "AB"]
    triggers.add(*events)
    assert (await triggers.get(0.0)).events == (events[1],)


@in_virtual_time
async def test_requeued_events_are_the_oldest() -> None:
    """Events that were put back are before all others, and the first to be dropped."""
    triggers = TriggerQueue(0.0)
    triggers.add(received("C"))
    triggers.requeue((received("A"), received("B")))
    assert [each.event.keys for each in (await triggers.get(0.0)).events] == [{"A"}, {"B"}, {"C"}]


@in_virtual_time
async def test_without_a_state_no_event_is_dropped() -> None:
    """Where no state shows a change, the stream waits until the queue is taken."""
    triggers = TriggerQueue(0.0, lambda: True)
    events = tuple(received(str(number)) for number in range(2_000))
    for event in events:
        triggers.add(event)
    waiting = asyncio.create_task(triggers.wait_for_room())
    await asyncio.sleep(60.0)
    assert not waiting.done()
    assert (await triggers.get(0.0)).events == events
    await waiting


@in_virtual_time
async def test_user_requests() -> None:
    """Each change of the requests is a full trigger; the same requests again are none."""
    triggers, requests = TriggerQueue(0.0), PendingUserRequests()
    forwarding = asyncio.create_task(requests.forward(triggers))
    for value, is_new in (("1", True), ("1", False), ("2", True)):
        requests.put(UserRequests(reconcile_at=value))
        now = asyncio.get_running_loop().time()
        assert await triggers.get(now + 1.0) == Trigger(is_new=is_new, is_full=is_new)
    forwarding.cancel()
    with suppress(asyncio.CancelledError):
        await forwarding
