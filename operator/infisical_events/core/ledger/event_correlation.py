"""Import mutations heard and import differences seen: each pair is one restart, not two.

The event of an import comes seconds after its change can be seen, names no keys, and is also sent when
something changed that no list shows (a secret that others refer to).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from infisical_events.api.specs import EventType
from infisical_events.core.ledger.acceptance import ReceivedEvent
from infisical_events.core.ledger.ledger import Ledger, UnmatchedImportChange, UnmatchedImportEvent
from infisical_events.core.paths.folders import Folder
from infisical_events.core.snapshots.changes import ANY_KEY, Change
from infisical_events.core.snapshots.selectors import changes_of

UNMATCHED_EVENT_WAIT = timedelta(seconds=5)
"""How long an import mutation is looked for before it is believed unseen (a reference changed)."""

UNMATCHED_CHANGE_LIFETIME = timedelta(seconds=60)
"""How long a seen import mutation waits for its event: the server sends it 4 s late per level."""

_IMPORT = frozenset({EventType.IMPORT_MUTATION})


@dataclass(frozen=True, slots=True)
class ImportCorrelation:
    """The claims that stay open, the credits that stay, and the claims that are believed now."""

    events: tuple[UnmatchedImportEvent, ...]
    changes: tuple[UnmatchedImportChange, ...]
    expired: tuple[UnmatchedImportEvent, ...]


def correlate_imports(
    ledger: Ledger, changes: Iterable[Change], received: tuple[ReceivedEvent, ...], now: datetime
) -> ImportCorrelation:
    """Pair import mutations heard with import differences seen; believe what stays unseen.

    A claim without a difference may be a changed reference, which no list shows. It is believed
    once, after a while. A difference without a claim is ahead of its event, which then owes nothing.
    """
    visible = {change.scope for change in changes if change.types == _IMPORT}
    credits_left = [import_change for import_change in ledger.unmatched_changes if import_change.until > now]
    unclaimed = set(visible)
    import_events: list[UnmatchedImportEvent] = []
    current: list[UnmatchedImportEvent] = []
    for import_event in _open_events(ledger, received):
        seen = [scope for scope in visible if scope.covers(import_event.folder)]
        paid = [
            import_change for import_change in credits_left if import_change.scope.covers(import_event.folder)
        ]
        if seen:
            unclaimed.difference_update(seen)
        elif paid:
            credits_left.remove(paid[0])
        elif now >= import_event.received_at + UNMATCHED_EVENT_WAIT:
            current.append(import_event)
        else:
            import_events.append(import_event)
    sync_state = [
        UnmatchedImportChange(scope, now + UNMATCHED_CHANGE_LIFETIME) for scope in sorted(unclaimed)
    ]
    return ImportCorrelation(tuple(import_events), (*credits_left, *sync_state), tuple(current))


def _open_events(ledger: Ledger, received: tuple[ReceivedEvent, ...]) -> tuple[UnmatchedImportEvent, ...]:
    """The open claims and the new ones of folders in scope, one per folder: the oldest."""
    import_events = {import_event.folder: import_event for import_event in ledger.unmatched_events}
    for entry in received:
        folder = entry.event.folder
        in_scope = any(scope.covers(folder) for scope in ledger.scopes)
        if entry.event.type is EventType.IMPORT_MUTATION and in_scope:
            import_events.setdefault(folder, UnmatchedImportEvent(folder, entry.received_at))
    return tuple(import_events.values())


def with_event_types(changes: Iterable[Change], received: tuple[ReceivedEvent, ...]) -> tuple[Change, ...]:
    """The changes of own secrets, each under the event types that were heard for it as well."""
    heard_for = _received_types(received)
    return tuple(
        change
        if change.types == _IMPORT
        else replace(change, types=change.types | heard_for.get(_place(change), frozenset()))
        for change in changes
    )


def without_event(changes: Iterable[Change], received: tuple[ReceivedEvent, ...]) -> tuple[Change, ...]:
    """The changes of own secrets that no event had told: made while nobody listened, or lost on the way.

    Import mutations are left out, since the server tells of them seconds after they can be seen.
    """
    heard_for = _received_types(received)
    folders = {folder for folder, _ in heard_for}
    return tuple(
        change
        for change in changes
        if change.types != _IMPORT
        and _place(change) not in heard_for
        and not (change.key == ANY_KEY and change.scope.folder in folders)
    )


def _received_types(received: tuple[ReceivedEvent, ...]) -> dict[tuple[Folder, str], frozenset[EventType]]:
    """By place, the event types that were heard for it."""
    types: dict[tuple[Folder, str], frozenset[EventType]] = {}
    for entry in received:
        for claimed in changes_of(entry.event):
            types[_place(claimed)] = types.get(_place(claimed), frozenset()) | claimed.types
    return types


def _place(change: Change) -> tuple[Folder, str]:
    return change.scope.folder, change.key
