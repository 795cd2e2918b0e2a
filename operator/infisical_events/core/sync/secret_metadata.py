"""The metadata of a Kubernetes Secret, never its values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class SecretMetadata:
    """Who owns a Secret, who wrote it when, and what its writer says of its content.

    `written_at` is the newest time of a write by the API server's clock, in whole seconds; `our_keys` are
    the data keys that this operator applied and nobody has taken over since.
    """

    name: str
    uid: str
    resource_version: str
    annotations: Mapping[str, str]
    owner_uids: frozenset[str] = frozenset()
    written_at: datetime | None = None
    our_keys: frozenset[str] = frozenset()
    labels: Mapping[str, str] = field(default_factory=dict)
    controller_uid: str = ""
    """The owner that manages it (`controller: true`); empty if there is none."""
