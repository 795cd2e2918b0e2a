"""The ledger's steps: a baseline, a changed scope, an observation taken in.

Each is a function from the old ledger to the new one; nothing is done before the new one is stored.
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
    unconfirmed_removal,
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
    UnmatchedImportEvent,
    without_future_times,
)
from infisical_events.core.paths.scopes import Scope
from infisical_events.core.snapshots.changes import Change, merged
from infisical_events.core.snapshots.diffs import diff
from infisical_events.core.snapshots.snapshots import ABSENT, Partition, PartitionState, Snapshot, is_covered

EVENT_WAIT = timedelta(seconds=8)
"""How long a heard event is looked for in the state before it counts as accounted for already."""

_IMPORT = frozenset({EventType.IMPORT_MUTATION})


@dataclass(frozen=True, slots=True)
class AppliedSnapshots:
    """An observation taken in: the new ledger, what changed, and what is still to be looked for.

    `claims` are import mutations that never showed and are believed now, once. `unshown` are the
    events whose change the state does not show yet; `look_again` is the moment of the next look that
    is owed because of a suspect body or an open claim.
    """

    ledger: Ledger
    changes: tuple[Change, ...]
    expired_import_events: tuple[UnmatchedImportEvent, ...]
    unshown_events: tuple[ReceivedEvent, ...]
    read_again_at: datetime | None


@dataclass(frozen=True, slots=True)
class _AssessedPartitions:
    """Every part of one observation, judged."""

    accepted: Mapping[Partition, AcceptedState]
    changes: tuple[Change, ...]
    suspects: Mapping[Partition, datetime]
    """Until when each body that is not believed has to be doubted."""


def baseline(header: Header, epoch: str, observation: Snapshot) -> Ledger:
    """The first sight of a subscription: everything is believed, nothing is owed."""
    at = observation.finished
    return Ledger(
        header=header,
        epoch=epoch,
        seq=0,
        baselined_at=at,
        scopes=observation.scopes,
        accepted={part: AcceptedState(body, at) for part, body in observation.partitions.items()},
    )


class SnapshotRole(Enum):
    """Whether what is doubted can be looked at again."""

    REPEATABLE = auto()
    LAST_OF_SCOPES = auto()
    """The next look is at other scopes, and recognises own secrets, but no import."""
    LAST_OF_ALL = auto()
    """Nobody looks any more."""

    def is_last_read_of(self, part: Partition) -> bool:
        """Whether the part is not seen again: then a restart too many is better than one too few."""
        is_import = part.source is not None
        return self is SnapshotRole.LAST_OF_ALL or (self is SnapshotRole.LAST_OF_SCOPES and is_import)


def apply_snapshot(
    ledger: Ledger,
    observation: Snapshot,
    heard: tuple[ReceivedEvent, ...],
    now: datetime,
    sight: SnapshotRole = SnapshotRole.REPEATABLE,
) -> AppliedSnapshots:
    """Take one observation and the events heard around it into the ledger.

    Parts that the ledger's scope did not cover before are baselined; parts that the observation's
    scopes do not cover any more are forgotten, with what is owed for them.
    """
    settled = _rescoped(without_future_times(ledger, now), observation, now)
    judged = _assess_all(settled, observation, heard, sight)
    imports = correlate_imports(settled, judged.changes, heard, now)
    judged = _accept_referenced_values(judged, imports.expired, observation)
    unshown = tuple(entry for entry in heard if _is_unshown(entry, judged.changes, now))
    moments = [
        *judged.suspects.values(),
        *(claim.received_at + UNMATCHED_EVENT_WAIT for claim in imports.events),
    ]
    return AppliedSnapshots(
        ledger=replace(
            settled,
            scopes=observation.scopes,
            baselined_at=now if observation.scopes != ledger.scopes else settled.baselined_at,
            accepted=judged.accepted,
            unmatched_events=imports.events,
            unmatched_changes=imports.changes,
            recently_removed={
                part: left for part, left in settled.recently_removed.items() if part not in judged.accepted
            },
        ),
        changes=merged(with_event_types(judged.changes, heard)),
        expired_import_events=imports.expired,
        unshown_events=unshown,
        read_again_at=min(moments, default=None),
    )


def apply_snapshots(
    ledger: Ledger,
    observations: tuple[Snapshot, ...],
    heard: tuple[ReceivedEvent, ...],
    now: datetime,
    last: SnapshotRole = SnapshotRole.REPEATABLE,
) -> AppliedSnapshots:
    """Take several observations in, one after the other, as one; `last` is what the last of them is.

    After a changed spec the old scopes are looked at once more, so that what changed there before the
    edit is not mistaken for a baseline.
    """
    taken = AppliedSnapshots(ledger, (), (), heard, None)
    for observation, following in zip_longest(observations, observations[1:]):
        is_left = following is not None and following.scopes != observation.scopes
        sight = SnapshotRole.LAST_OF_SCOPES if is_left else SnapshotRole.REPEATABLE if following else last
        new = apply_snapshot(taken.ledger, observation, taken.unshown_events, now, sight)
        changes, claims = (
            merged((*taken.changes, *new.changes)),
            (*taken.expired_import_events, *new.expired_import_events),
        )
        taken = replace(new, changes=changes, expired_import_events=claims)
    return taken


def unconfirmed_removals(
    ledger: Ledger, observation: Snapshot, heard: tuple[ReceivedEvent, ...]
) -> dict[Partition, str]:
    """The parts that seem to have lost most of their secrets, each with a key to ask for."""
    keys = {
        part: unconfirmed_removal(
            part, held, observation.partitions.get(part, ABSENT), observation.started, heard
        )
        for part, held in ledger.accepted.items()
        if is_covered(part, observation.scopes) and part not in observation.unverified
    }
    return {part: key for part, key in keys.items() if key is not None}


def _rescoped(ledger: Ledger, observation: Snapshot, now: datetime) -> Ledger:
    """Forget what left the scope: belief, but for a while, and debts for it."""
    parked = {
        part: left for part, left in ledger.recently_removed.items() if now <= left.left_at + MAX_READ_LAG
    }
    if observation.scopes == ledger.scopes:
        return ledger if parked == ledger.recently_removed else replace(ledger, recently_removed=parked)
    scopes = observation.scopes
    gone = (part for part in ledger.accepted if part.source is None and not is_covered(part, scopes))
    parked |= {part: RecentlyRemoved(ledger.accepted[part], now) for part in gone}
    claims = tuple(c for c in ledger.unmatched_events if any(s.covers(c.folder) for s in scopes))
    belief = _carried_over(ledger, observation)
    return replace(
        ledger,
        accepted=belief,
        pending=pending_within(ledger.pending, scopes),
        unmatched_events=claims,
        recently_removed=parked,
    )


def pending_within(debts: Iterable[PendingRestart], scopes: Iterable[Scope]) -> tuple[PendingRestart, ...]:
    """What of the debts lies in these scopes, or was asked for by a person."""
    scopes, left = tuple(scopes), []
    for debt in debts:
        kept = tuple(c for c in debt.changes if any(scope.overlaps(c.scope) for scope in scopes))
        if kept or debt.is_requested:
            left.append(replace(debt, changes=kept))
    return tuple(left)


def _carried_over(ledger: Ledger, observation: Snapshot) -> dict[Partition, AcceptedState]:
    """The belief under other scopes. An import is known by the scope that shows it, so it is renamed.

    What it brings is the source's content, whichever scope shows it; only its rank is another. One
    that the new look does not show has left the scope, or was removed if the scope has become wider.
    """
    carried: dict[Partition, AcceptedState] = {}
    for part, held in ledger.accepted.items():
        if is_covered(part, observation.scopes):
            carried[part] = held
            continue
        for scope in observation.scopes:
            heir = Partition(scope, part.source)
            is_wider = scope.recursive and scope.covers(part.folder)
            is_shown = heir in observation.partitions and part.scope.covers(scope.folder)
            if part.source is not None and (is_wider or is_shown):
                rank = observation.partitions.get(heir, held.state).rank
                carried[heir] = replace(held, state=replace(held.state, rank=rank))
    return carried


def _assess_all(
    ledger: Ledger,
    observation: Snapshot,
    heard: tuple[ReceivedEvent, ...],
    sight: SnapshotRole = SnapshotRole.REPEATABLE,
) -> _AssessedPartitions:
    belief: dict[Partition, AcceptedState] = {}
    changes: list[Change] = []
    suspects: dict[Partition, datetime] = {}
    for part in sorted(
        ledger.accepted.keys() | observation.partitions.keys() | _returned(ledger, observation), key=str
    ):
        seen = observation.partitions.get(part, ABSENT)
        if part not in ledger.accepted and not is_covered(part, ledger.scopes):
            belief[part] = _entered(part, seen, ledger.recently_removed.get(part), observation)
            continue
        believed = ledger.accepted_for(part)
        if part in observation.unverified:
            if part in ledger.accepted:
                belief[part] = believed
            continue
        verdict = assess(part, believed, seen, observation.started, heard)
        if verdict is Assessment.SUSPECT and sight.is_last_read_of(part):
            verdict = Assessment.ACCEPTED
        if verdict is Assessment.ACCEPTED:
            belief[part] = believed.succeeded_by(seen, observation.finished)
            changes.extend(diff(part, believed.state, seen))
        elif part in ledger.accepted:
            belief[part] = believed.confirmed_by(seen) if verdict is Assessment.UNCHANGED else believed
        if verdict is Assessment.SUSPECT:
            suspects[part] = believed.accepted_at + MAX_READ_LAG
    kept = {part: held for part, held in belief.items() if not _is_forgettable(held, observation)}
    return _AssessedPartitions(kept, tuple(changes), suspects)


def _returned(ledger: Ledger, observation: Snapshot) -> set[Partition]:
    """What left the scope a moment ago and is in it again."""
    return {part for part in ledger.recently_removed if is_covered(part, observation.scopes)}


def _entered(
    part: Partition, seen: PartitionState, parked: RecentlyRemoved | None, observation: Snapshot
) -> AcceptedState:
    """A part that the scope did not cover is believed as it stands, unless it stood otherwise lately."""
    if parked is not None:
        verdict = assess(part, parked.accepted, seen, observation.started, ())
        if verdict is Assessment.SUSPECT:
            return parked.accepted
    return AcceptedState(seen, observation.finished)


def _accept_referenced_values(
    judged: _AssessedPartitions, claims: Iterable[UnmatchedImportEvent], observation: Snapshot
) -> _AssessedPartitions:
    """When an import mutation is believed, so are the values of its folder that are all that differs.

    A reference that changed is told by that event and shown by no version. The restart that is owed for
    the event is made after this look, so it is one for both.
    """
    folders = {claim.folder for claim in claims}
    shown = {
        part: observation.partitions.get(part, ABSENT)
        for part in judged.suspects
        if part.source is None and part.folder in folders and part in judged.accepted
    }
    revealed = {
        part: judged.accepted[part].succeeded_by(seen, observation.finished)
        for part, seen in shown.items()
        if all(change.types == _IMPORT for change in diff(part, judged.accepted[part].state, seen))
    }
    suspects = {part: until for part, until in judged.suspects.items() if part not in revealed}
    return replace(judged, accepted={**judged.accepted, **revealed}, suspects=suspects)


def _is_forgettable(belief: AcceptedState, observation: Snapshot) -> bool:
    """A part that is gone is remembered until no stale read can bring it back."""
    return belief.state == ABSENT and observation.started > belief.accepted_at + MAX_READ_LAG


def _is_unshown(entry: ReceivedEvent, changes: Iterable[Change], now: datetime) -> bool:
    """Whether some key that the event names has not been seen to change, and may still be."""
    if entry.event.type is EventType.IMPORT_MUTATION or now > entry.received_at + EVENT_WAIT:
        return False
    shown = {change.key for change in changes if change.scope == Scope(entry.event.folder)}
    return not entry.event.keys <= shown
