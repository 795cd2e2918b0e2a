"""One task per object: started once, notified of a new spec, cancelled with its object."""

import asyncio
import gc
import itertools
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from infisical_events.core.egress.address_allowlist import EgressPolicy
from infisical_events.core.ledger.codec import encode
from infisical_events.core.sharding.assignment import shard_of
from infisical_events.core.subscriptions import SubscriptionKey
from infisical_events.kube.kubernetes_errors import (
    ForbiddenError,
    KubernetesError,
    NotFoundError,
    UnauthorizedError,
    UnknownOutcomeError,
)
from infisical_events.runtime.limits.fair_scheduling import SLICE, CooperativeScheduler
from infisical_events.runtime.limits.namespace_slots import NamespaceSlots
from infisical_events.runtime.limits.quarantine import Quarantine
from infisical_events.runtime.sharding.supervisor import WatchBehindError
from support.builders import a_ledger, a_raw_spec
from support.fake_infisical import FakeInfisical
from support.harness import ADDRESS, SupervisorHarness
from support.virtual_time import in_virtual_time


class Operator(SupervisorHarness):
    """A supervisor with an empty project."""

    def __init__(self, shards: int = 1, held: Collection[int] = (0,), **dependencies: Any) -> None:  # noqa: ANN401 - fields of Dependencies
        super().__init__(shards, held, **dependencies)
        self.names = itertools.count(1)

    def create(self, name: str = "app", namespace: str = "team", **fields: object) -> SubscriptionKey:
        """A subscription that the watch has delivered."""
        return self.subscribe(name, a_raw_spec(**fields), namespace)

    def conditions(self, key: SubscriptionKey) -> dict[str, tuple[str, str]]:
        """Status and reason of the stored conditions."""
        conditions = self.cluster.status_of(key)["conditions"]
        return {c["type"]: (c["status"], c["reason"]) for c in conditions}

    def series(self) -> list[str]:
        """The metrics of subscriptions."""
        return [line for line in self.metrics.render().decode().splitlines() if 'subscription="' in line]

    def series_of_conditions(self, name: str = "app") -> set[tuple[str, str]]:
        """Type and status of the conditions of a subscription in the metrics."""
        labels = rf'_condition{{namespace="team",status="(\w+)",subscription="{name}",type="(\w+)"}} 1.0$'
        found = re.findall(labels, self.metrics.render().decode(), re.MULTILINE)
        return {(kind, status) for status, kind in found}


@in_virtual_time
async def test_served() -> None:
    """An object that is seen is served: logged in, observed, listened to, and Ready."""
    operator = Operator()
    key = operator.create()
    await asyncio.sleep(5.0)
    assert operator.conditions(key)["Ready"] == ("True", "Watching")
    await operator.supervisor.close()


@in_virtual_time
async def test_seen_again() -> None:
    """An object that is seen again unchanged, as after each listing, is served once."""
    operator = Operator()
    key = operator.create()
    for _ in range(10):
        operator.supervisor.upsert(key, 1)
        await asyncio.sleep(1.0)
    assert (len(operator.infisical.sessions), operator.infisical.open_streams) == (1, 1)
    await operator.supervisor.close()


@in_virtual_time
async def test_new_spec() -> None:
    """A new spec takes the place of the old one: one session, for the new address."""
    other = "https://eu.infisical.com"
    operator = Operator(egress=EgressPolicy((ADDRESS, other)))
    key = operator.create()
    await asyncio.sleep(5.0)
    operator.cluster.edit_subscription(key, a_raw_spec(address=other))
    operator.supervisor.upsert(key, 2)
    await asyncio.sleep(5.0)
    assert [address for address, _ in operator.infisical.sessions] == [other]
    assert operator.infisical.open_streams == 1
    assert operator.cluster.status_of(key)["observedGeneration"] == 2
    await operator.supervisor.close()


@in_virtual_time
async def test_removed() -> None:
    """With its object go the task, the stream and the session."""
    operator = Operator()
    key = operator.create()
    await asyncio.sleep(5.0)
    operator.supervisor.remove(key.uid)
    await asyncio.sleep(1.0)
    assert (operator.infisical.sessions, operator.infisical.open_streams) == ([], 0)
    await operator.supervisor.close()


