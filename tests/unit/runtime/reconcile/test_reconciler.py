"""One pass after the other: written down before it is done, done once, told once."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from infisical_events.api.specs import parse_spec
from infisical_events.core.ledger.acceptance import ReceivedEvent
from infisical_events.core.restarts.planner import RestartPolicy
from infisical_events.core.snapshots.selectors import selectors_of
from infisical_events.core.status.reasons import Reason
from infisical_events.kube.kubernetes_errors import (
    ConflictError,
    ForbiddenError,
    KubernetesError,
    NotFoundError,
    UnknownOutcomeError,
)
from infisical_events.runtime.limits.restart_budget import RestartBudget
from infisical_events.runtime.metrics import Metrics
from infisical_events.runtime.reconcile.reconcile_report import ReconcileReporter
from infisical_events.runtime.reconcile.reconciler import Reconciler, ReconcileResult
from infisical_events.runtime.reconcile.snapshot_reader import SnapshotReader
from infisical_events.runtime.restarts.gatherer import Gatherer, WorkloadLister
from infisical_events.runtime.restarts.restart_controller import RestartController
from infisical_events.runtime.restarts.restart_report import RestartReporter
from infisical_events.runtime.restarts.rollout_tracker import RolloutTracker
from infisical_events.runtime.restarts.workload_patcher import WorkloadPatcher
from infisical_events.runtime.status.reporter import Reporter
from infisical_events.runtime.status.status_builder import StatusBuilder
from infisical_events.runtime.status.subscription_store import SubscriptionDeletedError, SubscriptionStore
from infisical_events.runtime.sync.sync_coordinator import SyncCoordinator
from infisical_events.runtime.triggers import PendingUserRequests
from support.builders import a_raw_spec
from support.fake_cluster import FakeCluster, a_context, a_digest_key
from support.fake_infisical import FakeInfisical
from support.virtual_time import in_virtual_time, virtual_now

OPTED_IN = {"events.infisical.com/auto-reload": "true"}
ROLLING = 1.0
"""Seconds until a restart that was made is looked at again."""
PAUSED = {"events.infisical.com/paused": "true"}


class Process:
    """The reconciler and the restart controller of one process; every read is reported at once."""

    def __init__(
        self, reconciler: Reconciler, restart_controller: RestartController, status: StatusBuilder
    ) -> None:
        self.status = status
        self._reconciler, self.run_round = reconciler, restart_controller.run_round
        restart_reporter = restart_controller.reporter
        self.reporter, self.metrics, self.record = (
            restart_reporter.reporter,
            restart_reporter.metrics,
            restart_controller.store,
        )

    async def reconcile(self, events: tuple[ReceivedEvent, ...], *, is_full: bool = True) -> ReconcileResult:
        """Read once."""
        result = await self._reconciler.reconcile(events, is_full=is_full)
        await self._reconciler.reconcile_reporter.report(result.report)
        return result


class Team:
    """A namespace with a subscription, an annotated Deployment, and one that did not opt in."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.key = self.cluster.create_subscription("team", "app", a_raw_spec())
        self.cluster.create_workload("team", "web", OPTED_IN)
        self.cluster.create_workload("team", "other", {})
        self.infisical = FakeInfisical()

    async def reconciler(self) -> "Process":
        """What a process that starts now works with."""
        stored = await self.cluster.get(self.key)
        status = StatusBuilder(stored.status, stored.generation, virtual_now)
        spec, metrics = parse_spec(stored.spec), Metrics()
        context = a_context(self.cluster, self.key, metrics=metrics)
        record, reporter = SubscriptionStore(context, stored, status), Reporter(context, status)
        snapshot_reader = SnapshotReader(
            context=context, spec=spec, address="https://i.example", infisical=self.infisical
        )
        sync_coordinator = SyncCoordinator(
            cluster=self.cluster,
            key=self.key,
            timeout=timedelta(seconds=spec.resync.timeout_seconds),
            clock=virtual_now,
            digest_key=a_digest_key,
            reporter=reporter,
        )
        lister = WorkloadLister(cluster=self.cluster, reporter=reporter)
        reconciler = Reconciler(
            context=context,
            lister=lister,
            spec=spec,
            user_requests=PendingUserRequests(),
            sync_coordinator=sync_coordinator,
            selectors=selectors_of(spec),
            snapshot_reader=snapshot_reader,
            store=record,
            reconcile_reporter=ReconcileReporter(context=context, reporter=reporter),
        )
        cluster, clock = self.cluster, virtual_now
        restart_controller = RestartController(
            store=record,
            lister=lister,
            gatherer=Gatherer(cluster=cluster, key=self.key, sync_coordinator=sync_coordinator, clock=clock),
            patcher=WorkloadPatcher(
                cluster=cluster, key=self.key, budget=RestartBudget(), clock=clock, metrics=metrics
            ),
            tracker=RolloutTracker(cluster=cluster, key=self.key, clock=clock),
            reporter=RestartReporter(reporter=reporter, metrics=metrics, clock=clock),
            budget=RestartBudget(),
            clock=clock,
            policy=RestartPolicy(spec.action, on_timeout=spec.resync.on_timeout),
            rollout=spec.rollout,
            mode=spec.mode,
        )
        return Process(reconciler, restart_controller, status)

    async def changed(self) -> "Process":
        """The same after a baseline and a change that was seen and written down."""
        reconciler = await self.reconciler()
        await reconciler.reconcile(())
        await reconciler.run_round()
        await asyncio.sleep(120.0)
        self.infisical.version += 1
        await reconciler.reconcile(())
        return reconciler

    @property
    def rollouts(self) -> int:
        """Of the workload that opted in."""
        assert self.cluster.rollouts_of("team", "other") == 0
        return self.cluster.rollouts_of("team", "web")

    def told(self) -> list[str]:
        """The reasons of the Kubernetes Events on the subscription, but for those of the two looks."""
        own = [n.reason for n in self.cluster.notices if n.about.kind == "InfisicalEventSubscription"]
        assert own[:2] == ["BaselineRecorded", "MissedChangesFound"][: len(own)]
        return own[2:]


