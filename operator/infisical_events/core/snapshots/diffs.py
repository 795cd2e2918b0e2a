"""The changes between two states of one partition, with the event types that Infisical reports for them."""

from collections.abc import Iterator

from infisical_events.api.specs import EventType
from infisical_events.core.snapshots.changes import ANY_KEY, Change
from infisical_events.core.snapshots.snapshots import Partition, PartitionState, SecretVersion

_CREATE = frozenset({EventType.CREATE})
_UPDATE = frozenset({EventType.UPDATE})
_DELETE = frozenset({EventType.DELETE})
_IMPORT = frozenset({EventType.IMPORT_MUTATION})


_ANY_OF_OWN = _CREATE | _UPDATE | _DELETE


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


def content_changes(
    partition: Partition, before: PartitionState, after: PartitionState
) -> tuple[Change, ...]:
    """The changes of `diff` without those of secrets whose value is known to be the same.

    A comment, a tag, metadata or the same value once more makes a new version of a secret. Only digests of
    values show that; an import that changed places may override other keys all the same.
    """
    keys = before.versions.keys() & after.versions.keys() if before.rank == after.rank else frozenset()
    same = {key for key in keys if before.versions[key].has_same_value(after.versions[key])}
    return tuple(change for change in diff(partition, before, after) if change.key not in same)


def _own_changes(partition: Partition, before: PartitionState, after: PartitionState) -> Iterator[Change]:
    stayed = before.ids & after.ids
    for key in sorted(before.versions.keys() | after.versions.keys()):
        old, new = before.versions.get(key), after.versions.get(key)
        if old is not None and new is not None and (old.id, old.version) == (new.id, new.version):
            if not old.agrees(
                new
            ):  # only its value: a referenced secret changed, reported as an import mutation
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
