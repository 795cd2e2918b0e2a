"""Whether a body that was read may be believed.

Reads lag behind: database replicas, cached responses. A belief once accepted never goes back because
of a read younger than the horizon; a real roll-back is believed after it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto

from infisical_events.api.specs import EventType
from infisical_events.core.events import SecretEvent
from infisical_events.core.observations import Body, Part

HORIZON = timedelta(seconds=60)
"""The longest age of a read that is tolerated: replication lag and caches of the server."""

_APPEARING = frozenset({EventType.CREATE, EventType.UPDATE})
_VANISHING = frozenset({EventType.DELETE, EventType.UPDATE})


class Verdict(Enum):
    """What becomes of a body that was read."""

    SAME = auto()
    ACCEPTED = auto()
    SUSPECT = auto()


@dataclass(frozen=True, slots=True)
class Belief:
    """A body and the moment it was accepted; equal reads do not refresh that moment."""

    body: Body
    accepted_at: datetime


@dataclass(frozen=True, slots=True)
class Heard:
    """An event and when it was heard."""

    event: SecretEvent
    at: datetime


def judge(part: Part, believed: Belief, seen: Body, started: datetime, heard: Iterable[Heard]) -> Verdict:
    """Judge a body whose read started at `started` against what is believed of its part."""
    if seen == believed.body:
        return Verdict.SAME
    is_late = started > believed.accepted_at + HORIZON
    if is_late or _is_provably_newer(believed.body, seen):
        return Verdict.ACCEPTED
    later = [entry.event for entry in heard if entry.at > believed.accepted_at]
    return Verdict.ACCEPTED if _is_corroborated(part, believed.body, seen, later) else Verdict.SUSPECT


def _is_provably_newer(believed: Body, seen: Body) -> bool:
    """Some secret that both know has a higher version, none has a lower one."""
    before = {sighting.id: sighting.version for sighting in believed.sightings.values()}
    steps = [
        sighting.version - before[sighting.id]
        for sighting in seen.sightings.values()
        if sighting.id in before
    ]
    return any(step > 0 for step in steps) and all(step >= 0 for step in steps)


def _is_corroborated(part: Part, believed: Body, seen: Body, events: Iterable[SecretEvent]) -> bool:
    """Every difference was told by an event that was heard after the belief was accepted."""
    if part.source is not None:
        return any(
            event.type is EventType.IMPORT_MUTATION and part.scope.covers(event.folder) for event in events
        )
    told = {(key, event.type) for event in events if event.folder == part.folder for key in event.keys}
    return all(
        any((key, kind) in told for kind in _tellers(key, believed, seen))
        for key in _differing(believed, seen)
    )


def _differing(believed: Body, seen: Body) -> set[str]:
    before, after = set(believed.sightings.items()), set(seen.sightings.items())
    return {key for key, _ in before ^ after}


def _tellers(key: str, believed: Body, seen: Body) -> frozenset[EventType]:
    if key not in seen.sightings:
        return _VANISHING
    return _APPEARING if key not in believed.sightings else _APPEARING & _VANISHING
