"""Ledger and status go to the API server by compare-and-swap, whatever happens to the answer."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from infisical_events.api.specs import Grade
from infisical_events.api.statuses import ConditionType
from infisical_events.core.ledger.codec import FORMAT, encode
from infisical_events.core.ledger.ledger import Header, Ledger
from infisical_events.core.status.reasons import Reason
from infisical_events.core.subscriptions import StoredSubscription, SubscriptionKey
from infisical_events.kube.kubernetes_errors import KubernetesError, NotFoundError, UnknownOutcomeError
from infisical_events.runtime.status.status_builder import StatusBuilder
from infisical_events.runtime.status.status_flusher import StatusFlusher
from infisical_events.runtime.status.subscription_store import (
    CrdOutdatedError,
    LedgerConflictError,
    SpecChangedError,
    SubscriptionDeletedError,
    SubscriptionStore,
    ledger_of,
)
from infisical_events.runtime.triggers import TriggerQueue
from support.builders import a_pending_restart
from support.fake_cluster import FakeCluster, a_context
from support.virtual_time import EPOCH, in_virtual_time, virtual_now

SPEC: dict[str, Any] = {"projectId": "p"}
LEDGER = Ledger(Header("p", "https://i", Grade.VERSIONS), "epoch", 0, EPOCH, (), {})
NEXT = replace(LEDGER, seq=1)
FOREIGN = replace(LEDGER, seq=7)


class Stored:
    """One subscription in the cluster, read, with a board that has something to say."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.key = self.cluster.create_subscription("team", "app", SPEC)
        self.context = a_context(self.cluster, self.key)
        self.status = StatusBuilder({}, 1, virtual_now)

    async def read(self) -> SubscriptionStore:
        """A record as of now."""
        stored = await self.cluster.get(self.key)
        self.status = StatusBuilder(stored.status, stored.generation, virtual_now)
        self.status.mark_starting("shop")
        return SubscriptionStore(self.context, stored, self.status)

    async def ledger(self) -> Ledger | None:
        """What is stored."""
        return ledger_of(await self.cluster.get(self.key))


async def store(record: SubscriptionStore, ledger: Ledger) -> None:
    """Store a ledger that is made from the one remembered now."""
    await record.write_ledger(ledger, planned_on=record.ledger)


@in_virtual_time
async def test_written() -> None:
    """A write stores the status and the ledger, and the next write needs no read in between."""
    world = Stored()
    record = await world.read()
    await store(record, LEDGER)
    await store(record, NEXT)
    assert await world.ledger() == NEXT == record.ledger
    assert world.cluster.status_of(world.key)["observedGeneration"] == 1


@in_virtual_time
async def test_status_alone() -> None:
    """A write without a ledger leaves the stored ledger as it is."""
    world = Stored()
    record = await world.read()
    await store(record, LEDGER)
    world.status.count_event(is_matched=True)
    await record.write_status()
    assert await world.ledger() == LEDGER
    assert world.cluster.status_of(world.key)["counters"]["eventsReceived"] == 1


@in_virtual_time
async def test_unrelated_edit() -> None:
    """An edit that leaves spec and ledger alone costs a second try and nothing else."""
    world = Stored()
    record = await world.read()
    world.cluster.label_subscription(world.key, "team")
    await store(record, LEDGER)
    assert await world.ledger() == LEDGER


@in_virtual_time
async def test_endless_edits() -> None:
    """In a storm of unrelated edits a write gives up, and the storm's ledger stands."""
    world = Stored()
    record = await world.read()
    edits = iter(range(1_000))

    async def edit(method: str) -> None:
        if method == "write_status":
            world.cluster.label_subscription(world.key, f"edit-{next(edits)}")

    world.cluster.interpose = edit
    with pytest.raises(LedgerConflictError):
        await store(record, LEDGER)
    assert await world.ledger() is None


@in_virtual_time
async def test_foreign_ledger() -> None:
    """A ledger that somebody else wrote is not overwritten, and is what counts from then on."""
    world = Stored()
    record = await world.read()
    world.cluster.overwrite_status(world.key, {"ledger": encode(FOREIGN)})
    with pytest.raises(LedgerConflictError):
        await store(record, NEXT)
    assert await world.ledger() == FOREIGN == record.ledger

    await store(record, replace(FOREIGN, seq=8))
    assert await world.ledger() == replace(FOREIGN, seq=8)


@in_virtual_time
async def test_planned_on_a_ledger_that_was_replaced() -> None:
    """A ledger made from one that a status write has meanwhile found replaced is not stored."""
    world = Stored()
    record = await world.read()
    await store(record, LEDGER)
    planned_on = record.ledger
    world.cluster.overwrite_status(world.key, {"ledger": encode(FOREIGN)})
    with suppress(LedgerConflictError):
        await record.write_status()
    with pytest.raises(LedgerConflictError):
        await record.write_ledger(NEXT, planned_on=planned_on)
    assert await world.ledger() == FOREIGN


