"""Kubernetes Events, which `kubectl describe` shows below an object."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from infisical_events.api.resources import FIELD_MANAGER
from infisical_events.kube.api_client import KubeApi, path_of

_MAX_NOTE_LENGTH = 1024
"""Characters; the limit of the API server."""


@dataclass(frozen=True, slots=True)
class InvolvedObject:
    """The object that an Event is about."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class KubeEvent:
    """One Event: `reason` in CamelCase, `note` a sentence."""

    about: InvolvedObject
    reason: str
    note: str
    is_warning: bool = False


class EventRecorder:
    """Writes Events; the caller handles errors."""

    def __init__(self, kube: KubeApi) -> None:
        self._kube = kube

    async def record(self, event: KubeEvent, now: datetime) -> None:
        """Write one Event in the namespace of its object; raises KubernetesError."""
        about = event.about
        timestamp = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        await self._kube.create(
            path_of("api", "v1", "namespaces", about.namespace, "events"),
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": f"{about.name[:200]}.{uuid.uuid4().hex[:16]}"},
                "involvedObject": {
                    "apiVersion": about.api_version,
                    "kind": about.kind,
                    "namespace": about.namespace,
                    "name": about.name,
                    "uid": about.uid,
                },
                "type": "Warning" if event.is_warning else "Normal",
                "reason": event.reason,
                "message": event.note[:_MAX_NOTE_LENGTH],
                "source": {"component": FIELD_MANAGER},
                "reportingComponent": FIELD_MANAGER,
                "reportingInstance": FIELD_MANAGER,
                "firstTimestamp": timestamp,
                "lastTimestamp": timestamp,
                "count": 1,
            },
        )
