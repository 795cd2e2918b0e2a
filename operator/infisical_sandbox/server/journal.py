"""The journal of changes, events and streams: names and times, never a secret value.

Tests and benchmarks compare its times with those of a client, so each entry has both clocks.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from infisical_sandbox.server import clock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infisical_sandbox.server.clock import Instant
    from infisical_sandbox.server.domain.events import Event

_KEPT = 100_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One journal entry; `number` increases by 1."""

    number: int
    kind: str
    at: Instant
    facts: Mapping[str, object] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """The entry as the admin route serves it."""
        return {
            "number": self.number,
            "kind": self.kind,
            "wall": self.at.wall,
            "monotonic": self.at.monotonic,
            **self.facts,
        }


class Journal:
    """The newest entries, oldest first."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=_KEPT)
        self._count = 0

    def note(self, kind: str, **facts: object) -> Entry:
        """Append an entry with the current time."""
        self._count += 1
        entry = Entry(self._count, kind, clock.now(), facts)
        self._entries.append(entry)
        return entry

    def since(self, number: int = 0) -> tuple[Entry, ...]:
        """The entries with a higher number."""
        return tuple(entry for entry in self._entries if entry.number > number)


def event_facts(event: Event) -> dict[str, object]:
    """The journal's fields of an event."""
    return {
        "event": event.type.value,
        "projectId": event.project_id,
        "environment": event.environment,
        "secretPath": event.path,
        "keys": list(event.keys),
    }