@in_virtual_time
async def test_removed_from_the_metrics() -> None:
    """A deleted object has no metrics, not even from the task that ends after it."""
    operator = Operator()
    key = operator.create()
    await asyncio.sleep(5.0)
    assert operator.series()
    operator.supervisor.remove(key.uid)
    await asyncio.sleep(1.0)
    assert operator.series() == []
    await operator.supervisor.close()


@in_virtual_time
async def test_recreated() -> None:
    """A new object of the same name is served and has metrics, in whichever order the watch delivers."""
    operator = Operator()
    old = operator.create()
    await asyncio.sleep(5.0)
    operator.cluster.delete_subscription(old)
    new = operator.create()
    operator.supervisor.remove(old.uid)
    await asyncio.sleep(5.0)
    assert operator.infisical.open_streams == 1
    assert operator.conditions(new)["Ready"] == ("True", "Watching")
    assert operator.series()
    await operator.supervisor.close()


@in_virtual_time
async def test_gone_unseen() -> None:
    """The periodic list detects an object whose deletion the watch did not deliver."""
    operator = Operator()
    key = operator.create()
    kept = operator.create("kept")
    relisting = asyncio.create_task(operator.supervisor.relist_forever())
    await asyncio.sleep(5.0)
    operator.cluster.delete_subscription(key)
    operator.cluster.fail("list_subscriptions", KubernetesError("away"))
    await asyncio.sleep(700.0)
    assert operator.infisical.open_streams == 1
    assert operator.conditions(kept)["Ready"] == ("True", "Watching")
    relisting.cancel()
    await operator.supervisor.close()


@in_virtual_time
async def test_ended_by_mistake(caplog: pytest.LogCaptureFixture) -> None:
    """A task that ended before its object is logged once, not counted, and started again."""
    caplog.set_level("INFO")
    operator = Operator()
    key = operator.create()
    relisting = asyncio.create_task(operator.supervisor.relist_forever())
    await asyncio.sleep(5.0)
    for task in asyncio.all_tasks():
        if task.get_name() == f"subscription {key}":
            task.cancel()
    await asyncio.sleep(5.0)
    assert "infisical_events_subscriptions 0.0" in operator.metrics.render().decode()
    assert [record.message for record in caplog.records].count("subscription task ended") == 1
    await asyncio.sleep(400.0)
    assert operator.conditions(key)["Ready"] == ("True", "Watching")
    assert "infisical_events_subscriptions 1.0" in operator.metrics.render().decode()
    relisting.cancel()
    await operator.supervisor.close()


@pytest.mark.parametrize("error", [ForbiddenError, NotFoundError, UnauthorizedError, UnknownOutcomeError])
@in_virtual_time
async def test_periodic_list_fails(error: type[KubernetesError]) -> None:
    """A failed list is followed by one that succeeds."""
    operator = Operator()
    operator.cluster.fail("list_subscriptions", error("not now"), times=3)
    relisting = asyncio.create_task(operator.supervisor.relist_forever())
    key = operator.create()
    await asyncio.sleep(5.0)
    operator.cluster.delete_subscription(key)
    await asyncio.sleep(200.0)
    assert operator.infisical.open_streams == 1
    await asyncio.sleep(80.0)
    assert operator.infisical.open_streams == 0
    relisting.cancel()
    await operator.supervisor.close()


@in_virtual_time
async def test_spread() -> None:
    """Of many objects that are seen at once, few start at a time, and of one namespace not all of these."""
    operator = Operator()
    operator.infisical.delays["read_snapshot"] = 1.0
    for n in range(500):
        operator.create(f"app-{n}")
    await asyncio.sleep(0.5)
    assert len(operator.infisical.sessions) == 12
    await asyncio.sleep(10.0)
    assert 100 <= len(operator.infisical.sessions) <= 132
    await asyncio.sleep(40.0)
    assert operator.infisical.open_streams == 500
    await operator.supervisor.close()


@in_virtual_time
async def test_spread_while_infisical_is_silent() -> None:
    """Subscriptions whose Infisical does not answer hold the others up for two seconds each at most."""
    operator = Operator()
    operator.infisical.delays["read_snapshot"] = 3_600.0
    for n in range(48):
        operator.create(f"app-{n}")
    await asyncio.sleep(7.0)
    assert len(operator.infisical.sessions) == 48
    await operator.supervisor.close()


