"""A workload in full: which Secrets its pods use, how its rollout stands, who else restarts it."""

from typing import Any

import pytest
from hypothesis import given

from infisical_events.api.resources import WorkloadKind
from infisical_events.core.restarts.workload_state import RolloutProgress, WorkloadState, workload_state_of
from infisical_events.core.status.reasons import Reason
from support.builders import CRON_JOB, DAEMON_SET, DEPLOYMENT, JOB, ROLLOUT, STATEFUL_SET, a_workload
from support.strategies import json_values

COMPLETE, UNDER_WAY, FAILED = RolloutProgress


def stored(
    pod: object = None,
    status: object = None,
    generation: int = 7,
    marks: dict[str, str] | None = None,
    **spec: object,
) -> dict[str, Any]:
    """A workload as the API server has it."""
    template = {"metadata": {"annotations": marks or {}}, "spec": pod or {}}
    return {
        "metadata": {"generation": generation},
        "spec": {"template": template} | spec,
        "status": status or {},
    }


def read(raw: dict[str, Any], kind: WorkloadKind = DEPLOYMENT, **words: str) -> WorkloadState:
    """The workload as it stands."""
    return workload_state_of(a_workload(kind=kind, **words), raw)


# -- Secrets --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pod",
    [
        {"containers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "env", "key": "A"}}}]}]},
        {"containers": [{}, {"envFrom": [{"configMapRef": {"name": "c"}}, {"secretRef": {"name": "env"}}]}]},
        {"initContainers": [{"envFrom": [{"secretRef": {"name": "env"}}]}], "containers": []},
        {"ephemeralContainers": [{"envFrom": [{"secretRef": {"name": "env"}}]}]},
        {
            "volumes": [
                {"name": "v", "secret": {"secretName": "env"}},
                {"name": "c", "configMap": {"name": "c"}},
            ]
        },
        {"volumes": [{"projected": {"sources": [{"secret": {"name": "env"}}, {"downwardAPI": {}}]}}]},
        {"imagePullSecrets": [{"name": "env"}]},
    ],
)
def test_secrets_of_a_pod(pod: object) -> None:
    """By name, wherever a pod can name one."""
    workload_state = read(stored(pod))

    assert (workload_state.secrets, workload_state.untracked_volumes) == ({"env"}, ())


def test_all_secrets_of_a_pod() -> None:
    """Each once, whatever is beside them; a plain value and an empty name are none."""
    env = [{"name": "A", "value": "env"}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}]
    pod = {
        "containers": [{"env": env, "envFrom": [{"secretRef": {"name": "a"}}, {"secretRef": {"name": ""}}]}],
        "initContainers": [{"envFrom": [{"secretRef": {"name": "a"}}]}],
        "volumes": [{"secret": {"secretName": "b"}}],
    }

    assert read(stored(pod)).secrets == {"a", "b"}


def test_secrets_of_a_cron_job() -> None:
    """They stand one template deeper."""
    template = {"spec": {"imagePullSecrets": [{"name": "env"}]}}
    raw = {
        "metadata": {"generation": 1},
        "spec": {"jobTemplate": {"spec": {"template": template}}},
    }

    assert read(raw, CRON_JOB).secrets == {"env"}


def test_what_a_driver_fetches_is_not_followed() -> None:
    """A volume of the Secrets Store CSI driver is named: its content comes past any Secret."""
    attributes = {"volumeAttributes": {"secretProviderClass": "vault"}}
    pod = {
        "volumes": [{"csi": {"driver": "secrets-store.csi.k8s.io"} | attributes}, {"csi": {"driver": "x"}}]
    }
    workload_state = read(stored(pod))

    assert (workload_state.secrets, workload_state.untracked_volumes) == (
        set(),
        ("SecretProviderClass vault",),
    )


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        ({"matchLabels": {"b": "2", "a": "1"}}, "a=1,b=2"),
        ({"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "Exists"}]}, ""),
        ({}, ""),
        (None, ""),
    ],
)
def test_how_its_pods_are_found(selector: object, text: str) -> None:
    """By labels alone, or not at all: too many pods would be a wrong answer."""
    assert read(stored(selector=selector)).selector == text


# -- progress, as `kubectl rollout status` tells it -----------------------------------------------


def told(kind: WorkloadKind, status: object, **spec: object) -> RolloutProgress:
    """How far a rollout of this kind has come."""
    return read(stored(status=status, **spec), kind).progress


def counts(updated: int, total: int, available: int, **more: object) -> dict[str, Any]:
    """The status of a Deployment whose controller has seen the newest spec."""
    numbers = {"updatedReplicas": updated, "replicas": total, "availableReplicas": available}
    return {"observedGeneration": 7} | numbers | more


