"""The Secret that the operator keeps for itself: the key of the values' digests."""

import secrets

from infisical_events.api.resources import FIELD_MANAGER, MANAGED_BY
from infisical_events.api.specs import SecretKeyRef
from infisical_events.kube.api_client import KubeApi, path_of
from infisical_events.kube.credential_reader import CredentialReader, MissingKeyError
from infisical_events.kube.kubernetes_errors import ConflictError, NotFoundError

_DATA_KEY = "key"
_BYTES = 32
_MIN_LENGTH = 32
"""Characters of a key that somebody else may have put there."""


class DigestKeySecret:
    """One Secret in one namespace, made when it is first needed; whoever deletes it rotates the key."""

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
                f"Secret {self._ref.name} has less than {_MIN_LENGTH} characters under key key"
            )
        return key

    async def _create(self) -> None:
        """Another replica may do so at the same moment: the first one wins."""
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