@in_virtual_time
async def test_suspects_start_last(tmp_path: Path) -> None:
    """What an earlier process died of starts after all others, one at a time, and an Event names it."""
    file = tmp_path / "quarantine.json"
    last = Quarantine(file)
    for name in ("app-1", "app-2"):
        last.accuse(f"team/{name}")
    operator = Operator(quarantine=Quarantine(file))
    operator.infisical.delays["read_snapshot"] = 5.0
    for n in range(4):
        operator.create(f"app-{n}")
    counts = []
    for seconds in (10.0, 21.0, 5.0):
        await asyncio.sleep(seconds)
        counts.append(len(operator.infisical.sessions))
    assert counts == [2, 3, 4]
    reasons = [(event.about.name, event.reason) for event in operator.cluster.notices]
    assert [name for name, reason in reasons if reason == "Quarantined"] == ["app-1", "app-2"]
    await operator.supervisor.close()


@in_virtual_time
async def test_close() -> None:
    """Closing ends all tasks and waits for them."""
    operator = Operator()
    for n in range(20):
        operator.create(f"app-{n}")
    await asyncio.sleep(5.0)
    assert operator.infisical.open_streams == 20
    await operator.supervisor.close()
    assert operator.infisical.open_streams == 0


@pytest.mark.parametrize(
    ("fields", "condition"),
    [
        ({"events": []}, ("Stalled", "True", "InvalidSpec")),
        ({"address": "https://evil.example"}, ("Stalled", "True", "AddressNotAllowed")),
        ({"suspend": True}, ("Ready", "True", "Suspended")),
    ],
)
@in_virtual_time
async def test_not_served(fields: dict[str, Any], condition: tuple[str, str, str]) -> None:
    """An invalid or suspended spec opens nothing, reports the reason, and is served when it is corrected."""
    operator = Operator()
    key = operator.create(**fields)
    await asyncio.sleep(5.0)
    kind, status, reason = condition
    assert operator.conditions(key)[kind] == (status, reason)
    assert operator.infisical.sessions == []

    operator.cluster.edit_subscription(key, a_raw_spec())
    operator.supervisor.upsert(key, 2)
    await asyncio.sleep(5.0)
    assert operator.conditions(key)["Ready"] == ("True", "Watching")
    assert "Stalled" not in operator.conditions(key)
    await operator.supervisor.close()


@in_virtual_time
async def test_a_defect_is_told() -> None:
    """An unexpected error is reported in the status, once as an Event, and counted, while it lasts."""
    operator = Operator()
    key = operator.create()
    await asyncio.sleep(5.0)
    assert operator.conditions(key)["Ready"] == ("True", "Watching")

    operator.infisical.fail("open_session", RuntimeError("canary: foreign text"))
    operator.cluster.edit_subscription(key, a_raw_spec(debounceSeconds=3))
    operator.supervisor.upsert(key, 2)
    await asyncio.sleep(30.0)
    assert operator.conditions(key)["Ready"] == ("False", "InternalError")
    assert "RuntimeError" in str(operator.cluster.status_of(key))
    assert "canary" not in str(operator.cluster.status_of(key))
    assert [notice.reason for notice in operator.cluster.notices].count("InternalError") == 1
    assert any("reconcile_total" in line and "InternalError" in line for line in operator.series())

    operator.infisical.recover("open_session")
    await asyncio.sleep(70.0)
    assert operator.conditions(key)["Ready"] == ("True", "Watching")
    await operator.supervisor.close()


@in_virtual_time
async def test_a_defect_that_cannot_be_told_is_waited_out() -> None:
    """Where its status cannot be written the subscription is tried again all the same."""
    operator = Operator()
    operator.infisical.fail("open_session", RuntimeError("once"))
    operator.cluster.fail("write_status", ForbiddenError("not now"))
    key = operator.create()
    await asyncio.sleep(0.5)
    operator.infisical.recover("open_session")
    await asyncio.sleep(10.0)
    assert operator.conditions(key)["Ready"] == ("True", "Watching")
    await operator.supervisor.close()


@in_virtual_time
async def test_suspended_is_out_of_the_metrics() -> None:
    """What is suspended while it is served leaves no series behind that an alert could take for trouble."""
    operator = Operator()
    key = operator.create()
    await asyncio.sleep(5.0)
    assert operator.series()

    operator.cluster.edit_subscription(key, a_raw_spec(suspend=True))
    operator.supervisor.upsert(key, 2)
    await asyncio.sleep(60.0)
    assert operator.series_of_conditions() == {("Ready", "True"), ("Suspended", "True")}
    assert len(operator.series()) == 2
    await operator.supervisor.close()