@pytest.mark.parametrize(
    ("status", "progress"),
    [
        (counts(3, 3, 3), COMPLETE),
        (counts(3, 3, 3, observedGeneration=6), UNDER_WAY),
        ({}, UNDER_WAY),
        (counts(2, 3, 3), UNDER_WAY),
        (counts(3, 4, 3), UNDER_WAY),
        (counts(3, 3, 2), UNDER_WAY),
        (counts(1, 3, 2, conditions=[{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]), FAILED),
        (counts(1, 3, 2, conditions=[{"type": "Progressing", "reason": "ReplicaSetUpdated"}]), UNDER_WAY),
    ],
)
def test_progress_of_a_deployment(status: object, progress: RolloutProgress) -> None:
    """All replicas are updated, no old ones are left, and all are available."""
    assert told(DEPLOYMENT, status, replicas=3) is progress


def test_a_deadline_of_an_older_spec_is_none() -> None:
    """A condition that the controller has written before it saw the restart tells nothing of that."""
    late = [{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]

    assert told(DEPLOYMENT, counts(1, 3, 2, observedGeneration=6, conditions=late)) is UNDER_WAY


@pytest.mark.parametrize("replicas", [0, 1])
def test_progress_of_few_replicas(replicas: int) -> None:
    """None at all are complete; one is what is meant when nothing is said."""
    assert told(DEPLOYMENT, counts(0, 0, 0), replicas=replicas) is (UNDER_WAY if replicas else COMPLETE)
    assert told(DEPLOYMENT, counts(0, 0, 0)) is UNDER_WAY


def revisions(updated: int, available: int, update: str = "b", current: str = "b") -> dict[str, Any]:
    """The status of a StatefulSet whose controller has seen the newest spec."""
    return {
        "observedGeneration": 7,
        "updatedReplicas": updated,
        "availableReplicas": available,
        "updateRevision": update,
        "currentRevision": current,
    }


@pytest.mark.parametrize(
    ("status", "strategy", "progress"),
    [
        (revisions(3, 3), {}, COMPLETE),
        (revisions(3, 3, current="a"), {}, UNDER_WAY),
        (revisions(2, 3, current="a"), {}, UNDER_WAY),
        (revisions(3, 2), {}, UNDER_WAY),
        (revisions(3, 3) | {"observedGeneration": 6}, {}, UNDER_WAY),
        (revisions(1, 3, current="a"), {"rollingUpdate": {"partition": 2}}, COMPLETE),
        (revisions(0, 3, current="a"), {"rollingUpdate": {"partition": 2}}, UNDER_WAY),
        (revisions(0, 3, current="a"), {"rollingUpdate": {"partition": 9}}, COMPLETE),
    ],
)
def test_progress_of_a_stateful_set(status: object, strategy: object, progress: RolloutProgress) -> None:
    """All are of the newest revision and available; those below a partition are meant to stay old."""
    assert told(STATEFUL_SET, status, replicas=3, updateStrategy=strategy) is progress


@pytest.mark.parametrize(
    ("updated", "available", "observed", "progress"),
    [(3, 3, 7, COMPLETE), (2, 3, 7, UNDER_WAY), (3, 2, 7, UNDER_WAY), (3, 3, 6, UNDER_WAY)],
)
def test_progress_of_a_daemon_set(
    updated: int, available: int, observed: int, progress: RolloutProgress
) -> None:
    """Every node that is to have one has a new and available one."""
    status = {
        "observedGeneration": observed,
        "desiredNumberScheduled": 3,
        "updatedNumberScheduled": updated,
        "numberAvailable": available,
    }
    assert told(DAEMON_SET, status) is progress


@pytest.mark.parametrize(
    ("status", "progress"),
    [
        ({"observedGeneration": "7", "phase": "Healthy", "restartedAt": "t2"}, COMPLETE),
        ({"observedGeneration": "6", "phase": "Healthy", "restartedAt": "t2"}, UNDER_WAY),
        ({"observedGeneration": "7", "phase": "Healthy", "restartedAt": "t1"}, UNDER_WAY),
        ({"observedGeneration": "7", "phase": "Healthy"}, UNDER_WAY),
        ({"observedGeneration": "7", "phase": "Progressing", "restartedAt": "t2"}, UNDER_WAY),
        ({"observedGeneration": "7", "phase": "Paused", "restartedAt": "t2"}, UNDER_WAY),
        ({"observedGeneration": "7", "phase": "Degraded", "restartedAt": "t1"}, FAILED),
    ],
)
def test_progress_of_an_argo_rollout(status: object, progress: RolloutProgress) -> None:
    """It writes the generation as a text, and when it has restarted its pods."""
    assert told(ROLLOUT, status, restartAt="t2") is progress


@pytest.mark.parametrize("kind", [CRON_JOB, JOB])
def test_what_runs_once_rolls_out_nothing(kind: WorkloadKind) -> None:
    """There is nothing to wait for."""
    raw = {"metadata": {"generation": 7}, "spec": {"jobTemplate": {"spec": {}}, "template": {}}}

    assert read(raw, kind).progress is COMPLETE


# -- what stands in the way -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "spec", "obstacle"),
    [
        (DEPLOYMENT, {}, None),
        (DEPLOYMENT, {"paused": True}, Reason.ROLLOUT_PAUSED),
        (ROLLOUT, {"paused": True}, Reason.ROLLOUT_PAUSED),
        (STATEFUL_SET, {"updateStrategy": {"type": "OnDelete"}}, Reason.ROLLOUT_ON_DELETE),
        (DAEMON_SET, {"updateStrategy": {"type": "OnDelete"}}, Reason.ROLLOUT_ON_DELETE),
        (DAEMON_SET, {"updateStrategy": {"type": "RollingUpdate"}}, None),
        (STATEFUL_SET, {"paused": True}, None),
    ],
)
def test_why_a_changed_template_rolls_nothing_out(
    kind: WorkloadKind, spec: dict[str, Any], obstacle: Reason | None
) -> None:
    """It is paused, or its pods have to be deleted by hand."""
    assert read(stored(**spec), kind).obstacle is obstacle


# -- what makes no sense --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [DEPLOYMENT, STATEFUL_SET, DAEMON_SET, CRON_JOB, JOB, ROLLOUT])
@given(raw=json_values)
def test_another_shape_is_refused(kind: WorkloadKind, raw: Any) -> None:  # noqa: ANN401 - any JSON
    """Nothing is raised but what callers turn into a sentence."""
    shapes = (raw, stored(raw), stored(status=raw), stored(updateStrategy=raw, replicas=raw, selector=raw))
    for shape in shapes:
        try:
            workload_state = workload_state_of(a_workload(kind=kind), shape)
        except (KeyError, TypeError, AttributeError, ValueError):
            continue
        assert workload_state.progress in RolloutProgress