@in_virtual_time
async def test_first_look_restarts_nothing() -> None:
    """The first look records what stands and restarts nothing."""
    team = Team()
    reconciler = await team.reconciler()
    await reconciler.reconcile(())
    assert await reconciler.run_round() is None
    assert team.rollouts == 0
    assert [notice.reason for notice in team.cluster.notices] == ["BaselineRecorded"]


def owed_for(process: Process) -> dict[str, float]:
    """How many workloads wait for a restart by the metrics, by reason."""
    metrics = process.metrics.registry.collect()
    return {
        sample.labels["reason"]: sample.value
        for metric in metrics
        for sample in metric.samples
        if sample.name == "infisical_events_pending_restarts"
    }


@in_virtual_time
async def test_what_is_owed_can_be_scraped() -> None:
    """From the write on, with the reason for which it waits if that is known; until it is done."""
    team = Team()
    team.cluster.annotate_workload("team", "web", PAUSED)
    process = await team.changed()
    team.cluster.fail("list_workloads", KubernetesError("down"))
    with pytest.raises(KubernetesError, match="down"):
        await process.run_round()
    assert owed_for(process) == {"Pending": 1.0}

    await process.run_round()
    assert owed_for(process) == {"Paused": 1.0}

    team.cluster.annotate_workload("team", "web", dict.fromkeys(PAUSED))
    await process.run_round()
    assert (owed_for(process), team.rollouts) == ({}, 1)


@in_virtual_time
async def test_change_restarts_once() -> None:
    """A change restarts what it concerns once, is told on both objects, and leaves nothing owed."""
    team = Team()
    reconciler = await team.changed()
    assert await reconciler.run_round() == ROLLING
    for _ in range(3):
        await reconciler.reconcile(())
        assert await reconciler.run_round() is None
    assert team.rollouts == 1
    assert team.told() == ["Restarted"]
    assert [n.about.name for n in team.cluster.notices if n.reason == "Restarted"] == ["app", "web"]
    assert reconciler.status.render().counters.restarts == 1


