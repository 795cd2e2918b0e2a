"""What the three grades of observation mean for the ledger, and what passing from one to another does.

`Versions` and `Values` look, and differ in what a sighting knows. `Events` does not look: there is no
belief then, and an event counts for what it says.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from infisical_events.api.specs import EventType, Grade
from infisical_events.core.ledger.acceptance import ReceivedEvent
from infisical_events.core.ledger.ledger import Header, Ledger, UnmatchedImportEvent, with_header
from infisical_events.core.ledger.transitions import (
    AppliedSnapshots,
    SnapshotRole,
    apply_snapshots,
    baseline,
    pending_within,
)
from infisical_events.core.paths.scopes import Scope
from infisical_events.core.snapshots.changes import merged
from infisical_events.core.snapshots.selectors import changes_of
from infisical_events.core.snapshots.snapshots import Snapshot


@dataclass(frozen=True, slots=True)
class ReadResult:
    """What was had of Infisical: by which means, where, and what was seen, the oldest sight first."""

    header: Header
    scopes: tuple[Scope, ...]
    snapshots: tuple[Snapshot, ...]

    @property
    def is_events_only(self) -> bool:
        """Whether there is nothing but events to go by."""
        return self.header.grade is Grade.EVENTS


def first_ledger(read_result: ReadResult, epoch: str, now: datetime) -> Ledger:
    """The first ledger: a baseline of what is seen, or of nothing."""
    if read_result.snapshots:
        return baseline(read_result.header, epoch, read_result.snapshots[-1])
    return Ledger(read_result.header, epoch, seq=0, baselined_at=now, scopes=read_result.scopes, accepted={})


def apply_read(
    ledger: Ledger, read_result: ReadResult, received: tuple[ReceivedEvent, ...], now: datetime
) -> AppliedSnapshots:
    """Take a look and the events heard around it into a ledger about the same project."""
    if ledger.header.grade is not Grade.EVENTS:
        last = SnapshotRole.LAST_OF_ALL if read_result.is_events_only else SnapshotRole.REPEATABLE
        taken = apply_snapshots(
            with_header(ledger, read_result.header), read_result.snapshots, received, now, last
        )
        return (
            replace(taken, ledger=_without_state(taken.ledger, read_result.scopes))
            if read_result.is_events_only
            else taken
        )
    taken = _apply_events_only(replace(ledger, header=read_result.header), read_result.scopes, received)
    if read_result.is_events_only:
        return taken
    return replace(taken, ledger=_with_first_state(taken.ledger, read_result.snapshots[-1]))


def _apply_events_only(
    ledger: Ledger, scopes: tuple[Scope, ...], received: Iterable[ReceivedEvent]
) -> AppliedSnapshots:
    """Every event counts, also one that is heard twice: there is no state to tell that by."""
    told = [entry for entry in received if any(scope.covers(entry.event.folder) for scope in scopes)]
    imports = [entry for entry in told if entry.event.type is EventType.IMPORT_MUTATION]
    return AppliedSnapshots(
        ledger=_without_state(ledger, scopes),
        changes=merged(
            change for entry in told if entry not in imports for change in changes_of(entry.event)
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
        accepted={},
        unmatched_events=(),
        unmatched_changes=(),
        recently_removed={},
    )


def _with_first_state(ledger: Ledger, snapshot: Snapshot) -> Ledger:
    """There is something to look at at last: it is believed as it stands, and all else stays as it was."""
    seen = baseline(ledger.header, ledger.epoch, snapshot)
    return replace(
        ledger,
        baselined_at=seen.baselined_at,
        scopes=seen.scopes,
        pending=pending_within(ledger.pending, seen.scopes),
        accepted=seen.accepted,
    )