@in_virtual_time
async def test_removed_ledger() -> None:
    """A ledger that somebody removed is not written back from memory."""
    world = Stored()
    record = await world.read()
    await store(record, LEDGER)
    world.cluster.overwrite_status(world.key, {"ledger": None})
    with pytest.raises(LedgerConflictError):
        await store(record, NEXT)
    assert record.ledger is None


@in_virtual_time
async def test_superseded() -> None:
    """Nothing is stored for a spec that is not the stored one any more."""
    world = Stored()
    record = await world.read()
    world.cluster.edit_subscription(world.key, SPEC | {"projectId": "q"})
    with pytest.raises(SpecChangedError):
        await store(record, LEDGER)
    assert await world.ledger() is None


Ending = Callable[[FakeCluster, SubscriptionKey], object]


def recreate(cluster: FakeCluster, key: SubscriptionKey) -> None:
    """Another object in the place of the old one."""
    cluster.delete_subscription(key)
    cluster.create_subscription(key.namespace, key.name, SPEC)


@pytest.mark.parametrize(
    ("end", "error"),
    [
        (FakeCluster.begin_deletion, SubscriptionDeletedError),
        (recreate, SubscriptionDeletedError),
        (FakeCluster.delete_subscription, NotFoundError),
    ],
)
@in_virtual_time
async def test_gone(end: Ending, error: type[Exception]) -> None:
    """Nothing is stored in an object that is being deleted or took another's place; a 404 is no proof."""
    world = Stored()
    record = await world.read()
    end(world.cluster, world.key)
    with pytest.raises(error):
        await store(record, LEDGER)


@in_virtual_time
async def test_answer_lost_write_done() -> None:
    """A write whose answer was lost but which happened is found to have happened."""
    world = Stored()
    record = await world.read()
    world.cluster.lose_answer("write_status")
    await store(record, LEDGER)
    assert await world.ledger() == LEDGER == record.ledger


@in_virtual_time
async def test_answer_lost_write_not_done() -> None:
    """A write whose answer was lost and which did not happen is made again."""
    world = Stored()
    record = await world.read()
    world.cluster.fail("write_status", UnknownOutcomeError("no answer"))
    await store(record, LEDGER)
    assert await world.ledger() == LEDGER == record.ledger


@in_virtual_time
async def test_outcome_stays_unknown() -> None:
    """While nobody answers, the write fails and the old ledger is remembered; what happened shows later."""
    world = Stored()
    record = await world.read()
    world.cluster.lose_answer("write_status")

    async def go_silent(method: str) -> None:
        if method == "get":
            raise UnknownOutcomeError("no answer")

    world.cluster.interpose = go_silent
    with pytest.raises(UnknownOutcomeError):
        await store(record, LEDGER)
    assert record.ledger is None

    world.cluster.interpose = answer_again
    with pytest.raises(LedgerConflictError):
        await store(record, NEXT)
    assert record.ledger == LEDGER


async def answer_again(_: str) -> None:
    """The API server is back."""


@in_virtual_time
async def test_refused() -> None:
    """A write that is refused raises, and stored is what was stored before."""
    world = Stored()
    record = await world.read()
    world.cluster.fail("write_status", KubernetesError("admission says no"))
    with pytest.raises(KubernetesError, match="admission says no"):
        await store(record, LEDGER)
    assert record.ledger is None
    assert await world.ledger() is None


@in_virtual_time
async def test_concurrent_writes() -> None:
    """Writes of the same record wait for each other, so none meets the other's as a foreign one."""
    world = Stored()
    record = await world.read()
    await asyncio.gather(record.write_status(), store(record, LEDGER), record.write_status())
    assert await world.ledger() == LEDGER


@pytest.mark.parametrize("raw", [{"format": FORMAT + 1}, "text", {}, {"format": FORMAT, "epoch": "x"}])
@in_virtual_time
async def test_unreadable_ledger(raw: object) -> None:
    """A stored ledger that cannot be read counts as none, which asks for a baseline."""
    world = Stored()
    world.cluster.overwrite_status(world.key, {"ledger": raw})
    assert (await world.read()).ledger is None


class Outdated(FakeCluster):
    """A cluster whose CRD is of before the fourth format: the API server drops what it does not know."""

    async def write_status(
        self, key: SubscriptionKey, resource_version: str, status: dict[str, Any]
    ) -> StoredSubscription:
        """As in `kube.subscriptions`."""
        known = {name: value for name, value in status.get("ledger", {}).items() if name != "data"}
        kept = status | ({"ledger": known} if known else {})
        return await super().write_status(key, resource_version, kept)


@in_virtual_time
async def test_a_ledger_that_is_stored_in_part() -> None:
    """Under an older CRD nothing counts as written down; once that is mended, the same is written."""
    world = Stored()
    world.cluster.__class__ = Outdated
    record = await world.read()
    with pytest.raises(CrdOutdatedError, match="apply the CRD"):
        await store(record, LEDGER)
    await record.write_status()
    with pytest.raises(CrdOutdatedError):
        await record.verify_stored()
    world.cluster.label_subscription(world.key, "team")
    with pytest.raises(CrdOutdatedError):
        await record.write_status()
    assert record.ledger is None

    world.cluster.__class__ = FakeCluster
    await store(record, LEDGER)
    assert await world.ledger() == LEDGER == record.ledger


