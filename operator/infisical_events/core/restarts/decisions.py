"""What to do about one pending restart now: one pure function of what was gathered for it.

`runtime.restarts.gatherer` reads everything first; `decide` answers with one of `decision_kinds`.

The rules stand in `decide` in the order in which they apply. A new rule is a function from `GatheredWorkload`
(and the policy and the time) to a decision or None, with a place in that order and a plain-value test.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from infisical_events.api.resources import Restarting
from infisical_events.api.specs import Action, OnTimeout
from infisical_events.core.ledger.ledger import Rollout
from infisical_events.core.restarts.decision_kinds import (
    Defer,
    RecordCoverage,
    RequestSync,
    Resolve,
    Restart,
    RestartDecision,
)
from infisical_events.core.restarts.planner import (
    Deferred,
    PlannedAction,
    Resolved,
    RestartNow,
    RestartPolicy,
    begun_rollout,
)
from infisical_events.core.restarts.restart_records import restart_record_of
from infisical_events.core.status.reasons import Reason
from infisical_events.core.sync.sync_state import SyncState
from infisical_events.core.sync.workload_sync_state import (
    WorkloadSecrets,
    WorkloadSyncState,
    providers_to_request,
    sync_state_of,
    unconfirmed_sync,
)
from infisical_events.core.workloads.other_reloaders import (
    OtherReloader,
    ReadSecret,
    is_marked,
    other_reloader,
)
from infisical_events.core.workloads.rollout_progress import RolloutProgress
from infisical_events.core.workloads.workload_state import WorkloadState
from infisical_events.core.workloads.workloads import Workload

_LONGEST_WAIT = timedelta(minutes=5)
"""How long a rollout that another party started is waited for: it may be stuck for want of this restart."""

_WATCH = timedelta(minutes=10)
"""How long an unresponsive provider is watched after a restart: its sync may have read an older state."""

_CLOCK_TOLERANCE = timedelta(seconds=2)
"""The API server's times are whole seconds, and its replicas may have clocks of their own."""

_NOT_ROLLING = {RolloutProgress.COMPLETE, RolloutProgress.UNAVAILABLE}
"""Progress of a workload whose pods all have the newest template, available or not."""


@dataclass(frozen=True, slots=True)
class GatheredWorkload:
    """What was read about one workload with a pending restart.

    Attributes:
        planned: What the ledger and the workload's metadata ask for.
        state: The workload in full; None when it is not there, or could not be read.
        error_message: Why it could not be read, in the API server's words; empty if it could.
        secrets: Its Secrets; None when nothing has to be synced.
        read_secrets: The Secrets that its pods read, by name, if another tool may restart it.
        is_rolling_out: Whether a restart by this subscription is still rolling out.
        pod_creation_times: When its pods were made; empty when nothing hangs on that.
        requests: The sync requests of this round, as `sync_state_of` takes them.
    """

    planned: RestartNow
    state: WorkloadState | None = None
    error_message: str = ""
    secrets: WorkloadSecrets | None = None
    read_secrets: Mapping[str, ReadSecret] = field(default_factory=dict)
    is_rolling_out: bool = False
    pod_creation_times: tuple[datetime, ...] = ()
    requests: Mapping[str, str] = field(default_factory=dict)


def decided_by_plan(action: PlannedAction) -> Defer | Resolve | None:
    """The decision that the ledger and the metadata alone allow; None when more has to be gathered."""
    if isinstance(action, Deferred):
        return Defer(
            pending=action.pending,
            workload=action.workload,
            note=action.note,
            reason=action.reason,
            until=action.until,
        )
    if isinstance(action, Resolved):
        return Resolve(
            pending=action.pending,
            workload=action.workload,
            reason=action.reason,
            unconfirmed=action.unconfirmed,
        )
    return None


