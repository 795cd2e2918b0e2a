"""Every place of a pod template that names a Secret or a ConfigMap."""

import pytest

from infisical_events.core.workloads.pod_references import config_maps_of, secrets_of, untracked_volumes_of


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
