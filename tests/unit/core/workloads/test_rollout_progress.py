"""How far a rollout is, by the status that the controllers write."""

from typing import Any

import pytest

from infisical_events.api.resources import WorkloadKind
from infisical_events.core.status.reasons import Reason
from infisical_events.core.workloads.rollout_progress import (
    RolloutDetails,
    RolloutProgress,
    details_of,
    obstacle_of,
    progress_of,
)
from infisical_events.core.workloads.workload_state import WorkloadState
from support.builders import CRON_JOB, DAEMON_SET, DEPLOYMENT, JOB, ROLLOUT, STATEFUL_SET, a_workload

COMPLETE, UNAVAILABLE, UNDER_WAY, HELD, FAILED = RolloutProgress
ON_DELETE = {"updateStrategy": {"type": "OnDelete"}}


def stored(status: object, generation: int = 7, **spec: object) -> dict[str, Any]:
    """A workload as the API server has it."""
    return {"metadata": {"generation": generation}, "spec": spec, "status": status}


def progress(kind: WorkloadKind, status: object, **spec: object) -> RolloutProgress:
    """How far a rollout of this kind is."""
    return progress_of(kind.kind, stored(status, **spec))


def details(kind: WorkloadKind, status: object, **spec: object) -> RolloutDetails:
    """What is behind it."""
    return details_of(kind.kind, stored(status, **spec))


# -- Deployment -----------------------------------------------------------------------------------


def counts(updated: int, total: int, available: int, reason: str = "", **more: object) -> dict[str, Any]:
    """The status of a Deployment whose controller has observed the newest spec."""
    numbers = {"updatedReplicas": updated, "replicas": total, "availableReplicas": available}
    conditions = [{"type": "Progressing", "status": "True", "reason": reason}] if reason else []
    return {"observedGeneration": 7, "conditions": conditions} | numbers | more


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (counts(3, 3, 3), COMPLETE),
        (counts(3, 3, 3, "NewReplicaSetAvailable"), COMPLETE),
        (counts(3, 3, 3, observedGeneration=6), UNDER_WAY),
        ({}, UNDER_WAY),
        (counts(2, 3, 3), UNDER_WAY),
        (counts(3, 4, 3), UNDER_WAY),
        (counts(3, 3, 2), UNAVAILABLE),
        (counts(3, 3, 2, "ReplicaSetUpdated"), UNDER_WAY),
        (counts(1, 3, 2, "ReplicaSetUpdated"), UNDER_WAY),
        (counts(1, 3, 2, "ProgressDeadlineExceeded"), FAILED),
    ],
)
def test_progress_of_a_deployment(status: object, expected: RolloutProgress) -> None:
    """All replicas are updated, no old ones are left, and all are available."""
    assert progress(DEPLOYMENT, status, replicas=3) is expected


@pytest.mark.parametrize(
    ("updated", "total", "available"),
    [(3, 3, 0), (3, 3, 2), (2, 2, 2), (5, 5, 3)],
    ids=["all unready", "one unready", "quota refuses a pod", "scaled up"],
)
def test_a_deployment_without_a_rollout(updated: int, total: int, available: int) -> None:
    """Its controller has recorded the end of the rollout, and pods are missing since."""
    status = counts(updated, total, available, "NewReplicaSetAvailable")

    assert progress(DEPLOYMENT, status, replicas=5 if updated == 5 else 3) is COMPLETE


def test_a_deployment_that_recreates_its_pods() -> None:
    """Between its last old pod and its first new one the condition still is the old one."""
    status = counts(0, 0, 0, "NewReplicaSetAvailable")

    assert progress(DEPLOYMENT, status, replicas=3, strategy={"type": "Recreate"}) is UNDER_WAY


def test_a_deadline_of_an_older_spec_is_none() -> None:
    """A condition that the controller wrote before it observed the restart says nothing of that."""
    status = counts(1, 3, 2, "ProgressDeadlineExceeded", observedGeneration=6)

    assert progress(DEPLOYMENT, status) is UNDER_WAY


@pytest.mark.parametrize("replicas", [0, 1])
def test_progress_of_few_replicas(replicas: int) -> None:
    """None at all are complete; one is what is meant when nothing is said."""
    status = counts(0, 0, 0)

    assert progress(DEPLOYMENT, status, replicas=replicas) is (UNDER_WAY if replicas else COMPLETE)
    assert progress(DEPLOYMENT, status) is UNDER_WAY


@pytest.mark.parametrize(("observed", "expected"), [(6, HELD), (7, HELD)])
def test_a_paused_deployment_is_held(observed: int, expected: RolloutProgress) -> None:
    """Its controller replaces no pod, observed or not."""
    status = counts(0, 3, 3, "DeploymentPaused", observedGeneration=observed)

    assert progress(DEPLOYMENT, status, replicas=3, paused=True) is expected


def test_a_paused_deployment_whose_pods_are_all_new() -> None:
    """Nothing is held up."""
    assert progress(DEPLOYMENT, counts(3, 3, 3, "DeploymentPaused"), replicas=3, paused=True) is COMPLETE