def decide(gathered: GatheredWorkload, policy: RestartPolicy, now: datetime) -> RestartDecision:
    """The decision about one workload: the first rule that applies."""
    planned, state = gathered.planned, gathered.state
    pending = planned.pending
    if gathered.error_message:
        reason, note = Reason.KUBERNETES_API_ERROR, gathered.error_message
        return Defer(pending=pending, workload=planned.workload, reason=reason, note=note)
    if state is None or not _is_same_workload(state.workload, planned.workload):
        return Defer(pending=pending, workload=planned.workload, reason=Reason.WORKLOAD_MODIFIED)
    if gathered.secrets is None:
        if other := other_reloader_of(gathered):
            reason = Reason.MANAGED_BY_OTHER_CONTROLLER
            return Resolve(
                pending=pending, workload=planned.workload, reason=reason, note=str(other), state=state
            )
        watched = unconfirmed_sync(pending.unconfirmed)
        return Restart(pending=pending, workload=state.workload, state=state, sync=watched)
    sync = sync_state_of(gathered.secrets, now, gathered.requests)
    return (
        _sync_first(gathered, gathered.secrets, state, sync, now)
        or _wait_for_sync(gathered, policy, state, sync, now)
        or _covered_by_neighbour(gathered, state, sync, now)
        or _resolve_by_content(gathered, state, sync)
        or _with_other_rollout(gathered, gathered.secrets, state, sync, now)
        or Restart(pending=pending, workload=state.workload, note=sync.note, state=state, sync=sync)
    )


def needs_secrets(gathered: GatheredWorkload) -> bool:
    """Whether the decision hangs on the workload's Secrets, which reading may also bring up to date."""
    planned, state = gathered.planned, gathered.state
    return (
        state is not None
        and planned.action is not Action.RESTART
        and not planned.pending.reverts  # its Secrets were in sync when the restart was made before
        and _is_same_workload(state.workload, planned.workload)
    )


def needs_pods(gathered: GatheredWorkload, now: datetime) -> bool:
    """Whether the decision hangs on which pods a rollout of another party has left."""
    state = gathered.state
    is_stuck = state is not None and not gathered.is_rolling_out and state.may_be_stuck
    return is_stuck and _is_for_new_content(gathered, now)


def needs_read_secrets(gathered: GatheredWorkload) -> bool:
    """Whether the decision hangs on the rules of another tool for the Secrets that the pods read."""
    state, planned = gathered.state, gathered.planned
    return (
        state is not None
        and bool(state.read_secrets)
        and is_marked(state)
        and planned.action is not Action.RESYNC
        and not (planned.workload.ignores_other_reloaders or planned.pending.is_requested)
    )


def needs_pod_times(gathered: GatheredWorkload, now: datetime) -> bool:
    """Whether the decision hangs on when the workload's pods were made."""
    return _may_be_covered(gathered) and _is_for_new_content(gathered, now)


def _is_for_new_content(gathered: GatheredWorkload, now: datetime) -> bool:
    """Whether new content of its Secrets may lead to a restart."""
    if gathered.secrets is None or gathered.planned.action is Action.RESYNC:
        return False
    sync = sync_state_of(gathered.secrets, now, gathered.requests)
    return sync.state is SyncState.CHANGED and not other_reloader_of(gathered, sync)


def other_reloader_of(
    gathered: GatheredWorkload, sync: WorkloadSyncState | None = None
) -> OtherReloader | None:
    """The tool that restarts the workload for every Secret that may carry the change; None if none does.

    What a user requested restarts here: without new content, no other tool acts. With action `Resync` there
    is no restart to leave.
    """
    if gathered.state is None or not gathered.read_secrets or not needs_read_secrets(gathered):
        return None
    names, read = _carriers(gathered, sync), gathered.read_secrets
    return other_reloader(gathered.state, map(read.__getitem__, names)) if names <= read.keys() else None


