"""Rollouts in the field: pods without a rollout, slow rollouts, partitions, canaries, dead nodes.

The whole loop in virtual time; the statuses of the workloads are played as their controllers write them.
"""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from infisical_events.api.resources import EXTERNAL_SECRET, GROUP, WorkloadKind
from infisical_events.core.subscriptions import SubscriptionKey
from infisical_events.core.workloads.pod_states import GENERATION_LABEL, REVISION_LABEL, PodState
from infisical_events.core.workloads.rollout_progress import RolloutProgress
from infisical_events.kube.kubernetes_errors import ForbiddenError
from infisical_events.runtime.limits.restart_budget import RestartBudget
from support.builders import DAEMON_SET, DEPLOYMENT, ROLLOUT, STATEFUL_SET
from support.harness import NAMESPACE, SubscriptionHarness
from support.virtual_time import in_virtual_time, virtual_now

HASH = "reconcile.external-secrets.io/data-hash"
HALTING = {"order": "ByWave", "onFailure": "Halt"}
OLD, NEW = "db-1", "db-2"
TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"


class Field(SubscriptionHarness):
    """A subscription whose workloads have the statuses and pods that a test plays."""

    syncs = 1

    def deploy(self, name: str, kind: WorkloadKind = DEPLOYMENT, wave: str = "0", **spec: Any) -> None:  # noqa: ANN401
        """A workload that opted in, with these fields of its spec; all its pods are available."""
        self.create(name, kind, wave=wave)
        self.cluster.edit_workload(NAMESPACE, name, spec, kind)
        pods = spec.get("replicas", 3)
        status = {
            DEPLOYMENT: counts(pods, pods, pods, "NewReplicaSetAvailable"),
            STATEFUL_SET: revisions(pods, pods, pods, is_current=True),
            DAEMON_SET: nodes(pods, pods, pods),
            ROLLOUT: {"phase": "Healthy"},
        }
        self.play(name, kind, **status[kind])

    def play(self, name: str, kind: WorkloadKind = DEPLOYMENT, **status: Any) -> None:  # noqa: ANN401
        """The controller has observed the newest spec, and writes this status."""
        generation = self.stored(name, kind)["metadata"]["generation"]
        observed = str(generation) if kind is ROLLOUT else generation
        self.cluster.put_status(NAMESPACE, name, {"observedGeneration": observed, **status}, kind)

    def pods(self, name: str, *pods: PodState) -> None:
        """The pods of a workload."""
        self.cluster.put_pod_states(NAMESPACE, name, *pods)

    def stored(self, name: str, kind: WorkloadKind = DEPLOYMENT) -> Mapping[str, Any]:
        """The workload as it is stored."""
        return self.cluster.workload_of(NAMESPACE, name, kind)

    def restarts(self, name: str, kind: WorkloadKind = DEPLOYMENT) -> int:
        """How often the operator restarted a workload."""
        key = f"{GROUP}/revision-{self.key.name}"
        annotations = self.stored(name, kind)["spec"]["template"]["metadata"]["annotations"]
        is_asked = self.stored(name, kind)["spec"].get("restartAt")
        return int(bool(is_asked)) if kind is ROLLOUT else int(key in annotations)

    def sync(self, content: str) -> None:
        """The ExternalSecret of Secret `env` has synced, with this content."""
        self.syncs += 1
        status = {
            "syncedResourceVersion": f"1-{self.syncs}",
            "conditions": [{"type": "Ready", "status": "True", "message": "synced"}],
        }
        self.cluster.keep_secret(NAMESPACE, "env", {HASH: content}, written_at=virtual_now())
        self.cluster.put_source(NAMESPACE, EXTERNAL_SECRET, "env", spec={}, status=status)

    def result(self, name: str) -> str:
        """The result of a workload in the newest action that names it."""
        found = (w["result"] for a in self.status["history"] for w in a["workloads"] if w["name"] == name)
        return str(next(found, ""))

    @property
    def complete(self) -> tuple[str, str]:
        """Status and reason of condition RestartsComplete."""
        return self.condition("RestartsComplete")

    @property
    def message(self) -> str:
        """The message of condition RestartsComplete."""
        found = (c["message"] for c in self.status["conditions"] if c["type"] == "RestartsComplete")
        return str(next(found))

    def warnings(self, kind: str = "InfisicalEventSubscription") -> list[tuple[str, str]]:
        """Reasons and texts of the Warnings on objects of a kind."""
        notices = (n for n in self.cluster.notices if n.is_warning and n.about.kind == kind)
        return [(n.reason, n.note) for n in notices]


