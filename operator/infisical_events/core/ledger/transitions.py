"""State transitions of the ledger: baseline, change of scopes, application of snapshots.

Each is a function from the old ledger to the new one. The caller stores the new ledger before it acts.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, auto
from itertools import zip_longest

from infisical_events.api.specs import EventType
from infisical_events.core.ledger.acceptance import (
    MAX_READ_LAG,
    AcceptedState,
    Assessment,
    ReceivedEvent,
    assess,
)
from infisical_events.core.ledger.event_correlation import (
    UNMATCHED_EVENT_WAIT,
    correlate_imports,
    with_event_types,
)
from infisical_events.core.ledger.ledger import (
    Header,
    Ledger,
    PendingRestart,
    RecentlyRemoved,
    UnlistedKind,
    UnmatchedImportEvent,
    without_future_times,
)
from infisical_events.core.paths.scopes import Scope
from infisical_events.core.snapshots.changes import Change, diff, diff_by_content, merged
from infisical_events.core.snapshots.snapshots import ABSENT, Partition, PartitionState, Snapshot, is_covered

EVENT_WAIT = timedelta(seconds=8)
"""How long a received event waits for its change in the state before it counts as handled earlier."""

_IMPORT = frozenset({EventType.IMPORT_MUTATION})


@dataclass(frozen=True, slots=True)
class AppliedSnapshots:
    """The result of applying snapshots: the new ledger, the changes, and what another read has to find.

    `expired_import_events` count as changes now, once, because their changes never became visible.
    `unshown_events` are the events whose changes are not visible yet. `read_again_at` is the time of the next
    read that a suspect state or an unmatched import event requires. `same_values` are new versions with the
    old value, which are no changes.
    """

    ledger: Ledger
    changes: tuple[Change, ...]
    expired_import_events: tuple[UnmatchedImportEvent, ...]
    unshown_events: tuple[ReceivedEvent, ...]
    read_again_at: datetime | None
    renamed: tuple[tuple[Partition, Partition], ...] = ()
    """Partitions whose secrets have another place now, old and new."""
    same_values: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class _AssessedPartitions:
    """All partitions of one snapshot, assessed; `same_values` are as in `AppliedSnapshots`."""

    accepted: Mapping[Partition, AcceptedState]
    changes: tuple[Change, ...]
    suspects: Mapping[Partition, datetime]
    """Until when the state that was read of each partition counts as suspect."""
    same_values: tuple[Change, ...] = ()

    @property
    def shown(self) -> tuple[Change, ...]:
        """Everything that events may have announced."""
        return (*self.changes, *self.same_values)


def baseline(header: Header, epoch: str, snapshot: Snapshot) -> Ledger:
    """The ledger of a first snapshot: all of it is accepted, and no restart is pending."""
    at = snapshot.finished
    return Ledger(
        header=header,
        epoch=epoch,
        seq=0,
        baselined_at=at,
        scopes=snapshot.scopes,
        accepted={partition: AcceptedState(state, at) for partition, state in snapshot.partitions.items()},
    )


class SnapshotRole(Enum):
    """Whether partitions of a snapshot that are suspect can be read again."""

    REPEATABLE = auto()
    LAST_OF_SCOPES = auto()
    """The next snapshot has other scopes: it shows own secrets again, but no imports of these scopes."""
    LAST_OF_ALL = auto()
    """There is no next snapshot."""

    def is_last_read_of(self, partition: Partition) -> bool:
        """Whether the partition is not read again: then one restart too many is better than one too few."""
        is_import = partition.source is not None
        return self is SnapshotRole.LAST_OF_ALL or (self is SnapshotRole.LAST_OF_SCOPES and is_import)


def apply_snapshot(
    ledger: Ledger,
    snapshot: Snapshot,
    received: tuple[ReceivedEvent, ...],
    now: datetime,
    role: SnapshotRole = SnapshotRole.REPEATABLE,
) -> AppliedSnapshots:
    """Apply one snapshot, and the events received around it, to the ledger.

    Partitions that the ledger's scopes did not cover become part of the baseline. Partitions that the
    snapshot's scopes do not cover are removed, together with their pending restarts.
    """
    rescoped = _rescoped(without_future_times(ledger, now), snapshot, now)
    assessed = _assess_all(rescoped, snapshot, received, role)
    imports = correlate_imports(rescoped, assessed.shown, received, now)
    assessed = _accept_referenced_values(assessed, imports.expired, snapshot)
    unshown = tuple(entry for entry in received if _is_unshown(entry, assessed.shown, now))
    moments = [
        *assessed.suspects.values(),
        *(import_event.received_at + UNMATCHED_EVENT_WAIT for import_event in imports.events),
    ]
    return AppliedSnapshots(
        ledger=replace(
            rescoped,
            scopes=snapshot.scopes,
            baselined_at=now if snapshot.scopes != ledger.scopes else rescoped.baselined_at,
            accepted=assessed.accepted,
            unmatched_events=imports.events,
            unmatched_changes=imports.changes,
            recently_removed={
                partition: left
                for partition, left in rescoped.recently_removed.items()
                if partition not in assessed.accepted
            },
        ),
        changes=merged(with_event_types(assessed.changes, received)),
        expired_import_events=imports.expired,
        unshown_events=unshown,
        read_again_at=min(moments, default=None),
        same_values=assessed.same_values,
    )


def apply_snapshots(
    ledger: Ledger,
    snapshots: tuple[Snapshot, ...],
    received: tuple[ReceivedEvent, ...],
    now: datetime,
    last: SnapshotRole = SnapshotRole.REPEATABLE,
) -> AppliedSnapshots:
    """Apply several snapshots in order, with one combined result; `last` is the role of the last one.

    After a change of the spec the old scopes are read once more, so that changes from before the edit do not
    become part of a baseline.
    """
    applied = AppliedSnapshots(ledger, (), (), received, None)
    for snapshot, following in zip_longest(snapshots, snapshots[1:]):
        is_left = following is not None and following.scopes != snapshot.scopes
        role = SnapshotRole.LAST_OF_SCOPES if is_left else SnapshotRole.REPEATABLE if following else last
        new = apply_snapshot(applied.ledger, snapshot, applied.unshown_events, now, role)
        changes = merged((*applied.changes, *new.changes)) if applied.changes else new.changes
        import_events = (*applied.expired_import_events, *new.expired_import_events)
        same_values = (*applied.same_values, *new.same_values)
        applied = replace(new, changes=changes, expired_import_events=import_events, same_values=same_values)
    return applied


def _rescoped(ledger: Ledger, snapshot: Snapshot, now: datetime) -> Ledger:
    """Remove what left the scopes: pending restarts, and accepted state, which stays known for a while."""
    recently_removed = {
        partition: left
        for partition, left in ledger.recently_removed.items()
        if now <= left.left_at + MAX_READ_LAG
    }
    if snapshot.scopes == ledger.scopes:
        return (
            ledger
            if recently_removed == ledger.recently_removed
            else replace(ledger, recently_removed=recently_removed)
        )
    scopes = snapshot.scopes
    removed = (
        partition
        for partition in ledger.accepted
        if partition.source is None and not is_covered(partition, scopes)
    )
    recently_removed |= {partition: RecentlyRemoved(ledger.accepted[partition], now) for partition in removed}
    import_events = tuple(c for c in ledger.unmatched_events if any(s.covers(c.folder) for s in scopes))
    accepted = _carried_over(ledger, snapshot)
    return replace(
        ledger,
        accepted=accepted,
        pending=pending_within(ledger.pending, scopes),
        unlisted=unlisted_within(ledger.unlisted, scopes),
        unmatched_events=import_events,
        recently_removed=recently_removed,
    )


def pending_within(
    all_pending: Iterable[PendingRestart], scopes: Iterable[Scope]
) -> tuple[PendingRestart, ...]:
    """The pending restarts that have changes in these scopes, or that a user requested."""
    scopes, remaining = tuple(scopes), []
    for pending in all_pending:
        kept = _changes_within(pending.changes, scopes)
        if kept or pending.is_requested or not pending.changes:
            remaining.append(replace(pending, changes=kept))
    return tuple(remaining)


def unlisted_within(
    all_unlisted: Iterable[UnlistedKind], scopes: Iterable[Scope]
) -> tuple[UnlistedKind, ...]:
    """The kinds that have to be listed for changes in these scopes, or because a user requested a restart."""
    scopes, remaining = tuple(scopes), []
    for unlisted in all_unlisted:
        kept = _changes_within(unlisted.changes, scopes)
        if kept or unlisted.is_requested:
            remaining.append(replace(unlisted, changes=kept))
    return tuple(remaining)


def _changes_within(changes: Iterable[Change], scopes: tuple[Scope, ...]) -> tuple[Change, ...]:
    return tuple(change for change in changes if any(scope.overlaps(change.scope) for scope in scopes))


def _carried_over(ledger: Ledger, snapshot: Snapshot) -> dict[Partition, AcceptedState]:
    """The accepted state under other scopes, in which imports get the scope that lists them now.

    The content of an import is that of its source under any scope; only its rank differs. An import that the
    new snapshot does not list has left the scopes, or was removed if its scope became wider.
    """
    carried: dict[Partition, AcceptedState] = {}
    for partition, held in ledger.accepted.items():
        if is_covered(partition, snapshot.scopes):
            carried[partition] = held
            continue
        for scope in snapshot.scopes:
            successor = Partition(scope, partition.source)
            is_wider = scope.recursive and scope.covers(partition.folder)
            is_shown = successor in snapshot.partitions and partition.scope.covers(scope.folder)
            if partition.source is not None and (is_wider or is_shown):
                rank = snapshot.partitions.get(successor, held.state).rank
                carried[successor] = replace(held, state=replace(held.state, rank=rank))
    return carried


def _assess_all(
    ledger: Ledger,
    snapshot: Snapshot,
    received: tuple[ReceivedEvent, ...],
    role: SnapshotRole = SnapshotRole.REPEATABLE,
) -> _AssessedPartitions:
    accepted: dict[Partition, AcceptedState] = {}
    steps: list[tuple[Partition, PartitionState, PartitionState]] = []
    suspects: dict[Partition, datetime] = {}
    for partition in sorted(
        ledger.accepted.keys() | snapshot.partitions.keys() | _returned(ledger, snapshot), key=str
    ):
        seen = snapshot.partitions.get(partition, ABSENT)
        if partition not in ledger.accepted and not is_covered(partition, ledger.scopes):
            accepted[partition] = _entered(partition, seen, ledger.recently_removed.get(partition), snapshot)
            continue
        current = ledger.accepted_for(partition)
        if partition in snapshot.unverified:
            if partition in ledger.accepted:
                accepted[partition] = current
            continue
        assessment = assess(partition, current, seen, snapshot.started, received)
        if assessment is Assessment.SUSPECT and role.is_last_read_of(partition):
            assessment = Assessment.ACCEPTED
        if assessment is Assessment.ACCEPTED:
            accepted[partition] = current.succeeded_by(seen, snapshot.finished)
            steps.append((partition, current.state, seen))
        elif partition in ledger.accepted:
            accepted[partition] = (
                current.confirmed_by(seen) if assessment is Assessment.UNCHANGED else current
            )
        if assessment is Assessment.SUSPECT:
            suspects[partition] = current.accepted_at + MAX_READ_LAG
    kept = {partition: held for partition, held in accepted.items() if not _is_forgettable(held, snapshot)}
    found = [diff_by_content(*step) for step in steps]
    changes = tuple(change for new, _ in found for change in new)
    same_values = tuple(change for _, same in found for change in same if change not in changes)
    return _AssessedPartitions(kept, changes, suspects, same_values)


def _returned(ledger: Ledger, snapshot: Snapshot) -> set[Partition]:
    """The partitions that left the scopes recently and are covered again."""
    return {partition for partition in ledger.recently_removed if is_covered(partition, snapshot.scopes)}


def _entered(
    partition: Partition, seen: PartitionState, recently_removed: RecentlyRemoved | None, snapshot: Snapshot
) -> AcceptedState:
    """The state of a newly covered partition; the former one if it left recently and the read is suspect."""
    if recently_removed is not None:
        assessment = assess(partition, recently_removed.accepted, seen, snapshot.started, ())
        if assessment is Assessment.SUSPECT:
            return recently_removed.accepted
    return AcceptedState(seen, snapshot.finished)


def _accept_referenced_values(
    assessed: _AssessedPartitions, import_events: Iterable[UnmatchedImportEvent], snapshot: Snapshot
) -> _AssessedPartitions:
    """When an import event counts, accept the values of its folder if nothing else differs.

    The event reports a changed reference, which no version shows. The restart for the event follows this
    read, so one restart is enough for both.
    """
    folders = {import_event.folder for import_event in import_events}
    shown = {
        partition: snapshot.partitions.get(partition, ABSENT)
        for partition in assessed.suspects
        if partition.source is None and partition.folder in folders and partition in assessed.accepted
    }
    revealed = {
        partition: assessed.accepted[partition].succeeded_by(seen, snapshot.finished)
        for partition, seen in shown.items()
        if all(
            change.types == _IMPORT for change in diff(partition, assessed.accepted[partition].state, seen)
        )
    }
    suspects = {
        partition: until for partition, until in assessed.suspects.items() if partition not in revealed
    }
    return replace(assessed, accepted={**assessed.accepted, **revealed}, suspects=suspects)


def _is_forgettable(accepted: AcceptedState, snapshot: Snapshot) -> bool:
    """Whether a removed partition can be dropped: no stale read can contain it any more."""
    return accepted.state == ABSENT and snapshot.started > accepted.accepted_at + MAX_READ_LAG


def _is_unshown(entry: ReceivedEvent, changes: Iterable[Change], now: datetime) -> bool:
    """Whether the change of some key of the event is not visible yet, and may still become visible."""
    if entry.event.type is EventType.IMPORT_MUTATION or now > entry.received_at + EVENT_WAIT:
        return False
    shown = {change.key for change in changes if change.scope == Scope(entry.event.folder)}
    return not entry.event.keys <= shown
