"""Writing the Secrets that a subscription has the operator keep in step (`spec.resync.secrets`)."""

from base64 import b64encode
from collections.abc import Mapping

from infisical_events.api import annotations
from infisical_events.api.resources import API_VERSION, FIELD_MANAGER, KIND, MANAGED_BY
from infisical_events.api.specs import CreationPolicy, ManagedSecret
from infisical_events.core.subscriptions import SubscriptionKey
from infisical_events.core.sync.secret_metadata import SecretMetadata
from infisical_events.kube.api_client import METADATA, JSONObject, KubeApi
from infisical_events.kube.kubernetes_errors import KubernetesError, SecretRejectedError
from infisical_events.kube.managed_secret_errors import error_for_managed_secret
from infisical_events.kube.protected_objects import NOTHING_PROTECTED, ProtectedObjects
from infisical_events.kube.secret_client import SecretClient, metadata_of, secret_path

_OURS = "is the operator's own: choose another name"


class ManagedSecretClient:
    """The Secrets of subscriptions, by server-side apply: keys that leave the content leave the Secret.

    Nothing is deleted here. An owner's Secret is deleted by Kubernetes with its subscription. One whose
    entry leaves the spec stays as it is until then; an orphan, and keys that were merged, stay for good.
    """

    def __init__(self, kube: KubeApi, own: ProtectedObjects = NOTHING_PROTECTED) -> None:
        self._kube = kube
        self._own = own

    async def apply(
        self, key: SubscriptionKey, managed: ManagedSecret, data: Mapping[str, str], token: str
    ) -> SecretMetadata:
        """Make the Secret hold these values, by data key; one that does so already is not touched.

        Raises:
            SecretRefusedError: it belongs to somebody else, or is not accepted as it is.
            ConflictError: it was written, made or deleted since it was looked at: try again.
            KubernetesError: as `Kube.apply`; no error repeats a value.
        """
        try:
            return await self._apply(key, managed, data, token)
        except KubernetesError as error:
            raise error_for_managed_secret(error, managed, data) from None

    async def _apply(
        self, key: SubscriptionKey, managed: ManagedSecret, data: Mapping[str, str], token: str
    ) -> SecretMetadata:
        found = await SecretClient(self._kube).metadata(key.namespace, managed.name)
        is_own = self._own.has_secret(key.namespace, managed.name)
        denial_reason = _OURS if is_own else _denial_reason(found, key, managed)
        if denial_reason:
            raise SecretRejectedError(f"Secret {managed.name} {denial_reason}.")
        body = _manifest(key, managed, token)
        body["data"] = {name: b64encode(value.encode()).decode() for name, value in data.items()}
        if found is not None:  # a recreated or edited one is a conflict then
            body["metadata"] |= {"uid": found.uid, "resourceVersion": found.resource_version}
        # What was not there can have been made meanwhile: nothing of that is taken away.
        is_forced = found is not None and managed.creation_policy is not CreationPolicy.MERGE
        path = secret_path(key.namespace, managed.name)
        return metadata_of(await self._kube.apply(path, body, is_forced=is_forced, accept=METADATA))


def _manifest(key: SubscriptionKey, managed: ManagedSecret, token: str) -> JSONObject:
    """All but the data. A Secret that keys are merged into keeps its type, its owners and its maker."""
    said = {annotations.CONTENT: token, annotations.SUBSCRIPTION: key.name}
    metadata: JSONObject = {
        "name": managed.name,
        "labels": dict(managed.labels),
        "annotations": {**managed.annotations, **said},
    }
    manifest: JSONObject = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}
    if managed.creation_policy is not CreationPolicy.MERGE:
        metadata["labels"][MANAGED_BY] = FIELD_MANAGER
        manifest["type"] = managed.type
    if managed.creation_policy is CreationPolicy.OWNER:
        metadata["ownerReferences"] = [_owner(key)]
    return manifest


def _owner(key: SubscriptionKey) -> JSONObject:
    """The subscription; it may be deleted without the right to its finalizers."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": key.name,
        "uid": key.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def _denial_reason(found: SecretMetadata | None, key: SubscriptionKey, managed: ManagedSecret) -> str:
    """What speaks against writing it, as the end of a sentence; empty if nothing does.

    All that is applied has one field manager, so of two subscriptions that write one Secret each would
    remove what the other has applied.
    """
    is_merged = managed.creation_policy is CreationPolicy.MERGE
    if found is None:
        return (
            "does not exist, and Merge adds keys to one that does: create it, or use Owner"
            if is_merged
            else ""
        )
    writer = _writer(found)
    if writer not in {None, "", key.name}:
        return (
            f"is written by the subscription {str(writer)[:253]!a}: choose another name, or remove its entry "
            f"there and then the annotation {annotations.SUBSCRIPTION} of the Secret"
        )
    if is_merged or _is_ours(found, key, managed):
        return ""
    if writer and found.controller_uid not in {"", key.uid}:
        return "is one of a deleted subscription of this name: it is made anew when Kubernetes has removed it"
    return "exists and belongs to somebody else: choose another name, or creationPolicy Merge"


def _writer(found: SecretMetadata) -> str | None:
    """The subscription that writes it; None if none does, empty if it was let go by hand."""
    if annotations.CONTENT not in found.annotations:
        return None
    return found.annotations.get(annotations.SUBSCRIPTION, "")


def _is_ours(found: SecretMetadata, key: SubscriptionKey, managed: ManagedSecret) -> bool:
    """Whether it may be overwritten: it was made here and is nobody else's, or is owned already."""
    if key.uid in found.owner_uids:
        return True
    is_made_here = found.labels.get(MANAGED_BY) == FIELD_MANAGER and _writer(found) is not None
    is_free = not found.controller_uid
    is_known = managed.creation_policy is CreationPolicy.ORPHAN or _writer(found) == key.name
    return is_made_here and is_free and is_known