def counts(updated: int, total: int, available: int, reason: str = "ReplicaSetUpdated") -> dict[str, Any]:
    """The status of a Deployment."""
    status = "False" if reason == "ProgressDeadlineExceeded" else "True"
    message = f'ReplicaSet "web-2" {"has timed out progressing" if status == "False" else "is progressing"}.'
    progressing = {"type": "Progressing", "status": status, "reason": reason, "message": message}
    numbers = {"updatedReplicas": updated, "replicas": total, "availableReplicas": available}
    return {"conditions": [progressing]} | numbers


def revisions(updated: int, available: int, total: int = 3, *, is_current: bool = False) -> dict[str, Any]:
    """The status of a StatefulSet."""
    return {
        "replicas": total,
        "updatedReplicas": updated,
        "availableReplicas": available,
        "currentRevision": NEW if is_current else OLD,
        "updateRevision": NEW,
    }


def nodes(updated: int, available: int, total: int = 2) -> dict[str, Any]:
    """The status of a DaemonSet."""
    return {
        "desiredNumberScheduled": total,
        "currentNumberScheduled": total,
        "updatedNumberScheduled": updated,
        "numberAvailable": available,
    }


def a_pod(
    name: str, revision: str = NEW, *, reason: str = "", is_terminating: bool = False, age: float = 0
) -> PodState:
    """A pod of a StatefulSet or DaemonSet; not ready with a reason."""
    labels = {REVISION_LABEL: revision, GENERATION_LABEL: revision}
    created = virtual_now() - timedelta(seconds=age)
    return PodState(name, created, labels, not reason, is_terminating, reason)


# -- unavailable is not rolling out ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "spec", "status"),
    [
        (DEPLOYMENT, {"replicas": 3}, counts(3, 3, 0, "NewReplicaSetAvailable")),
        (DEPLOYMENT, {"replicas": 5}, counts(3, 3, 3, "NewReplicaSetAvailable")),
        (STATEFUL_SET, {"replicas": 3}, revisions(3, 2, is_current=True)),
        (STATEFUL_SET, {"replicas": 5}, revisions(3, 3, is_current=True)),
        (DAEMON_SET, {}, nodes(2, 1)),
        (DAEMON_SET, {}, nodes(2, 2) | {"desiredNumberScheduled": 3}),
        (ROLLOUT, {"replicas": 4}, {"phase": "Paused", "replicas": 4, "availableReplicas": 3}),
        (ROLLOUT, {"replicas": 4}, {"phase": "Degraded", "abort": True}),
        (DEPLOYMENT, {"replicas": 3}, counts(1, 3, 2, "ProgressDeadlineExceeded")),
    ],
    ids=[
        "deployment with unready pods",
        "deployment whose quota is exhausted",
        "statefulset with an unready pod",
        "statefulset that is scaled up",
        "daemonset with a dead node",
        "daemonset with a new node",
        "argo rollout paused at a step",
        "argo rollout aborted",
        "deployment whose rollout has failed",
    ],
)
@in_virtual_time
async def test_pods_without_a_rollout_are_restarted_at_once(
    kind: WorkloadKind, spec: dict[str, Any], status: dict[str, Any]
) -> None:
    """Their pods may be unready for want of the new content: there is nothing to wait for."""
    field = Field()
    field.create("web", kind, uses=["env"])
    field.cluster.edit_workload(NAMESPACE, "web", spec, kind)
    field.play("web", kind, **status)
    field.sync("old")
    async with field:
        await field.change()
        field.sync("new")
        await asyncio.sleep(5.0)
        assert field.restarts("web", kind) == 1


