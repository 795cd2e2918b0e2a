"""A workload in full: which Secrets its pods use, and who else restarts it."""

from typing import Any

import pytest
from hypothesis import given

from infisical_events.api.resources import WorkloadKind
from infisical_events.core.workloads.rollout_progress import RolloutProgress
from infisical_events.core.workloads.workload_state import (
    WorkloadState,
    config_maps_of,
    secrets_of,
    untracked_volumes_of,
    workload_state_of,
)
from support.builders import CRON_JOB, DAEMON_SET, DEPLOYMENT, JOB, ROLLOUT, STATEFUL_SET, a_workload
from support.strategies import json_values


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
        ({"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "Exists"}]}, "a=1,b"),
        (
            {
                "matchExpressions": [
                    {"key": "a", "operator": "In", "values": ["1", "2"]},
                    {"key": "b", "operator": "NotIn", "values": ["3"]},
                    {"key": "c", "operator": "DoesNotExist"},
                ]
            },
            "a in (1,2),b notin (3),!c",
        ),
        ({}, ""),
        (None, ""),
    ],
)
def test_how_its_pods_are_found(selector: object, text: str) -> None:
    """By labels alone, or not at all: too many pods would be a wrong answer."""
    assert read(stored(selector=selector)).selector == text


# -- what makes no sense --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [DEPLOYMENT, STATEFUL_SET, DAEMON_SET, CRON_JOB, JOB, ROLLOUT])
@given(raw=json_values)
def test_another_shape_is_refused(kind: WorkloadKind, raw: Any) -> None:  # noqa: ANN401 - any JSON
    """Nothing is raised but what callers turn into a sentence."""
    shapes = (raw, stored(raw), stored(status=raw), stored(updateStrategy=raw, replicas=raw, selector=raw))
    for shape in shapes:
        try:
            workload_state = workload_state_of(a_workload(kind=kind), shape)
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError):
            continue
        assert workload_state.progress in RolloutProgress


# -- every place of a pod template that names a Secret or a ConfigMap ----------------------------------


@pytest.mark.parametrize(
    "volume",
    [
        {"secret": {"secretName": "env"}},
        {"azureFile": {"secretName": "env", "shareName": "s"}},
        {"cephfs": {"secretRef": {"name": "env"}}},
        {"rbd": {"secretRef": {"name": "env"}}},
        {"iscsi": {"secretRef": {"name": "env"}}},
        {"flexVolume": {"secretRef": {"name": "env"}}},
        {"scaleIO": {"secretRef": {"name": "env"}}},
        {"storageos": {"secretRef": {"name": "env"}}},
        {"csi": {"driver": "d", "nodePublishSecretRef": {"name": "env"}}},
        {"projected": {"sources": [{"secret": {"name": "env"}}]}},
    ],
)
def test_a_volume_that_names_a_secret(volume: dict[str, object]) -> None:
    """Of each kind that the API has."""
    assert list(secrets_of({"volumes": [{"name": "v", **volume}]})) == ["env"]


@pytest.mark.parametrize(
    "volume",
    [
        {"projected": {"sources": [{"serviceAccountToken": {"path": "token"}}, {"downwardAPI": {}}]}},
        {"csi": {"driver": "d", "nodePublishSecretRef": None}},
        {"emptyDir": {}},
        {"secret": None},
    ],
)
def test_a_volume_that_names_none(volume: dict[str, object]) -> None:
    """A token of a ServiceAccount is no Secret."""
    assert list(secrets_of({"volumes": [{"name": "v", **volume}]})) == []


@pytest.mark.parametrize(
    "pod",
    [
        {"containers": [{"env": [{"valueFrom": {"configMapKeyRef": {"name": "cfg", "key": "A"}}}]}]},
        {"initContainers": [{"envFrom": [{"configMapRef": {"name": "cfg"}}]}]},
        {"volumes": [{"configMap": {"name": "cfg"}}]},
        {"volumes": [{"projected": {"sources": [{"configMap": {"name": "cfg"}}]}}]},
    ],
)
def test_a_config_map_of_a_pod(pod: dict[str, object]) -> None:
    """In the environment and in volumes, and never as a Secret."""
    assert (list(config_maps_of(pod)), list(secrets_of(pod))) == (["cfg"], [])


def test_a_driver_with_a_secret_of_its_own() -> None:
    """The Secret counts, and the class is named as well."""
    csi = {"nodePublishSecretRef": {"name": "env"}, "volumeAttributes": {"secretProviderClass": "c"}}
    pod = {"volumes": [{"csi": csi}]}

    assert (list(secrets_of(pod)), list(untracked_volumes_of(pod))) == (["env"], ["SecretProviderClass c"])