@in_virtual_time
async def test_conditions_of_all_subscriptions_are_in_the_metrics() -> None:
    """What is served, stalled, or beyond the limit of its namespace shows why, and follows its status."""
    operator = Operator(namespace_slots=NamespaceSlots(1))
    key = operator.create()
    await asyncio.sleep(5.0)
    expected = {("Ready", "True"), ("Authenticated", "True"), ("Streaming", "True"), ("Observed", "True")}
    assert expected <= operator.series_of_conditions()

    other = operator.create("other")
    await asyncio.sleep(5.0)
    assert operator.series_of_conditions("other") == {("Ready", "False")}

    operator.cluster.edit_subscription(key, a_raw_spec(events=[]))
    operator.supervisor.upsert(key, 2)
    await asyncio.sleep(60.0)
    assert operator.series_of_conditions() == {("Ready", "False"), ("Stalled", "True")}
    assert not [line for line in operator.series() if '"app"' in line and "_condition" not in line]
    assert ("Ready", "True") in operator.series_of_conditions("other")

    operator.cluster.edit_subscription(key, a_raw_spec(suspend=True))
    operator.supervisor.upsert(key, 3)
    operator.supervisor.remove(other.uid)
    await asyncio.sleep(60.0)
    assert operator.series_of_conditions() == {("Ready", "True"), ("Suspended", "True")}
    assert operator.series_of_conditions("other") == set()
    await operator.supervisor.close()


@in_virtual_time
async def test_stalled_is_told_once() -> None:
    """A spec that stays invalid over a restart of the operator leads to one Kubernetes Event."""
    operator = Operator()
    key = operator.create(events=[])
    await asyncio.sleep(5.0)
    operator.supervisor.remove(key.uid)
    operator.supervisor.upsert(key, 1)
    await asyncio.sleep(5.0)
    assert [notice.reason for notice in operator.cluster.notices] == ["InvalidSpec"]
    await operator.supervisor.close()


@in_virtual_time
async def test_ledger_moved_at_rest(caplog: pytest.LogCaptureFixture) -> None:
    """A foreign write to the ledger of an idle subscription is no defect."""
    operator = Operator()

    async def meddle(method: str) -> None:
        if method == "write_status" and not operator.cluster.status_of(key):
            operator.cluster.overwrite_status(key, {"ledger": encode(a_ledger())})

    operator.cluster.interpose = meddle
    key = operator.create(suspend=True)
    await asyncio.sleep(60.0)
    assert operator.conditions(key)["Ready"] == ("True", "Suspended")
    assert not [record for record in caplog.records if record.exc_info]
    await operator.supervisor.close()


@in_virtual_time
async def test_cluster_away() -> None:
    """While the API server refuses or is away nothing is lost: the object is served when it is back."""
    operator = Operator()
    operator.cluster.fail("get", KubernetesError("away"), times=3)
    operator.cluster.fail("get", ForbiddenError("RBAC"), times=3)
    key = operator.create()
    await asyncio.sleep(300.0)
    assert operator.conditions(key)["Ready"] == ("True", "Watching")
    await operator.supervisor.close()


@in_virtual_time
async def test_defect_of_one() -> None:
    """A defect met while serving one object is met again and again, and disturbs no other."""
    operator = Operator()
    key = operator.create()
    broken = operator.create("broken")

    async def break_one(method: str) -> None:
        task = asyncio.current_task()
        if task is not None and "broken" in task.get_name() and method == "get":
            raise ZeroDivisionError

    operator.cluster.interpose = break_one
    await asyncio.sleep(60.0)
    assert operator.conditions(key)["Ready"] == ("True", "Watching")

    async def at_peace(_: str) -> None:
        """No defect any more."""

    operator.cluster.interpose = at_peace
    await asyncio.sleep(200.0)
    assert operator.conditions(broken)["Ready"] == ("True", "Watching")
    await operator.supervisor.close()


@pytest.mark.timeout(300)
@in_virtual_time
async def test_ten_thousand_next_door() -> None:
    """A namespace with ten thousand subscriptions does not hold up the first one of another by a second."""
    operator = Operator(namespace_slots=NamespaceSlots(1000))
    for number in range(10_000):
        operator.create(f"app-{number}", "hog")
    key = operator.create()
    await asyncio.sleep(1.0)
    assert operator.conditions(key)["Ready"] == ("True", "Watching")
    await operator.supervisor.close()


