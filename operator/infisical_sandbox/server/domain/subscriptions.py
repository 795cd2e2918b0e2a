"""The registered entries of a stream, and whether an event matches them.

An entry without conditions means every environment and path; with conditions, `secretPath` defaults to
`/`, the root folder alone. An empty text in a condition counts as absent for delivery, but is tested as it is
against the permission rules at subscribe time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infisical_sandbox.server.domain import path_globs

if TYPE_CHECKING:
    from infisical_sandbox.server.domain.events import Event
    from infisical_sandbox.server.domain.generations import EventType, Generation
    from infisical_sandbox.server.domain.permissions import Ability


@dataclass(frozen=True, slots=True)
class Entry:
    """One element of `register`. Both fields are None when no conditions were given."""

    event: EventType
    environment: str | None = None
    path: str | None = None


def require(entry: Entry, ability: Ability, generation: Generation) -> None:
    """403 unless the literal registered text passes the rules."""
    fields = _fields(entry.environment or "", "/" if entry.path is None else entry.path)
    ability.require(generation.event_actions[entry.event], generation.event_subject, fields)


def wants(entries: tuple[Entry, ...], event: Event, generation: Generation) -> bool:
    """Whether one of the entries matches this event."""
    return any(_asks(entry, event, generation) for entry in entries)


def allowed(event: Event, ability: Ability, generation: Generation) -> bool:
    """Whether the rules let this event through, tested against its real path."""
    action = generation.event_actions[event.type]
    return ability.can(action, generation.event_subject, _fields(event.environment, event.path))


def _asks(entry: Entry, event: Event, generation: Generation) -> bool:
    return (
        entry.event is event.type
        and (not entry.environment or entry.environment == event.environment)
        and (not entry.path or _covers(entry.path, event.path, generation))
    )


def _covers(registered: str, path: str, generation: Generation) -> bool:
    if generation.path_globs:
        return path_globs.matches(registered, path)
    return path.startswith(registered)


def _fields(environment: str, path: str) -> dict[str, str]:
    return {"environment": environment, "secretPath": path}
