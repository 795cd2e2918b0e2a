"""Reading the metadata of Secrets and ConfigMaps by name: without values, and without list or watch."""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from typing import Any

from infisical_events.api.resources import FIELD_MANAGER, GROUP, KIND
from infisical_events.api.statuses import parse_time
from infisical_events.core.sync.secret_metadata import FieldManager, SecretMetadata, config_map_reference
from infisical_events.kube.http.api_client import KubeApi
from infisical_events.kube.http.api_requests import METADATA, JSONObject, path_of
from infisical_events.kube.kubernetes_errors import ForbiddenError, KubernetesError, NotFoundError

log = logging.getLogger(__name__)


class SecretClient:
    """The Secrets of the cluster, by name."""

    def __init__(self, kube: KubeApi) -> None:
        self._kube = kube
        self._is_config_map_forbidden = False

    async def metadata(self, namespace: str, name: str) -> SecretMetadata | None:
        """The current metadata; None if the Secret does not exist; raises KubernetesError."""
        try:
            body = await self._kube.get(secret_path(namespace, name), accept=METADATA)
        except NotFoundError:
            return None
        return metadata_of(body)

    async def config_map(self, namespace: str, name: str) -> SecretMetadata | None:
        """A ConfigMap by its metadata and a digest of its data; raises KubernetesError.

        None if it does not exist, or if the operator has no right to read ConfigMaps.
        """
        try:
            body = await self._kube.get(path_of("api", "v1", "namespaces", namespace, "configmaps", name))
        except NotFoundError:
            return None
        except ForbiddenError as error:
            if not self._is_config_map_forbidden:
                self._is_config_map_forbidden = True
                log.warning("cannot read ConfigMaps, a change of one is not seen: %s", error)
            return None
        return config_map_metadata_of(body)


def secret_path(namespace: str, name: str) -> str:
    """The path of a Secret in the API."""
    return path_of("api", "v1", "namespaces", namespace, "secrets", name)


def metadata_of(body: JSONObject) -> SecretMetadata:
    """Parse the `metadata` of a Secret; raises KubernetesError when it is malformed."""
    try:
        metadata = body["metadata"]
        fields = metadata.get("managedFields") or []
        owners = metadata.get("ownerReferences") or []
        controller: JSONObject = next((owner for owner in owners if owner.get("controller")), {})
        return SecretMetadata(
            name=metadata["name"],
            uid=metadata["uid"],
            resource_version=metadata["resourceVersion"],
            annotations=metadata.get("annotations") or {},
            owner_uids=frozenset(owner["uid"] for owner in owners),
            written_at=_newest(entry.get("time") for entry in fields),
            our_fields=frozenset(path for entry in fields if _is_ours(entry) for path in _paths_of(entry)),
            other_managers=_other_managers(fields),
            labels=metadata.get("labels") or {},
            controller_uid=controller.get("uid", ""),
            controller_kind=controller.get("kind", ""),
            is_owned_by_subscription=_is_subscription(controller),
            is_deleting="deletionTimestamp" in metadata,
            created_at=_newest([metadata.get("creationTimestamp")]),
            managers=managers_of(metadata),
        )
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        raise KubernetesError("the API server's response is not the metadata of a Secret") from None


def _is_subscription(owner: JSONObject) -> bool:
    return owner.get("kind") == KIND and str(owner.get("apiVersion")).startswith(f"{GROUP}/")


def config_map_metadata_of(body: JSONObject) -> SecretMetadata:
    """Parse a ConfigMap; raises KubernetesError when it is malformed."""
    metadata = metadata_of(body)
    return replace(metadata, name=config_map_reference(metadata.name), data_digest=_digest_of(body))


def managers_of(metadata: JSONObject) -> tuple[FieldManager, ...]:
    """The field managers of an object, apart from this operator and those of subresources."""
    return tuple(
        FieldManager(str(entry.get("manager")), parse_time(entry["time"]), _writes_data(entry))
        for entry in metadata.get("managedFields") or ()
        if entry.get("time") and not entry.get("subresource") and entry.get("manager") != FIELD_MANAGER
    )


def _writes_data(entry: JSONObject) -> bool:
    return bool((entry.get("fieldsV1") or {}).keys() & {"f:data", "f:binaryData"})


def _digest_of(body: JSONObject) -> str:
    """A digest of the data of a ConfigMap, which are values like those of a Secret."""
    data = {field: body.get(field) or {} for field in ("data", "binaryData")}
    return sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def _is_ours(entry: JSONObject) -> bool:
    return (entry.get("manager"), entry.get("operation")) == (FIELD_MANAGER, "Apply")


def _other_managers(entries: Iterable[JSONObject]) -> dict[str, str]:
    others = (entry for entry in entries if not _is_ours(entry))
    return {path: str(entry.get("manager", "")) for entry in others for path in _paths_of(entry)}


def _paths_of(entry: JSONObject) -> Iterator[str]:
    """The fields of an entry of `managedFields`, each as its path from the root."""
    return _leaves(entry.get("fieldsV1") or {}, "")


def _leaves(fields: Mapping[str, Any], path: str) -> Iterator[str]:
    for name, below in fields.items():
        if name == ".":
            continue
        if below:
            yield from _leaves(below, f"{path}{name}/")
        else:
            yield f"{path}{name}"


def _newest(times: Iterable[str | None]) -> datetime | None:
    moments = [parse_time(time) for time in times if time]
    return max(moments, default=None)
