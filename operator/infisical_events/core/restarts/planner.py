"""Plans pending restarts from the ledger and the workloads' metadata, before anything is gathered.

Changes affect workloads, which become pending restarts of the ledger; each of these has an action.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from infisical_events.api.specs import Action, OnTimeout
from infisical_events.core.interruptible import Interruptible
from infisical_events.core.ledger.ledger import (
    Ledger,
    PendingRestart,
    Rollout,
    Unconfirmed,
    UnmatchedImportEvent,
)
from infisical_events.core.restarts.restart_records import restart_record_of
from infisical_events.core.snapshots.changes import MAX_CHANGES, Change, compacted
from infisical_events.core.snapshots.selectors import select, select_in_steps
from infisical_events.core.status.reasons import Reason
from infisical_events.core.workloads.workloads import (
    Workload,
    WorkloadList,
    matching_changes,
    workload_filter_of,
)

_RECREATION = timedelta(minutes=1)
"""How long after a change a deleted workload is expected back, as `kubectl replace --force` does it."""


@dataclass(frozen=True, slots=True)
class MatchedChanges:
    """What the spec selects: changes, and import events whose change never showed."""

    changes: tuple[Change, ...]
    import_events: tuple[UnmatchedImportEvent, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything matched."""
        return bool(self.changes or self.import_events)


@dataclass(frozen=True, slots=True)
class AffectedWorkload:
    """A workload, and the matched changes that its annotations let through."""

    workload: Workload
    matched: MatchedChanges


@dataclass(frozen=True, slots=True)
class RestartNow:
    """The restart is due as far as the metadata show: gather what decides about it."""

    workload: Workload
    pending: PendingRestart
    action: Action


@dataclass(frozen=True, slots=True)
class Resolved:
    """The pending restart is not necessary any more: remove it."""

    pending: PendingRestart
    reason: Reason
    workload: Workload | None = None
    unconfirmed: Unconfirmed | None = None
    """Of a restart that its restart record proves."""


@dataclass(frozen=True, slots=True)
class Deferred:
    """Not now: keep the pending restart, until a time if one is known."""

    pending: PendingRestart
    reason: Reason
    until: datetime | None = None
    workload: Workload | None = None
    note: str = ""


PlannedAction = RestartNow | Resolved | Deferred


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """What the spec says about restarts: `spec.action`, `cooldownSeconds`, `resync.onTimeout`."""

    action: Action = Action.RESTART
    cooldown: timedelta = timedelta()
    on_timeout: OnTimeout = OnTimeout.RESTART


def affected_workloads(
    subscription: str, selected: MatchedChanges, workloads: Iterable[Workload]
) -> Interruptible[tuple[AffectedWorkload, ...]]:
    """The workloads of a subscription that the matched changes affect.

    In steps: changes and workloads may be many, and a workload may have many key patterns.
    """
    all_affected = []
    for workload in workloads:
        if not workload.is_subscribed_to(subscription):
            continue
        selector = workload_filter_of(workload).selector
        changes = (yield from select_in_steps((selector,), selected.changes)).selected
        if len(changes) > MAX_CHANGES:
            changes = compacted(changes)
        import_events = tuple(
            import_event
            for import_event in selected.import_events
            if select((selector,), (import_event.change,)).selected
        )
        if mine := MatchedChanges(changes, import_events):
            all_affected.append(AffectedWorkload(workload, mine))
        yield
    return tuple(all_affected)


def add_pending(
    ledger: Ledger,
    subscription: str,
    all_affected: Iterable[AffectedWorkload],
    now: datetime,
    restarted_since: Mapping[str, datetime] | None = None,
) -> Ledger:
    """Add a pending restart for every affected workload; the workloads were listed after the read.

    Only a restart after the workload's newest one counts as coverage. An import event counts for workloads
    that were not restarted since it was received. `restarted_since` has the end of the read for workloads (by
    uid) that this process restarted after it: such a restart was made when the change existed.
    """
    read_at = restarted_since or {}
    owed = [
        (affected.workload, changes) for affected in all_affected if (changes := _changes_for(affected, now))
    ]
    if not owed:
        return ledger
    ledger = _with_found_done(ledger, subscription, [workload for workload, _ in owed])
    seq, all_pending = ledger.seq + 1, {pending.uid: pending for pending in ledger.pending}
    for workload, changes in owed:
        old = all_pending.get(workload.uid)
        merged = compacted((*old.changes, *changes) if old else changes)
        is_requested = old is not None and old.is_requested
        since = read_at.get(workload.uid, now)
        pending = _new_pending(workload, seq, now, merged, is_requested=is_requested)
        all_pending[workload.uid] = replace(pending, since=since)
    return replace(ledger, seq=seq, pending=tuple(all_pending.values()))


