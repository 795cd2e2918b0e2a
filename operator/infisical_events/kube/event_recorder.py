"""Kubernetes Events, which `kubectl describe` shows below an object."""

import uuid
from datetime import UTC, datetime

from infisical_events.api.resources import FIELD_MANAGER
from infisical_events.core.status.kube_events import KubeEvent
from infisical_events.kube.http.api_client import KubeApi
from infisical_events.kube.http.api_requests import path_of
from infisical_events.kube.kubernetes_errors import ConflictError

_MAX_NOTE_LENGTH = 1024
"""Characters; the limit of the API server."""


class EventRecorder:
    """Writes Events; the caller handles errors."""

    def __init__(self, kube: KubeApi) -> None:
        self._kube = kube

    async def record(self, event: KubeEvent, now: datetime) -> None:
        """Write one Event in the namespace of its object; raises KubernetesError."""
        try:
            await self._create(event, now)
        except ConflictError:
            if not event.is_once:
                raise

    async def _create(self, event: KubeEvent, now: datetime) -> None:
        about = event.about
        timestamp = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        suffix = event.digest if event.is_once else uuid.uuid4().hex
        await self._kube.create(
            path_of("api", "v1", "namespaces", about.namespace, "events"),
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": f"{about.name[:200]}.{suffix[:16]}"},
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
