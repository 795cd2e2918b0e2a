"""A workload in full: the Secrets of its pods and its rollout.

It is read one by one and only for a pending restart; lists stay metadata-only.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from infisical_events.api.resources import WorkloadKind
from infisical_events.core.restarts.workloads import Workload
from infisical_events.core.status.reasons import Reason

JSONObject = Mapping[str, Any]


class RolloutProgress(Enum):
    """How far a rollout has come, as `kubectl rollout status` judges it."""

    COMPLETE = auto()
    UNDER_WAY = auto()
    FAILED = auto()


@dataclass(frozen=True, slots=True)
class WorkloadState:
    """One workload as it was read.

    `read_secrets` are the Secrets that the containers read, without those for pulling images.
    `untracked_volumes` names what brings secrets into the pods without a Secret; `obstacle` is why a
    changed template would roll out nothing; `selector` finds the workload's pods.
    """

    workload: Workload
    secrets: frozenset[str] = frozenset()
    read_secrets: frozenset[str] = frozenset()
    untracked_volumes: tuple[str, ...] = ()
    progress: RolloutProgress = RolloutProgress.COMPLETE
    obstacle: Reason | None = None
    template_annotations: Mapping[str, str] = field(default_factory=dict)
    selector: str = ""


def workload_state_of(workload: Workload, stored: JSONObject) -> WorkloadState:
    """Read a stored object; `workload` is its metadata as of the same read.

    Raises:
        KeyError, TypeError, AttributeError, ValueError: it has not the shape of its kind.
    """
    spec = stored["spec"]
    template = _template(workload.kind.kind, spec)
    pod_spec = template.get("spec") or {}
    return WorkloadState(
        workload=workload,
        secrets=frozenset(_secrets(pod_spec)),
        read_secrets=frozenset(_read_secrets(pod_spec)),
        untracked_volumes=tuple(sorted(_untracked_volumes(pod_spec))),
        progress=_PROGRESS.get(workload.kind.kind, _always_complete)(
            spec, stored.get("status") or {}, stored["metadata"]
        ),
        obstacle=_obstacle(workload.kind.kind, spec),
        template_annotations=_annotations(template),
        selector=_selector(spec),
    )


def template_annotations_of(kind: WorkloadKind, stored: JSONObject) -> Mapping[str, str]:
    """The annotations of the pod template of a stored object; raises as `workload_state_of`."""
    return _annotations(_template(kind.kind, stored["spec"]))


def _annotations(template: JSONObject) -> Mapping[str, str]:
    return (template.get("metadata") or {}).get("annotations") or {}


def _template(kind: str, spec: JSONObject) -> JSONObject:
    template: JSONObject = (spec["jobTemplate"]["spec"] if kind == "CronJob" else spec).get("template") or {}
    return template


def _selector(spec: JSONObject) -> str:
    """Empty where labels alone do not find the pods."""
    selector = spec.get("selector") or {}
    labels = selector.get("matchLabels") or {}
    if selector.get("matchExpressions") or not labels:
        return ""
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def _secrets(pod_spec: JSONObject) -> Iterable[str]:
    """The names of the Secrets which the pods mount, read into their environment, or pull images with."""
    yield from _read_secrets(pod_spec)
    for reference in _each(pod_spec, "imagePullSecrets"):
        yield from _named({"reference": reference}, "reference", "name")


def _read_secrets(pod_spec: JSONObject) -> Iterable[str]:
    for container in _each(pod_spec, "initContainers", "containers", "ephemeralContainers"):
        for variable in _each(container, "env"):
            yield from _named(variable.get("valueFrom") or {}, "secretKeyRef", "name")
        for source in _each(container, "envFrom"):
            yield from _named(source, "secretRef", "name")
    for volume in _each(pod_spec, "volumes"):
        yield from _named(volume, "secret", "secretName")
        for source in _each(volume.get("projected") or {}, "sources"):
            yield from _named(source, "secret", "name")


def _untracked_volumes(pod_spec: JSONObject) -> Iterable[str]:
    """Volumes of the Secrets Store CSI driver: the driver fetches secrets without a Secret."""
    for volume in _each(pod_spec, "volumes"):
        attributes = (volume.get("csi") or {}).get("volumeAttributes") or {}
        if name := attributes.get("secretProviderClass"):
            yield f"SecretProviderClass {name}"


def _each(holder: JSONObject, *fields: str) -> Iterable[JSONObject]:
    for name in fields:
        yield from holder.get(name) or ()


def _named(holder: JSONObject, field_name: str, name: str) -> Iterable[str]:
    found = (holder.get(field_name) or {}).get(name)
    if isinstance(found, str) and found:
        yield found


def _obstacle(kind: str, spec: JSONObject) -> Reason | None:
    if kind in {"Deployment", "Rollout"} and spec.get("paused"):
        return Reason.ROLLOUT_PAUSED
    if kind in {"StatefulSet", "DaemonSet"} and (spec.get("updateStrategy") or {}).get("type") == "OnDelete":
        return Reason.ROLLOUT_ON_DELETE
    return None


def _always_complete(_spec: JSONObject, _status: JSONObject, _metadata: JSONObject) -> RolloutProgress:
    return RolloutProgress.COMPLETE


def _is_unobserved(status: JSONObject, metadata: JSONObject) -> bool:
    """Whether the controller has not processed the newest spec; Argo writes the generation as text."""
    return int(status.get("observedGeneration") or 0) < int(metadata["generation"])


def _progress(*conditions: bool) -> RolloutProgress:
    return RolloutProgress.UNDER_WAY if any(conditions) else RolloutProgress.COMPLETE


def _deployment(spec: JSONObject, status: JSONObject, metadata: JSONObject) -> RolloutProgress:
    if _is_unobserved(status, metadata):
        return RolloutProgress.UNDER_WAY
    if any(
        condition.get("reason") == "ProgressDeadlineExceeded" for condition in _each(status, "conditions")
    ):
        return RolloutProgress.FAILED
    updated = status.get("updatedReplicas") or 0
    return _progress(
        updated < spec.get("replicas", 1),
        (status.get("replicas") or 0) > updated,
        (status.get("availableReplicas") or 0) < updated,
    )


def _stateful_set(spec: JSONObject, status: JSONObject, metadata: JSONObject) -> RolloutProgress:
    if _is_unobserved(status, metadata):
        return RolloutProgress.UNDER_WAY
    wanted = spec.get("replicas", 1)
    strategy = spec.get("updateStrategy") or {}
    kept = (strategy.get("rollingUpdate") or {}).get("partition") or 0
    updated = status.get("updatedReplicas") or 0
    is_partial = kept > 0 or strategy.get("type") == "OnDelete"
    return _progress(
        (status.get("availableReplicas") or 0) < wanted,
        updated < max(0, wanted - kept),
        not is_partial and status.get("updateRevision") != status.get("currentRevision"),
    )


def _daemon_set(_spec: JSONObject, status: JSONObject, metadata: JSONObject) -> RolloutProgress:
    if _is_unobserved(status, metadata):
        return RolloutProgress.UNDER_WAY
    wanted = status.get("desiredNumberScheduled") or 0
    return _progress(
        (status.get("updatedNumberScheduled") or 0) < wanted, (status.get("numberAvailable") or 0) < wanted
    )


def _argo_rollout(spec: JSONObject, status: JSONObject, metadata: JSONObject) -> RolloutProgress:
    if _is_unobserved(status, metadata):
        return RolloutProgress.UNDER_WAY
    if status.get("phase") == "Degraded":
        return RolloutProgress.FAILED
    is_asked = spec.get("restartAt") and spec.get("restartAt") != status.get("restartedAt")
    return _progress(bool(is_asked), status.get("phase") not in {None, "Healthy"})


_PROGRESS = {
    "Deployment": _deployment,
    "StatefulSet": _stateful_set,
    "DaemonSet": _daemon_set,
    "Rollout": _argo_rollout,
}
