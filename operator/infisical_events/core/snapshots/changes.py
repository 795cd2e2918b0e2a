"""A change of one key: the value that flows from the snapshot diff to the pending restarts of workloads."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from infisical_events.api.specs import EventType
from infisical_events.core.paths.scopes import Folder, Scope
from infisical_events.core.status.text import preview

ANY_KEY = "*"
"""Stands for unknown keys: of an import mutation without a visible change, or of too many changes."""

MAX_CHANGES = 50
"""How many changes a pending restart keeps individually."""


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
    """One change per scope and key, with the union of its types; sorted."""
    types: dict[tuple[Scope, str], frozenset[EventType]] = {}
    for change in changes:
        place = (change.scope, change.key)
        types[place] = types.get(place, frozenset()) | change.types
    return tuple(sorted((Change(*place, all_types) for place, all_types in types.items()), key=str))


def compacted(changes: Iterable[Change], limit: int = MAX_CHANGES) -> tuple[Change, ...]:
    """As `merged`, and at most `limit` unless there are more environments than that.

    Too many changes become one per scope, or else one per environment. A selector that selects a change also
    selects its compacted form, and may select more. So this is for pending restarts only: they stay small,
    however long a workload waits for its restart.
    """
    kept = merged(changes)
    for coarser in (_any_key, _in_any_folder):
        if len(kept) > limit:
            kept = merged(map(coarser, kept))
    return kept


def _any_key(change: Change) -> Change:
    return replace(change, key=ANY_KEY)


def _in_any_folder(change: Change) -> Change:
    return replace(change, scope=Scope(Folder(change.scope.folder.environment, "/"), recursive=True))


def summarize(changes: tuple[Change, ...]) -> str:
    """`secret:update prod:/a KEY` for the first 3 changes, and the number of the others."""
    return preview(changes, 3, "; ")