@pytest.mark.parametrize(
    ("kind", "spec", "status"),
    [
        (DEPLOYMENT, {"replicas": 3}, counts(1, 4, 3)),
        (STATEFUL_SET, {"replicas": 3}, revisions(1, 3)),
        (DAEMON_SET, {}, nodes(1, 2)),
        (ROLLOUT, {"replicas": 4}, {"phase": "Progressing", "replicas": 4, "availableReplicas": 4}),
    ],
)
@in_virtual_time
async def test_a_rollout_of_another_party_is_waited_for(
    kind: WorkloadKind, spec: dict[str, Any], status: dict[str, Any]
) -> None:
    """Its new pods get the new content without a second rollout; that it waits is said."""
    field = Field()
    field.create("web", kind, uses=["env"])
    field.cluster.edit_workload(NAMESPACE, "web", spec, kind)
    field.play("web", kind, **status)
    field.sync("old")
    async with field:
        await field.change()
        field.sync("new")
        await asyncio.sleep(15.0)
        assert (field.restarts("web", kind), field.complete) == (0, ("False", "RolloutInProgress"))


@in_virtual_time
async def test_a_dead_node_does_not_halt_the_next_wave() -> None:
    """Its pod was unavailable before, is never replaced, and does not count against the restart."""
    field = Field(rollout=HALTING)
    field.deploy("agent", DAEMON_SET)
    field.cluster.annotate_workload(NAMESPACE, "agent", {TEMPLATE_GENERATION: NEW}, DAEMON_SET)
    field.deploy("api", wave="1", replicas=1)
    field.play("agent", DAEMON_SET, **nodes(2, 1))
    async with field:
        await field.change(2.0)
        assert (field.restarts("agent", DAEMON_SET), field.restarts("api")) == (1, 0)

        field.pods("agent", a_pod("agent-a"), a_pod("agent-b", OLD, reason="NodeLost", is_terminating=True))
        field.play("agent", DAEMON_SET, **nodes(1, 1))
        await asyncio.sleep(60.0)
        assert (field.result("agent"), field.restarts("api")) == ("RolledOut", 1)


@in_virtual_time
async def test_a_dead_node_does_not_delay_the_next_change() -> None:
    """The pod that nothing replaces is of an old template; no rollout is under way for that."""
    field = Field()
    field.create("agent", DAEMON_SET, uses=["env"])
    field.cluster.annotate_workload(NAMESPACE, "agent", {TEMPLATE_GENERATION: NEW}, DAEMON_SET)
    field.play("agent", DAEMON_SET, **nodes(1, 1))
    field.pods("agent", a_pod("agent-a"), a_pod("agent-b", OLD, reason="NodeLost", is_terminating=True))
    field.sync("old")
    async with field:
        await field.change()
        field.sync("new")
        await asyncio.sleep(5.0)
        assert field.restarts("agent", DAEMON_SET) == 1


# -- slow is not failed ----------------------------------------------------------------------------


@in_virtual_time
async def test_a_deployment_with_a_long_deadline_of_its_own() -> None:
    """Slow pods are not failed pods: one at a time, and no Warning."""
    field = Field(rollout={"maxConcurrent": 1})
    field.deploy("a-slow", replicas=3, minReadySeconds=240, progressDeadlineSeconds=3600)
    field.deploy("next", replicas=1)
    async with field:
        await field.change()
        for updated in (1, 2, 3):
            field.play("a-slow", **counts(updated, 4, 3))
            await asyncio.sleep(900.0)
            assert (field.result("a-slow"), field.restarts("next")) == ("Restarted", 0)
        field.play("a-slow", **counts(3, 3, 3, "NewReplicaSetAvailable"))
        await asyncio.sleep(5.0)
        assert (field.result("a-slow"), field.restarts("next"), field.warnings()) == ("RolledOut", 1, [])


