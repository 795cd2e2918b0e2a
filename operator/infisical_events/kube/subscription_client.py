"""Reading subscriptions and writing their status, by compare-and-swap only."""

from typing import Any

from infisical_events.api.resources import GROUP, PLURAL, VERSION
from infisical_events.core.subscriptions import ListedSubscription, StoredSubscription, SubscriptionKey
from infisical_events.kube.http.api_client import KubeApi
from infisical_events.kube.http.api_requests import METADATA_LIST, path_of
from infisical_events.kube.kubernetes_errors import KubernetesError

_BASE = ("apis", GROUP, VERSION)


def path_of_subscription(key: SubscriptionKey) -> str:
    """The path of one subscription in the API."""
    return path_of(*_BASE, "namespaces", key.namespace, PLURAL, key.name)


class SubscriptionClient:
    """The subscriptions of the cluster."""

    def __init__(self, kube: KubeApi) -> None:
        self._kube = kube

    async def get(self, key: SubscriptionKey) -> StoredSubscription:
        """The current object, by a consistent read; raises KubernetesError."""
        return _stored(await self._kube.get(path_of_subscription(key)))

    async def read_all(self, namespace: str) -> tuple[tuple[SubscriptionKey, StoredSubscription], ...]:
        """All subscriptions of a namespace in full, or of all namespaces if it is empty.

        Raises:
            KubernetesError: they cannot be listed.
        """
        place = ("namespaces", namespace) if namespace else ()
        return await self._kube.list(path_of(*_BASE, *place, PLURAL), keyed)

    async def annotate(self, key: SubscriptionKey, annotations: dict[str, str]) -> StoredSubscription:
        """Write annotations of users; raises KubernetesError."""
        body = {"metadata": {"uid": key.uid, "annotations": annotations}}
        return _stored(await self._kube.merge_patch(path_of_subscription(key), body))

    async def set_suspend(self, key: SubscriptionKey, *, is_suspended: bool) -> StoredSubscription:
        """Set `spec.suspend`; raises KubernetesError."""
        body = {"metadata": {"uid": key.uid}, "spec": {"suspend": is_suspended}}
        return _stored(await self._kube.merge_patch(path_of_subscription(key), body))

    async def write_status(
        self, key: SubscriptionKey, resource_version: str, status: dict[str, Any]
    ) -> StoredSubscription:
        """Merge into the status, if the object's version still is `resource_version`.

        Raises:
            ConflictError: the object has changed.
            KubernetesError: any other error.
        """
        body = {"metadata": {"uid": key.uid, "resourceVersion": resource_version}, "status": status}
        return _stored(await self._kube.merge_patch(f"{path_of_subscription(key)}/status", body))

    async def list(self, namespaces: tuple[str, ...]) -> tuple[ListedSubscription, ...]:
        """All subscriptions in these namespaces, or in all if there are none; raises KubernetesError."""
        paths = [path_of(*_BASE, "namespaces", name, PLURAL) for name in namespaces]
        paths = paths or [path_of(*_BASE, PLURAL)]
        return tuple(
            [
                subscription
                for path in paths
                for subscription in await self._kube.list(path, _listed, accept=METADATA_LIST)
            ]
        )


def keyed(raw: dict[str, Any]) -> tuple[SubscriptionKey, StoredSubscription]:
    """One object of a list or of a watch; raises KubernetesError when it is malformed."""
    return _listed(raw).key, _stored(raw)


def _listed(raw: dict[str, Any]) -> ListedSubscription:
    try:
        metadata = raw["metadata"]
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