def _new_pending(
    workload: Workload, seq: int, now: datetime, changes: tuple[Change, ...], *, is_requested: bool
) -> PendingRestart:
    restarted = restart_record_of(workload).time
    return PendingRestart(
        uid=workload.uid,
        kind=workload.kind.kind,
        name=workload.name,
        seq=seq,
        since=now,
        changes=changes,
        is_requested=is_requested,
        not_covered_until=restarted if restarted and restarted > now else None,
    )


def _changes_for(affected: AffectedWorkload, now: datetime) -> tuple[Change, ...]:
    selected = affected.matched
    if not selected.import_events:
        return selected.changes
    restarted = restart_record_of(affected.workload).time_as_of(now)
    import_events = (
        import_event
        for import_event in selected.import_events
        if restarted is None or restarted <= import_event.received_at
    )
    return (*selected.changes, *(import_event.change for import_event in import_events))


def _with_found_done(ledger: Ledger, subscription: str, workloads: Iterable[Workload]) -> Ledger:
    """The ledger where restarts that restart records prove have become rollouts.

    This comes before newer pending restarts replace them; an unconfirmed restart stays pending.
    """
    all_pending, rollouts = [], {rollout.uid: rollout for rollout in ledger.rollouts}
    by_uid = {workload.uid: workload for workload in workloads}
    for pending in ledger.pending:
        workload = by_uid.get(pending.uid)
        if workload is None or not (record := restart_record_of(workload)).has_revision(
            subscription, ledger.epoch, pending.seq
        ):
            all_pending.append(pending)
            continue
        begun = record.time or pending.since
        rollouts[pending.uid] = begun_rollout(pending, begun, workload.wave)
        if unconfirmed := record.unconfirmed.get(subscription):
            all_pending.append(_unconfirmed(pending, unconfirmed))
    if tuple(all_pending) == ledger.pending:
        return ledger
    return replace(ledger, pending=tuple(all_pending), rollouts=tuple(rollouts.values()))


def begun_rollout(pending: PendingRestart, begun_at: datetime, wave: int) -> Rollout:
    """The rollout that a pending restart becomes."""
    return Rollout(
        uid=pending.uid,
        kind=pending.kind,
        name=pending.name,
        seq=pending.seq,
        begun_at=begun_at,
        wave=wave,
        changes=pending.changes,
        is_requested=pending.is_requested,
        reverts=pending.reverts,
    )


def add_reverted(ledger: Ledger, reverted: Iterable[Rollout], now: datetime) -> Ledger:
    """Add the restarts that another client took back as pending again, under a new revision.

    A newer pending restart of the workload replaces the pods as well. One that is only watched does not: it
    is watched again after the restart.
    """
    watched = {pending.uid: pending.unconfirmed for pending in ledger.pending if pending.is_watch}
    pending_uids = {pending.uid for pending in ledger.pending} - watched.keys()
    again = tuple(
        PendingRestart(
            uid=rollout.uid,
            kind=rollout.kind,
            name=rollout.name,
            seq=ledger.seq + 1,
            since=now,
            changes=rollout.changes,
            is_requested=rollout.is_requested,
            unconfirmed=watched.get(rollout.uid),
            reverts=rollout.reverts,
        )
        for rollout in reverted
        if rollout.uid not in pending_uids
    )
    if not again:
        return ledger
    replaced = {pending.uid for pending in again}
    kept = (pending for pending in ledger.pending if pending.uid not in replaced)
    return replace(ledger, seq=ledger.seq + 1, pending=(*kept, *again))


def add_requested(ledger: Ledger, subscription: str, workloads: Iterable[Workload], now: datetime) -> Ledger:
    """Add a pending restart for every workload of the subscription, because a user requested it."""
    workloads = tuple(workloads)
    ledger = _with_found_done(ledger, subscription, workloads)
    seq = ledger.seq + 1
    all_pending = {pending.uid: pending for pending in ledger.pending}
    asked = [workload for workload in workloads if workload.is_subscribed_to(subscription)]
    for workload in asked:
        old = all_pending.get(workload.uid)
        changes = old.changes if old else ()
        all_pending[workload.uid] = _new_pending(workload, seq, now, changes, is_requested=True)
    return replace(ledger, seq=seq, pending=tuple(all_pending.values())) if asked else ledger