def _carriers(gathered: GatheredWorkload, sync: WorkloadSyncState | None) -> frozenset[str]:
    """The Secrets that may carry the change: those with new content, or whose provider is known, or all."""
    if sync is None or gathered.secrets is None or not sync.content_fingerprints:
        return frozenset(gathered.read_secrets)
    known, pod_content = sync.content_fingerprints, gathered.secrets.pod_content
    changed = frozenset(name for name, text in known.items() if pod_content.has_changed(name, text))
    return changed if sync.state is SyncState.CHANGED and changed else frozenset(known)


def rollout_of(decision: RestartDecision, now: datetime) -> Rollout:
    """The rollout of a restart that was made for this decision."""
    pending, workload, state = decision.pending, decision.workload, decision.state
    begun = begun_rollout(pending, now, workload.wave if workload else 0)
    if state is None:
        return begun
    counts, is_degraded = state.rollout.counts, state.progress is RolloutProgress.FAILED
    return replace(
        begun,
        unavailable=counts.unavailable if counts else 0,
        was_failed=is_degraded and state.rollout.restart is not None,
    )


def found_rollouts(decisions: Iterable[RestartDecision], now: datetime) -> list[Rollout]:
    """The rollouts of restarts that were made earlier and that only their records show."""
    return [
        rollout_of(decision, now)
        for decision in decisions
        if isinstance(decision, Resolve) and decision.reason is Reason.ALREADY_RESTARTED
    ]


def _is_same_workload(read: Workload, listed: Workload) -> bool:
    """Whether the object and the annotations that count are those of the list."""
    return read.uid == listed.uid and read.own_annotations == listed.own_annotations


def _sync_first(
    gathered: GatheredWorkload,
    secrets: WorkloadSecrets,
    state: WorkloadState,
    sync: WorkloadSyncState,
    now: datetime,
) -> RequestSync | None:
    if sync.state is not SyncState.NOT_REQUESTED:
        return None
    open_contexts = tuple(
        context
        for context in providers_to_request(secrets, now)
        if context.provider.uid not in gathered.requests
    )
    return RequestSync(
        pending=gathered.planned.pending,
        workload=state.workload,
        note=sync.note,
        state=state,
        sync=sync,
        contexts=open_contexts,
    )


def _wait_for_sync(
    gathered: GatheredWorkload,
    policy: RestartPolicy,
    state: WorkloadState,
    sync: WorkloadSyncState,
    now: datetime,
) -> Defer | None:
    """Providers get their time; one that timed out may still bring what a restart was too early for."""
    pending, other = gathered.planned.pending, other_reloader_of(gathered, sync)
    deferred = Defer(
        pending=pending,
        workload=state.workload,
        reason=Reason.RESYNCING,
        note=f"{sync.note}, then {other}" if other else sync.note,
        state=state,
        sync=sync,
    )
    if sync.state is SyncState.WAITING:
        return deferred
    if sync.state is SyncState.REJECTED and _may_be_restarted_later(gathered.planned, other):
        return replace(deferred, reason=Reason.SECRET_REJECTED)
    if sync.state is not SyncState.TIMED_OUT:
        return None
    max_wait = min(sync.max_wait, _WATCH) if pending.is_confirmation_only else sync.max_wait
    may_still_sync = now - pending.since < max_wait
    if may_still_sync if pending.is_watch else policy.on_timeout is OnTimeout.SKIP:
        return replace(deferred, reason=Reason.RESYNC_TIMED_OUT)
    return None


def _covered_by_neighbour(
    gathered: GatheredWorkload, state: WorkloadState, sync: WorkloadSyncState, now: datetime
) -> Resolve | None:
    """Another subscription's restart covers a workload that has nothing to be synced first."""
    pending = gathered.planned.pending
    if sync.state is not None or pending.is_requested:
        return None
    restarted = restart_record_of(state.workload).time_as_of(now)
    if restarted is None or restarted <= pending.covered_after:
        return None
    reason = Reason.COVERED_BY_OTHER_SUBSCRIPTION
    return Resolve(pending=pending, workload=state.workload, reason=reason, state=state, sync=sync)


