"""The end of a rollout: available, failed, held by the spec, or replaced by another change of the template.

A workload whose controller has a deadline of its own (`progressDeadlineSeconds` of a Deployment) has failed
when the controller says so. Any other has failed after `STALL` without progress, however long it takes as a
whole. A failed or held rollout is tracked on: it may still come to a good end.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from infisical_events.api import annotations
from infisical_events.api.resources import Restarting
from infisical_events.api.specs import OnReverted
from infisical_events.core.ledger.ledger import Rollout, is_revision_at_least
from infisical_events.core.restarts.restart_records import restart_record_of
from infisical_events.core.restarts.reverted_restarts import reverted_restart
from infisical_events.core.status.reasons import Reason
from infisical_events.core.status.text import counted, object_name, preview
from infisical_events.core.workloads.pod_states import PodState, first_not_ready
from infisical_events.core.workloads.rollout_progress import PodCounts, RolloutProgress
from infisical_events.core.workloads.workload_state import WorkloadState
from infisical_events.core.workloads.workloads import Workload

STALL = timedelta(minutes=10)
"""Without progress for so long a rollout has failed: the default deadline of a Deployment."""

_QUIET = timedelta(seconds=20)
"""Without progress for so long a controller has replaced what it can replace now."""

_PRECISION = timedelta(seconds=10)
"""Progress is stored no more often: each time costs a write of the ledger."""

_MAX_PODS = 3
"""Pods that one message names."""


@dataclass(frozen=True, slots=True)
class RolloutUpdate:
    """A rollout as of now.

    Attributes:
        rollout: The rollout, marked as failed or held if it is.
        result: What has just happened to it; None when nothing has.
        is_kept: Whether it stays in the ledger: its pods are not all new and available yet.
        cause: What it waits for, or why pods keep the old template; empty if nothing is known.
        is_blocked: Whether its controller replaces no pod until a person acts.
        obstacle: What in the spec of the workload keeps the old template on pods; None if nothing does.
        workload: The workload; None if it is gone or could not be read.
        is_repeated: Whether the restart was taken back and becomes pending again now.
        old_pods: The pods that a restart which was taken back did not replace.
    """

    rollout: Rollout
    result: Reason | None = None
    is_kept: bool = True
    cause: str = ""
    is_blocked: bool = False
    obstacle: Reason | None = None
    workload: Workload | None = None
    is_repeated: bool = False
    old_pods: tuple[PodState, ...] = ()


@dataclass(frozen=True, slots=True)
class TrackedRevision:
    """By what the rollouts of one subscription are recognised: its name and the ledger's epoch.

    `on_reverted` is what its spec asks for where another client takes a restart back.
    """

    subscription: str
    epoch: str
    on_reverted: OnReverted = OnReverted.WARN


def rollout_update(
    rollout: Rollout,
    state: WorkloadState | None,
    tracked: TrackedRevision,
    now: datetime,
    pods: Sequence[PodState] | None = (),
) -> RolloutUpdate:
    """What has become of a rollout.

    Args:
        rollout: As of the last update.
        state: Its workload; None if that is gone.
        tracked: By what it is recognised.
        now: The time.
        pods: The workload's pods, if `needs_pods`; None if they cannot be listed. Without them less is known.
    """
    if state is None or state.workload.uid != rollout.uid:
        return RolloutUpdate(rollout, Reason.WORKLOAD_GONE, is_kept=False)
    if not has_revision(state, rollout, tracked):
        return _without_revision(rollout, state, tracked, now, pods)
    pods = pods or ()
    seen = _with_progress(replace(rollout, reverted_at=None), state, pods, now)
    progress = _progress(seen, state, pods, now)
    if progress is RolloutProgress.COMPLETE:
        result = Reason.ROLLOUT_RESUMED if rollout.has_failed else Reason.ROLLED_OUT
        return RolloutUpdate(rollout, result, is_kept=False, workload=state.workload)
    if progress is RolloutProgress.HELD:
        return _held(seen, state)
    return _unfinished(seen, state, progress, pods, now)


def _without_revision(
    rollout: Rollout,
    state: WorkloadState,
    tracked: TrackedRevision,
    now: datetime,
    pods: Sequence[PodState] | None,
) -> RolloutUpdate:
    """Another template took the place of the restart's: done if no pod is older than the restart."""
    if state.progress is RolloutProgress.UNDER_WAY and rollout.reverted_at is None:
        return RolloutUpdate(rollout, cause="another template rolls out", workload=state.workload)
    reverted = reverted_restart(rollout, state, pods, tracked.subscription, tracked.on_reverted)
    if reverted.is_done or state.workload.kind.restarting is not Restarting.BY_TEMPLATE:
        return RolloutUpdate(rollout, Reason.ROLLOUT_SUPERSEDED, is_kept=False, workload=state.workload)
    retry_at = reverted.retry_at(rollout)
    if retry_at is not None and now >= retry_at:
        return RolloutUpdate(rollout, is_kept=False, workload=state.workload, is_repeated=True)
    is_new = rollout.reverted_at is None
    if is_new:
        rollout = replace(rollout, reverts=rollout.reverts + 1, reverted_at=now, has_failed=False)
    return RolloutUpdate(
        rollout,
        Reason.RESTART_REVERTED if is_new else None,
        cause=reverted.cause(rollout),
        workload=state.workload,
        old_pods=reverted.old_pods or (),
    )


