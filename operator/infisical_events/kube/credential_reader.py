"""Credentials for the login at Infisical, read from the subscription's own namespace only."""

import base64
import binascii

from infisical_events.api.specs import SecretKeyRef
from infisical_events.kube.http.api_client import KubeApi
from infisical_events.kube.http.api_requests import path_of
from infisical_events.kube.kubernetes_errors import KubernetesError
from infisical_events.kube.protected_objects import NOTHING_PROTECTED, ProtectedObjects, check_type

_TOKEN_SECONDS = 600
"""Seconds; the shortest lifetime that the API server grants. The token is used once, for a login."""


class MissingKeyError(KubernetesError):
    """The Secret exists, but its key does not, or the key has no text."""


class CredentialReader:
    """Reads Secrets by name and requests ServiceAccount tokens; never lists, never caches.

    Concurrent reads of one Secret are one request: a login needs two of its keys, and at a start hundreds of
    subscriptions use the same Secret.
    """

    def __init__(self, kube: KubeApi, protected: ProtectedObjects = NOTHING_PROTECTED) -> None:
        self._kube = kube
        self._protected = protected

    async def secret_value(self, namespace: str, ref: SecretKeyRef) -> str:
        """One value of a Secret, without surrounding blanks (a trailing newline is a common mistake).

        Raises:
            NotFoundError: the Secret does not exist.
            MissingKeyError: it does not have the key, or the key has no text.
            ProtectedObjectError: it belongs to the operator, or holds a token for the API server.
            KubernetesError: any other error.
        """
        self._protected.check_secret(namespace, ref.name)
        secret = await self._kube.get_shared(
            path_of("api", "v1", "namespaces", namespace, "secrets", ref.name)
        )
        check_type(secret.get("type"))
        encoded = (secret.get("data") or {}).get(ref.key)
        try:
            value = base64.b64decode(encoded or "", validate=True).decode().strip()
        except (binascii.Error, UnicodeDecodeError):
            value = ""
        if not value:
            raise MissingKeyError(f"secret/{ref.name} has no text under key {ref.key}")
        return value

    async def service_account_token(self, namespace: str, name: str, audiences: tuple[str, ...]) -> str:
        """A short-lived token of a ServiceAccount.

        Raises:
            ProtectedObjectError: the operator's ServiceAccount, or the API server would accept the token.
            KubernetesError: any other error.
        """
        self._protected.check_account(namespace, name)
        self._protected.check_audiences(audiences)
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
            raise KubernetesError("the API server's response has no token") from None
