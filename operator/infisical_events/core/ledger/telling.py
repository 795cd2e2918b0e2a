"""What was heard for what was seen: under which event types a change counts, and which nobody told of."""

from collections.abc import Iterable
from dataclasses import replace

from infisical_events.api.specs import EventType
from infisical_events.core.ledger.acceptance import Heard
from infisical_events.core.paths.folders import Folder
from infisical_events.core.snapshots.changes import ANY_KEY, Change
from infisical_events.core.snapshots.selectors import changes_of

_IMPORT = frozenset({EventType.IMPORT_MUTATION})


def told(changes: Iterable[Change], heard: tuple[Heard, ...]) -> tuple[Change, ...]:
    """The changes of own secrets, each under the event types that were heard for it as well."""
    heard_for = _types_heard(heard)
    return tuple(
        change
        if change.types == _IMPORT
        else replace(change, types=change.types | heard_for.get(_place(change), frozenset()))
        for change in changes
    )


def untold(changes: Iterable[Change], heard: tuple[Heard, ...]) -> tuple[Change, ...]:
    """The changes of own secrets that no event had told: made while nobody listened, or lost on the way.

    Import mutations are left out, since the server tells of them seconds after they can be seen.
    """
    heard_for = _types_heard(heard)
    folders = {folder for folder, _ in heard_for}
    return tuple(
        change
        for change in changes
        if change.types != _IMPORT
        and _place(change) not in heard_for
        and not (change.key == ANY_KEY and change.scope.folder in folders)
    )


def _types_heard(heard: tuple[Heard, ...]) -> dict[tuple[Folder, str], frozenset[EventType]]:
    """By place, the event types that were heard for it."""
    types: dict[tuple[Folder, str], frozenset[EventType]] = {}
    for entry in heard:
        for claimed in changes_of(entry.event):
            types[_place(claimed)] = types.get(_place(claimed), frozenset()) | claimed.types
    return types


def _place(change: Change) -> tuple[Folder, str]:
    return change.scope.folder, change.key