def needs_pods(
    rollout: Rollout, state: WorkloadState | None, tracked: TrackedRevision, now: datetime
) -> bool:
    """Whether the pods would say more than the workload: it does not move, or its counts cannot show it."""
    if state is None or not state.selector:
        return False
    if not has_revision(state, rollout, tracked):
        return True
    progress = state.rollout.restart or state.progress
    is_over = progress in {RolloutProgress.COMPLETE, RolloutProgress.HELD}
    return not is_over and now >= _last_progress(rollout, now) + _PRECISION / 2


def has_revision(state: WorkloadState, rollout: Rollout, tracked: TrackedRevision) -> bool:
    """Whether the pods that roll out are those of the restart."""
    if state.workload.kind.restarting is not Restarting.BY_TEMPLATE:
        record = restart_record_of(state.workload)
        return record.has_revision(tracked.subscription, tracked.epoch, rollout.seq)
    revision = state.template_annotations.get(annotations.revision_key(tracked.subscription), "")
    return is_revision_at_least(revision, tracked.epoch, rollout.seq)


# -- progress -------------------------------------------------------------------------------------


def _last_progress(rollout: Rollout, now: datetime) -> datetime:
    """Since when nothing has moved; a time in the future is another clock's."""
    return min(rollout.progressed_at or rollout.begun_at, now)


def _mark(state: WorkloadState, pods: Sequence[PodState]) -> tuple[int, int] | None:
    """How far it is; more in the first place, or equal there and more in the second, is progress.

    A pod that becomes ready again and again, and is never replaced, is none. The counts of an Argo Rollout
    show no restart: its pods do.
    """
    details = state.rollout
    if details.restart is not None:
        new = [pod for pod in pods if details.newest.includes(pod)]
        return (len(new), sum(pod.is_serving for pod in new)) if pods else None
    counts = details.counts
    return (counts.updated - counts.old, counts.available) if counts else None


def _with_progress(
    rollout: Rollout, state: WorkloadState, pods: Sequence[PodState], now: datetime
) -> Rollout:
    """The rollout with its newest progress, and without what is over."""
    mark, since = _mark(state, pods), _last_progress(rollout, now)
    is_recovered = state.rollout.counts is not None and state.progress is not RolloutProgress.FAILED
    seen = replace(rollout, was_failed=rollout.was_failed and not is_recovered)
    if seen.progressed_at is not None:
        goes_on = state.rollout.has_deadline and state.progress is RolloutProgress.UNDER_WAY
        is_over = seen.has_failed and now > since + STALL and not goes_on
        seen = replace(seen, progressed_at=None if is_over else since)
    if mark is None or seen.mark is None:
        return seen if mark is None else replace(seen, mark=mark)
    is_due = seen.has_failed or now >= since + _PRECISION
    return replace(seen, mark=mark, progressed_at=now) if mark > seen.mark and is_due else seen


def _progress(
    rollout: Rollout, state: WorkloadState, pods: Sequence[PodState], now: datetime
) -> RolloutProgress:
    """How far the restart is, whatever the workload was before it."""
    progress = state.rollout.restart or state.progress
    if progress is RolloutProgress.FAILED and rollout.was_failed:
        progress = RolloutProgress.UNDER_WAY
    is_unfinished = progress in {RolloutProgress.UNDER_WAY, RolloutProgress.UNAVAILABLE}
    if is_unfinished and _is_as_before(rollout, state, pods, now):
        return RolloutProgress.COMPLETE
    return progress


