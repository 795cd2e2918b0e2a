"""The Secrets and ConfigMaps that a pod template names, in every place where the API has such a name.

`core.workloads.workload_state` reads them.
"""

from collections.abc import Iterator, Mapping
from typing import Any

JSONObject = Mapping[str, Any]

_SECRET_IN_VOLUME = {
    "azureFile": ("secretName",),
    "cephfs": ("secretRef", "name"),
    "csi": ("nodePublishSecretRef", "name"),
    "flexVolume": ("secretRef", "name"),
    "iscsi": ("secretRef", "name"),
    "rbd": ("secretRef", "name"),
    "scaleIO": ("secretRef", "name"),
    "storageos": ("secretRef", "name"),
}
"""Where a volume that is mounted with the help of a Secret names it (VolumeSource of the Kubernetes API)."""


def secrets_of(pod_spec: JSONObject) -> Iterator[str]:
    """The names of the Secrets that the pods use."""
    yield from read_secrets_of(pod_spec)
    for volume in entries_of(pod_spec, "volumes"):
        for kind, path in _SECRET_IN_VOLUME.items():
            yield from _named(volume, kind, *path)
    for reference in entries_of(pod_spec, "imagePullSecrets"):
        yield from _named(reference, "name")


def read_secrets_of(pod_spec: JSONObject) -> Iterator[str]:
    """The names of the Secrets that containers read, in their environment or as files."""
    yield from _in_environment(pod_spec, "secretKeyRef", "secretRef")
    yield from _in_files(pod_spec, "secret", "secretName")


def config_maps_of(pod_spec: JSONObject) -> Iterator[str]:
    """The names of the ConfigMaps that the pods use."""
    yield from _in_environment(pod_spec, "configMapKeyRef", "configMapRef")
    yield from _in_files(pod_spec, "configMap", "name")


def untracked_volumes_of(pod_spec: JSONObject) -> Iterator[str]:
    """Volumes of the Secrets Store CSI driver: the driver fetches secrets without a Secret."""
    for volume in entries_of(pod_spec, "volumes"):
        attributes = (volume.get("csi") or {}).get("volumeAttributes") or {}
        if name := attributes.get("secretProviderClass"):
            yield f"SecretProviderClass {name}"


def entries_of(holder: JSONObject, *fields: str) -> Iterator[JSONObject]:
    """The entries of these lists, of which any may be missing or null."""
    for name in fields:
        yield from holder.get(name) or ()


def _in_environment(pod_spec: JSONObject, of_variable: str, of_all: str) -> Iterator[str]:
    for container in entries_of(pod_spec, "initContainers", "containers", "ephemeralContainers"):
        for variable in entries_of(container, "env"):
            yield from _named(variable, "valueFrom", of_variable, "name")
        for source in entries_of(container, "envFrom"):
            yield from _named(source, of_all, "name")


def _in_files(pod_spec: JSONObject, kind: str, name_field: str) -> Iterator[str]:
    """The objects of a kind whose data are mounted, alone or projected with others."""
    for volume in entries_of(pod_spec, "volumes"):
        yield from _named(volume, kind, name_field)
        for source in entries_of(volume.get("projected") or {}, "sources"):
            yield from _named(source, kind, "name")


def _named(holder: JSONObject, *path: str) -> Iterator[str]:
    found: Any = holder
    for step in path:
        found = (found or {}).get(step)
    if isinstance(found, str) and found:
        yield found
