"""A workload in full: the Secrets of its pods and its rollout.

It is read one by one and only for a pending restart; lists stay metadata-only.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from infisical_events.api.resources import FIELD_MANAGER, WorkloadKind
from infisical_events.api.statuses import parse_time
from infisical_events.core.status.reasons import Reason
from infisical_events.core.status.text import counted, object_name
from infisical_events.core.sync.secret_metadata import config_map_reference
from infisical_events.core.workloads.pod_states import PodState
from infisical_events.core.workloads.rollout_progress import (
    RolloutDetails,
    RolloutProgress,
    details_of,
    obstacle_of,
    progress_of,
)
from infisical_events.core.workloads.workloads import Workload

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


@dataclass(frozen=True, slots=True)
class WorkloadState:
    """One workload as it was read.

    `secrets` and `config_maps` are those that its pods use, by name; `read_secrets` are the Secrets that the
    containers read. `untracked_volumes` names what brings secrets into the pods without a Secret; `obstacle`
    is why pods would keep the old template after a change of it; `selector` finds the workload's pods.
    `template_manager` is the other field manager that wrote the pod template last, as far as the API server
    records it; `patched_at` is when this operator last patched the workload, by the API server's clock.
    """

    workload: Workload
    secrets: frozenset[str] = frozenset()
    read_secrets: frozenset[str] = frozenset()
    untracked_volumes: tuple[str, ...] = ()
    progress: RolloutProgress = RolloutProgress.COMPLETE
    rollout: RolloutDetails = field(default_factory=RolloutDetails)
    obstacle: Reason | None = None
    template_annotations: Mapping[str, str] = field(default_factory=dict)
    selector: str = ""
    config_maps: frozenset[str] = frozenset()
    template_manager: str = ""
    patched_at: datetime | None = None

    @property
    def references(self) -> frozenset[str]:
        """Its Secrets and ConfigMaps, as `SecretMetadata` names them."""
        return self.secrets.union(map(config_map_reference, self.config_maps))

    @property
    def may_be_stuck(self) -> bool:
        """Whether all its old pods may be ones that are not ready, so that nothing replaces them."""
        counts = self.rollout.counts
        if counts is None or not (self.rollout.newest.value and self.selector):
            return False
        return self.progress is RolloutProgress.UNDER_WAY and counts.old <= counts.unavailable

    def with_pods(self, pods: Iterable[PodState]) -> "WorkloadState":
        """The state as its pods show it: without an old pod that is ready, nothing is left to replace."""
        ready = [pod for pod in pods if pod.is_serving]
        is_stuck = self.may_be_stuck and all(self.rollout.newest.includes(pod) for pod in ready)
        return replace(self, progress=RolloutProgress.UNAVAILABLE) if ready and is_stuck else self

    @property
    def obstacle_text(self) -> str:
        """`5 of 6 pods keep the old template: partition 5; …`, with what to do; empty without an obstacle.

        The pods are those that keep it now, or after the next change of the template.
        """
        if not self.obstacle:
            return ""
        details, counts, kept = self.rollout, self.rollout.counts, self.rollout.kept
        if self.progress is RolloutProgress.HELD and counts is not None and details.restart is None:
            kept = counts.wanted - counts.updated
        noun = counted(details.wanted, "pod").partition(" ")[2]
        verb = "keeps" if kept == 1 else "keep"
        return f"{kept} of {details.wanted} {noun} {verb} the old template: {details.kept_by}"


def workload_state_of(workload: Workload, stored: JSONObject) -> WorkloadState:
    """Read a stored object; `workload` is its metadata as of the same read.

    Raises:
        KeyError, TypeError, AttributeError, ValueError, OverflowError: it has not the shape of its kind.
    """
    spec = stored["spec"]
    template = _template(workload.kind.kind, spec)
    pod_spec = template.get("spec") or {}
    return WorkloadState(
        workload=workload,
        secrets=frozenset(secrets_of(pod_spec)),
        read_secrets=frozenset(read_secrets_of(pod_spec)),
        config_maps=frozenset(config_maps_of(pod_spec)),
        untracked_volumes=tuple(sorted((*untracked_volumes_of(pod_spec), *_unread_template(spec)))),
        progress=progress_of(workload.kind.kind, stored),
        rollout=details_of(workload.kind.kind, stored),
        obstacle=obstacle_of(workload.kind.kind, spec),
        template_annotations=_annotations(template),
        selector=_selector(spec),
        template_manager=_template_manager(stored["metadata"]),
        patched_at=max((time for _, time, _ in _managers(stored["metadata"], own=True)), default=None),
    )


def with_template_of(rollout: JSONObject, deployment: JSONObject | None) -> JSONObject:
    """The stored Rollout with the pod template and the selector of its stored Deployment."""
    if deployment is None:
        return rollout
    theirs = deployment.get("spec") or {}
    inherited = {name: theirs[name] for name in ("template", "selector") if theirs.get(name)}
    return {**rollout, "spec": {**inherited, **(rollout.get("spec") or {})}}


def template_annotations_of(kind: WorkloadKind, stored: JSONObject) -> Mapping[str, str]:
    """The annotations of the pod template of a stored object; raises as `workload_state_of`."""
    return _annotations(_template(kind.kind, stored["spec"]))


def _annotations(template: JSONObject) -> Mapping[str, str]:
    return (template.get("metadata") or {}).get("annotations") or {}


def _template(kind: str, spec: JSONObject) -> JSONObject:
    template: JSONObject = (spec["jobTemplate"]["spec"] if kind == "CronJob" else spec).get("template") or {}
    return template


def _unread_template(spec: JSONObject) -> Iterator[str]:
    """The template of another object that an Argo Rollout uses, if that object was not read."""
    reference = spec.get("workloadRef") or {}
    if reference and not spec.get("template"):
        yield f"the pod template of {object_name(str(reference.get('kind')), str(reference.get('name')))}"


def _selector(spec: JSONObject) -> str:
    """The label selector of the pods as a query; empty if there is none."""
    selector = spec.get("selector") or {}
    labels = selector.get("matchLabels") or {}
    return ",".join(
        (
            *(f"{key}={value}" for key, value in sorted(labels.items())),
            *map(_requirement, selector.get("matchExpressions") or ()),
        )
    )


def _requirement(expression: JSONObject) -> str:
    """One of `matchExpressions` as a query; raises KeyError for an operator that Kubernetes does not have."""
    values = ",".join(expression.get("values") or ())
    forms = {"In": "{} in ({})", "NotIn": "{} notin ({})", "Exists": "{}", "DoesNotExist": "!{}"}
    return forms[expression["operator"]].format(expression["key"], values)


def _template_manager(metadata: JSONObject) -> str:
    managers = [
        (time, name) for name, time, fields in _managers(metadata, own=False) if _has_template(fields)
    ]
    return max(managers, default=(None, ""))[1]


def _has_template(fields: JSONObject) -> bool:
    return "f:template" in (fields.get("f:spec") or {})


def _managers(metadata: JSONObject, *, own: bool) -> Iterator[tuple[str, datetime, JSONObject]]:
    """Name, time and fields of this operator's, or of the other, entries of `managedFields`.

    Controllers write the status by entries of their own.
    """
    for entry in metadata.get("managedFields") or ():
        name, time = str(entry.get("manager")), entry.get("time")
        if time and not entry.get("subresource") and (name == FIELD_MANAGER) is own:
            with suppress(ValueError):
                yield name, parse_time(time), entry.get("fieldsV1") or {}


# -- the Secrets and ConfigMaps that a pod template names, in every place where the API has such a name --


def secrets_of(pod_spec: JSONObject) -> Iterator[str]:
    """The names of the Secrets that the pods use."""
    yield from read_secrets_of(pod_spec)
    for volume in _entries_of(pod_spec, "volumes"):
        for kind, path in _SECRET_IN_VOLUME.items():
            yield from _named(volume, kind, *path)
    for reference in _entries_of(pod_spec, "imagePullSecrets"):
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
    for volume in _entries_of(pod_spec, "volumes"):
        attributes = (volume.get("csi") or {}).get("volumeAttributes") or {}
        if name := attributes.get("secretProviderClass"):
            yield f"SecretProviderClass {name}"


def _entries_of(holder: JSONObject, *fields: str) -> Iterator[JSONObject]:
    """The entries of these lists, of which any may be missing or null."""
    for name in fields:
        yield from holder.get(name) or ()


def _in_environment(pod_spec: JSONObject, of_variable: str, of_all: str) -> Iterator[str]:
    for container in _entries_of(pod_spec, "initContainers", "containers", "ephemeralContainers"):
        for variable in _entries_of(container, "env"):
            yield from _named(variable, "valueFrom", of_variable, "name")
        for source in _entries_of(container, "envFrom"):
            yield from _named(source, of_all, "name")


def _in_files(pod_spec: JSONObject, kind: str, name_field: str) -> Iterator[str]:
    """The objects of a kind whose data are mounted, alone or projected with others."""
    for volume in _entries_of(pod_spec, "volumes"):
        yield from _named(volume, kind, name_field)
        for source in _entries_of(volume.get("projected") or {}, "sources"):
            yield from _named(source, kind, "name")


def _named(holder: JSONObject, *path: str) -> Iterator[str]:
    found: Any = holder
    for step in path:
        found = (found or {}).get(step)
    if isinstance(found, str) and found:
        yield found