@in_virtual_time
async def test_nothing_is_done_that_is_not_written_down() -> None:
    """While the ledger cannot be written nothing is restarted; when it can, it is."""
    team = Team()
    reconciler = await team.reconciler()
    await reconciler.reconcile(())
    await asyncio.sleep(120.0)
    team.infisical.version += 1
    team.cluster.fail("write_status", KubernetesError("away"))
    with pytest.raises(KubernetesError):
        await reconciler.reconcile(())
    await reconciler.run_round()
    assert team.rollouts == 0

    await reconciler.reconcile(())
    await reconciler.run_round()
    assert team.rollouts == 1


@in_virtual_time
async def test_process_that_dies_after_writing_down() -> None:
    """What one process wrote down and did not do is done by the next."""
    team = Team()
    await team.changed()
    await (await team.reconciler()).run_round()
    assert team.rollouts == 1


@in_virtual_time
async def test_process_that_dies_after_doing() -> None:
    """What one process did and did not write down is not done again."""
    team = Team()
    reconciler = await team.changed()
    team.cluster.fail("write_status", KubernetesError("away"))
    with pytest.raises(KubernetesError):
        await reconciler.run_round()
    successor = await team.reconciler()
    await successor.run_round()
    assert team.rollouts == 1
    assert successor.record.ledger is not None
    assert successor.record.ledger.pending == ()


@in_virtual_time
async def test_answer_of_a_restart_is_lost() -> None:
    """A restart whose answer was lost is found by its receipt and not repeated."""
    team = Team()
    reconciler = await team.changed()
    team.cluster.lose_answer("patch_workload")
    assert await reconciler.run_round() is not None
    assert [await reconciler.run_round() for _ in range(2)] == [ROLLING, None]
    assert team.rollouts == 1


@in_virtual_time
async def test_workload_was_edited() -> None:
    """A workload that was edited since it was listed is restarted by the next try, and nobody is alarmed."""
    team = Team()
    reconciler = await team.changed()
    team.cluster.fail("patch_workload", ConflictError("modified"), times=3)
    pauses = [await reconciler.run_round() for _ in range(5)]
    assert (None in pauses[:3], pauses[3:], team.rollouts) == (False, [ROLLING, None], 1)
    assert team.told() == ["Restarted"]
    assert reconciler.status.render().counters.restarts == 1


@pytest.mark.parametrize("error", [ForbiddenError("RBAC says no"), UnknownOutcomeError("no answer")])
@in_virtual_time
async def test_restart_that_fails_for_long(error: KubernetesError) -> None:
    """A restart that fails again and again is told once, stays owed, and is made when it can be."""
    team = Team()
    reconciler = await team.changed()
    team.cluster.fail("patch_workload", error, times=20)
    tries = 0
    while team.rollouts == 0:
        assert await reconciler.run_round() is not None
        tries += 1
        await asyncio.sleep(30.0)
    assert tries == 21
    assert await reconciler.run_round() is None
    assert team.rollouts == 1
    assert team.told() == ["RestartFailed", "Restarted"]


@in_virtual_time
async def test_paused_workload() -> None:
    """A workload that its owner holds is told of once, and restarted when it is released."""
    team = Team()
    team.cluster.annotate_workload("team", "web", PAUSED)
    reconciler = await team.changed()
    skips = set()
    for _ in range(10):
        assert await reconciler.run_round() == 15.0
        skip = reconciler.status.render().last_skip
        assert skip is not None
        skips.add((skip.time, skip.reason))
        await asyncio.sleep(15.0)
    assert team.rollouts == 0
    assert [reason for _, reason in skips] == [Reason.PAUSED]

    team.cluster.annotate_workload("team", "web", dict.fromkeys(PAUSED))
    assert [await reconciler.run_round() for _ in range(2)] == [ROLLING, None]
    assert team.rollouts == 1


