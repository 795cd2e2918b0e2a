"""Managed Secrets: those that the operator keeps in sync for a subscription (`spec.resync.secrets`)."""

from base64 import b64encode
from collections.abc import Mapping

from infisical_events.api import annotations
from infisical_events.api.resources import API_VERSION, FIELD_MANAGER, KIND, MANAGED_BY
from infisical_events.api.specs import CreationPolicy, ManagedSecret
from infisical_events.core.subscriptions import StoredSubscription, SubscriptionKey
from infisical_events.core.sync.secret_metadata import SecretMetadata
from infisical_events.core.sync.secret_ownership import denial_reason, is_claimable, other_writer_of
from infisical_events.kube.http.api_client import KubeApi
from infisical_events.kube.http.api_requests import METADATA, JSONObject
from infisical_events.kube.kubernetes_errors import (
    ConflictError,
    KubernetesError,
    NotFoundError,
    SecretOwnedError,
)
from infisical_events.kube.managed_secret_errors import error_for_managed_secret
from infisical_events.kube.protected_objects import NOTHING_PROTECTED, ProtectedObjects
from infisical_events.kube.secret_client import SecretClient, metadata_of, secret_path
from infisical_events.kube.subscription_client import SubscriptionClient

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
            SecretOwnedError: the Secret has another owner.
            SecretRejectedError: the API server rejects it.
            ConflictError: it was written, created or deleted since it was read: try again.
            KubernetesError: as in `KubeApi.apply`; no message contains a value.
        """
        try:
            return await self._apply(key, managed, data, fingerprint)
        except KubernetesError as error:
            raise error_for_managed_secret(error, managed, data) from None

    async def claim(self, key: SubscriptionKey, managed: ManagedSecret) -> SecretMetadata | None:
        """The Secret's metadata if the subscription may write it; None if it does not exist.

        The Secret of another subscription gets this one as a second owner, so that it stays when that one is
        deleted.

        Raises:
            SecretOwnedError: the Secret has another owner.
            KubernetesError: it cannot be read or patched.
        """
        found = await self._found(key, managed)
        writer = await self._other_writer(key, found)
        is_protected = self._protected.has_secret(key.namespace, managed.name)
        if found is not None and not is_protected and is_claimable(found, key, managed, writer):
            await self._kube.strategic_merge_patch(
                secret_path(key.namespace, managed.name), _claim(key, found), accept=METADATA
            )
        self._check(key, managed, found, writer)
        return found

    async def _apply(
        self, key: SubscriptionKey, managed: ManagedSecret, data: Mapping[str, str], fingerprint: str
    ) -> SecretMetadata:
        found = await self._found(key, managed)
        self._check(key, managed, found, await self._other_writer(key, found))
        if found is not None and found.is_deleting:
            raise ConflictError(f"secret/{managed.name} is being deleted: it is created again after that")
        body = _manifest(key, managed, fingerprint)
        body["data"] = {name: b64encode(value.encode()).decode() for name, value in data.items()}
        if found is not None:  # so a recreated or edited Secret is a conflict
            body["metadata"] |= {"uid": found.uid, "resourceVersion": found.resource_version}
        # A Secret that did not exist may have been created since: it is not overwritten.
        is_forced = found is not None and managed.creation_policy is not CreationPolicy.MERGE
        path = secret_path(key.namespace, managed.name)
        return metadata_of(await self._kube.apply(path, body, is_forced=is_forced, accept=METADATA))

    async def _found(self, key: SubscriptionKey, managed: ManagedSecret) -> SecretMetadata | None:
        return await SecretClient(self._kube).metadata(key.namespace, managed.name)

    async def _other_writer(
        self, key: SubscriptionKey, found: SecretMetadata | None
    ) -> StoredSubscription | None:
        """The other subscription that the Secret names as its writer; None if there is none."""
        name = other_writer_of(found, key) if found else ""
        if not name:
            return None
        try:
            return await SubscriptionClient(self._kube).get(SubscriptionKey(key.namespace, name, ""))
        except NotFoundError:
            return None

    def _check(
        self,
        key: SubscriptionKey,
        managed: ManagedSecret,
        found: SecretMetadata | None,
        writer: StoredSubscription | None,
    ) -> None:
        """Raises SecretOwnedError if the subscription may not write the Secret."""
        is_protected = self._protected.has_secret(key.namespace, managed.name)
        reason = _PROTECTED_NAME if is_protected else denial_reason(found, key, managed, writer)
        if reason:
            raise SecretOwnedError(f"secret/{managed.name} {reason}.")


def _claim(key: SubscriptionKey, found: SecretMetadata) -> JSONObject:
    """The patch that adds the subscription to the owners; those are merged by their uids."""
    owner = {name: field for name, field in _owner(key).items() if name != "controller"}
    version = {"uid": found.uid, "resourceVersion": found.resource_version}
    return {"metadata": {**version, "ownerReferences": [owner]}}


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