@in_virtual_time
async def test_a_deployment_with_a_short_deadline_of_its_own() -> None:
    """Its controller says when it has failed, and the reason is quoted with the pod."""
    field = Field()
    field.deploy("web", replicas=3, progressDeadlineSeconds=60)
    async with field:
        await field.change()
        field.play("web", **counts(1, 4, 3))
        field.pods("web", a_pod("web-2-x", reason="CrashLoopBackOff"))
        await asyncio.sleep(60.0)
        field.play("web", **counts(1, 4, 3, "ProgressDeadlineExceeded"))
        await asyncio.sleep(5.0)
        ((reason, text),) = field.warnings("Deployment")
        assert reason == "RolloutFailed"
        assert "timed out progressing" in text
        assert "pod/web-2-x is not ready (CrashLoopBackOff)" in text
        assert field.warnings() == [(reason, text)]
        assert field.complete == ("False", "RolloutFailed")
        assert "pod/web-2-x" in field.message


@in_virtual_time
async def test_a_stateful_set_that_takes_an_hour() -> None:
    """A pod in eight minutes is progress: it never fails, over a crash of the operator too."""
    field = Field()
    field.deploy("db", STATEFUL_SET, replicas=8)
    async with field:
        await field.change()
        for updated in range(8):
            field.play("db", STATEFUL_SET, **revisions(updated, 7, total=8))
            await asyncio.sleep(240.0)
            await field.crash()
            await field.start(240.0)
            assert field.result("db") == "Restarted"
        field.play("db", STATEFUL_SET, **revisions(8, 8, total=8, is_current=True))
        await asyncio.sleep(5.0)
        assert (field.result("db"), field.warnings()) == ("RolledOut", [])


@in_virtual_time
async def test_a_stateful_set_without_progress() -> None:
    """It has failed after ten minutes in which no pod moved, with the pod that it waits for."""
    field = Field()
    field.deploy("db", STATEFUL_SET, replicas=3)
    async with field:
        await field.change()
        field.play("db", STATEFUL_SET, **revisions(0, 2))
        await asyncio.sleep(300.0)
        field.play("db", STATEFUL_SET, **revisions(1, 2))
        field.pods("db", a_pod("db-2", reason="ImagePullBackOff"), a_pod("db-1", OLD), a_pod("db-0", OLD))
        await asyncio.sleep(590.0)
        assert field.result("db") == "Restarted"
        await asyncio.sleep(30.0)
        assert field.result("db") == "RolloutFailed"
        assert "pod/db-2 is not ready (ImagePullBackOff)" in field.warnings()[-1][1]


@in_virtual_time
async def test_a_crash_loop_is_no_progress() -> None:
    """A pod that becomes available again and again, and crashes each time, does not put off the failure."""
    field = Field()
    field.deploy("db", STATEFUL_SET, replicas=3)
    async with field:
        await field.change()
        for _ in range(12):
            field.play("db", STATEFUL_SET, **revisions(1, 3))
            await asyncio.sleep(15.0)
            field.play("db", STATEFUL_SET, **revisions(1, 2))
            await asyncio.sleep(45.0)
        assert field.result("db") == "RolloutFailed"


@pytest.mark.parametrize("on_failure", ["Continue", "Halt"])
@in_virtual_time
async def test_a_late_good_end_corrects_the_history(on_failure: str) -> None:
    """The rollout is tracked on after its failure, also by the next process."""
    field = Field(rollout={"onFailure": on_failure})
    field.deploy("web", replicas=3)
    async with field:
        await field.change()
        field.play("web", **counts(1, 4, 3, "ProgressDeadlineExceeded"))
        await asyncio.sleep(3600.0)
        assert field.result("web") == "RolloutFailed"
        await field.crash()
        await field.start()
        field.play("web", **counts(3, 3, 3, "NewReplicaSetAvailable"))
        await asyncio.sleep(20.0)
        assert (field.result("web"), field.complete) == ("RolledOut", ("True", "NoPendingRestarts"))
        assert field.status["lastAction"]["completedTime"] == field.status["history"][0]["completedTime"]
        assert field.event_reasons[-2:] == ["RolloutFailed", "RolloutResumed"]