@pytest.mark.parametrize("is_recreated", [True, False])
@in_virtual_time
async def test_nothing_is_done_for_a_subscription_that_is_gone(is_recreated: bool) -> None:  # noqa: FBT001 - a row
    """What a deleted one owed to a held workload is not done on release, though nobody told of its end."""
    team = Team()
    team.cluster.annotate_workload("team", "web", PAUSED)
    reconciler = await team.changed()
    await reconciler.run_round()
    team.cluster.delete_subscription(team.key)
    if is_recreated:
        team.cluster.create_subscription("team", "app", a_raw_spec())
    team.cluster.annotate_workload("team", "web", dict.fromkeys(PAUSED))

    with pytest.raises(SubscriptionDeletedError if is_recreated else NotFoundError):
        await reconciler.run_round()
    assert team.rollouts == 0


@in_virtual_time
async def test_newer_change_of_a_held_workload_is_told() -> None:
    """Another change for a workload that is held is told as well."""
    team = Team()
    team.cluster.annotate_workload("team", "web", PAUSED)
    reconciler = await team.changed()
    moments = set()
    for _ in range(2):
        await reconciler.run_round()
        moments.add(_skip_time(reconciler))
        await asyncio.sleep(120.0)
        team.infisical.version += 1
        await reconciler.reconcile(())
    assert len(moments) == 2


def _skip_time(reconciler: Process) -> Any:  # noqa: ANN401 - a moment or nothing
    skip = reconciler.status.render().last_skip
    return skip and skip.time


@in_virtual_time
async def test_workload_vanished() -> None:
    """A workload that is gone is waited for, since it may be recreated; then the restart is resolved."""
    team = Team()
    reconciler = await team.changed()
    team.cluster.delete_workload("team", "web")
    assert await reconciler.run_round() is not None
    await asyncio.sleep(60.0)
    assert await reconciler.run_round() is None
    skip = reconciler.status.render().last_skip
    assert skip is not None
    assert skip.reason == Reason.WORKLOAD_GONE


@in_virtual_time
async def test_nobody_concerned() -> None:
    """A change that concerns no workload says what to annotate."""
    team = Team()
    team.cluster.annotate_workload("team", "web", dict.fromkeys(OPTED_IN))
    reconciler = await team.changed()
    assert await reconciler.run_round() is None
    skip = reconciler.status.render().last_skip
    assert skip is not None
    assert skip.reason == Reason.NO_MATCHING_WORKLOAD
    assert "auto-reload" in skip.message
    assert team.rollouts == 0


@in_virtual_time
async def test_annotations_that_make_no_sense() -> None:
    """They narrow nothing, and the workload is told each of them once, and again when it is another."""
    team = Team()
    words = {"events.infisical.com/secret-keys": "[no pattern", "events.infisical.com/wave": "first"}
    team.cluster.annotate_workload("team", "web", words)
    team.cluster.annotate_workload("team", "other", words)  # it did not opt in
    reconciler = await team.changed()

    def told() -> list[tuple[str, str]]:
        mistaken = (n for n in team.cluster.notices if n.reason == Reason.INVALID_ANNOTATION)
        return [(notice.about.name, notice.note) for notice in mistaken]

    assert [name for name, _ in told()] == ["web", "web"]
    assert [note.partition(": ")[0] for _, note in told()] == [
        "Annotation events.infisical.com/secret-keys",
        "Annotation events.infisical.com/wave",
    ]

    team.infisical.version += 1
    await reconciler.reconcile(())
    assert len(told()) == 2
    team.cluster.annotate_workload("team", "web", {"events.infisical.com/secret-keys": "[another"})
    team.infisical.version += 1
    await reconciler.reconcile(())
    assert len(told()) == 3


@in_virtual_time
async def test_list_that_fails_settles_nothing() -> None:
    """When workloads cannot be listed none is taken for gone: what is owed stays owed."""
    team = Team()
    reconciler = await team.changed()
    team.cluster.fail("list_workloads", ForbiddenError("RBAC"))
    with pytest.raises(ForbiddenError):
        await reconciler.run_round()
    assert [await reconciler.run_round() for _ in range(2)] == [ROLLING, None]
    assert team.rollouts == 1
