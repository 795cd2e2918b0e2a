"""Reading the metadata of Secrets by name: without values, and without list or watch."""

from collections.abc import Iterable
from datetime import datetime

from infisical_events.api.resources import FIELD_MANAGER
from infisical_events.core.sync.secret_metadata import SecretMetadata
from infisical_events.kube.api_client import METADATA, JSONObject, KubeApi, path_of, time_of
from infisical_events.kube.kubernetes_errors import KubernetesError, NotFoundError


class SecretClient:
    """The Secrets of the cluster, by name."""

    def __init__(self, kube: KubeApi) -> None:
        self._kube = kube

    async def metadata(self, namespace: str, name: str) -> SecretMetadata | None:
        """The current metadata; None if the Secret does not exist; raises KubernetesError."""
        try:
            body = await self._kube.get(secret_path(namespace, name), accept=METADATA)
        except NotFoundError:
            return None
        return metadata_of(body)


def secret_path(namespace: str, name: str) -> str:
    """The path of a Secret in the API."""
    return path_of("api", "v1", "namespaces", namespace, "secrets", name)


def metadata_of(body: JSONObject) -> SecretMetadata:
    """Parse the `metadata` of a Secret; raises KubernetesError when it is malformed."""
    try:
        metadata = body["metadata"]
        fields = metadata.get("managedFields") or []
        owners = metadata.get("ownerReferences") or []
        ours = [entry for entry in fields if _is_ours(entry)]
        return SecretMetadata(
            name=metadata["name"],
            uid=metadata["uid"],
            resource_version=metadata["resourceVersion"],
            annotations=metadata.get("annotations") or {},
            owner_uids=frozenset(owner["uid"] for owner in owners),
            written_at=_newest(entry.get("time") for entry in fields),
            our_keys=frozenset(key for entry in ours for key in _data_keys(entry)),
            labels=metadata.get("labels") or {},
            controller_uid=next((owner["uid"] for owner in owners if owner.get("controller")), ""),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise KubernetesError("the API server's response is not the metadata of a Secret") from None


def _is_ours(entry: JSONObject) -> bool:
    return (entry.get("manager"), entry.get("operation")) == (FIELD_MANAGER, "Apply")


def _data_keys(entry: JSONObject) -> Iterable[str]:
    fields = (entry.get("fieldsV1") or {}).get("f:data") or {}
    return (key.removeprefix("f:") for key in fields if key.startswith("f:"))


def _newest(times: Iterable[str | None]) -> datetime | None:
    moments = [time_of(time) for time in times if time]
    return max(moments, default=None)