def _may_be_restarted_later(planned: RestartNow, other: OtherReloader | None) -> bool:
    """Whether a Secret that a person has to make possible first leads to a restart then.

    Its data has not changed, so a restart now would bring nothing, unless a user requested it.
    """
    return planned.action is not Action.RESYNC and not other and not planned.pending.is_requested


def _resolve_by_content(
    gathered: GatheredWorkload, state: WorkloadState, sync: WorkloadSyncState
) -> Resolve | None:
    """Why no restart is necessary although the Secrets are as fresh as they get."""
    other = other_reloader_of(gathered, sync)
    reason = _resolution(gathered.planned, sync, other)
    if reason is None:
        return None
    return Resolve(
        pending=gathered.planned.pending,
        workload=state.workload,
        reason=reason,
        note=str(other) if other else sync.note,
        state=state,
        sync=sync,
    )


def _resolution(planned: RestartNow, sync: WorkloadSyncState, other: OtherReloader | None) -> Reason | None:
    pending = planned.pending
    if sync.state is SyncState.UNCHANGED and not pending.is_requested:
        return Reason.NO_DATA_CHANGE
    if other:
        return Reason.MANAGED_BY_OTHER_CONTROLLER
    if pending.is_watch and sync.state is not SyncState.CHANGED:
        if sync.state is None:
            return Reason.NO_SECRET_PROVIDER
        return Reason.NO_DATA_CHANGE if pending.is_confirmation_only else Reason.RESYNC_TIMED_OUT
    return _synced_only(planned, sync) if planned.action is Action.RESYNC else None


def _synced_only(planned: RestartNow, sync: WorkloadSyncState) -> Reason:
    """What became of a workload whose action is to sync and nothing else."""
    if sync.state is None:
        return Reason.NO_SECRET_PROVIDER
    if sync.state is SyncState.TIMED_OUT:
        return Reason.RESYNC_TIMED_OUT
    if sync.state is SyncState.REJECTED:
        return Reason.SECRET_REJECTED
    if planned.workload.kind.restarting is Restarting.NEVER:
        return Reason.APPLIES_TO_NEXT_RUN
    return Reason.RESYNCED


def _with_other_rollout(
    gathered: GatheredWorkload,
    secrets: WorkloadSecrets,
    state: WorkloadState,
    sync: WorkloadSyncState,
    now: datetime,
) -> Defer | RecordCoverage | None:
    """Another party's rollout is waited for; pods that it made after the newest content need no restart.

    Pods that are not available without a rollout are not waited for: this restart may repair them.
    An earlier restart by this subscription is not waited for: what it rolls out is already old.
    """
    pending = gathered.planned.pending
    if sync.state is not SyncState.CHANGED or gathered.is_rolling_out:
        return None
    is_in_time = now < pending.since + _LONGEST_WAIT
    if state.progress is RolloutProgress.UNDER_WAY and is_in_time:
        return Defer(
            pending=pending,
            workload=state.workload,
            reason=Reason.ROLLOUT_IN_PROGRESS,
            state=state,
            sync=sync,
        )
    if _may_be_covered(gathered) and _is_newer(gathered.pod_creation_times, secrets.written_at):
        return RecordCoverage(pending=pending, workload=state.workload, state=state, sync=sync)
    return None


def _may_be_covered(gathered: GatheredWorkload) -> bool:
    """Whether pods that are all younger than the Secrets would make a restart for new content unnecessary."""
    state, secrets = gathered.state, gathered.secrets
    return (
        state is not None
        and secrets is not None
        and secrets.written_at is not None
        and not gathered.is_rolling_out
        and not gathered.planned.pending.is_requested
        and bool(state.selector)
        and state.progress in _NOT_ROLLING
    )


def _is_newer(pod_creation_times: tuple[datetime, ...], written_at: datetime | None) -> bool:
    return (
        bool(pod_creation_times)
        and written_at is not None
        and min(pod_creation_times) > written_at + _CLOCK_TOLERANCE
    )
