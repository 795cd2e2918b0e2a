"""Events inside the server, and their JSON for a stream.

One event has one environment and path and all keys of the request that caused it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infisical_sandbox.server.domain.generations import EventType

if TYPE_CHECKING:
    from infisical_sandbox.server.domain.generations import Generation

PROJECT_TYPE = "secret-manager"


@dataclass(frozen=True, slots=True)
class Event:
    """A change in one folder. `keys` is empty for an import mutation."""

    type: EventType
    project_id: str
    environment: str
    path: str
    keys: tuple[str, ...] = ()


def import_mutation(project_id: str, environment: str, path: str) -> Event:
    """The event of a folder after a change of an imported or referenced secret."""
    return Event(EventType.IMPORT_MUTATION, project_id, environment, path)


def payload(event: Event, generation: Generation) -> dict[str, object]:
    """The `data:` object: a list of items, but a single object for an import mutation."""
    where = {"environment": event.environment, "secretPath": event.path}
    items = [{**where, generation.key_field: key} for key in event.keys]
    lone = event.type is EventType.IMPORT_MUTATION
    return {
        generation.project_field: PROJECT_TYPE,
        "data": {"eventType": event.type.value, "payload": where if lone else items},
    }