def requeue_unconfirmed(
    ledger: Ledger, restarted: Mapping[PendingRestart, Unconfirmed], now: datetime
) -> Ledger:
    """Add unconfirmed restarts as pending again.

    Their pods may have started with older content; they are restarted again if that changes.
    """
    owed = {pending.uid for pending in ledger.pending}
    late = tuple(
        replace(_unconfirmed(pending, unconfirmed), seq=ledger.seq + 1, since=now)
        for pending, unconfirmed in restarted.items()
        if pending.uid not in owed
    )
    return replace(ledger, seq=ledger.seq + 1, pending=(*ledger.pending, *late)) if late else ledger


def _unconfirmed(pending: PendingRestart, unconfirmed: Unconfirmed) -> PendingRestart:
    return replace(pending, is_requested=False, unconfirmed=unconfirmed, reverts=0)


def plan(
    ledger: Ledger, subscription: str, listed: WorkloadList, rules: RestartPolicy, now: datetime
) -> tuple[PlannedAction, ...]:
    """One planned action per pending restart, in the order of the ledger."""
    by_uid = {workload.uid: workload for workload in listed.workloads}
    context = _PlanContext(subscription, ledger.epoch, rules, now)
    return tuple(
        _planned_action(pending, workload, context)
        if (workload := by_uid.get(pending.uid))
        else _without_workload(pending, listed, context)
        for pending in ledger.pending
    )


def _without_workload(
    pending: PendingRestart, listed: WorkloadList, context: "_PlanContext"
) -> PlannedAction:
    """A workload that is not listed: its kind could not be listed, or it is gone.

    A workload that is recreated may start with the content of before: one of its name is waited for.
    """
    if message := listed.failures.get(pending.kind):
        return Deferred(pending, Reason.WORKLOADS_NOT_LISTED, note=message)
    until = pending.since + _RECREATION
    if context.rules.action is not Action.RESTART and context.now < until:
        return Deferred(pending, Reason.WORKLOAD_GONE, until)
    return Resolved(pending, Reason.WORKLOAD_GONE)


@dataclass(frozen=True, slots=True)
class _PlanContext:
    subscription: str
    epoch: str
    rules: RestartPolicy
    now: datetime


def _planned_action(pending: PendingRestart, workload: Workload, terms: _PlanContext) -> PlannedAction:
    record = restart_record_of(workload)
    if record.has_revision(terms.subscription, terms.epoch, pending.seq):
        unconfirmed = record.unconfirmed.get(terms.subscription)
        return Resolved(pending, Reason.ALREADY_RESTARTED, workload, unconfirmed)
    restarted, action = record.time_as_of(terms.now), workload.action(terms.rules.action)
    if not _is_matching(pending, workload, terms.subscription):
        return Resolved(pending, Reason.NO_LONGER_MATCHING, workload)
    # A neighbour's restart may have come before the secrets were fresh: then their content decides.
    if action is Action.RESTART and restarted is not None and restarted > pending.covered_after:
        return Resolved(pending, Reason.COVERED_BY_OTHER_SUBSCRIPTION, workload)
    cooled = _cooldown_end(restarted, terms) if action is not Action.RESYNC else None
    if workload.is_paused or cooled:
        reason = Reason.PAUSED if workload.is_paused else Reason.COOLING_DOWN
        return Deferred(pending, reason, None if workload.is_paused else cooled, workload)
    return RestartNow(workload, pending, action)


def _is_matching(pending: PendingRestart, workload: Workload, subscription: str) -> bool:
    """Whether the pending restart is for this workload as it is annotated now."""
    is_for_anything = pending.is_requested or not pending.changes
    return workload.is_subscribed_to(subscription) and (
        is_for_anything or bool(matching_changes(workload, pending.changes))
    )


def _cooldown_end(restarted: datetime | None, terms: _PlanContext) -> datetime | None:
    """When the cooldown after the workload's newest restart ends; None when it is over."""
    if restarted is None or not terms.rules.cooldown:
        return None
    until = restarted + terms.rules.cooldown
    return until if until > terms.now else None


def remove_done(ledger: Ledger, settled: Iterable[PendingRestart]) -> Ledger:
    """Remove pending restarts that were handled; a newer one of the same workload stays."""
    handled = {pending.uid: pending.seq for pending in settled}
    kept = tuple(pending for pending in ledger.pending if pending.seq > handled.get(pending.uid, -1))
    return ledger if kept == ledger.pending else replace(ledger, pending=kept)
