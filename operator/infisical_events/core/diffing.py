"""From two bodies of one part to the changes between them, attributed as Infisical would tell them."""

from collections.abc import Iterator

from infisical_events.api.specs import EventType
from infisical_events.core.changes import ANY_KEY, Change
from infisical_events.core.observations import Body, Part, Sighting

_CREATE = frozenset({EventType.CREATE})
_UPDATE = frozenset({EventType.UPDATE})
_DELETE = frozenset({EventType.DELETE})
_IMPORT = frozenset({EventType.IMPORT_MUTATION})


def diff(part: Part, before: Body, after: Body) -> tuple[Change, ...]:
    """The changes of one part; an import's differences are mutations of the importing folder."""
    if part.source is not None:
        return _import_changes(part, before, after)
    return tuple(_own_changes(part, before, after))


def _own_changes(part: Part, before: Body, after: Body) -> Iterator[Change]:
    old_ids = {sighting.id for sighting in before.sightings.values()}
    new_ids = {sighting.id for sighting in after.sightings.values()}
    for key in sorted(before.sightings.keys() | after.sightings.keys()):
        old, new = before.sightings.get(key), after.sightings.get(key)
        if old == new:
            continue
        if new is None and old is not None:
            # The same secret under another name is a rename, which the server tells as an update.
            types = _UPDATE if old.id in new_ids else _DELETE
        elif old is None and new is not None:
            types = _UPDATE if new.id in old_ids else _types_of_new(new)
        elif old is not None and new is not None and old.id != new.id:
            types = _DELETE | _types_of_new(new)
        else:
            types = _UPDATE
        yield Change(part.scope, key, types)


def _types_of_new(new: Sighting) -> frozenset[EventType]:
    """A new secret that was already changed since has been both created and updated."""
    return _CREATE if new.version <= 1 else _CREATE | _UPDATE


def _import_changes(part: Part, before: Body, after: Body) -> tuple[Change, ...]:
    if before == after:
        return ()
    keys = before.sightings.keys() | after.sightings.keys()
    if before.rank == after.rank:
        keys = {key for key in keys if before.sightings.get(key) != after.sightings.get(key)}
    return tuple(Change(part.scope, key, _IMPORT) for key in sorted(keys) or (ANY_KEY,))