@pytest.mark.parametrize(
    ("status", "has_deadline"),
    [
        (counts(1, 3, 2, "ReplicaSetUpdated"), True),
        (counts(1, 3, 2), False),
        (counts(1, 3, 2, "ReplicaSetUpdated", observedGeneration=6), False),
    ],
)
def test_who_decides_that_a_deployment_has_failed(status: object, *, has_deadline: bool) -> None:
    """Its controller, if it tracks progress and has observed the spec."""
    assert details(DEPLOYMENT, status, replicas=3).has_deadline is has_deadline


def test_why_a_deployment_does_not_proceed() -> None:
    """A pod that cannot be created says more than a deadline that has passed."""
    late = {"type": "Progressing", "status": "False", "message": 'ReplicaSet "web-1" has timed out.'}
    quota = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: pods"}
    status = counts(1, 3, 2)

    assert details(DEPLOYMENT, status | {"conditions": [late]}).message == 'ReplicaSet "web-1" has timed out'
    assert details(DEPLOYMENT, status | {"conditions": [late, quota]}).message == "exceeded quota: pods"


# -- StatefulSet ----------------------------------------------------------------------------------


def revisions(updated: int, available: int, update: str = "b", current: str = "b") -> dict[str, Any]:
    """The status of a StatefulSet of three pods whose controller has observed the newest spec."""
    return {
        "observedGeneration": 7,
        "replicas": 3,
        "updatedReplicas": updated,
        "availableReplicas": available,
        "updateRevision": update,
        "currentRevision": current,
    }


def partition(number: int) -> dict[str, Any]:
    """A spec that keeps the old template on the first pods."""
    return {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": number}}}


@pytest.mark.parametrize(
    ("status", "spec", "expected"),
    [
        (revisions(3, 3), {}, COMPLETE),
        (revisions(3, 2), {}, UNAVAILABLE),
        (revisions(3, 3, current="a"), {}, UNDER_WAY),
        (revisions(2, 3, current="a"), {}, UNDER_WAY),
        (revisions(0, 2, current="a"), {}, UNDER_WAY),
        (revisions(2, 3), {}, UNDER_WAY),
        (revisions(3, 3) | {"observedGeneration": 6}, {}, UNDER_WAY),
        (revisions(3, 3), partition(2), COMPLETE),
        (revisions(0, 3, current="a"), partition(2), UNDER_WAY),
        (revisions(1, 3, current="a"), partition(2), HELD),
        (revisions(1, 2, current="a"), partition(2), UNAVAILABLE),
        (revisions(0, 3, current="a"), partition(3), HELD),
        (revisions(0, 3, current="a"), partition(9), HELD),
        (revisions(3, 3, current="a"), partition(2), COMPLETE),
        (revisions(0, 3) | {"observedGeneration": 6}, partition(3), HELD),
        (revisions(0, 3) | {"observedGeneration": 6}, partition(2), UNDER_WAY),
        (revisions(1, 2, current="a"), ON_DELETE, HELD),
        (revisions(3, 3, current="a"), ON_DELETE, COMPLETE),
        (revisions(3, 3) | {"observedGeneration": 6}, ON_DELETE, HELD),
    ],
)
def test_progress_of_a_stateful_set(status: object, spec: Any, expected: RolloutProgress) -> None:  # noqa: ANN401
    """All are of the newest revision and available; some may be meant to stay old."""
    assert progress(STATEFUL_SET, status, replicas=3, **spec) is expected


# -- DaemonSet ------------------------------------------------------------------------------------


def nodes(updated: int, available: int, current: int = 3, observed: int = 7) -> dict[str, Any]:
    """The status of a DaemonSet for three nodes."""
    return {
        "observedGeneration": observed,
        "desiredNumberScheduled": 3,
        "currentNumberScheduled": current,
        "updatedNumberScheduled": updated,
        "numberAvailable": available,
    }


@pytest.mark.parametrize(
    ("status", "spec", "expected"),
    [
        (nodes(3, 3), {}, COMPLETE),
        (nodes(2, 3), {}, UNDER_WAY),
        (nodes(3, 2), {}, UNAVAILABLE),
        (nodes(2, 2, current=2), {}, UNAVAILABLE),
        (nodes(3, 3, observed=6), {}, UNDER_WAY),
        (nodes(1, 3), ON_DELETE, HELD),
        (nodes(3, 3), ON_DELETE, COMPLETE),
    ],
)
def test_progress_of_a_daemon_set(status: object, spec: Any, expected: RolloutProgress) -> None:  # noqa: ANN401
    """Every node that is to have a pod has a new and available one; a missing one is no rollout."""
    assert progress(DAEMON_SET, status, **spec) is expected


# -- Argo Rollout ---------------------------------------------------------------------------------


def restarted(phase: str, at: str | None = "2026-01-02T03:04:05Z", **more: object) -> dict[str, Any]:
    """The status of a Rollout that was last restarted then."""
    return {"observedGeneration": "7", "phase": phase} | ({"restartedAt": at} if at else {}) | more


SOME = {"replicas": 4, "availableReplicas": 3}
EARLIER = "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("status", "template", "restart"),
    [
        (restarted("Healthy"), COMPLETE, COMPLETE),
        (restarted("Healthy", observedGeneration="6"), UNDER_WAY, UNDER_WAY),
        (restarted("Healthy", observedGeneration="5d8f9c"), COMPLETE, COMPLETE),
        (restarted("Healthy", at=EARLIER), UNDER_WAY, UNDER_WAY),
        (restarted("Healthy", at=None), UNDER_WAY, UNDER_WAY),
        (restarted("Healthy", at="2026-01-02T04:04:05.5+01:00"), COMPLETE, COMPLETE),
        (restarted("Progressing"), UNDER_WAY, COMPLETE),
        (restarted("Paused"), COMPLETE, COMPLETE),
        (restarted("Paused", **SOME), UNAVAILABLE, UNAVAILABLE),
        (restarted("Paused", replicas=4), UNAVAILABLE, UNAVAILABLE),
        (restarted("Paused", at=EARLIER), UNDER_WAY, UNDER_WAY),
        (restarted("Degraded", abort=True), FAILED, COMPLETE),
        (restarted("Degraded", at=EARLIER), FAILED, FAILED),
    ],
)
def test_progress_of_an_argo_rollout(
    status: object, template: RolloutProgress, restart: RolloutProgress
) -> None:
    """The restart is done when its time is recorded and pods are available, whatever the canary does."""
    asked = "2026-01-02T03:04:05Z"

    assert progress(ROLLOUT, status, restartAt=asked, replicas=4) is template
    assert details(ROLLOUT, status, restartAt=asked, replicas=4).restart is restart


