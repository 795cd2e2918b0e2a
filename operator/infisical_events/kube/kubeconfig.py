"""The address of the API server and the credentials for it: in-cluster, or from a kubeconfig."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import yaml
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from infisical_events.core.request_metrics import RequestMetrics
from infisical_events.kube.http.api_client import DEFAULT_TIMEOUT, KubeApi
from infisical_events.kube.kubernetes_errors import KubernetesError

_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_SERVICE_ACCOUNT_TOKEN = _SERVICE_ACCOUNT / "token"

_RENEWAL_PAUSE = 30.0
"""Seconds between two renewals of rejected credentials: an exec plugin may be slow, and all requests of the
last client but one have ended after this time."""


@dataclass(frozen=True, slots=True)
class ClusterAccess:
    """The cluster to use: both None means in-cluster if possible, else the default kubeconfig."""

    kubeconfig: str | None = None
    context: str | None = None


@dataclass(frozen=True, slots=True)
class Connection:
    """What a client needs to connect to an API server; paths are of files, `token` may be rotated soon."""

    server: str
    ca_path: str | None
    certificate_path: str | None
    private_key_path: str | None
    is_insecure: bool
    scheme: str | None
    token: str | None
    proxy: str | None
    trusts_environment: bool
    """Whether HTTPS_PROXY and NO_PROXY apply, as they do for kubectl."""


async def load_configuration(access: ClusterAccess) -> Configuration:
    """Read the configuration from its files, including rotated tokens.

    Raises:
        KubernetesError: there is no usable configuration; the message says what to set.
    """
    configuration = Configuration()
    try:
        if _is_in_cluster(access):
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call] # theirs
        else:
            await config.load_kube_config(  # type: ignore[no-untyped-call] # theirs
                config_file=access.kubeconfig,
                context=access.context,
                client_configuration=configuration,
                persist_config=False,
            )
    except (config.ConfigException, aiohttp.ClientError, OSError) as error:
        raise _configuration_error(access, str(error)) from None
    except (yaml.YAMLError, TypeError, ValueError, AttributeError, KeyError) as error:
        # The file is not a kubeconfig. Its content is not quoted: it may be a private key.
        raise _configuration_error(access, f"the file is not a kubeconfig: {type(error).__name__}") from None
    _require_supported(access, configuration)
    # In a cluster, the proxy of the environment is for Infisical, never for the API server.
    configuration.client_session_kwargs = {"trust_env": not _is_in_cluster(access)}
    # Token files often end with a newline.
    configuration.api_key = {name: token.strip() for name, token in configuration.api_key.items()}
    return configuration


def _require_supported(access: ClusterAccess, configuration: Configuration) -> None:
    """Raises KubernetesError for options that kopf or aiohttp do not support: errors later are obscure."""
    if configuration.tls_server_name:
        raise _configuration_error(access, "tls-server-name is not supported")
    if configuration.proxy and not configuration.proxy.startswith(("http://", "https://")):
        raise _configuration_error(access, "proxy-url is supported only for http and https")


def _configuration_error(access: ClusterAccess, why: str) -> KubernetesError:
    where = access.kubeconfig or "the default locations"
    advice = "run in a cluster, or set --kubeconfig and --context"
    return KubernetesError(f"no usable cluster configuration in {where} ({why}): {advice}")


def _is_in_cluster(access: ClusterAccess) -> bool:
    return not (access.kubeconfig or access.context) and _SERVICE_ACCOUNT_TOKEN.exists()


def own_namespace() -> str:
    """The namespace of the operator's pod; `default` outside of a cluster."""
    try:
        return (_SERVICE_ACCOUNT / "namespace").read_text().strip() or "default"
    except OSError:
        return "default"


def namespace_of_context(access: ClusterAccess) -> str:
    """The namespace of the kubeconfig's context, `default` if it has none; in a cluster, the pod's own.

    Raises:
        KubernetesError: the kubeconfig cannot be read, or has no such context.
    """
    if _is_in_cluster(access):
        return own_namespace()
    try:
        contexts, current = config.list_kube_config_contexts(access.kubeconfig)  # type: ignore[no-untyped-call] # theirs
    except (config.ConfigException, OSError) as error:
        raise _configuration_error(access, str(error)) from None
    except (yaml.YAMLError, TypeError, ValueError, AttributeError, KeyError) as error:
        raise _configuration_error(access, f"the file is not a kubeconfig: {type(error).__name__}") from None
    named = [each for each in contexts if each["name"] == access.context] if access.context else [current]
    if not named:
        raise _configuration_error(access, f"there is no context {access.context!r}")
    return str((named[0].get("context") or {}).get("namespace") or "default")


async def load_connection(access: ClusterAccess) -> Connection:
    """The configuration for clients of other packages than kubernetes; raises KubernetesError."""
    configuration = await load_configuration(access)
    scheme, _, token = configuration.api_key.get("BearerToken", "").rpartition(" ")
    return Connection(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        is_insecure=not configuration.verify_ssl,
        scheme=scheme or ("Bearer" if token else None),
        token=token or None,
        proxy=configuration.proxy,
        trusts_environment=not _is_in_cluster(access),
    )


@asynccontextmanager
async def open_kube_api(
    access: ClusterAccess,
    user_agent: str,
    seconds: float = DEFAULT_TIMEOUT,
    connections: int = 100,
    metrics: RequestMetrics | None = None,
) -> AsyncIterator[KubeApi]:
    """The API server; leaving the context closes its connections.

    `seconds` is the time-out of one request, `connections` how many there are at once; `metrics` counts the
    requests.

    Raises:
        KubernetesError: there is no usable configuration.
    """
    clients = _Clients(access, user_agent, await _opened_client(access, user_agent, connections), connections)
    try:
        yield KubeApi(clients.current, seconds, clients.renewed, metrics)
    finally:
        await clients.close()


async def _opened_client(access: ClusterAccess, user_agent: str, connections: int) -> ApiClient:
    configuration = await load_configuration(access)
    configuration.connection_pool_maxsize = connections
    try:
        client = ApiClient(configuration)
    except OSError as error:  # unreadable or malformed certificates
        raise _configuration_error(access, f"certificates: {error}") from None
    client.user_agent = user_agent
    return client


class _Clients:
    """The current client, which is replaced when its credentials are rejected.

    Tokens of files and of exec plugins expire, and so do client certificates, which a client reads only once:
    so the whole client is replaced and not only a header.
    """

    def __init__(self, access: ClusterAccess, user_agent: str, client: ApiClient, connections: int) -> None:
        self.current = client
        self._previous: ApiClient | None = None
        self._access = access
        self._user_agent = user_agent
        self._connections = connections
        self._lock = asyncio.Lock()
        self._last_renewal = -math.inf

    async def renewed(self, rejected: ApiClient) -> ApiClient:
        """Read the configuration again, once for all requests that were rejected at the same time.

        Raises:
            KubernetesError: there is no usable configuration any more.
        """
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if rejected is self.current and now - self._last_renewal >= _RENEWAL_PAUSE:
                self._last_renewal = now
                client = await _opened_client(self._access, self._user_agent, self._connections)
                # Other requests may still be using the previous client.
                previous, self._previous, self.current = self._previous, self.current, client
                if previous is not None:
                    await previous.close()  # type: ignore[no-untyped-call] # theirs
        return self.current

    async def close(self) -> None:
        """Close all connections."""
        for client in filter(None, (self.current, self._previous)):
            await client.close()  # type: ignore[no-untyped-call] # theirs
