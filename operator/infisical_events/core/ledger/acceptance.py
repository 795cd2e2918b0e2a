"""Whether a body that was read may be believed.

Reads lag behind: database replicas, cached responses. A belief once accepted never goes back because
of a read younger than the horizon; a real roll-back is believed after it.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, auto

from infisical_events.api.specs import EventType
from infisical_events.core.snapshots.changes import Change
from infisical_events.core.snapshots.diffs import diff
from infisical_events.core.snapshots.events import SecretEvent
from infisical_events.core.snapshots.snapshots import ABSENT, Partition, PartitionState

MAX_READ_LAG = timedelta(seconds=60)
"""The longest age of a read that is tolerated: replication lag and caches of the server."""

_FEW = 3
"""A folder with fewer secrets is lost as a whole or not at all."""

_IMPORT = EventType.IMPORT_MUTATION
_UPDATE = frozenset({EventType.UPDATE})
_DELETE = frozenset({EventType.DELETE})


class Assessment(Enum):
    """What becomes of a body that was read."""

    UNCHANGED = auto()
    ACCEPTED = auto()
    SUSPECT = auto()


@dataclass(frozen=True, slots=True)
class AcceptedState:
    """A body and the moment it was accepted; equal reads do not refresh that moment.

    `gone` are the ids that left shortly before: a secret made anew has another id, so a read that
    shows one of them is an old one.
    """

    state: PartitionState
    accepted_at: datetime
    removed_ids: frozenset[str] = frozenset()

    def succeeded_by(self, state: PartitionState, at: datetime) -> "AcceptedState":
        """The next belief; what is gone is remembered while a read may still show it."""
        remembered = self.removed_ids if at <= self.accepted_at + MAX_READ_LAG else frozenset()
        return AcceptedState(state.completed_from(self.state), at, (remembered | self.state.ids) - state.ids)

    def confirmed_by(self, state: PartitionState) -> "AcceptedState":
        """The same belief, after a body that agrees with it and may know more."""
        return replace(self, state=state.completed_from(self.state))


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """An event and when it was heard."""

    event: SecretEvent
    received_at: datetime


def assess(
    partition: Partition,
    current: AcceptedState,
    seen: PartitionState,
    started: datetime,
    received: Iterable[ReceivedEvent],
) -> Assessment:
    """Judge a body whose read started at `started` against what is believed of its part."""
    if current.state.agrees(seen):
        return Assessment.UNCHANGED
    if started > current.accepted_at + MAX_READ_LAG:
        return Assessment.ACCEPTED
    steps = _version_steps(current.state, seen)
    if any(step < 0 for step in steps) or not current.removed_ids.isdisjoint(seen.ids):
        return Assessment.SUSPECT  # whatever was heard: an event may be late, and the read older than it
    later = [entry.event for entry in received if entry.received_at > current.accepted_at]
    is_newer = any(steps) or _is_corroborated(partition, current.state, seen, later)
    return Assessment.ACCEPTED if is_newer else Assessment.SUSPECT


def unconfirmed_removal(
    partition: Partition,
    current: AcceptedState,
    seen: PartitionState,
    started: datetime,
    received: Iterable[ReceivedEvent],
) -> str | None:
    """A key to ask for, when a read would be believed although most keys left without a word.

    The server leaves out silently what an identity may no longer describe. So the loss of all keys of
    a folder, or of more than half of at least three, has to be confirmed by asking for one of them.
    """
    before = current.state.versions.keys()
    lost = before - seen.versions.keys()
    is_most = lost == before or 2 * len(lost) > len(before) >= _FEW
    if partition.source is not None or not lost or not is_most:
        return None
    is_told = _is_corroborated(partition, current.state, seen, [entry.event for entry in received])
    is_believed = assess(partition, current, seen, started, received) is Assessment.ACCEPTED
    return min(lost) if is_believed and not is_told else None


def _version_steps(current: PartitionState, seen: PartitionState) -> list[int]:
    """By how many versions each secret that both know was changed; one step up proves `seen` newer."""
    before = {secret_version.id: secret_version.version for secret_version in current.versions.values()}
    return [
        secret_version.version - before[secret_version.id]
        for secret_version in seen.versions.values()
        if secret_version.id in before
    ]


def _is_corroborated(
    partition: Partition, current: PartitionState, seen: PartitionState, events: Iterable[SecretEvent]
) -> bool:
    """Every difference was told by an event that was heard after the belief was accepted."""
    if partition.source is not None:
        # The event names no keys, and comes late. So it vouches only for an import that was not there:
        # a lagging read takes back what is believed, and hardly shows what there never was.
        is_told = any(event.type is _IMPORT and partition.scope.covers(event.folder) for event in events)
        return current == ABSENT and is_told
    told: dict[str, set[EventType]] = defaultdict(set)
    for event in events:
        for key in event.keys if event.folder == partition.folder else ():
            told[key].add(event.type)
    return all(_is_explained(change, told[change.key]) for change in diff(partition, current, seen))


def _is_explained(change: Change, told: set[EventType]) -> bool:
    """Whether events tell of the change; the create of an upsert is told as an update."""
    others = change.types - _DELETE
    is_loss_told = change.types & _DELETE <= told
    return is_loss_told and (not others or not told.isdisjoint(others | _UPDATE))
