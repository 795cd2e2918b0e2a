"""Workloads that could not be listed, or did not exist, when a change was found.

A kind that cannot be listed may have workloads that the change affects, so the change stays in the ledger
until the kind is listed. A workload that is created, or opts in, while a change still waits for providers has
started its pods with the content of before.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from infisical_events.api.resources import WORKLOAD_KINDS
from infisical_events.api.specs import Action
from infisical_events.core.ledger.ledger import (
    CLOCK_SKEW,
    Ledger,
    PendingRestart,
    Unconfirmed,
    UnlistedKind,
)
from infisical_events.core.restarts.planner import (
    AffectedWorkload,
    MatchedChanges,
    add_pending,
    add_requested,
)
from infisical_events.core.restarts.restart_records import restart_record_of
from infisical_events.core.snapshots.changes import Change, compacted
from infisical_events.core.workloads.workload_state import WorkloadState
from infisical_events.core.workloads.workloads import Workload, WorkloadList, matching_changes

_JOINING = timedelta(minutes=10)
"""How long after a change a new workload may have started with the content of before."""


@dataclass(frozen=True, slots=True)
class SubscribedWorkloads:
    """The workloads (by uid) that had opted in when their kind was last listed, by kind; none before."""

    by_kind: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def updated(self, listed: WorkloadList, subscription: str) -> "SubscribedWorkloads":
        """Those of a list; a kind that could not be listed keeps those of before."""
        kinds = {kind.kind for kind in WORKLOAD_KINDS} - listed.failures.keys()
        subscribed = [each for each in listed.workloads if each.is_subscribed_to(subscription)]
        found = {kind: frozenset(each.uid for each in subscribed if each.kind.kind == kind) for kind in kinds}
        return SubscribedWorkloads({**self.by_kind, **found})

    def lacks(self, workload: Workload, since: datetime, now: datetime) -> bool:
        """Whether the workload has appeared or opted in since; before the first list its age decides.

        A workload that seems to be made later than now shows that the clock went back, and not its age.
        """
        known = self.by_kind.get(workload.kind.kind)
        if known is None:
            made = workload.created_at
            return made is not None and since < made <= now + CLOCK_SKEW
        return workload.uid not in known


def watch_after_baseline(
    ledger: Ledger, states: Iterable[WorkloadState], own_secrets: Iterable[str], now: datetime
) -> Ledger:
    """The ledger with a watch on workloads whose pods may have older content than the baseline.

    A baseline follows a restored backup or a lost ledger as well. Restart records, and the Secrets that the
    operator owns, show with which content pods started: they are restarted if it is not the newest. Without
    them nothing is known, and a baseline restarts nothing.
    """
    known_secrets = frozenset(own_secrets) & ledger.content_fingerprints.keys()
    watched = [
        state.workload
        for state in states
        if restart_record_of(state.workload).content_fingerprints or state.secrets & known_secrets
    ]
    pending = tuple(
        PendingRestart(
            workload.uid,
            workload.kind.kind,
            workload.name,
            ledger.seq + 1,
            now,
            changes=(),
            unconfirmed=Unconfirmed.PROVIDER_TIMED_OUT,
        )
        for workload in watched
    )
    return replace(ledger, seq=ledger.seq + 1, pending=pending) if pending else ledger


def record_unlisted(
    ledger: Ledger,
    kinds: Iterable[str],
    changes: tuple[Change, ...],
    now: datetime,
    *,
    is_requested: bool = False,
) -> Ledger:
    """The ledger with changes, or a request for a restart, that may affect workloads of these kinds."""
    unlisted = {each.kind: each for each in ledger.unlisted}
    for kind in kinds:
        old = unlisted.get(kind, UnlistedKind(kind, now, ()))
        merged = compacted((*old.changes, *changes))
        unlisted[kind] = replace(old, changes=merged, is_requested=old.is_requested or is_requested)
    return replace(ledger, unlisted=tuple(unlisted.values()))


@dataclass(frozen=True, kw_only=True, slots=True)
class NewList:
    """A list of workloads, and what it is compared with.

    `before` are the workloads of the list before; `action` is that of the spec.
    """

    subscription: str
    action: Action
    before: SubscribedWorkloads
    listed: WorkloadList


def add_late_workloads(ledger: Ledger, new: NewList, now: datetime) -> Ledger:
    """The ledger with the pending restarts of workloads that are listed now and were not before."""
    return _with_listed_kinds(_with_newcomers(_with_namesakes(ledger, new), new, now), new, now)


def _with_namesakes(ledger: Ledger, new: NewList) -> Ledger:
    """A pending restart of a deleted workload passes to the one that has its name now.

    Where nothing has to be synced first, its pods have started with the newest content.
    """
    by_name = {(each.kind.kind, each.name): each for each in new.listed.workloads}
    present = {each.uid for each in new.listed.workloads}
    pending_uids = {each.uid for each in ledger.pending}

    def passed_on(pending: PendingRestart) -> PendingRestart:
        namesake = by_name.get((pending.kind, pending.name))
        if namesake is None or pending.uid in present or namesake.uid in pending_uids:
            return pending
        if namesake.action(new.action) is Action.RESTART:
            return pending
        return replace(pending, uid=namesake.uid, unconfirmed=None)

    passed = tuple(map(passed_on, ledger.pending))
    return ledger if passed == ledger.pending else replace(ledger, pending=passed)


def _with_newcomers(ledger: Ledger, new: NewList, now: datetime) -> Ledger:
    """New workloads join the changes that wait for providers, and what was requested of these providers.

    Where nothing has to be synced first, their pods have started with the newest content.
    """
    waiting = [each for each in ledger.pending if now - each.since < _JOINING and not each.is_requested]
    pending_uids = {each.uid for each in ledger.pending}
    joined = [
        joining
        for workload in new.listed.workloads
        if workload.uid not in pending_uids
        and workload.is_subscribed_to(new.subscription)
        and workload.action(new.action) is not Action.RESTART
        and (
            joining := _joining(
                workload, [each for each in waiting if new.before.lacks(workload, each.since, now)]
            )
        )
    ]
    return replace(ledger, pending=(*ledger.pending, *joined)) if joined else ledger


def _joining(workload: Workload, waiting: Iterable[PendingRestart]) -> PendingRestart | None:
    """The pending restart of a new workload: the newest of the changes that affect it."""
    affecting = [(each, changes) for each in waiting if (changes := matching_changes(workload, each.changes))]
    if not affecting:
        return None
    newest = max((each for each, _ in affecting), key=lambda each: each.seq)
    changes = compacted(change for _, matching in affecting for change in matching)
    return PendingRestart(workload.uid, workload.kind.kind, workload.name, newest.seq, newest.since, changes)


def _with_listed_kinds(ledger: Ledger, new: NewList, now: datetime) -> Ledger:
    """The restarts for changes that were found while a kind could not be listed."""
    for unlisted in ledger.unlisted:
        if unlisted.kind in new.listed.failures:
            continue
        workloads = [each for each in new.listed.workloads if each.kind.kind == unlisted.kind]
        ledger = replace(ledger, unlisted=tuple(each for each in ledger.unlisted if each is not unlisted))
        affected = _affected(workloads, unlisted.changes, new.subscription)
        ledger = add_pending(ledger, new.subscription, affected, now)
        if unlisted.is_requested:
            ledger = add_requested(ledger, new.subscription, workloads, now)
    return ledger


def _affected(
    workloads: Iterable[Workload], changes: tuple[Change, ...], subscription: str
) -> list[AffectedWorkload]:
    return [
        AffectedWorkload(workload, MatchedChanges(matching))
        for workload in workloads
        if workload.is_subscribed_to(subscription) and (matching := matching_changes(workload, changes))
    ]
