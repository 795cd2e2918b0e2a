"""How far the rollout of a workload is, as `kubectl rollout status` and its own controller judge it.

A rollout replaces pods of an old template. Pods that are not available are no rollout: `UNAVAILABLE`. The
rules are those of kubectl (`polymorphichelpers/rollout_status.go`), of the controllers
(`deployment/progress.go`, `statefulset/stateful_set_control.go`, `daemon/update.go`) and of Argo Rollouts
(`utils/rollout/rolloututil.go`, `rollout/restart.go`). `workload_state` reads them for one workload.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from typing import Any, Final

from infisical_events.api.statuses import parse_time
from infisical_events.core.status.reasons import Reason
from infisical_events.core.status.text import single_line
from infisical_events.core.workloads.pod_states import GENERATION_LABEL, REVISION_LABEL, PodRevision

JSONObject = Mapping[str, Any]

_TEMPLATE_GENERATION: Final = "deprecated.daemonset.template.generation"
_MAX_MESSAGE_LENGTH: Final = 300


OBSTACLES: Final = frozenset({Reason.ROLLOUT_PAUSED, Reason.ROLLOUT_ON_DELETE, Reason.ROLLOUT_PARTITIONED})
"""Why pods keep the old template because the spec of their workload says so."""


class RolloutProgress(Enum):
    """How far a rollout is."""

    COMPLETE = auto()
    """All pods have the newest template and are available, or the controller has recorded that they were."""
    UNAVAILABLE = auto()
    """All pods have the newest template, and some are not available."""
    UNDER_WAY = auto()
    """The controller replaces pods of an old template, or has not observed the newest one."""
    HELD = auto()
    """The spec keeps the old template on some pods: paused, `OnDelete`, or a partition."""
    FAILED = auto()
    """The controller reports a failure: its deadline has passed, or the Argo Rollout is degraded."""


@dataclass(frozen=True, slots=True)
class PodCounts:
    """Numbers of pods as the controller reports them; `updated` have the newest template."""

    wanted: int
    total: int
    updated: int
    available: int

    @property
    def old(self) -> int:
        """Pods of an old template."""
        return max(0, self.total - self.updated)

    @property
    def unavailable(self) -> int:
        """Pods that should be available and are not."""
        return max(0, self.wanted - self.available)


@dataclass(frozen=True, slots=True)
class RolloutDetails:
    """What is behind the progress of a rollout.

    Attributes:
        counts: None while the controller has not observed the newest spec.
        wanted: How many pods there should be.
        kept: How many of them keep the old template because of the spec, as long as it is as it is.
        kept_by: What in the spec keeps them, and what to do; empty if nothing does.
        rolls_partly: Whether the other pods get the newest template all the same (a partition).
        has_deadline: Whether the controller itself decides when the rollout has failed.
        is_ordered: Whether the controller replaces no pod while any other pod is not ready.
        restart: How far a restart by `restartAt` is, whatever the rollout of the template does; else None.
        newest: By what the pods of the newest template, or those made by the restart, are recognized.
        message: Why the rollout does not proceed, in the controller's words; empty if it does not say.
    """

    counts: PodCounts | None = None
    wanted: int = 0
    kept: int = 0
    kept_by: str = ""
    rolls_partly: bool = False
    has_deadline: bool = False
    is_ordered: bool = False
    restart: RolloutProgress | None = None
    newest: PodRevision = field(default_factory=PodRevision)
    message: str = ""


@dataclass(frozen=True, slots=True)
class _Rollout:
    """The parts of a stored object that the rules need."""

    spec: JSONObject
    status: JSONObject
    metadata: JSONObject

    @property
    def replicas(self) -> int:
        return int(self.spec.get("replicas", 1))

    @property
    def strategy(self) -> JSONObject:
        """Of a StatefulSet or DaemonSet."""
        return self.spec.get("updateStrategy") or {}

    @property
    def is_on_delete(self) -> bool:
        return self.strategy.get("type") == "OnDelete"

    @property
    def is_observed(self) -> bool:
        """Argo Rollouts writes the generation as text; versions before 0.10 wrote a hash there."""
        observed = self.status.get("observedGeneration")
        if isinstance(observed, str) and not observed.isdecimal():
            return True
        return int(observed or 0) >= int(self.metadata["generation"])

    def count(self, name: str) -> int:
        return int(self.status.get(name) or 0)

    def condition(self, kind: str) -> JSONObject:
        found = (each for each in self.status.get("conditions") or () if each.get("type") == kind)
        return next(found, {})


def progress_of(kind: str, stored: JSONObject) -> RolloutProgress:
    """How far the rollout of a stored object is; kinds that run once are complete.

    Raises:
        KeyError, TypeError, AttributeError, ValueError, OverflowError: it has not the shape of its kind.
    """
    rules = _RULES.get(kind)
    return rules.progress(_read(stored)) if rules else RolloutProgress.COMPLETE


def details_of(kind: str, stored: JSONObject) -> RolloutDetails:
    """What is behind that progress; raises as `progress_of`."""
    rules = _RULES.get(kind)
    return rules.details(_read(stored)) if rules else RolloutDetails()


def obstacle_of(kind: str, spec: JSONObject) -> Reason | None:
    """Why pods keep the old template although a new one was stored; None if they do not."""
    if kind in {"Deployment", "Rollout"} and spec.get("paused"):
        return Reason.ROLLOUT_PAUSED
    strategy = spec.get("updateStrategy") or {}
    if kind in {"StatefulSet", "DaemonSet"} and strategy.get("type") == "OnDelete":
        return Reason.ROLLOUT_ON_DELETE
    is_partitioned = kind == "StatefulSet" and _partition(strategy) > 0 and spec.get("replicas", 1) > 0
    return Reason.ROLLOUT_PARTITIONED if is_partitioned else None


def _read(stored: JSONObject) -> _Rollout:
    return _Rollout(stored["spec"], stored.get("status") or {}, stored["metadata"])


def _partition(strategy: JSONObject) -> int:
    return int((strategy.get("rollingUpdate") or {}).get("partition") or 0)


def _unobserved(*, keeps_all: bool) -> RolloutProgress:
    """Before the controller has observed the spec, which may not let it replace any pod."""
    return RolloutProgress.HELD if keeps_all else RolloutProgress.UNDER_WAY


def _by_availability(counts: PodCounts) -> RolloutProgress:
    return RolloutProgress.UNAVAILABLE if counts.unavailable else RolloutProgress.COMPLETE


def _observed(rollout: _Rollout, counts: PodCounts) -> PodCounts | None:
    return counts if rollout.is_observed else None


def _unobserved_message(rollout: _Rollout) -> str:
    return "" if rollout.is_observed else "its controller has not observed the newest spec"


def _words(*messages: object) -> str:
    """The first message of a controller that says something."""
    found = next((str(message) for message in messages if message), "")
    return single_line(found)[:_MAX_MESSAGE_LENGTH].rstrip(".")


# -- Deployment -----------------------------------------------------------------------------------


def _deployment_counts(rollout: _Rollout) -> PodCounts:
    return PodCounts(
        wanted=rollout.replicas,
        total=rollout.count("replicas"),
        updated=rollout.count("updatedReplicas"),
        available=rollout.count("availableReplicas"),
    )


def _deployment(rollout: _Rollout) -> RolloutProgress:
    if not rollout.is_observed:
        return _unobserved(keeps_all=bool(rollout.spec.get("paused")))
    counts, reason = _deployment_counts(rollout), rollout.condition("Progressing").get("reason")
    is_replaced = not counts.old and counts.updated >= counts.wanted
    if rollout.spec.get("paused") and not is_replaced:
        return RolloutProgress.HELD
    if reason == "ProgressDeadlineExceeded":
        return RolloutProgress.FAILED
    # Strategy Recreate has no pods at all before the new ReplicaSet exists, and the old condition still.
    if reason == "NewReplicaSetAvailable" and not counts.old and (counts.updated or not counts.wanted):
        return RolloutProgress.COMPLETE
    if not is_replaced or (reason and counts.unavailable):
        return RolloutProgress.UNDER_WAY
    return _by_availability(counts)


def _deployment_details(rollout: _Rollout) -> RolloutDetails:
    counts, progressing = _deployment_counts(rollout), rollout.condition("Progressing")
    is_paused = bool(rollout.spec.get("paused"))
    problem = rollout.condition("ReplicaFailure").get("message")
    late = progressing.get("message") if progressing.get("status") == "False" else ""
    return RolloutDetails(
        counts=_observed(rollout, counts),
        wanted=counts.wanted,
        kept=counts.wanted if is_paused else 0,
        kept_by="the rollout is paused; resume it to replace them" if is_paused else "",
        has_deadline=rollout.is_observed and bool(progressing),
        message=_unobserved_message(rollout) or _words(problem, late),
    )


# -- StatefulSet ----------------------------------------------------------------------------------


def _stateful_set_counts(rollout: _Rollout) -> PodCounts:
    updated = rollout.count("updatedReplicas")
    return PodCounts(
        wanted=rollout.replicas,
        total=int(rollout.status.get("replicas") or updated),
        updated=updated,
        available=rollout.count("availableReplicas"),
    )


def _stateful_set_kept(rollout: _Rollout) -> int:
    kept = rollout.replicas if rollout.is_on_delete else _partition(rollout.strategy)
    return min(kept, rollout.replicas)


def _stateful_set(rollout: _Rollout) -> RolloutProgress:
    counts, kept = _stateful_set_counts(rollout), _stateful_set_kept(rollout)
    if not rollout.is_observed:
        return _unobserved(keeps_all=0 < counts.wanted <= kept)
    is_newest = rollout.status.get("updateRevision") == rollout.status.get("currentRevision")
    if is_newest and not counts.old:
        return _by_availability(counts)
    if counts.updated < counts.wanted - kept or not kept:
        return RolloutProgress.UNDER_WAY
    if counts.updated >= counts.wanted or (kept < counts.wanted and counts.unavailable):
        return _by_availability(counts)
    return RolloutProgress.HELD


def _stateful_set_details(rollout: _Rollout) -> RolloutDetails:
    kept = _stateful_set_kept(rollout)
    partition = f"partition {_partition(rollout.strategy)}; lower the partition to replace them"
    return RolloutDetails(
        counts=_observed(rollout, _stateful_set_counts(rollout)),
        wanted=rollout.replicas,
        kept=kept,
        kept_by=(_ON_DELETE if rollout.is_on_delete else partition) if kept else "",
        rolls_partly=0 < kept < rollout.replicas,
        is_ordered=rollout.spec.get("podManagementPolicy", "OrderedReady") == "OrderedReady",
        newest=PodRevision(REVISION_LABEL, str(rollout.status.get("updateRevision") or "")),
        message=_unobserved_message(rollout),
    )


_ON_DELETE: Final = "the update strategy is OnDelete; delete the pods to replace them"


# -- DaemonSet ------------------------------------------------------------------------------------


def _daemon_set_counts(rollout: _Rollout) -> PodCounts:
    wanted = rollout.count("desiredNumberScheduled")
    return PodCounts(
        wanted=wanted,
        total=int(rollout.status.get("currentNumberScheduled", wanted)),
        updated=rollout.count("updatedNumberScheduled"),
        available=rollout.count("numberAvailable"),
    )


def _daemon_set(rollout: _Rollout) -> RolloutProgress:
    if not rollout.is_observed:
        return _unobserved(keeps_all=rollout.is_on_delete)
    counts = _daemon_set_counts(rollout)
    if not counts.old:
        return _by_availability(counts)
    return RolloutProgress.HELD if rollout.is_on_delete else RolloutProgress.UNDER_WAY


def _daemon_set_details(rollout: _Rollout) -> RolloutDetails:
    counts = _daemon_set_counts(rollout)
    generation = (rollout.metadata.get("annotations") or {}).get(_TEMPLATE_GENERATION, "")
    return RolloutDetails(
        counts=_observed(rollout, counts),
        wanted=counts.wanted,
        kept=counts.wanted if rollout.is_on_delete else 0,
        kept_by=_ON_DELETE if rollout.is_on_delete else "",
        newest=PodRevision(GENERATION_LABEL, str(generation)),
        message=_unobserved_message(rollout),
    )


# -- Argo Rollout ---------------------------------------------------------------------------------


def _argo_restart(rollout: _Rollout) -> RolloutProgress:
    """How far the restart by `restartAt` is: also while a canary is paused, or was aborted before.

    A status without any count of pods says nothing against `restartedAt`.
    """
    if not rollout.is_observed:
        return _unobserved(keeps_all=bool(rollout.spec.get("paused")))
    asked, done = _time(rollout.spec.get("restartAt")), _time(rollout.status.get("restartedAt"))
    if not asked or asked == done:
        counts = _deployment_counts(rollout)
        return _by_availability(counts) if counts.total else RolloutProgress.COMPLETE
    if rollout.spec.get("paused"):
        return RolloutProgress.HELD
    is_degraded = rollout.status.get("phase") == "Degraded"
    return RolloutProgress.FAILED if is_degraded else RolloutProgress.UNDER_WAY


def _argo_rollout(rollout: _Rollout) -> RolloutProgress:
    """A canary that is paused at a step replaces no pods until a person or its timer promotes it."""
    if not rollout.status:  # no controller has seen it: nothing rolls out
        return RolloutProgress.COMPLETE
    restart = _argo_restart(rollout)
    if restart not in {RolloutProgress.COMPLETE, RolloutProgress.UNAVAILABLE}:
        return restart
    phases = {"Progressing": RolloutProgress.UNDER_WAY, "Degraded": RolloutProgress.FAILED}
    return phases.get(str(rollout.status.get("phase")), restart)


def _argo_rollout_details(rollout: _Rollout) -> RolloutDetails:
    counts, is_paused = _deployment_counts(rollout), bool(rollout.spec.get("paused"))
    return RolloutDetails(
        counts=_observed(rollout, counts),
        wanted=counts.wanted,
        kept=counts.wanted if is_paused else 0,
        kept_by="the Rollout is paused; resume it to replace them" if is_paused else "",
        restart=_argo_restart(rollout),
        newest=PodRevision(since=_time(rollout.spec.get("restartAt"))),
        message=_unobserved_message(rollout) or _words(rollout.status.get("message")),
    )


def _time(text: object) -> datetime | None:
    """In whole seconds, as Argo Rollouts compares them; None for what is no time."""
    try:
        return parse_time(str(text)).replace(microsecond=0) if text else None
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class _Rules:
    progress: Callable[[_Rollout], RolloutProgress]
    details: Callable[[_Rollout], RolloutDetails]


_RULES: Final = {
    "Deployment": _Rules(_deployment, _deployment_details),
    "StatefulSet": _Rules(_stateful_set, _stateful_set_details),
    "DaemonSet": _Rules(_daemon_set, _daemon_set_details),
    "Rollout": _Rules(_argo_rollout, _argo_rollout_details),
}
