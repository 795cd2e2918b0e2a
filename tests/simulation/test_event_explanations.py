"""What `explain event` says of an event is what the operator then does, in random worlds."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import pytest

from infisical_events.api.resources import WORKLOAD_KINDS, Restarting, WorkloadKind
from infisical_events.api.specs import EventType
from infisical_events.core.explanations import event_explanation
from infisical_events.core.explanations.event_explanation import (
    Effect,
    EventExplanation,
    NamespaceView,
    explain_event,
)
from infisical_events.core.explanations.subscription_view import subscription_view_of
from infisical_events.core.ledger.ledger import Ledger
from infisical_events.core.paths.scopes import Scope
from infisical_events.core.restarts.planner import RestartNow, RestartPolicy
from infisical_events.core.snapshots.changes import Change
from infisical_events.core.snapshots.events import SecretEvent
from infisical_events.core.snapshots.selectors import Selection
from infisical_events.core.snapshots.snapshots import Partition, PartitionState
from infisical_events.core.status.reasons import Reason
from infisical_events.core.workloads.workloads import WorkloadList
from support.builders import a_folder, a_partition_state, an_entry
from support.fake_infisical import FakeInfisical
from support.harness import NAMESPACE, SubscriptionHarness
from support.virtual_time import in_virtual_time, virtual_now

WORLDS = 1000
PARTS = 10
FOLDERS = (("prod", "/a"), ("prod", "/a/b"), ("prod", "/c"), ("dev", "/a"))
_FOLDER_IN = {"/a": "/a", "/a/**": "/a/b", "/**": "/c", "/c": "/c"}
"""A folder that each path glob of the worlds selects."""
KINDS = [kind for kind in WORKLOAD_KINDS if kind.is_builtin and kind.restarting is Restarting.BY_TEMPLATE]
LATER = {Reason.WAITING_FOR_ROLLOUTS, Reason.WAITING_FOR_WAVE}
"""Reasons that pass while a world goes on: the rollouts of a world end at once."""


@dataclass(frozen=True)
class World:
    """A spec, the annotations of workloads by name, whether something changed before, and an event."""

    spec: dict[str, Any]
    workloads: dict[str, tuple[WorkloadKind, dict[str, str]]]
    changed_before: bool
    is_suspended: bool
    type: EventType
    place: tuple[str, str]
    key: str
    entries: list[dict[str, Any]] = field(default_factory=list)


def a_world(seed: int) -> World:
    """One world; most of them restart something."""
    pick = random.Random(seed)  # noqa: S311 - a replayable choice, no secret
    entries = [
        an_entry(
            pick.choice(["secret:update"] * 4 + ["secret:create"]),
            pick.choice(["prod"] * 4 + ["dev"]),
            pick.choice(["/a", "/a/**", "/**", "/**", "/c"]),
            *pick.choice([(), (), (), ("KEY",), ("A*",), ("!A*",)]),
        )
        for _ in range(pick.randint(1, 4))
    ]
    spec: dict[str, Any] = {
        "action": pick.choice(["Restart", "Restart", "Resync", "ResyncThenRestart"]),
        "cooldownSeconds": pick.choice([0, 0, 3600]),
        "mode": pick.choice(["Enforce"] * 5 + ["DryRun"]),
        "rollout": pick.choice([{}, {}, {"maxConcurrent": 1}, {"order": "ByWave"}]),
    }
    workloads = {f"w{number}": _a_workload(pick) for number in range(pick.randint(1, 4))}
    chosen = pick.choice(entries)
    conditions, is_selected = chosen["conditions"], pick.random() < 0.7
    place = (conditions["environmentSlug"], _FOLDER_IN[conditions["secretPath"]])
    other = EventType.UPDATE if pick.random() < 0.8 else EventType.CREATE
    return World(
        spec=spec,
        workloads=workloads,
        changed_before=pick.random() < 0.5,
        is_suspended=pick.random() < 0.05,
        type=EventType(chosen["event"]) if is_selected else other,
        place=place if is_selected and place in FOLDERS else pick.choice(FOLDERS),
        key=pick.choice(["KEY", "KEY", "ABC"]),
        entries=entries,
    )


def _a_workload(pick: random.Random) -> tuple[WorkloadKind, dict[str, str]]:
    choices = {
        "auto-reload": ["true"] * 15 + ["yes", "false", "flase"],
        "subscription": [None] * 15 + ["app", "other"],
        "paused": [None] * 15 + ["true", "false"],
        "action": [None] * 10 + ["Restart", "Resync", "Rstart"],
        "secret-keys": [None] * 15 + ["KEY", "A*"],
        "secret-path": [None] * 15 + ["/a", "/a/**", "/c"],
        "environment": [None] * 15 + ["prod", "dev"],
        "events": [None] * 15 + ["secret:update", "secret:create"],
        "wave": [None] * 3 + ["1", "2"],
    }
    chosen = {word: pick.choice(values) for word, values in choices.items()}
    return pick.choice(KINDS), {word.replace("-", "_"): text for word, text in chosen.items() if text}


def _write(infisical: FakeInfisical, world: World, type_: EventType, key: str) -> None:
    """Write a key in the world's folder, and send the event of that type."""
    partition = Partition.own(a_folder(world.place[1], world.place[0]))
    versions = dict(infisical.partitions[partition].versions)
    before = versions.get(key)
    versions |= a_partition_state(**{key: before.version + 1 if before else 1}).versions
    infisical.partitions[partition] = PartitionState.of(versions)
    infisical.send(SecretEvent(type_, partition.folder, frozenset({key})))


