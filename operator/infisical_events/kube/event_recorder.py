"""Kubernetes Events: what `kubectl describe` shows below an object."""

import uuid
from datetime import UTC, datetime

from infisical_events.api.resources import FIELD_MANAGER
from infisical_events.core.status.kube_events import KubeEvent
from infisical_events.kube.api_client import KubeApi, path_of

_LONGEST_NOTE = 1024
"""Characters that the API server admits."""


class EventRecorder:
    """Writes Events; the caller decides what happens when that fails."""

    def __init__(self, kube: KubeApi) -> None:
        self._kube = kube

    async def record(self, notice: KubeEvent, now: datetime) -> None:
        """Write one Event in the namespace of its object; raises KubernetesError."""
        about = notice.about
        revision = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
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
                "type": "Warning" if notice.is_warning else "Normal",
                "reason": notice.reason,
                "message": notice.note[:_LONGEST_NOTE],
                "source": {"component": FIELD_MANAGER},
                "reportingComponent": FIELD_MANAGER,
                "reportingInstance": FIELD_MANAGER,
                "firstTimestamp": revision,
                "lastTimestamp": revision,
                "count": 1,
            },
        )
