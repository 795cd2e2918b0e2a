"""Correlation of import events with import changes: each pair causes one restart, not two.

The event of an import is sent seconds after its change is visible, has no keys, and is also sent for changes
that no list shows (of a secret that other secrets reference).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from infisical_events.api.specs import EventType
from infisical_events.core.ledger.acceptance import ReceivedEvent
from infisical_events.core.ledger.ledger import Ledger, UnmatchedImportChange, UnmatchedImportEvent
from infisical_events.core.paths.scopes import Folder
from infisical_events.core.snapshots.changes import ANY_KEY, Change
from infisical_events.core.snapshots.selectors import changes_of

UNMATCHED_EVENT_WAIT = timedelta(seconds=5)
"""How long an import event waits for its change before it counts without one (a reference changed)."""

UNMATCHED_CHANGE_LIFETIME = timedelta(seconds=60)
"""How long an import change waits for its event: the server delays it by 4 s per level of imports."""

_IMPORT = frozenset({EventType.IMPORT_MUTATION})


@dataclass(frozen=True, slots=True)
class ImportCorrelation:
    """The events and the changes that remain unmatched, and the events that count without a change now."""

    events: tuple[UnmatchedImportEvent, ...]
    changes: tuple[UnmatchedImportChange, ...]
    expired: tuple[UnmatchedImportEvent, ...]


def correlate_imports(
    ledger: Ledger, changes: Iterable[Change], received: tuple[ReceivedEvent, ...], now: datetime
) -> ImportCorrelation:
    """Match received import events with visible import changes.

    An event without a change may be a changed reference, which no list shows: it counts once, after
    UNMATCHED_EVENT_WAIT. A change without an event is earlier than its event, which then causes no restart.
    """
    visible = {change.scope for change in changes if change.types == _IMPORT}
    open_changes = [import_change for import_change in ledger.unmatched_changes if import_change.until > now]
    unmatched = set(visible)
    open_events: list[UnmatchedImportEvent] = []
    expired: list[UnmatchedImportEvent] = []
    for import_event in _open_events(ledger, received):
        seen = [scope for scope in visible if scope.covers(import_event.folder)]
        earlier = [
            import_change for import_change in open_changes if import_change.scope.covers(import_event.folder)
        ]
        if seen:
            unmatched.difference_update(seen)
        elif earlier:
            open_changes.remove(earlier[0])
        elif now >= import_event.received_at + UNMATCHED_EVENT_WAIT:
            expired.append(import_event)
        else:
            open_events.append(import_event)
    new_changes = [
        UnmatchedImportChange(scope, now + UNMATCHED_CHANGE_LIFETIME) for scope in sorted(unmatched)
    ]
    return ImportCorrelation(tuple(open_events), (*open_changes, *new_changes), tuple(expired))


def _open_events(ledger: Ledger, received: tuple[ReceivedEvent, ...]) -> tuple[UnmatchedImportEvent, ...]:
    """The unmatched events and the new ones of folders in scope; of one folder, the oldest."""
    open_events = {import_event.folder: import_event for import_event in ledger.unmatched_events}
    for entry in received:
        folder = entry.event.folder
        is_import = entry.event.type is EventType.IMPORT_MUTATION
        if is_import and any(scope.covers(folder) for scope in ledger.scopes):
            open_events.setdefault(folder, UnmatchedImportEvent(folder, entry.received_at))
    return tuple(open_events.values())


def with_event_types(changes: Iterable[Change], received: tuple[ReceivedEvent, ...]) -> tuple[Change, ...]:
    """The changes; those of own secrets also with the event types that were received for them."""
    received_types = _received_types(received)
    return tuple(
        change
        if change.types == _IMPORT
        else replace(change, types=change.types | received_types.get(_folder_and_key(change), frozenset()))
        for change in changes
    )


def without_event(changes: Iterable[Change], received: tuple[ReceivedEvent, ...]) -> tuple[Change, ...]:
    """The changes of own secrets without an event: made while disconnected, or their events were lost.

    Import mutations are excluded, since the server reports them seconds after they are visible.
    """
    received_types = _received_types(received)
    folders = {folder for folder, _ in received_types}
    return tuple(
        change
        for change in changes
        if change.types != _IMPORT
        and _folder_and_key(change) not in received_types
        and not (change.key == ANY_KEY and change.scope.folder in folders)
    )


def _received_types(received: tuple[ReceivedEvent, ...]) -> dict[tuple[Folder, str], frozenset[EventType]]:
    """The received event types by folder and key."""
    types: dict[tuple[Folder, str], frozenset[EventType]] = {}
    for entry in received:
        for change in changes_of(entry.event):
            types[_folder_and_key(change)] = types.get(_folder_and_key(change), frozenset()) | change.types
    return types


def _folder_and_key(change: Change) -> tuple[Folder, str]:
    return change.scope.folder, change.key
