"""The operator's own Secret with the key of value digests."""

import secrets

from infisical_events.api.resources import FIELD_MANAGER, MANAGED_BY
from infisical_events.api.specs import SecretKeyRef
from infisical_events.kube.credential_reader import CredentialReader, MissingKeyError
from infisical_events.kube.http.api_client import KubeApi
from infisical_events.kube.http.api_requests import path_of
from infisical_events.kube.kubernetes_errors import ConflictError, NotFoundError

_DATA_KEY = "key"
_BYTES = 32
_MIN_LENGTH = 32
"""Characters; the Secret may have been created by hand."""


class DigestKeySecret:
    """One Secret in one namespace, created on first use; deleting it rotates the key."""

    def __init__(self, kube: KubeApi, namespace: str, name: str) -> None:
        self._kube = kube
        self._namespace = namespace
        self._ref = SecretKeyRef(name=name, key=_DATA_KEY)

    async def read_or_make(self) -> str:
        """The key as text; raises KubernetesError."""
        try:
            return await self._read()
        except NotFoundError:
            await self._create()
        return await self._read()

    async def _read(self) -> str:
        key = await CredentialReader(self._kube).secret_value(self._namespace, self._ref)
        if len(key) < _MIN_LENGTH:
            raise MissingKeyError(
                f"secret/{self._ref.name} has fewer than {_MIN_LENGTH} characters under key key: delete it, "
                "and the operator creates a new one"
            )
        return key

    async def _create(self) -> None:
        """Create the Secret; if another replica creates it at the same time, the first one wins."""
        manifest = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": self._ref.name,
                "labels": {MANAGED_BY: FIELD_MANAGER},
            },
            "type": "Opaque",
            "stringData": {_DATA_KEY: secrets.token_urlsafe(_BYTES)},
        }
        try:
            await self._kube.create(path_of("api", "v1", "namespaces", self._namespace, "secrets"), manifest)
        except ConflictError:
            return