def _harness(world: World) -> SubscriptionHarness:
    harness = SubscriptionHarness(events=world.entries, **world.spec)
    created = world.type is EventType.CREATE
    keys = {"OTHER": 1} if created else {"OTHER": 1, world.key: 1}
    harness.infisical.partitions = {
        Partition.own(a_folder(path, environment)): a_partition_state(**keys) for environment, path in FOLDERS
    }
    for name, (kind, words) in world.workloads.items():
        harness.create(name, kind, **words)
    return harness


def _rollouts(harness: SubscriptionHarness, world: World) -> dict[str, int]:
    return {
        name: harness.cluster.rollouts_of(NAMESPACE, name, kind)
        for name, (kind, _) in world.workloads.items()
    }


async def _explained(harness: SubscriptionHarness, world: World) -> EventExplanation:
    stored = await harness.cluster.get(harness.key)
    listed = await harness.cluster.list_workloads(NAMESPACE)
    view = NamespaceView(NAMESPACE, (subscription_view_of(harness.key, stored),), listed.workloads)
    change = Change(Scope(a_folder(world.place[1], world.place[0])), world.key, frozenset({world.type}))
    return explain_event(view, change, virtual_now())


@in_virtual_time
async def disagreements(seed: int, *, is_strict: bool = False) -> list[str]:
    """What happened in a world and was not said, or the other way around.

    With `is_strict`, a restart that was only held up for a while counts, too.
    """
    world = a_world(seed)
    harness = _harness(world)
    async with harness:
        if world.changed_before:  # so that a cooldown may be running
            _write(harness.infisical, world, EventType.UPDATE, "OTHER")
            await asyncio.sleep(10)
        if world.is_suspended:
            await harness.edit(events=world.entries, **world.spec, suspend=True)
        answer = await _explained(harness, world)
        before = _rollouts(harness, world)
        _write(harness.infisical, world, world.type, world.key)
        await asyncio.sleep(1 if is_strict else 30)
        after = _rollouts(harness, world)
    said = {each.name: each for each in answer.workloads}
    found = []
    for name in world.workloads:
        restarts, effect = after[name] - before[name], said.get(name)
        reason = effect.problem.reason if effect and effect.problem else None
        expected = 1 if effect is not None and effect.effect.is_restart else 0
        if restarts != expected and not (reason in LATER and restarts == 1):
            found.append(f"{seed}: {name} restarted {restarts} times, said {effect}")
    return found


@pytest.mark.parametrize("part", range(PARTS))
def test_what_is_said_happens(part: int) -> None:
    """Who is said to be restarted is restarted once, and nobody else is."""
    found = [text for seed in range(part, WORLDS, PARTS) for text in disagreements(seed)]

    assert found == []


@in_virtual_time
async def _effects(seed: int) -> list[Effect]:
    world = a_world(seed)
    harness = _harness(world)
    async with harness:
        return [each.effect for each in (await _explained(harness, world)).workloads]


def test_the_worlds_differ() -> None:
    """Among them are worlds in which something is restarted, synced, held, and left alone."""
    counts = Counter(effect for seed in range(100) for effect in _effects(seed))

    assert counts.keys() == set(Effect)
    assert counts[Effect.RESTART] + counts[Effect.SYNC_THEN_RESTART] > 30


@pytest.mark.parametrize(
    ("rule", "without"),
    [
        ("subscription_problem", lambda *_: None),
        ("admit", lambda *_: {}),
        ("plan", lambda ledger, _, listed, policy, __: _everything_now(ledger, listed, policy)),
        ("select", lambda *_: Selection((), None)),
    ],
)
def test_a_rule_that_is_left_out_is_noticed(rule: str, without: Callable[..., object]) -> None:
    """The comparison can fail: an answer that ignores a rule of the operator disagrees with it."""
    with mock.patch.object(event_explanation, rule, without):
        assert any(disagreements(seed, is_strict=True) for seed in range(200))


def _everything_now(ledger: Ledger, listed: WorkloadList, policy: RestartPolicy) -> tuple[RestartNow, ...]:
    by_uid = {workload.uid: workload for workload in listed.workloads}
    return tuple(RestartNow(by_uid[each.uid], each, policy.action) for each in ledger.pending)
