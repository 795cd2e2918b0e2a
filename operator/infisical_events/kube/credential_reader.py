"""What a login needs, from the subscription's own namespace only."""

import base64
import binascii

from infisical_events.api.specs import SecretKeyRef
from infisical_events.kube.api_client import KubeApi, path_of
from infisical_events.kube.kubernetes_errors import KubernetesError
from infisical_events.kube.protected_objects import NOTHING_PROTECTED, ProtectedObjects, check_type

_TOKEN_SECONDS = 600
"""The shortest life that the API server grants; the token is used once, for a login."""


class MissingKeyError(KubernetesError):
    """The Secret exists and has not the key that is named, or nothing in it."""


class CredentialReader:
    """Reads Secrets by name and asks for ServiceAccount tokens; never lists, never caches."""

    def __init__(self, kube: KubeApi, protected: ProtectedObjects = NOTHING_PROTECTED) -> None:
        self._kube = kube
        self._protected = protected

    async def secret_value(self, namespace: str, ref: SecretKeyRef) -> str:
        """One value of a Secret, without surrounding blanks (a trailing newline is a common slip).

        Raises:
            NotFoundError: no such Secret.
            MissingKeyError: no such key in it.
            OwnError: it is the operator's own, or holds a token for the API server.
            KubernetesError: for every other failure.
        """
        self._protected.check_secret(namespace, ref.name)
        secret = await self._kube.get(path_of("api", "v1", "namespaces", namespace, "secrets", ref.name))
        check_type(secret.get("type"))
        encoded = (secret.get("data") or {}).get(ref.key)
        try:
            value = base64.b64decode(encoded or "", validate=True).decode().strip()
        except (binascii.Error, UnicodeDecodeError):
            value = ""
        if not value:
            raise MissingKeyError(f"Secret {ref.name} has no text under key {ref.key}")
        return value

    async def service_account_token(self, namespace: str, name: str, audiences: tuple[str, ...]) -> str:
        """A short-lived token of a ServiceAccount; raises KubernetesError, of the operator's own OwnError."""
        self._protected.check_account(namespace, name)
        response = await self._kube.create(
            path_of("api", "v1", "namespaces", namespace, "serviceaccounts", name, "token"),
            {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "spec": {"audiences": list(audiences), "expirationSeconds": _TOKEN_SECONDS},
            },
        )
        try:
            return str(response["status"]["token"])
        except (KeyError, TypeError):
            raise KubernetesError("the API server's answer has no token") from None