@in_virtual_time
async def test_a_failed_rollout_that_still_moves_counts() -> None:
    """Under maxConcurrent 1 no second one begins while pods of the first are replaced."""
    field = Field(rollout={"maxConcurrent": 1})
    field.deploy("a", STATEFUL_SET, replicas=3)
    field.deploy("b", replicas=1, progressDeadlineSeconds=60)
    field.cluster.annotate_workload(NAMESPACE, "b", {f"{GROUP}/paused": "true"})
    async with field:
        await field.change()
        field.play("a", STATEFUL_SET, **revisions(1, 2))
        await asyncio.sleep(700.0)
        assert field.result("a") == "RolloutFailed"
        field.play("a", STATEFUL_SET, **revisions(2, 2))
        await asyncio.sleep(20.0)
        field.cluster.annotate_workload(NAMESPACE, "b", {f"{GROUP}/paused": None})
        await asyncio.sleep(60.0)
        assert (field.restarts("b"), field.complete[1]) == (0, "WaitingForRollouts")
        await asyncio.sleep(600.0)
        assert field.restarts("b") == 1


# -- what never proceeds ---------------------------------------------------------------------------


def _blocked_pods() -> list[PodState]:
    return [a_pod("db-2", OLD), a_pod("db-1", OLD), a_pod("db-0", OLD, reason="CrashLoopBackOff")]


@in_virtual_time
async def test_a_stateful_set_whose_first_pod_crashes() -> None:
    """It is patched at once; within 15 s it is said which pod its controller waits for, and what to do."""
    field = Field(rollout={"order": "ByWave"})
    field.deploy("db", STATEFUL_SET, replicas=3)
    field.play("db", STATEFUL_SET, **revisions(3, 2, is_current=True))
    async with field:
        await field.change(1.0)
        assert field.restarts("db", STATEFUL_SET) == 1
        field.play("db", STATEFUL_SET, **revisions(0, 2))
        field.pods("db", *_blocked_pods())
        await asyncio.sleep(14.0)
        ((reason, text),) = field.warnings("StatefulSet")
        assert reason == "RolloutBlocked"
        assert "waits for pod/db-0, which is not ready (CrashLoopBackOff)" in text
        assert "delete the pod" in text
        assert (field.complete[1], "pod/db-0" in field.message) == ("RolloutBlocked", True)

        await asyncio.sleep(700.0)
        assert field.result("db") == "RolloutFailed"
        assert [reason for reason, _ in field.warnings()] == ["RolloutBlocked", "RolloutFailed"]
        assert "pod/db-0" in field.warnings()[-1][1]

        field.pods("db")
        field.play("db", STATEFUL_SET, **revisions(3, 3, is_current=True))
        await asyncio.sleep(20.0)
        assert (field.result("db"), field.complete) == ("RolledOut", ("True", "NoPendingRestarts"))


@in_virtual_time
async def test_pods_that_may_not_be_listed() -> None:
    """Without that right the numbers are said, and the failure all the same."""
    field = Field()
    field.deploy("db", STATEFUL_SET, replicas=3)
    field.cluster.fail("list_pods", ForbiddenError("pods is forbidden"), times=1000)
    async with field:
        await field.change()
        field.play("db", STATEFUL_SET, **revisions(0, 2))
        await asyncio.sleep(620.0)
        assert field.result("db") == "RolloutFailed"
        assert "0 of 3 pods are updated, 2 are available" in field.warnings()[-1][1]