def _is_as_before(rollout: Rollout, state: WorkloadState, pods: Sequence[PodState], now: datetime) -> bool:
    """Whether only as many pods are missing as before the restart, and all that are ready are new.

    So a dead node's pod, which nothing replaces, does not count against the restart.
    """
    counts, newest = state.rollout.counts, state.rollout.newest
    if counts is None or not 0 < rollout.unavailable < counts.wanted:
        return False
    if now < _last_progress(rollout, now) + _QUIET:
        return False
    ready = [pod for pod in pods if pod.is_serving]
    is_new = bool(ready) and all(newest.includes(pod) for pod in ready)
    return is_new and counts.wanted - len(ready) <= rollout.unavailable


# -- what has not ended ---------------------------------------------------------------------------


def _held(rollout: Rollout, state: WorkloadState) -> RolloutUpdate:
    """The controller has done what the spec lets it do; this is said once."""
    result = None if rollout.is_held else state.obstacle
    held = replace(rollout, is_held=True, has_failed=False)
    return RolloutUpdate(
        held, result, cause=state.obstacle_text, obstacle=state.obstacle, workload=state.workload
    )


def _unfinished(
    rollout: Rollout,
    state: WorkloadState,
    progress: RolloutProgress,
    pods: Sequence[PodState],
    now: datetime,
) -> RolloutUpdate:
    if rollout.is_held:  # resumed: its time begins now
        rollout = replace(rollout, is_held=False, progressed_at=now)
    is_stalled = not state.rollout.has_deadline and now > _last_progress(rollout, now) + STALL
    has_failed = progress is RolloutProgress.FAILED or is_stalled
    result = Reason.ROLLOUT_FAILED if has_failed and not rollout.has_failed else None
    if result:
        rollout = replace(rollout, has_failed=True, progressed_at=None, mark=_mark(state, pods))
    blocking = _blocking_pod(state, pods)
    return RolloutUpdate(
        rollout,
        result,
        cause=_blocked_text(state, blocking) if blocking else _cause(state, progress, pods),
        is_blocked=blocking is not None,
        workload=state.workload,
    )


def _blocking_pod(state: WorkloadState, pods: Sequence[PodState]) -> PodState | None:
    """The pod of the old template for which an ordered controller waits: it does not replace it itself."""
    details, pod = state.rollout, first_not_ready(pods)
    if not details.is_ordered or pod is None or pod.is_terminating or details.newest.includes(pod):
        return None
    return pod if state.progress is RolloutProgress.UNDER_WAY and details.newest.value else None


def _blocked_text(state: WorkloadState, pod: PodState) -> str:
    reason = f" ({pod.reason})" if pod.reason else ""
    return (
        f"the {state.workload.kind.kind} controller waits for {object_name('Pod', pod.name)}, which is not "
        f"ready{reason} and has the old template; delete the pod to let the rollout proceed"
    )


def _cause(state: WorkloadState, progress: RolloutProgress, pods: Sequence[PodState]) -> str:
    """What the rollout waits for, as far as the workload and its pods show it."""
    details = state.rollout
    waiting = preview([pod for pod in pods if not pod.is_serving], _MAX_PODS)
    remaining = [pod for pod in pods if details.restart and not details.newest.includes(pod)]
    old = preview([object_name("Pod", pod.name) for pod in remaining], _MAX_PODS)
    is_counted = details.counts is not None and details.restart is None
    parts = (
        details.message,
        waiting,
        f"not restarted yet: {old}" if old and progress is not RolloutProgress.UNAVAILABLE else "",
        _counts_text(details.counts) if is_counted and details.counts else "",
    )
    return "; ".join(filter(None, parts))


def _counts_text(counts: PodCounts) -> str:
    """`2 of 3 pods are updated, 2 are available`."""
    return (
        f"{counts.updated} of {counted(counts.wanted, 'pod')} {_be(counts.wanted)} updated, "
        f"{counts.available} {_be(counts.available)} available"
    )


def _be(number: int) -> str:
    return "is" if number == 1 else "are"
