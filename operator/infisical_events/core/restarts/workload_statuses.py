"""What the status says of each workload: its state now, its newest restart and its newest skip.

The ledger decides; this only reports, so a lost write of it loses no restart. It is bounded: of many
workloads those are kept that something is done with, then those that something happened to last.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import Final

from infisical_events.api.statuses import (
    LastRestart,
    LastSkip,
    RestartTrigger,
    WorkloadPhase,
    WorkloadStatus,
)
from infisical_events.core.ledger.ledger import PendingRestart
from infisical_events.core.restarts.decision_kinds import Defer, RequestSync
from infisical_events.core.restarts.outcomes import RestartOutcome
from infisical_events.core.restarts.pending_summary import rollout_reason
from infisical_events.core.restarts.rollouts import RolloutUpdate
from infisical_events.core.snapshots.changes import Change, summarize
from infisical_events.core.status.reasons import Reason
from infisical_events.core.status.text import escaped
from infisical_events.core.workloads.rollout_progress import OBSTACLES
from infisical_events.core.workloads.workloads import WorkloadList

MOST_WORKLOADS: Final = 100
"""Workloads in a status; the others are counted."""

_MOST_AT_ONCE: Final = 500
"""Workloads of one round that are taken in: more are not shown, and would take time."""

_LONGEST_CAUSE: Final = 300
"""Characters about the changes that a restart is for."""
_LONGEST_MESSAGE: Final = 500
"""Characters about a state or a skip."""

_Name = tuple[str, str]
"""Kind and name of a workload."""

_SYNCING: Final = {Reason.RESYNCING, Reason.RESYNC_TIMED_OUT}
_DUE: Final = {
    Reason.WORKLOAD_MODIFIED,
    Reason.WORKLOAD_GONE,
    Reason.WORKLOADS_NOT_LISTED,
    Reason.KUBERNETES_API_ERROR,
}
"""Reasons of a deferral for which nobody has to act: the restart is tried again soon."""

_OF_ROLLOUTS: Final = {
    Reason.RESTART_REVERTED: WorkloadPhase.FAILED,
    Reason.ROLLOUT_FAILED: WorkloadPhase.FAILED,
    Reason.ROLLOUT_BLOCKED: WorkloadPhase.ROLLING_OUT,
    Reason.ROLLING_OUT: WorkloadPhase.ROLLING_OUT,
}


@dataclass(frozen=True, slots=True)
class WorkloadStatuses:
    """The workloads of one subscription by kind and name, at most `MOST_WORKLOADS`.

    `count` is how many there are, as of the last list. `restarted_for` are the changes of the newest restart
    by this process: whether an event was received for them is known only after the restart.
    """

    known: Mapping[_Name, WorkloadStatus] = field(default_factory=dict)
    count: int = 0
    restarted_for: Mapping[_Name, tuple[Change, ...]] = field(default_factory=dict)

    @property
    def shown(self) -> tuple[WorkloadStatus, ...]:
        """By kind and name, as the status has them."""
        return tuple(self.known[name] for name in sorted(self.known))


@dataclass(frozen=True, slots=True)
class WorkloadRound:
    """One round of restarts as the statuses take it in; `restart_at` is the newest request of a user."""

    outcomes: tuple[RestartOutcome, ...]
    updates: tuple[RolloutUpdate, ...]
    restart_at: str
    now: datetime


def restored(shown: Iterable[WorkloadStatus], count: int) -> WorkloadStatuses:
    """The statuses that an earlier process wrote."""
    return _bounded({_name_of(status): status for status in shown}, count, {})


def reported_reasons(
    statuses: Iterable[WorkloadStatus], all_pending: Iterable[PendingRestart]
) -> dict[str, tuple[int, Reason]]:
    """By uid, the seq of each pending restart and the reason that an earlier process reported for it.

    The same state for a newer change of the same workload is no news either.
    """
    known = {_name_of(status): status for status in statuses if status.state is not WorkloadPhase.IDLE}
    return {
        pending.uid: (pending.seq, Reason(status.reason))
        for pending in all_pending
        if (status := known.get((pending.kind, pending.name))) and status.reason in set(Reason)
    }


def after_round(statuses: WorkloadStatuses, completed: WorkloadRound) -> WorkloadStatuses:
    """The statuses after rollouts moved and pending restarts were decided."""
    known, restarted_for = dict(statuses.known), dict(statuses.restarted_for)
    for update in islice(completed.updates, _MOST_AT_ONCE):
        name = (update.rollout.kind, update.rollout.name)
        _put(known, name, _after_update(known.get(name), update, completed.now))
    rolling = {update.rollout.uid for update in completed.updates if update.is_kept}
    for outcome in islice(completed.outcomes, _MOST_AT_ONCE):
        is_watched_rollout = outcome.pending.is_watch and outcome.pending.uid in rolling
        if outcome.is_confirmation_only or outcome.is_undecided or is_watched_rollout:
            continue
        name = (outcome.pending.kind, outcome.pending.name)
        _put(known, name, _after_outcome(known.get(name), outcome, completed))
        if outcome.has_started_rollout:
            restarted_for[name] = outcome.pending.changes
    return _bounded(known, statuses.count, restarted_for)


def _bounded(
    known: Mapping[_Name, WorkloadStatus], count: int, restarted_for: Mapping[_Name, tuple[Change, ...]]
) -> WorkloadStatuses:
    """Of too many, those that something is done with, then those that something happened to last."""
    if len(known) > MOST_WORKLOADS:
        newest = sorted(known.values(), key=lambda each: each.since, reverse=True)
        kept = sorted(newest, key=lambda each: each.state is WorkloadPhase.IDLE)[:MOST_WORKLOADS]
        known = {_name_of(status): status for status in kept}
    changes = {name: changes for name, changes in restarted_for.items() if name in known}
    return WorkloadStatuses(known, max(count, len(known)), changes)


def with_listed(
    statuses: WorkloadStatuses, listed: WorkloadList, subscription: str, now: datetime
) -> WorkloadStatuses:
    """The statuses with all workloads of a list that opted in, and without those that are gone."""
    subscribed = {
        (workload.kind.kind, workload.name)
        for workload in listed.workloads
        if workload.is_subscribed_to(subscription)
    }
    known = {
        name: status
        for name, status in statuses.known.items()
        if name in subscribed or name[0] in listed.failures or status.state is not WorkloadPhase.IDLE
    }
    new = islice(sorted(subscribed - known.keys()), max(0, MOST_WORKLOADS - len(known)))
    known |= {
        name: _moved(None, name, now, _Position(WorkloadPhase.IDLE, Reason.NO_PENDING_RESTARTS))
        for name in new
    }
    return _bounded(known, len(subscribed), statuses.restarted_for)


def without_event(statuses: WorkloadStatuses, missed: Iterable[Change]) -> WorkloadStatuses:
    """The statuses where restarts for changes that no event told of say so."""
    places = {(change.scope, change.key) for change in missed}
    read = {
        name
        for name, changes in statuses.restarted_for.items()
        if changes and all((change.scope, change.key) in places for change in changes)
    }
    known = {
        name: _found_by_read(status) if name in read else status for name, status in statuses.known.items()
    }
    return replace(statuses, known=known)


def with_skips(statuses: WorkloadStatuses, names: Iterable[_Name], skip: LastSkip) -> WorkloadStatuses:
    """The statuses where workloads were not restarted for one reason that leaves nothing pending."""
    known = dict(statuses.known)
    for name in islice(names, _MOST_AT_ONCE):
        idle = _moved(known.get(name), name, skip.time, _Position(WorkloadPhase.IDLE, Reason(skip.reason)))
        known[name] = idle.model_copy(update={"last_skip": skip})
    return _bounded(known, statuses.count, statuses.restarted_for)


def _put(known: dict[_Name, WorkloadStatus], name: _Name, status: WorkloadStatus | None) -> None:
    if status is None:
        known.pop(name, None)
    else:
        known[name] = status


def _name_of(status: WorkloadStatus) -> _Name:
    return status.kind, status.name


def _found_by_read(status: WorkloadStatus) -> WorkloadStatus:
    restart = status.last_restart
    if restart is None or restart.trigger is not RestartTrigger.EVENT:
        return status
    return status.model_copy(
        update={"last_restart": restart.model_copy(update={"trigger": RestartTrigger.READ})}
    )


@dataclass(frozen=True, slots=True)
class _Position:
    """What is done with a workload now, and why."""

    state: WorkloadPhase
    reason: Reason
    message: str = ""
    cause: str = ""


def _moved(before: WorkloadStatus | None, name: _Name, now: datetime, to: _Position) -> WorkloadStatus:
    """The status of a workload in another state; in the same one it keeps the time since when."""
    is_same = before is not None and (before.state, before.reason) == (to.state, to.reason)
    kind, own_name = name
    return WorkloadStatus(
        kind=kind,
        name=own_name,
        state=to.state,
        reason=to.reason,
        since=before.since if before is not None and is_same else now,
        message=escaped(to.message, _LONGEST_MESSAGE) or None,
        cause=escaped(to.cause, _LONGEST_CAUSE) or None,
        last_restart=before.last_restart if before else None,
        last_skip=before.last_skip if before else None,
    )


def _after_update(
    before: WorkloadStatus | None, update: RolloutUpdate, now: datetime
) -> WorkloadStatus | None:
    """None if the workload is gone."""
    if update.result is Reason.WORKLOAD_GONE:
        return None
    name = (update.rollout.kind, update.rollout.name)
    if update.is_kept:
        reason = rollout_reason(update)
        state = _OF_ROLLOUTS.get(reason, WorkloadPhase.HELD)
        cause = summarize(update.rollout.changes)
        moved = _moved(before, name, now, _Position(state, reason, update.cause, cause))
    else:
        reason = Reason.ROLLED_OUT if update.result is Reason.ROLLOUT_RESUMED else _result_of(update)
        moved = _moved(before, name, now, _Position(WorkloadPhase.IDLE, reason))
    return _with_result(moved, _RESULTS.get(reason, reason))


_RESULTS: Mapping[Reason, Reason] = {
    Reason.ROLLING_OUT: Reason.RESTARTED,
    Reason.ROLLOUT_BLOCKED: Reason.RESTARTED,
}
"""What the newest restart says while its rollout goes on."""


def _result_of(update: RolloutUpdate) -> Reason:
    return update.result or Reason.ROLLED_OUT


def _with_result(status: WorkloadStatus, result: Reason) -> WorkloadStatus:
    restart = status.last_restart
    if restart is None or restart.result == result:
        return status
    return status.model_copy(update={"last_restart": restart.model_copy(update={"result": result})})


def _after_outcome(
    before: WorkloadStatus | None, outcome: RestartOutcome, completed: WorkloadRound
) -> WorkloadStatus | None:
    """None if the workload is gone."""
    pending, now = outcome.pending, completed.now
    reason, name = outcome.reported_reason, (pending.kind, pending.name)
    if not outcome.is_pending and reason is Reason.WORKLOAD_GONE:
        return None
    state = _state_after(outcome)
    cause = "" if state is WorkloadPhase.IDLE else outcome.cause
    moved = _moved(before, name, now, _Position(state, reason, outcome.note, cause))
    if outcome.has_started_rollout:
        restart = LastRestart(
            time=now,
            trigger=RestartTrigger.REQUEST if pending.is_requested else RestartTrigger.EVENT,
            cause=escaped(outcome.cause, _LONGEST_CAUSE),
            result=reason,
            requested_at=escaped(completed.restart_at, _LONGEST_CAUSE) if pending.is_requested else None,
        )
        return moved.model_copy(update={"last_restart": restart})
    if state is WorkloadPhase.IDLE and not pending.is_watch:
        text = f"{outcome.cause}{f' ({outcome.note})' if outcome.note else ''}"
        skip = LastSkip(time=now, reason=reason, message=escaped(text, _LONGEST_MESSAGE))
        return moved.model_copy(update={"last_skip": skip})
    return moved


def _state_after(outcome: RestartOutcome) -> WorkloadPhase:
    if outcome.is_held:
        return WorkloadPhase.HELD
    if outcome.made is not None:
        return _STATE_AFTER_PATCH.get(outcome.made, WorkloadPhase.FAILED)
    if isinstance(outcome.decision, RequestSync):
        return WorkloadPhase.SYNCING
    if isinstance(outcome.decision, Defer):
        return _state_of_deferral(outcome.decision.reason)
    is_restarted = outcome.result is Reason.ALREADY_RESTARTED
    return WorkloadPhase.ROLLING_OUT if is_restarted else WorkloadPhase.IDLE


_STATE_AFTER_PATCH: Mapping[Reason, WorkloadPhase] = {
    Reason.RESTARTED: WorkloadPhase.ROLLING_OUT
} | dict.fromkeys(OBSTACLES, WorkloadPhase.HELD)


def _state_of_deferral(reason: Reason) -> WorkloadPhase:
    if reason in _SYNCING:
        return WorkloadPhase.SYNCING
    return WorkloadPhase.PENDING if reason in _DUE else WorkloadPhase.HELD
