"""One pod of a workload: of which template it is, and whether and why it is not ready.

`rollouts` names by it what a rollout waits for, and `runtime.restarts.rollout_tracker` lists the pods.
Nothing else of a pod is kept: its environment may contain secrets.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from infisical_events.api.statuses import parse_time
from infisical_events.core.status.text import object_name, single_line

JSONObject = Mapping[str, Any]

REVISION_LABEL: Final = "controller-revision-hash"
"""Of a StatefulSet's pod: the name of its ControllerRevision (`status.updateRevision` is the newest)."""

GENERATION_LABEL: Final = "pod-template-generation"
"""Of a DaemonSet's pod: the generation of its template, as in the DaemonSet's own annotation."""

_LABELS: Final = (REVISION_LABEL, GENERATION_LABEL)
_MAX_REASON_LENGTH: Final = 100


@dataclass(frozen=True, slots=True)
class PodState:
    """A pod as it was listed.

    `reason` is why it is not ready, in one word of its kubelet or scheduler (`CrashLoopBackOff`,
    `Unschedulable`); empty if it is ready, or if nothing says why.
    """

    name: str
    created_at: datetime
    labels: Mapping[str, str]
    is_ready: bool = True
    is_terminating: bool = False
    reason: str = ""

    @property
    def is_serving(self) -> bool:
        """Whether it is ready and stays."""
        return self.is_ready and not self.is_terminating

    @property
    def ordinal(self) -> int:
        """Its number in a StatefulSet; -1 for other pods."""
        number = self.name.rpartition("-")[2]
        return int(number) if number.isdecimal() else -1

    def __str__(self) -> str:
        """`pod/db-0 is not ready (CrashLoopBackOff)`."""
        state = "is terminating" if self.is_terminating else "is ready" if self.is_ready else "is not ready"
        return f"{object_name('Pod', self.name)} {state}{f' ({self.reason})' if self.reason else ''}"


@dataclass(frozen=True, slots=True)
class PodRevision:
    """By what the pods of the newest template are recognized: a label, or their creation time.

    Without either no pod is recognized.
    """

    label: str = ""
    value: str = ""
    since: datetime | None = None

    def includes(self, pod: PodState) -> bool:
        """Whether a pod is of the newest template."""
        if self.since is not None:
            return pod.created_at >= self.since
        return bool(self.value) and pod.labels.get(self.label) == self.value


def pod_state_of(stored: JSONObject) -> PodState:
    """Read a pod.

    Raises:
        KeyError, TypeError, AttributeError, ValueError: it has not the shape of a pod.
    """
    metadata, status = stored["metadata"], stored.get("status") or {}
    conditions = {condition["type"]: condition for condition in status.get("conditions") or ()}
    is_ready = conditions.get("Ready", {}).get("status") == "True"
    labels = metadata.get("labels") or {}
    return PodState(
        name=metadata["name"],
        created_at=parse_time(metadata["creationTimestamp"]),
        labels={label: labels[label] for label in _LABELS if label in labels},
        is_ready=is_ready,
        is_terminating="deletionTimestamp" in metadata,
        reason="" if is_ready else single_line(_reason(status, conditions))[:_MAX_REASON_LENGTH],
    )


def _reason(status: JSONObject, conditions: Mapping[str, JSONObject]) -> str:
    """The most specific reason first: of a container, of the scheduler, of the pod, of its readiness."""
    containers = (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))
    states = [(container.get("state") or {}).get("waiting") or {} for container in containers]
    scheduled = conditions.get("PodScheduled", {})
    candidates = (
        *(state.get("reason") for state in states),
        scheduled.get("reason") if scheduled.get("status") == "False" else None,
        status.get("reason"),
        conditions.get("Ready", {}).get("reason"),
    )
    return next((str(reason) for reason in candidates if reason), "")


def first_not_ready(pods: Iterable[PodState]) -> PodState | None:
    """The pod with the lowest ordinal that is not ready; None if all are."""
    return min((pod for pod in pods if not pod.is_serving), key=lambda pod: pod.ordinal, default=None)
