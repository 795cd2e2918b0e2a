"""Assessment of reads: whether a state that was read is newer than the accepted one.

Reads may lag: database replicas, cached responses. An accepted state is never reverted by a read that starts
within MAX_READ_LAG of its acceptance; a real roll-back is accepted after that time.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum, auto

from infisical_events.api.specs import EventType
from infisical_events.core.snapshots.changes import Change, diff
from infisical_events.core.snapshots.events import SecretEvent
from infisical_events.core.snapshots.snapshots import ABSENT, Partition, PartitionState, Snapshot, is_covered

MAX_READ_LAG = timedelta(seconds=60)
"""How far a read may lag behind the database, by replication and caches of the server."""

_MIN_KEYS = 3
"""Below this number of keys, only the removal of all of them needs confirmation."""

_IMPORT = EventType.IMPORT_MUTATION
_UPDATE = frozenset({EventType.UPDATE})
_DELETE = frozenset({EventType.DELETE})


class Assessment(Enum):
    """The result of comparing a state that was read with the accepted one."""

    UNCHANGED = auto()
    ACCEPTED = auto()
    SUSPECT = auto()


@dataclass(frozen=True, slots=True)
class AcceptedState:
    """A state and the time of its acceptance, which equal reads do not refresh.

    `removed_ids` are the ids that were removed shortly before: a recreated secret has a new id, so a read
    that contains one of them is stale.
    """

    state: PartitionState
    accepted_at: datetime
    removed_ids: frozenset[str] = frozenset()

    def succeeded_by(self, state: PartitionState, at: datetime) -> "AcceptedState":
        """The next accepted state; removed ids are kept for as long as a stale read may contain them."""
        remembered = self.removed_ids if at <= self.accepted_at + MAX_READ_LAG else frozenset()
        return AcceptedState(state.completed_from(self.state), at, (remembered | self.state.ids) - state.ids)

    def confirmed_by(self, state: PartitionState) -> "AcceptedState":
        """The same accepted state, completed from a read that agrees with it and may know more."""
        return replace(self, state=state.completed_from(self.state))


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """An event, the time at which it was received, and its number in this process, by which logs name it."""

    event: SecretEvent
    received_at: datetime
    number: int = field(default=0, compare=False)


def assess(
    partition: Partition,
    current: AcceptedState,
    seen: PartitionState,
    started: datetime,
    received: Iterable[ReceivedEvent],
) -> Assessment:
    """Assess a state whose read started at `started` against the accepted state of its partition."""
    if current.state.agrees(seen):
        return Assessment.UNCHANGED
    if started > current.accepted_at + MAX_READ_LAG:
        return Assessment.ACCEPTED
    steps = _version_steps(current.state, seen)
    if any(step < 0 for step in steps) or not current.removed_ids.isdisjoint(seen.ids):
        return Assessment.SUSPECT  # whatever events say: an event may be late, and the read older than it
    later = [entry.event for entry in received if entry.received_at > current.accepted_at]
    is_newer = any(steps) or _is_corroborated(partition, current.state, seen, later)
    return Assessment.ACCEPTED if is_newer else Assessment.SUSPECT


def unconfirmed_removals(
    accepted: Mapping[Partition, AcceptedState], snapshot: Snapshot, received: tuple[ReceivedEvent, ...]
) -> dict[Partition, str]:
    """The partitions that seem to have lost most keys, each with a key whose removal has to be confirmed."""
    keys = {
        partition: unconfirmed_removal(
            partition, held, snapshot.partitions.get(partition, ABSENT), snapshot.started, received
        )
        for partition, held in accepted.items()
        if is_covered(partition, snapshot.scopes) and partition not in snapshot.unverified
    }
    return {partition: key for partition, key in keys.items() if key is not None}


def unconfirmed_removal(
    partition: Partition,
    current: AcceptedState,
    seen: PartitionState,
    started: datetime,
    received: Iterable[ReceivedEvent],
) -> str | None:
    """A key whose removal needs confirmation, if a read without most keys would be accepted without event.

    The server silently omits secrets that the identity may no longer describe. So the removal of all keys of
    a folder, or of more than half of at least three, has to be confirmed by reading one of them by name.
    """
    before = current.state.versions.keys()
    removed = before - seen.versions.keys()
    is_majority = removed == before or 2 * len(removed) > len(before) >= _MIN_KEYS
    if partition.source is not None or not removed or not is_majority:
        return None
    has_event = _is_corroborated(partition, current.state, seen, [entry.event for entry in received])
    is_accepted = assess(partition, current, seen, started, received) is Assessment.ACCEPTED
    return min(removed) if is_accepted and not has_event else None


def is_removal_reported(
    partition: Partition, current: AcceptedState, received: Iterable[ReceivedEvent]
) -> bool:
    """Whether events report the removal of every key of the partition; true if it has none."""
    if current.state == ABSENT:
        return True
    return _is_corroborated(partition, current.state, ABSENT, [entry.event for entry in received])


def _version_steps(current: PartitionState, seen: PartitionState) -> list[int]:
    """For each secret that both states have, how its version changed; any increase proves `seen` newer."""
    before = {secret_version.id: secret_version.version for secret_version in current.versions.values()}
    return [
        secret_version.version - before[secret_version.id]
        for secret_version in seen.versions.values()
        if secret_version.id in before
    ]


def _is_corroborated(
    partition: Partition, current: PartitionState, seen: PartitionState, events: Iterable[SecretEvent]
) -> bool:
    """Whether events that were received after the acceptance report every difference."""
    if partition.source is not None:
        # The event has no keys and is late. So it confirms only an import that did not exist before: a stale
        # read reverts to an earlier state, and is unlikely to contain an import that never existed.
        has_event = any(event.type is _IMPORT and partition.scope.covers(event.folder) for event in events)
        return current == ABSENT and has_event
    event_types: dict[str, set[EventType]] = defaultdict(set)
    for event in events:
        for key in event.keys if event.folder == partition.folder else ():
            event_types[key].add(event.type)
    return all(_is_explained(change, event_types[change.key]) for change in diff(partition, current, seen))


def _is_explained(change: Change, event_types: set[EventType]) -> bool:
    """Whether these event types report the change; an upsert that creates is reported as an update."""
    others = change.types - _DELETE
    has_removal_event = change.types & _DELETE <= event_types
    return has_removal_event and (not others or not event_types.isdisjoint(others | _UPDATE))
