"""Reads the credentials that a spec names, in the namespace of the subscription."""

import asyncio

from infisical_events.api.specs import SecretKeyRef, Spec
from infisical_events.core.credentials import (
    AccessToken,
    Credentials,
    CredentialsSource,
    KubernetesCredentials,
    UniversalCredentials,
)
from infisical_events.core.status.reasons import Reason
from infisical_events.infisical.infisical_errors import LoginError
from infisical_events.kube.credential_reader import MissingKeyError
from infisical_events.kube.kubernetes_errors import ForbiddenError, KubernetesError, NotFoundError
from infisical_events.kube.protected_objects import ProtectedObjectError
from infisical_events.runtime.ports import LoginAccess


def credentials_source(cluster: LoginAccess, namespace: str, spec: Spec, address: str) -> CredentialsSource:
    """A reader of the credentials as they are at each login, so that rotated ones are used.

    Without `audiences` a ServiceAccount token is for the address of Infisical. The API server must not accept
    it: Infisical forwards it to the host that the owner of the machine identity configured.

    The reader raises LoginError when a Secret or ServiceAccount cannot be read.
    """
    authentication = spec.authentication

    async def read() -> Credentials:
        if universal := authentication.universal_auth:
            client_id, client_secret = await asyncio.gather(
                _secret_value(cluster, namespace, universal.client_id_ref),
                _secret_value(cluster, namespace, universal.client_secret_ref),
            )
            return UniversalCredentials(client_id, client_secret)
        if kubernetes := authentication.kubernetes_auth:
            name, audiences = kubernetes.service_account_name, kubernetes.audiences or (address,)
            token = await _account_token(cluster, namespace, name, audiences)
            return KubernetesCredentials(kubernetes.identity_id, f"{namespace}/{name}", token, audiences)
        if authentication.access_token_ref is None:
            raise AssertionError("the spec's model admits exactly one method")
        return AccessToken(await _secret_value(cluster, namespace, authentication.access_token_ref))

    return read


async def _secret_value(cluster: LoginAccess, namespace: str, ref: SecretKeyRef) -> str:
    try:
        return await cluster.secret_value(namespace, ref)
    except NotFoundError:
        message = f"There is no Secret {ref.name} in namespace {namespace}. Create it with key {ref.key}."
        raise LoginError(Reason.SECRET_NOT_FOUND, message) from None
    except MissingKeyError as error:
        raise LoginError(Reason.SECRET_NOT_FOUND, f"{error}: add it to the Secret.") from None
    except KubernetesError as error:
        raise LoginError(Reason.KUBERNETES_API_ERROR, f"Cannot read Secret {ref.name}: {error}.") from None


async def _account_token(cluster: LoginAccess, namespace: str, name: str, audiences: tuple[str, ...]) -> str:
    try:
        return await cluster.service_account_token(namespace, name, audiences)
    except NotFoundError:
        message = f"There is no ServiceAccount {name} in namespace {namespace}. Create it."
        raise LoginError(Reason.SERVICE_ACCOUNT_NOT_FOUND, message) from None
    except KubernetesError as error:
        is_missing = isinstance(error, ForbiddenError) and not isinstance(error, ProtectedObjectError)
        cause = "the operator has no permission for it (chart value rbac.serviceAccountTokens): "
        message = f"Cannot get a token for ServiceAccount {name}: {cause if is_missing else ''}{error}."
        raise LoginError(Reason.KUBERNETES_API_ERROR, message) from None
