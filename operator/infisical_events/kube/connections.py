"""Finding the API server and the right to talk to it: in-cluster or by a kubeconfig."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from infisical_events.kube.errors import KubernetesError

_SERVICE_ACCOUNT_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


@dataclass(frozen=True, slots=True)
class ClusterAccess:
    """Which cluster: both None means in-cluster if possible, else the default kubeconfig."""

    kubeconfig: str | None = None
    context: str | None = None


@dataclass(frozen=True, slots=True)
class Connection:
    """What a client needs to reach an API server; paths name files, `token` may be rotated soon."""

    server: str
    ca_path: str | None
    certificate_path: str | None
    private_key_path: str | None
    is_insecure: bool
    scheme: str | None
    token: str | None


async def load_configuration(access: ClusterAccess) -> Configuration:
    """Read the configuration afresh, so that rotated tokens are picked up.

    Raises:
        KubernetesError: there is no usable configuration; the sentence says what was tried.
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
    except (config.ConfigException, OSError) as error:
        raise _unusable(access, str(error)) from None
    except (yaml.YAMLError, TypeError, ValueError, AttributeError, KeyError) as error:
        # Of a file that is no kubeconfig. What it says is not repeated: it may be a key.
        raise _unusable(access, f"the file is no kubeconfig: {type(error).__name__}") from None
    return configuration


def _unusable(access: ClusterAccess, why: str) -> KubernetesError:
    where = access.kubeconfig or "the default places"
    advice = "run in a cluster, or give --kubeconfig and --context"
    return KubernetesError(f"no usable cluster configuration in {where} ({why}): {advice}")


def _is_in_cluster(access: ClusterAccess) -> bool:
    return not (access.kubeconfig or access.context) and _SERVICE_ACCOUNT_TOKEN.exists()


async def load_connection(access: ClusterAccess) -> Connection:
    """The same for clients that are not of the kubernetes package."""
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
    )


@asynccontextmanager
async def opened_client(access: ClusterAccess, user_agent: str) -> AsyncIterator[ApiClient]:
    """A client that is closed with the context."""
    async with ApiClient(await load_configuration(access)) as client:
        client.user_agent = user_agent
        yield client