@pytest.mark.parametrize(
    ("replicas", "partition", "updated", "text"),
    [
        (6, 5, 1, "5 of 6 pods keep the old template: partition 5"),
        (3, 2, 1, "2 of 3 pods keep the old template: partition 2"),
        (3, 3, 0, "3 of 3 pods keep the old template: partition 3"),
        (3, 9, 0, "3 of 3 pods keep the old template: partition 9"),
    ],
)
@in_virtual_time
async def test_a_stateful_set_with_a_partition(
    replicas: int, partition: int, updated: int, text: str
) -> None:
    """Pods below it keep the old Secret: said with the numbers, and not done before they are new."""
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": partition}}
    field = Field(rollout={"maxConcurrent": 1})
    field.deploy("db", STATEFUL_SET, replicas=replicas, updateStrategy=strategy)
    field.deploy("web", replicas=1)
    async with field:
        await field.change(2.0)
        field.play("db", STATEFUL_SET, **revisions(updated, replicas, total=replicas))
        await asyncio.sleep(10.0)
        assert (field.result("db"), field.complete[0]) == ("RolloutPartitioned", "False")
        assert text in field.message
        assert any(text in notice.note for notice in field.cluster.notices)
        assert field.restarts("web") == 1

        await asyncio.sleep(3600.0)
        assert field.result("db") == "RolloutPartitioned"
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}
        field.cluster.edit_workload(NAMESPACE, "db", {"updateStrategy": strategy}, STATEFUL_SET)
        field.play("db", STATEFUL_SET, **revisions(replicas, replicas, total=replicas, is_current=True))
        await asyncio.sleep(20.0)
        assert field.result("db") == "RolledOut"


@pytest.mark.parametrize(
    ("kind", "held", "done"),
    [
        (STATEFUL_SET, revisions(1, 3), revisions(3, 3)),
        (DAEMON_SET, nodes(1, 3, total=3), nodes(3, 3, total=3)),
    ],
)
@in_virtual_time
async def test_the_pods_of_on_delete(kind: WorkloadKind, held: dict[str, Any], done: dict[str, Any]) -> None:
    """They are counted down until a person has deleted the last old one."""
    field = Field()
    field.deploy("db", kind, replicas=3, updateStrategy={"type": "OnDelete"})
    async with field:
        await field.change(5.0)
        assert (field.result("db"), "3 of 3 pods keep" in field.message) == ("RolloutOnDelete", True)
        field.play("db", kind, **held)
        await asyncio.sleep(3600.0)
        assert (field.result("db"), "2 of 3 pods keep" in field.message) == ("RolloutOnDelete", True)
        field.play("db", kind, **done)
        await asyncio.sleep(20.0)
        assert (field.result("db"), field.complete[0]) == ("RolledOut", "True")


@in_virtual_time
async def test_a_deployment_that_is_paused_and_resumed() -> None:
    """Its pods are old until then, which the condition says; then it rolls out and ends."""
    field = Field()
    field.deploy("web", replicas=2, paused=True)
    field.play("web", **counts(2, 2, 2, "DeploymentPaused"))
    async with field:
        await field.change(5.0)
        field.play("web", **counts(0, 2, 2, "DeploymentPaused"))
        await asyncio.sleep(3600.0)
        assert (field.result("web"), field.complete) == ("RolloutPaused", ("False", "RolloutPaused"))
        assert "2 of 2 pods keep the old template" in field.message

        field.cluster.edit_workload(NAMESPACE, "web", {"paused": None})
        field.play("web", **counts(1, 3, 2))
        await asyncio.sleep(20.0)
        assert field.complete == ("False", "RollingOut")
        field.play("web", **counts(2, 2, 2, "NewReplicaSetAvailable"))
        await asyncio.sleep(20.0)
        assert (field.result("web"), field.complete[0]) == ("RolledOut", "True")


