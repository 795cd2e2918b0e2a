"""Reading subscriptions and writing their status, by compare-and-swap only."""

from dataclasses import dataclass, field
from typing import Any

from infisical_events.api.resources import GROUP, PLURAL, VERSION
from infisical_events.kube.api_client import KubeApi, path_of
from infisical_events.kube.kubernetes_errors import KubernetesError

_BASE = ("apis", GROUP, VERSION)


@dataclass(frozen=True, slots=True)
class SubscriptionKey:
    """The key of one subscription; one that is recreated with the same name has another uid."""

    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        """`namespace/name`, as in logs."""
        return f"{self.namespace}/{self.name}"

    @property
    def path(self) -> str:
        """Its path in the API."""
        return path_of(*_BASE, "namespaces", self.namespace, PLURAL, self.name)


@dataclass(frozen=True, slots=True)
class StoredSubscription:
    """A subscription as the API server stores it."""

    uid: str
    resource_version: str
    generation: int
    is_deleting: bool
    spec: dict[str, Any]
    status: dict[str, Any]
    annotations: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ListedSubscription:
    """A subscription in a list of metadata."""

    key: SubscriptionKey
    generation: int


class SubscriptionClient:
    """The subscriptions of the cluster."""

    def __init__(self, kube: KubeApi) -> None:
        self._kube = kube

    async def get(self, key: SubscriptionKey) -> StoredSubscription:
        """The current object, by a consistent read; raises KubernetesError."""
        return _stored(await self._kube.get(key.path))

    async def write_status(
        self, key: SubscriptionKey, resource_version: str, status: dict[str, Any]
    ) -> StoredSubscription:
        """Merge into the status, if the object's version still is `resource_version`.

        Raises:
            ConflictError: the object has changed.
            KubernetesError: any other error.
        """
        body = {"metadata": {"uid": key.uid, "resourceVersion": resource_version}, "status": status}
        return _stored(await self._kube.merge_patch(f"{key.path}/status", body))

    async def list(self, namespaces: tuple[str, ...]) -> tuple[ListedSubscription, ...]:
        """All subscriptions in these namespaces, or in all if there are none; raises KubernetesError."""
        paths = [path_of(*_BASE, "namespaces", name, PLURAL) for name in namespaces]
        paths = paths or [path_of(*_BASE, PLURAL)]
        return tuple([_listed(raw) for path in paths async for raw in self._kube.list_metadata(path)])


def _listed(metadata: dict[str, Any]) -> ListedSubscription:
    try:
        key = SubscriptionKey(metadata["namespace"], metadata["name"], metadata["uid"])
        return ListedSubscription(key, metadata["generation"])
    except (KeyError, TypeError):
        raise KubernetesError("the API server's response is not a list of subscriptions") from None


def _stored(raw: dict[str, Any]) -> StoredSubscription:
    try:
        metadata = raw["metadata"]
        return StoredSubscription(
            uid=metadata["uid"],
            resource_version=metadata["resourceVersion"],
            generation=metadata["generation"],
            is_deleting="deletionTimestamp" in metadata,
            spec=raw.get("spec", {}),
            status=raw.get("status", {}),
            annotations=metadata.get("annotations") or {},
        )
    except (KeyError, TypeError):
        raise KubernetesError("the API server's response is not a subscription") from None
