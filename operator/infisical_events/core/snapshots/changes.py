"""What changed: the value that flows from diffing to the debts of a workload."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from infisical_events.api.specs import EventType
from infisical_events.core.paths.folders import Folder
from infisical_events.core.paths.scopes import Scope
from infisical_events.core.status.text import preview

ANY_KEY = "*"
"""Stands for keys that nobody can name: an import mutation heard but not seen, or too many keys."""

LONGEST_LIST = 50
"""How many changes a debt keeps one by one."""


@dataclass(frozen=True, slots=True)
class Change:
    """One key that changed in one scope, under every event type that Infisical could have told it.

    An upsert is a create in the state and `secret:update` on the wire, so there may be several.
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
    """One change per scope and key with all its types, sorted."""
    types: dict[tuple[Scope, str], frozenset[EventType]] = {}
    for change in changes:
        place = (change.scope, change.key)
        types[place] = types.get(place, frozenset()) | change.types
    return tuple(sorted((Change(*place, told) for place, told in types.items()), key=str))


def compacted(changes: Iterable[Change], most: int = LONGEST_LIST) -> tuple[Change, ...]:
    """As `united`, and few however much changed: too many become one per scope, or per environment.

    What concerns somebody still does when it is folded, and more may. So this is for what is
    already owed: a debt stays small for as long as a workload is held.
    """
    kept = merged(changes)
    for coarser in (_any_key, _in_any_folder):
        if len(kept) > most:
            kept = merged(map(coarser, kept))
    return kept


def _any_key(change: Change) -> Change:
    return replace(change, key=ANY_KEY)


def _in_any_folder(change: Change) -> Change:
    return replace(change, scope=Scope(Folder(change.scope.folder.environment, "/"), recursive=True))


def summarize(changes: tuple[Change, ...]) -> str:
    """`secret:update prod:/a KEY` for the first few changes."""
    return preview(changes, 3, "; ")