@in_virtual_time
async def test_fields_of_a_later_version() -> None:
    """What a version after this one has left in the ledger stays there, and disturbs nothing."""
    world = Stored()
    world.cluster.overwrite_status(world.key, {"ledger": {"format": FORMAT + 1, "later": "field"}})
    record = await world.read()
    await store(record, LEDGER)
    assert await world.ledger() == LEDGER


# -- news ---------------------------------------------------------------------------------------------


async def flushed_for(
    world: Stored, record: SubscriptionStore, seconds: float, triggers: TriggerQueue | None = None
) -> None:
    """Run the flusher for a while."""
    started = asyncio.Event()
    started.set()
    flusher = StatusFlusher(world.context, record, world.status, triggers or TriggerQueue(1.0), started)
    with suppress(TimeoutError):
        await asyncio.wait_for(flusher.run(), seconds)


@in_virtual_time
async def test_turn_of_ready_is_written_at_once() -> None:
    """A turn of Ready is stored without delay."""
    world = Stored()
    record = await world.read()
    await flushed_for(world, record, 0.1)
    assert world.cluster.status_of(world.key)["conditions"][0]["status"] == "Unknown"


@in_virtual_time
async def test_other_news_wait_for_their_kind() -> None:
    """News of little weight are stored together after a short while."""
    world = Stored()
    record = await world.read()
    await record.write_status()
    version = (await world.cluster.get(world.key)).resource_version
    for _ in range(5):
        world.status.count_event(is_matched=False)
    await flushed_for(world, record, 1.9)
    assert (await world.cluster.get(world.key)).resource_version == version
    await flushed_for(world, record, 2.1)
    assert world.cluster.status_of(world.key)["counters"]["eventsReceived"] == 5


@in_virtual_time
async def test_news_outlive_a_refused_write() -> None:
    """News that could not be stored are stored when the API server is back."""
    world = Stored()
    record = await world.read()
    world.cluster.fail("write_status", KubernetesError("away"), times=5)
    await flushed_for(world, record, 120.0)
    assert world.cluster.status_of(world.key)["observedGeneration"] == 1


@in_virtual_time
async def test_news_outlive_a_pass_that_could_not_write() -> None:
    """News that a pass tried to store with its ledger, and could not, are stored all the same."""
    world = Stored()
    record = await world.read()
    world.cluster.fail("write_status", KubernetesError("away"))
    with suppress(KubernetesError):
        await store(record, LEDGER)
    await flushed_for(world, record, 10.0)
    assert world.cluster.status_of(world.key)["observedGeneration"] == 1


@in_virtual_time
async def test_news_during_a_write() -> None:
    """What is found while a write is on its way is stored by another one."""
    world = Stored()
    record = await world.read()

    async def find_something(method: str) -> None:
        if method == "write_status" and not world.status.render().counters.events_received:
            world.status.count_event(is_matched=True)

    world.cluster.interpose = find_something
    await flushed_for(world, record, 10.0)
    assert world.cluster.status_of(world.key)["counters"]["eventsReceived"] == 1


@in_virtual_time
async def test_foreign_ledger_is_a_reason_to_look() -> None:
    """When news meet a ledger that somebody else wrote, a look is asked for and the news are stored."""
    world = Stored()
    record = await world.read()
    world.cluster.overwrite_status(world.key, {"ledger": encode(FOREIGN)})
    triggers = TriggerQueue(1.0)
    await flushed_for(world, record, 10.0, triggers)
    assert (await triggers.get(0.0)).is_full
    assert world.cluster.status_of(world.key)["observedGeneration"] == 1
    assert await world.ledger() == FOREIGN


@in_virtual_time
async def test_conditions_reach_the_cluster() -> None:
    """A condition that is found shows in the stored status with its reason."""
    world = Stored()
    record = await world.read()
    world.status.set_condition(ConditionType.OBSERVED, ok=False, reason=Reason.UNREACHABLE, message="Away.")
    await flushed_for(world, record, 10.0)
    reasons = {c["type"]: c["reason"] for c in world.cluster.status_of(world.key)["conditions"]}
    assert reasons["Observed"] == "Unreachable"


@in_virtual_time
async def test_no_status_is_complete_beside_a_pending_restart() -> None:
    """A second replica may have stored pending restarts since this one told that all are complete."""
    stored = Stored()
    record = await stored.read()
    await store(record, LEDGER)
    kind, reason = ConditionType.RESTARTS_COMPLETE, Reason.NO_PENDING_RESTARTS
    stored.status.set_condition(kind, ok=True, reason=reason, message="No pending restarts.")
    await store(record, replace(NEXT, pending=(a_pending_restart(),)))
    await record.write_status()

    conditions = stored.cluster.status_of(stored.key)["conditions"]
    complete = next(each for each in conditions if each["type"] == kind)
    assert (complete["status"], complete["reason"]) == ("False", Reason.PENDING)