# -- Argo Rollouts ---------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["Degraded", "Paused", "Progressing"])
@pytest.mark.parametrize("numbers", [{}, {"replicas": 4, "availableReplicas": 4}])
@in_virtual_time
async def test_a_canary_that_was_stopped_before(phase: str, numbers: dict[str, int]) -> None:
    """The restart is done when `restartedAt` is `restartAt`, and the next wave follows."""
    field = Field(rollout=HALTING)
    field.deploy("front", ROLLOUT, replicas=4)
    field.deploy("tail", wave="1", replicas=1)
    field.play("front", ROLLOUT, phase=phase, abort=phase == "Degraded", **numbers)
    async with field:
        await field.change(2.0)
        field.play("front", ROLLOUT, phase=phase)
        await asyncio.sleep(20.0)
        assert (field.result("front"), field.restarts("tail")) == ("Restarted", 0)
        asked = field.stored("front", ROLLOUT)["spec"]["restartAt"]
        field.play("front", ROLLOUT, phase=phase, restartedAt=asked)
        await asyncio.sleep(5.0)
        assert (field.result("front"), field.restarts("tail"), field.warnings()) == ("RolledOut", 1, [])


@in_virtual_time
async def test_a_canary_that_degrades_by_the_restart() -> None:
    """That is a failure of the restart, in the controller's words."""
    field = Field(rollout=HALTING)
    field.deploy("front", ROLLOUT, replicas=4)
    field.play("front", ROLLOUT, phase="Healthy", replicas=4, availableReplicas=4)
    async with field:
        await field.change(2.0)
        field.play("front", ROLLOUT, phase="Degraded", message="ProgressDeadlineExceeded: it has timed out")
        await asyncio.sleep(5.0)
        assert field.result("front") == "RolloutFailed"
        assert "it has timed out" in field.warnings()[-1][1]


@in_virtual_time
async def test_a_large_canary_that_restarts_slowly() -> None:
    """Its pods are restarted one by one: that is progress, although no count of the Rollout moves."""
    field = Field()
    field.deploy("front", ROLLOUT, replicas=4)
    field.play("front", ROLLOUT, phase="Healthy", replicas=4, availableReplicas=4)
    async with field:
        await field.change(2.0)
        field.play("front", ROLLOUT, phase="Progressing")
        for done in range(4):
            new = [a_pod(f"new-{number}", age=-5) for number in range(done)]
            field.pods("front", *new, *(a_pod(f"old-{number}", age=9000) for number in range(done, 4)))
            await asyncio.sleep(480.0)
            assert field.result("front") == "Restarted"
        assert "not restarted yet: pod/old-3" in field.message


@in_virtual_time
async def test_a_rollout_counts_while_its_subscription_is_edited() -> None:
    """Between two specs no task tracks it; other subscriptions still wait for it."""
    budget = RestartBudget(most_rolling=1)
    harness = SubscriptionHarness("web", budget=budget, cooldownSeconds=0)
    other = SubscriptionKey(NAMESPACE, "other", "uid-of-other")
    async with harness:
        harness.roll(RolloutProgress.UNDER_WAY, "web")
        await harness.change()
        edit = asyncio.create_task(harness.edit(cooldownSeconds=1))
        tries = []
        for _ in range(20):
            await asyncio.sleep(0.1)
            tries.append(budget.try_acquire(other, "elsewhere"))
        await edit
    assert not any(tries)


@in_virtual_time
async def test_the_rollouts_of_a_suspended_subscription_do_not_count() -> None:
    """Nothing tracks them, and they would count for ever."""
    budget = RestartBudget(most_rolling=1)
    harness = SubscriptionHarness("web", budget=budget, cooldownSeconds=0)
    async with harness:
        harness.roll(RolloutProgress.UNDER_WAY, "web")
        await harness.change()
        await harness.edit(suspend=True)
        assert budget.try_acquire(SubscriptionKey(NAMESPACE, "other", "uid-of-other"), "elsewhere")
