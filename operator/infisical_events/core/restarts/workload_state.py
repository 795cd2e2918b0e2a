"""A workload in full: the Secrets of its pods, its rollout, and other controllers that restart it.

It is read one by one and only for a pending restart; lists stay metadata-only.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from infisical_events.core.restarts.pod_references import (
    config_maps_of,
    entries_of,
    secrets_of,
    untracked_volumes_of,
)
from infisical_events.core.restarts.workloads import Workload
from infisical_events.core.status.reasons import Reason
from infisical_events.core.status.text import object_name
from infisical_events.core.sync.secret_metadata import config_map_reference

JSONObject = Mapping[str, Any]

_RELOADED_BY_INFISICAL = "secrets.infisical.com/auto-reload"
_RELOADER = "reloader.stakater.com"
_SWITCHES = (f"{_RELOADER}/auto", f"{_RELOADER}/search", f"secret.{_RELOADER}/auto")
_LISTS = (f"secret.{_RELOADER}/reload",)


class RolloutProgress(Enum):
    """How far a rollout has come, as `kubectl rollout status` judges it."""

    COMPLETE = auto()
    UNDER_WAY = auto()
    FAILED = auto()


@dataclass(frozen=True, slots=True)
class WorkloadState:
    """One workload as it was read.

    `secrets` and `config_maps` are those that its pods use, by name; `untracked_volumes` names what brings
    secrets into the pods without a Secret; `obstacle` is why a changed template would roll out nothing;
    `selector` finds the workload's pods.
    """

    workload: Workload
    secrets: frozenset[str] = frozenset()
    untracked_volumes: tuple[str, ...] = ()
    progress: RolloutProgress = RolloutProgress.COMPLETE
    obstacle: Reason | None = None
    template_annotations: Mapping[str, str] = field(default_factory=dict)
    selector: str = ""
    config_maps: frozenset[str] = frozenset()

    @property
    def references(self) -> frozenset[str]:
        """Its Secrets and ConfigMaps, as `SecretMetadata` names them."""
        return self.secrets.union(map(config_map_reference, self.config_maps))

    @property
    def other_reloader(self) -> str:
        """The annotation by which another controller restarts this workload; empty if none does."""
        marks = {**self.template_annotations, **self.workload.annotations}
        if marks.get(_RELOADED_BY_INFISICAL) == "true":
            return _RELOADED_BY_INFISICAL
        switched = (key for key in _SWITCHES if marks.get(key) == "true")
        listed = (key for key in _LISTS if marks.get(key))
        return next(itertools.chain(switched, listed), "")


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
        secrets=frozenset(secrets_of(pod_spec)),
        config_maps=frozenset(config_maps_of(pod_spec)),
        untracked_volumes=tuple(sorted((*untracked_volumes_of(pod_spec), *_unread_template(spec)))),
        progress=_PROGRESS.get(workload.kind.kind, _always_complete)(
            spec, stored.get("status") or {}, stored["metadata"]
        ),
        obstacle=_obstacle(workload.kind.kind, spec),
        template_annotations=(template.get("metadata") or {}).get("annotations") or {},
        selector=_selector(spec),
    )


def _template(kind: str, spec: JSONObject) -> JSONObject:
    template: JSONObject = (spec["jobTemplate"]["spec"] if kind == "CronJob" else spec).get("template") or {}
    return template


def _unread_template(spec: JSONObject) -> Iterator[str]:
    """The template of another object that an Argo Rollout uses, if that object was not read."""
    reference = spec.get("workloadRef") or {}
    if reference and not spec.get("template"):
        yield f"the pod template of {object_name(str(reference.get('kind')), str(reference.get('name')))}"


def _selector(spec: JSONObject) -> str:
    """Empty where labels alone do not find the pods."""
    selector = spec.get("selector") or {}
    labels = selector.get("matchLabels") or {}
    if selector.get("matchExpressions") or not labels:
        return ""
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


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
        condition.get("reason") == "ProgressDeadlineExceeded"
        for condition in entries_of(status, "conditions")
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
    # Without any status no controller has seen it, and nothing rolls out.
    if status.get("observedGeneration") and _is_unobserved(status, metadata):
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
