"""Managed Secrets: those that the operator keeps in sync for a subscription (`spec.resync.secrets`)."""

from base64 import b64encode
from collections.abc import Mapping

from infisical_events.api import annotations
from infisical_events.api.resources import API_VERSION, FIELD_MANAGER, KIND, MANAGED_BY
from infisical_events.api.specs import CreationPolicy, ManagedSecret
from infisical_events.core.sync.secret_metadata import SecretMetadata
from infisical_events.kube.api_client import METADATA, JSONObject, KubeApi
from infisical_events.kube.kubernetes_errors import KubernetesError, SecretRejectedError
from infisical_events.kube.managed_secret_errors import error_for_managed_secret
from infisical_events.kube.protected_objects import NOTHING_PROTECTED, ProtectedObjects
from infisical_events.kube.secret_client import SecretClient, metadata_of, secret_path
from infisical_events.kube.subscription_client import SubscriptionKey

_PROTECTED_NAME = "belongs to the operator: choose another name"


class ManagedSecretClient:
    """Writes managed Secrets by server-side apply: a key that leaves the content is removed from the Secret.

    This client deletes no Secret. With Owner, Kubernetes deletes the Secret together with its subscription; a
    Secret whose entry leaves the spec stays unchanged until then. With Orphan and Merge, the Secret and the
    merged keys stay after that.
    """

    def __init__(self, kube: KubeApi, protected: ProtectedObjects = NOTHING_PROTECTED) -> None:
        self._kube = kube
        self._protected = protected

    async def apply(
        self, key: SubscriptionKey, managed: ManagedSecret, data: Mapping[str, str], fingerprint: str
    ) -> SecretMetadata:
        """Write these values, by data key; an unchanged Secret keeps its resourceVersion.

        Raises:
            SecretRejectedError: the Secret has another owner, or the API server rejects it.
            ConflictError: it was written, created or deleted since it was read: try again.
            KubernetesError: as in `KubeApi.apply`; no message contains a value.
        """
        try:
            return await self._apply(key, managed, data, fingerprint)
        except KubernetesError as error:
            raise error_for_managed_secret(error, managed, data) from None

    async def _apply(
        self, key: SubscriptionKey, managed: ManagedSecret, data: Mapping[str, str], fingerprint: str
    ) -> SecretMetadata:
        found = await SecretClient(self._kube).metadata(key.namespace, managed.name)
        is_protected = self._protected.has_secret(key.namespace, managed.name)
        denial_reason = _PROTECTED_NAME if is_protected else _denial_reason(found, key, managed)
        if denial_reason:
            raise SecretRejectedError(f"secret/{managed.name} {denial_reason}.")
        body = _manifest(key, managed, fingerprint)
        body["data"] = {name: b64encode(value.encode()).decode() for name, value in data.items()}
        if found is not None:  # so a recreated or edited Secret is a conflict
            body["metadata"] |= {"uid": found.uid, "resourceVersion": found.resource_version}
        # A Secret that did not exist may have been created since: it is not overwritten.
        is_forced = found is not None and managed.creation_policy is not CreationPolicy.MERGE
        path = secret_path(key.namespace, managed.name)
        return metadata_of(await self._kube.apply(path, body, is_forced=is_forced, accept=METADATA))


def _manifest(key: SubscriptionKey, managed: ManagedSecret, fingerprint: str) -> JSONObject:
    """The manifest without data. With Merge, the Secret keeps its type, its owners and its manager label."""
    operator_annotations = {annotations.CONTENT: fingerprint, annotations.SUBSCRIPTION: key.name}
    metadata: JSONObject = {
        "name": managed.name,
        "labels": dict(managed.labels),
        "annotations": {**managed.annotations, **operator_annotations},
    }
    manifest: JSONObject = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}
    if managed.creation_policy is not CreationPolicy.MERGE:
        metadata["labels"][MANAGED_BY] = FIELD_MANAGER
        manifest["type"] = managed.type
    if managed.creation_policy is CreationPolicy.OWNER:
        metadata["ownerReferences"] = [_owner(key)]
    return manifest


def _owner(key: SubscriptionKey) -> JSONObject:
    """The subscription as owner, without blockOwnerDeletion, which needs a permission on its finalizers."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": key.name,
        "uid": key.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def _denial_reason(found: SecretMetadata | None, key: SubscriptionKey, managed: ManagedSecret) -> str:
    """Why the Secret must not be written, as the end of a sentence; empty if it may be.

    All subscriptions apply with one field manager. So two of them that write one Secret would each remove the
    fields of the other.
    """
    is_merged = managed.creation_policy is CreationPolicy.MERGE
    if found is None:
        return (
            "does not exist, and creationPolicy Merge needs an existing Secret: create it, or use Owner"
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
        return (
            "belongs to a deleted subscription of this name: Kubernetes deletes it, then it is created again"
        )
    return "exists and has another owner: choose another name, or creationPolicy Merge"


def _writer(found: SecretMetadata) -> str | None:
    """The subscription that writes it; None if none does, empty if the annotation was removed by hand."""
    if annotations.CONTENT not in found.annotations:
        return None
    return found.annotations.get(annotations.SUBSCRIPTION, "")


def _is_ours(found: SecretMetadata, key: SubscriptionKey, managed: ManagedSecret) -> bool:
    """Whether it may be overwritten: owned by the subscription, or created by the operator and not owned."""
    if key.uid in found.owner_uids:
        return True
    is_made_here = found.labels.get(MANAGED_BY) == FIELD_MANAGER and _writer(found) is not None
    is_free = not found.controller_uid
    is_known = managed.creation_policy is CreationPolicy.ORPHAN or _writer(found) == key.name
    return is_made_here and is_free and is_known
