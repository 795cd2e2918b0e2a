"""The ledger in the three observation modes of `spec.observe`, and the switch from one mode to another.

`Versions` and `Values` read the state, without and with digests of values. `Events` does not read: there is
no accepted state, and every event counts as the change that it reports.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from infisical_events.api.specs import EventType, Grade
from infisical_events.core.ledger.acceptance import AcceptedState, ReceivedEvent
from infisical_events.core.ledger.ledger import Header, Ledger, UnmatchedImportEvent, with_header
from infisical_events.core.ledger.missing_scopes import MissingScope
from infisical_events.core.ledger.transitions import (
    AppliedSnapshots,
    SnapshotRole,
    apply_snapshots,
    baseline,
    pending_within,
    unlisted_within,
)
from infisical_events.core.paths.scopes import Scope
from infisical_events.core.snapshots.changes import merged
from infisical_events.core.snapshots.selectors import changes_of
from infisical_events.core.snapshots.snapshots import Partition, Snapshot, is_covered


@dataclass(frozen=True, slots=True)
class ReadResult:
    """The result of reading Infisical: observation mode, scopes and snapshots, the oldest first.

    `missing` are the scopes that do not exist, and `denial` says why the mode is `Events` although the spec
    does not ask for it.
    """

    header: Header
    scopes: tuple[Scope, ...]
    snapshots: tuple[Snapshot, ...]
    missing: tuple[MissingScope, ...] = ()
    denial: str = ""

    @property
    def is_events_only(self) -> bool:
        """Whether the mode is `Events`: there are no snapshots of the current scopes."""
        return self.header.grade is Grade.EVENTS

    @property
    def key_count(self) -> int:
        """The number of watched keys, also of those that are kept although their folder is missing."""
        seen = self.snapshots[-1].key_count if self.snapshots else 0
        return seen + sum(entry.kept_keys for entry in self.missing)


def first_ledger(read_result: ReadResult, epoch: str, now: datetime) -> Ledger:
    """The first ledger: a baseline of the last snapshot, or an empty one without snapshots."""
    if read_result.snapshots:
        return baseline(read_result.header, epoch, read_result.snapshots[-1])
    return Ledger(read_result.header, epoch, seq=0, baselined_at=now, scopes=read_result.scopes, accepted={})


def apply_read(
    ledger: Ledger, read_result: ReadResult, received: tuple[ReceivedEvent, ...], now: datetime
) -> AppliedSnapshots:
    """Apply a read, and the events received around it, to a ledger about the same project."""
    is_events_only = read_result.is_events_only
    if ledger.header.grade is not Grade.EVENTS:
        last = SnapshotRole.LAST_OF_ALL if is_events_only else SnapshotRole.REPEATABLE
        renamed = _renamed(ledger, read_result.snapshots)
        accepted = {renamed.get(part, part): held for part, held in ledger.accepted.items()}
        ledger = with_header(replace(ledger, accepted=accepted) if renamed else ledger, read_result.header)
        applied = apply_snapshots(ledger, read_result.snapshots, received, now, last)
        applied = replace(applied, renamed=tuple(renamed.items()))
        return (
            replace(applied, ledger=_without_state(applied.ledger, read_result.scopes))
            if is_events_only
            else applied
        )
    applied = _apply_events_only(replace(ledger, header=read_result.header), read_result.scopes, received)
    if is_events_only:
        return applied
    return replace(applied, ledger=_with_first_state(applied.ledger, read_result.snapshots[-1]))


def _renamed(ledger: Ledger, snapshots: tuple[Snapshot, ...]) -> dict[Partition, Partition]:
    """The renamed partitions of the newest snapshot; none after a change of scopes."""
    if not snapshots or snapshots[-1].scopes != ledger.scopes:
        return {}
    return renamed_partitions(ledger.accepted, snapshots[-1])


def renamed_partitions(
    accepted: Mapping[Partition, AcceptedState], snapshot: Snapshot
) -> dict[Partition, Partition]:
    """The partitions that vanished from their scope while the same secrets appeared in it elsewhere.

    So a renamed folder in a recursive scope, and a renamed folder or environment that is imported, are
    neither a deletion nor a creation. A secret keeps its id then, and only then.
    """
    vanished = [
        partition
        for partition in accepted.keys() - snapshot.partitions.keys() - snapshot.unverified
        if accepted[partition].state.ids and is_covered(partition, snapshot.scopes)
    ]
    appeared = [partition for partition in snapshot.partitions if partition not in accepted]
    return {
        old: new
        for old in vanished
        for new in appeared
        if _is_same_kind(old, new) and accepted[old].state.ids & snapshot.partitions[new].ids
    }


def _is_same_kind(old: Partition, new: Partition) -> bool:
    """Whether both are own secrets, or both are imports of one scope."""
    if old.source is None or new.source is None:
        return old.source is new.source
    return old.scope == new.scope


def _apply_events_only(
    ledger: Ledger, scopes: tuple[Scope, ...], received: Iterable[ReceivedEvent]
) -> AppliedSnapshots:
    """Count every event, including duplicates: without a state they cannot be detected."""
    in_scope = [entry for entry in received if any(scope.covers(entry.event.folder) for scope in scopes)]
    imports = [entry for entry in in_scope if entry.event.type is EventType.IMPORT_MUTATION]
    return AppliedSnapshots(
        ledger=_without_state(ledger, scopes),
        changes=merged(
            change for entry in in_scope if entry not in imports for change in changes_of(entry.event)
        ),
        expired_import_events=tuple(
            UnmatchedImportEvent(entry.event.folder, entry.received_at) for entry in imports
        ),
        unshown_events=(),
        read_again_at=None,
    )


def _without_state(ledger: Ledger, scopes: tuple[Scope, ...]) -> Ledger:
    all_pending = pending_within(ledger.pending, scopes)
    return replace(
        ledger,
        scopes=scopes,
        pending=all_pending,
        unlisted=unlisted_within(ledger.unlisted, scopes),
        accepted={},
        unmatched_events=(),
        unmatched_changes=(),
        recently_removed={},
    )


def _with_first_state(ledger: Ledger, snapshot: Snapshot) -> Ledger:
    """The first snapshot after mode `Events` becomes the accepted state; the rest of the ledger stays."""
    seen = baseline(ledger.header, ledger.epoch, snapshot)
    return replace(
        ledger,
        baselined_at=seen.baselined_at,
        scopes=seen.scopes,
        pending=pending_within(ledger.pending, seen.scopes),
        unlisted=unlisted_within(ledger.unlisted, seen.scopes),
        accepted=seen.accepted,
    )
