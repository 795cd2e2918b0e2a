"""What changed: the value that flows from diffing to the debts of a workload."""

from collections.abc import Iterable
from dataclasses import dataclass

from infisical_events.api.specs import EventType
from infisical_events.core.scopes import Scope

ANY_KEY = "*"
"""Stands for keys that nobody can name: an import mutation heard but not seen, or too many keys."""

_LONGEST_LIST = 50
"""How many changes are kept one by one; above, they are folded into one per folder."""


@dataclass(frozen=True, slots=True, order=True)
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


def merge(changes: Iterable[Change]) -> tuple[Change, ...]:
    """One change per key with all its types, sorted; bounded by folding keys into `ANY_KEY`."""
    merged = _united((change.scope, change.key, change.types) for change in changes)
    if len(merged) > _LONGEST_LIST:
        merged = _united((change.scope, ANY_KEY, change.types) for change in merged)
    return merged


def _united(
    triples: Iterable[tuple[Scope, str, frozenset[EventType]]],
) -> tuple[Change, ...]:
    types: dict[tuple[Scope, str], frozenset[EventType]] = {}
    for scope, key, new in triples:
        types[scope, key] = types.get((scope, key), frozenset()) | new
    return tuple(sorted((Change(*place, new) for place, new in types.items()), key=str))
