"""Subscriptions as values: which object, and what the API server stores of it."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class SubscriptionKey:
    """Which object: a recreated one of the same name has another uid."""

    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        """`namespace/name`, as in log fields and metrics."""
        return f"{self.namespace}/{self.name}"

    def log_fields(self, **fields: object) -> dict[str, object]:
        """`extra` of a log line about this subscription."""
        return {"subscription": f"{self.namespace}/{self.name}", **fields}


@dataclass(frozen=True, slots=True)
class StoredSubscription:
    """One object as the API server holds it."""

    uid: str
    resource_version: str
    generation: int
    is_deleting: bool
    spec: dict[str, Any]
    status: dict[str, Any]
    annotations: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ListedSubscription:
    """One object as a list of metadata shows it."""

    key: SubscriptionKey
    generation: int