@in_virtual_time
async def test_more_than_a_namespace_may_have() -> None:
    """A subscription above the limit reports that, opens no stream, and is served when a slot is free."""
    operator = Operator(namespace_slots=NamespaceSlots(2))
    first, _, third = (operator.create(f"app-{number}") for number in range(3))
    other = operator.create("app", "other")
    await asyncio.sleep(5.0)
    assert operator.conditions(third)["Ready"] == ("False", "TooManySubscriptions")
    assert operator.conditions(other)["Ready"] == ("True", "Watching")
    assert operator.infisical.open_streams == 3

    operator.supervisor.remove(first.uid)
    await asyncio.sleep(5.0)
    assert operator.conditions(third)["Ready"] == ("True", "Watching")
    assert operator.infisical.open_streams == 3
    await operator.supervisor.close()


@in_virtual_time
async def test_edited_while_there_is_no_room() -> None:
    """A subscription that waits takes note of a new spec, and one that is suspended gives up its place."""
    operator = Operator(namespace_slots=NamespaceSlots(1))
    first, second = operator.create("a"), operator.create("b")
    await asyncio.sleep(5.0)
    operator.cluster.edit_subscription(second, a_raw_spec(debounceSeconds=-1))
    operator.supervisor.upsert(second, 2)
    await asyncio.sleep(5.0)
    assert operator.conditions(second)["Stalled"] == ("True", "InvalidSpec")

    operator.cluster.edit_subscription(second, a_raw_spec())
    operator.supervisor.upsert(second, 3)
    operator.cluster.edit_subscription(first, a_raw_spec(suspend=True))
    operator.supervisor.upsert(first, 2)
    await asyncio.sleep(5.0)
    assert operator.conditions(second)["Ready"] == ("True", "Watching")
    await operator.supervisor.close()


class Shared(Operator):
    """One of several: nothing is held at first, of two shards."""

    def __init__(self) -> None:
        super().__init__(shards=2, held=())

    def create_in(self, shard: int) -> SubscriptionKey:
        """An object of a shard."""
        while True:
            key = self.create(f"app-{next(self.names)}")
            if shard_of(key.uid, 2) == shard:
                return key

    def is_served(self, key: SubscriptionKey) -> bool:
        """Whether a session was ever opened, and a status written, for it."""
        return "conditions" in self.cluster.status_of(key)


@in_virtual_time
async def test_only_what_is_held() -> None:
    """What belongs to no shard of ours is noted, and served as soon as its shard is."""
    operator = Shared()
    mine, other = operator.create_in(0), operator.create_in(1)
    await asyncio.sleep(5.0)
    assert not operator.infisical.sessions
    operator.supervisor.assign_shard(0)
    await asyncio.sleep(5.0)
    assert (operator.is_served(mine), operator.is_served(other)) == (True, False)
    late = operator.create_in(0)
    await asyncio.sleep(5.0)
    assert operator.is_served(late)
    await operator.supervisor.close()


@in_virtual_time
async def test_a_shard_that_is_dropped() -> None:
    """After a shard is revoked its subscriptions do nothing and have no metrics."""
    operator = Shared()
    operator.create_in(0)
    operator.supervisor.assign_shard(0)
    await asyncio.sleep(5.0)
    operator.supervisor.revoke_shard(0)
    await operator.supervisor.wait_revoked(0)
    assert (operator.infisical.open_streams, operator.infisical.sessions) == (0, [])
    assert operator.series() == []
    operator.supervisor.assign_shard(0)
    await asyncio.sleep(5.0)
    assert operator.infisical.open_streams == 1
    await operator.supervisor.close()


@in_virtual_time
async def test_a_shard_that_comes_back_at_once() -> None:
    """Of one object two tasks never run at a time, also if the first one takes long to end."""
    operator = Shared()
    key = operator.create_in(0)
    operator.supervisor.assign_shard(0)
    await asyncio.sleep(5.0)
    most = []

    async def count(_: str) -> None:
        most.append(len([task for task in asyncio.all_tasks() if task.get_name() == f"subscription {key}"]))
        assert operator.infisical.open_streams <= 1

    operator.cluster.interpose = count
    operator.supervisor.revoke_shard(0)
    operator.supervisor.assign_shard(0)
    await asyncio.sleep(5.0)
    assert set(most) == {1}
    assert operator.infisical.open_streams == 1
    await operator.supervisor.close()


