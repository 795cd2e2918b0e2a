"""The differences between the server generations in use.

`e4` is the newest: globs in registered paths, a limit of 100 streams, a life of one hour, self-contained
tokens and the renamed permission subject. `e3` matches paths by prefix, has neither limit nor life, keeps
tokens in database rows, and uses the older payload and permission names. `go` is `e4` with the server's Go
port for reads of secrets and projects; all other routes, with the streams, are those of the Node server.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class EventType(StrEnum):
    """The four events a client may register for."""

    CREATE = "secret:create"
    UPDATE = "secret:update"
    DELETE = "secret:delete"
    IMPORT_MUTATION = "secret:import-mutation"


@dataclass(frozen=True, slots=True)
class Generation:
    """The contract of one generation."""

    name: str
    event_subject: str
    event_actions: dict[EventType, str]
    path_globs: bool
    connection_limit: int | None
    stream_lifetime: float | None
    """Seconds until the server aborts a stream."""
    project_field: str
    key_field: str
    self_contained_tokens: bool
    not_a_member: str
    """The error name for a caller outside the project."""
    import_switch: str
    """How the v4 list spells its import switch."""
    has_ported_reads: bool = False
    """Whether the Go port serves reads of secrets and projects."""


E4 = Generation(
    name="e4",
    event_subject="secret-event-subscriptions",
    event_actions={
        EventType.CREATE: "subscribe-to-creation-events",
        EventType.UPDATE: "subscribe-to-update-events",
        EventType.DELETE: "subscribe-to-deletion-events",
        EventType.IMPORT_MUTATION: "subscribe-to-import-mutation-events",
    },
    path_globs=True,
    connection_limit=100,
    stream_lifetime=3600.0,
    project_field="projectType",
    key_field="secretKey",
    self_contained_tokens=True,
    not_a_member="ProjectMembershipNotFound",
    import_switch="includeImports",
)

E3 = Generation(
    name="e3",
    event_subject="secret-events",
    event_actions={
        EventType.CREATE: "subscribe-on-created",
        EventType.UPDATE: "subscribe-on-updated",
        EventType.DELETE: "subscribe-on-deleted",
        EventType.IMPORT_MUTATION: "subscribe-on-import-mutations",
    },
    path_globs=False,
    connection_limit=None,
    stream_lifetime=None,
    project_field="type",
    key_field="secretKeys",
    self_contained_tokens=False,
    not_a_member="ForbiddenError",
    import_switch="include_imports",
)

GO = replace(E4, name="go", has_ported_reads=True)

BY_NAME = {generation.name: generation for generation in (E4, E3, GO)}
