"""Changes of keys: the value that flows from two states of a partition to the pending restarts of workloads.

A change has the event types that Infisical reports for it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter

from infisical_events.api.specs import EventType
from infisical_events.core.paths.scopes import Folder, Scope
from infisical_events.core.snapshots.snapshots import Partition, PartitionState, SecretVersion
from infisical_events.core.status.text import preview

ANY_KEY = "*"
"""Stands for unknown keys: of an import mutation without a visible change, or of too many changes."""

MAX_CHANGES = 50
"""How many changes a pending restart keeps individually."""

_CREATE = frozenset({EventType.CREATE})
_UPDATE = frozenset({EventType.UPDATE})
_DELETE = frozenset({EventType.DELETE})
_IMPORT = frozenset({EventType.IMPORT_MUTATION})
_ANY_OF_OWN = _CREATE | _UPDATE | _DELETE


@dataclass(frozen=True, slots=True)
class Change:
    """One key that changed in one scope, with every event type that Infisical may have reported for it.

    There may be several: an upsert creates a secret, and its event is a `secret:update`.
    """

    scope: Scope
    key: str
    types: frozenset[EventType]

    def __str__(self) -> str:
        """`secret:update prod:/a KEY`, also the way it is stored."""
        return f"{','.join(sorted(self.types))} {self.scope} {self.key}"

    @classmethod
    def parse(cls, text: str) -> "Change":
        """The inverse of `str()`; raises ValueError when malformed."""
        types, scope, key = text.split(" ", 2)
        return cls(Scope.parse(scope), key, frozenset(map(EventType, types.split(","))))


def merged(changes: Iterable[Change]) -> tuple[Change, ...]:
    """One change per scope and key, with the union of its types; sorted by scope and key."""
    types: dict[tuple[Scope, str], frozenset[EventType]] = {}
    for change in changes:
        place = (change.scope, change.key)
        known = types.get(place)
        types[place] = change.types if known is None else known | change.types
    return tuple(Change(*place, types[place]) for place in sorted(types))


def compacted(changes: Iterable[Change], limit: int = MAX_CHANGES) -> tuple[Change, ...]:
    """As `merged`, and at most `limit` unless there are more environments than that.

    Too many changes become one per scope, or else one per environment. A selector that selects a change also
    selects its compacted form, and may select more. So this is for pending restarts only: they stay small,
    however long a workload waits for its restart.
    """
    changes = tuple(changes)
    kept = _any_keys(changes) if _have_more_places(changes, limit) else merged(changes)
    return kept if len(kept) <= limit else merged(map(_in_any_folder, kept))


def _have_more_places(changes: Iterable[Change], limit: int) -> bool:
    """Whether the changes are of more than `limit` keys; of many thousand, most need not be looked at."""
    places: set[tuple[Scope, str]] = set()
    for change in changes:
        places.add((change.scope, change.key))
        if len(places) > limit:
            return True
    return False


def _any_keys(changes: Iterable[Change]) -> tuple[Change, ...]:
    """One change of any key per scope; sorted."""
    types: dict[Scope, frozenset[EventType]] = {}
    for (scope, own_types), _ in groupby(changes, attrgetter("scope", "types")):
        types[scope] = types.get(scope, frozenset()) | own_types
    return tuple(Change(scope, ANY_KEY, types[scope]) for scope in sorted(types))


def _in_any_folder(change: Change) -> Change:
    return replace(change, scope=Scope(Folder(change.scope.folder.environment, "/"), recursive=True))


def summarize(changes: tuple[Change, ...]) -> str:
    """`secret:update prod:/a KEY` for the first 3 changes, and the number of the others."""
    return preview(changes, 3, "; ")


# -- differences of two states ------------------------------------------------------------------------


def diff(partition: Partition, before: PartitionState, after: PartitionState) -> tuple[Change, ...]:
    """The changes of one partition; differences of an import are import mutations of the importing folder.

    A compacted state does not tell which keys changed, nor how: the result is one change of any key.
    """
    if before.agrees(after):
        return ()
    if before.fingerprint:
        return (Change(partition.scope, ANY_KEY, _ANY_OF_OWN if partition.source is None else _IMPORT),)
    if partition.source is not None:
        return _import_changes(partition, before, after)
    return tuple(_own_changes(partition, before, after))


def diff_by_content(
    partition: Partition, before: PartitionState, after: PartitionState
) -> tuple[tuple[Change, ...], tuple[Change, ...]]:
    """The changes of `diff`, and apart from them those of secrets whose value is known to be the same.

    A comment, a tag, metadata or the same value once more makes a new version of a secret. Only digests of
    values show that; an import that changed places may override other keys all the same.
    """
    keys = before.versions.keys() & after.versions.keys() if before.rank == after.rank else frozenset()
    same = {key for key in keys if before.versions[key].has_same_value(after.versions[key])}
    changes = diff(partition, before, after)
    return (
        tuple(change for change in changes if change.key not in same),
        tuple(change for change in changes if change.key in same),
    )


def _own_changes(partition: Partition, before: PartitionState, after: PartitionState) -> Iterator[Change]:
    stayed = before.ids & after.ids
    for key in sorted(before.versions.keys() | after.versions.keys()):
        old, new = before.versions.get(key), after.versions.get(key)
        if old is not None and new is not None and (old.id, old.version) == (new.id, new.version):
            # Only its value differs: a referenced secret changed, which is reported as an import mutation.
            if not old.agrees(new):
                yield Change(partition.scope, key, _IMPORT)
        else:
            yield Change(partition.scope, key, _types_of_loss(old, stayed) | _types_of_gain(new, stayed))


def _types_of_loss(old: SecretVersion | None, stayed: frozenset[str]) -> frozenset[EventType]:
    """For a secret that left the key, was changed or renamed: a rename is reported as an update."""
    if old is None:
        return frozenset()
    return _UPDATE if old.id in stayed else _DELETE


def _types_of_gain(new: SecretVersion | None, stayed: frozenset[str]) -> frozenset[EventType]:
    """For the secret that is under the key now; a new one with a version above 1 was created and updated."""
    if new is None:
        return frozenset()
    if new.id in stayed:
        return _UPDATE
    return _CREATE if new.version <= 1 else _CREATE | _UPDATE


def _import_changes(
    partition: Partition, before: PartitionState, after: PartitionState
) -> tuple[Change, ...]:
    keys = before.versions.keys() | after.versions.keys()
    if before.rank == after.rank:
        keys = {key for key in keys if not _is_same(before.versions.get(key), after.versions.get(key))}
    return tuple(Change(partition.scope, key, _IMPORT) for key in sorted(keys) or (ANY_KEY,))


def _is_same(old: SecretVersion | None, new: SecretVersion | None) -> bool:
    return old is not None and new is not None and old.agrees(new)