@in_virtual_time
async def test_gone_while_not_held() -> None:
    """An object that is deleted while its shard is elsewhere is not served when the shard comes."""
    operator = Shared()
    key = operator.create_in(0)
    operator.supervisor.remove(key.uid)
    operator.supervisor.assign_shard(0)
    await asyncio.sleep(5.0)
    assert not operator.infisical.sessions
    await operator.supervisor.close()


@in_virtual_time
async def test_a_watch_that_delivers_nothing() -> None:
    """The process ends if the watch never delivers a listed object, but not if it does so late."""
    operator = Operator()
    relisting = asyncio.create_task(operator.supervisor.relist_forever())
    for _ in range(10):  # each time an object is new, and delivered only after the list
        key = operator.cluster.create_subscription("team", f"late-{next(operator.names)}", a_raw_spec())
        await asyncio.sleep(61.0)
        operator.supervisor.upsert(key, 1)
    assert not relisting.done()

    operator.cluster.edit_subscription(key, a_raw_spec(suspend=True))
    with pytest.raises(WatchBehindError, match="180 s"):
        await relisting
    assert "infisical_events_watch_lag_seconds 180.0" in operator.metrics.render().decode()
    await operator.supervisor.close()


@in_virtual_time
async def test_to_and_fro() -> None:
    """A task that still ends is waited for, however often its shard comes and goes meanwhile."""
    operator = Shared()
    operator.create_in(0)
    operator.supervisor.assign_shard(0)
    await asyncio.sleep(5.0)
    ended = asyncio.Event()
    [task] = [task for task in asyncio.all_tasks() if task.get_name().startswith("subscription")]
    task.add_done_callback(lambda _: ended.set())
    for _ in range(3):
        operator.supervisor.revoke_shard(0)
        operator.supervisor.assign_shard(0)
        await asyncio.sleep(0)
    operator.supervisor.revoke_shard(0)
    gc.collect()
    await operator.supervisor.wait_revoked(0)
    assert ended.is_set()
    assert (operator.infisical.sessions, operator.infisical.open_streams) == ([], 0)
    await operator.supervisor.close()


@in_virtual_time
async def test_a_cancellation_that_is_swallowed() -> None:
    """A task that swallows its cancellation is cancelled again, and its object is served again."""
    operator = Shared()
    key = operator.create_in(0)
    swallowed = []

    async def swallow(method: str) -> None:
        if method == "get" and not swallowed:
            try:
                await asyncio.sleep(1e6)
            except asyncio.CancelledError:
                swallowed.append(method)
                await asyncio.sleep(1e6)

    operator.cluster.interpose = swallow
    operator.supervisor.assign_shard(0)
    await asyncio.sleep(5.0)
    operator.supervisor.revoke_shard(0)
    operator.supervisor.assign_shard(0)
    await asyncio.sleep(10.0)
    assert swallowed
    assert operator.conditions(key)["Ready"] == ("True", "Watching")
    await operator.supervisor.close()


@in_virtual_time
async def test_a_spec_that_changes_between_two_slices() -> None:
    """What was found under the old spec and not written down yet is found under the new one, once."""
    ticks = itertools.count()
    scheduler = CooperativeScheduler(lambda: next(ticks) * SLICE)
    operator = Operator(infisical=FakeInfisical(), scheduler=scheduler)
    infisical = operator.infisical
    names = [f"web-{number}" for number in range(50)]
    for name in names:
        operator.cluster.create_workload("team", name, {"events.infisical.com/auto-reload": "true"})
    key = operator.create()
    await asyncio.sleep(10.0)
    infisical.version += 1
    for generation in (2, 3, 4):
        spec = a_raw_spec(debounceSeconds=generation, action="Restart")
        operator.cluster.edit_subscription(key, spec)
        operator.supervisor.upsert(key, generation)
        await asyncio.sleep(1.0)
        assert not any(operator.cluster.rollouts_of("team", name) for name in names)
    await asyncio.sleep(60.0)
    assert {operator.cluster.rollouts_of("team", name) for name in names} == {1}
    await operator.supervisor.close()