def test_an_argo_rollout_that_was_never_restarted() -> None:
    """Its phase alone counts."""
    assert progress(ROLLOUT, restarted("Paused", at=None)) is COMPLETE
    assert progress(ROLLOUT, restarted("Progressing", at=None)) is UNDER_WAY


@pytest.mark.parametrize("kind", [CRON_JOB, JOB])
def test_what_runs_once_rolls_out_nothing(kind: WorkloadKind) -> None:
    """There is nothing to wait for."""
    assert (progress(kind, {}), details(kind, {})) == (COMPLETE, RolloutDetails())


# -- what keeps the old template ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "spec", "obstacle"),
    [
        (DEPLOYMENT, {}, None),
        (DEPLOYMENT, {"paused": True}, Reason.ROLLOUT_PAUSED),
        (ROLLOUT, {"paused": True}, Reason.ROLLOUT_PAUSED),
        (STATEFUL_SET, ON_DELETE, Reason.ROLLOUT_ON_DELETE),
        (DAEMON_SET, ON_DELETE, Reason.ROLLOUT_ON_DELETE),
        (DAEMON_SET, {"updateStrategy": {"type": "RollingUpdate"}}, None),
        (STATEFUL_SET, {"paused": True}, None),
        (STATEFUL_SET, {"replicas": 3} | partition(1), Reason.ROLLOUT_PARTITIONED),
        (STATEFUL_SET, {"replicas": 3} | partition(0), None),
        (STATEFUL_SET, {"replicas": 0} | partition(1), None),
    ],
)
def test_why_pods_keep_the_old_template(
    kind: WorkloadKind, spec: dict[str, Any], obstacle: Reason | None
) -> None:
    """It is paused, its pods have to be deleted by hand, or a partition keeps them."""
    assert obstacle_of(kind.kind, spec) is obstacle


@pytest.mark.parametrize(
    ("kind", "status", "spec", "text"),
    [
        (
            STATEFUL_SET,
            revisions(1, 6, current="a"),
            {"replicas": 6} | partition(5),
            "5 of 6 pods keep the old template: partition 5; lower the partition to replace them",
        ),
        (
            STATEFUL_SET,
            revisions(6, 6),
            {"replicas": 6} | partition(5),
            "5 of 6 pods keep the old template: partition 5; lower the partition to replace them",
        ),
        (
            STATEFUL_SET,
            revisions(2, 3, current="a"),
            {"replicas": 3} | ON_DELETE,
            (
                "1 of 3 pods keeps the old template: the update strategy is OnDelete; delete the pods to "
                "replace them"
            ),
        ),
        (
            DEPLOYMENT,
            counts(0, 1, 1),
            {"replicas": 1, "paused": True},
            "1 of 1 pod keeps the old template: the rollout is paused; resume it to replace them",
        ),
    ],
)
def test_how_many_pods_keep_it(kind: WorkloadKind, status: object, spec: Any, text: str) -> None:  # noqa: ANN401
    """The number, why, and what to do; before a change it is what will be kept."""
    state = WorkloadState(
        a_workload(),
        progress=progress(kind, status, **spec),
        rollout=details(kind, status, **spec),
        obstacle=Reason.ROLLOUT_PAUSED,
    )
    assert state.obstacle_text == text
