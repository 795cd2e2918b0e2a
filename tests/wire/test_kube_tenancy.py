"""Whatever a subscription names, the requests stay below its own namespace."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from urllib.parse import unquote

import pytest
from kubernetes.aio.client import ApiClient, Configuration

from infisical_events.api.resources import WORKLOAD_KINDS
from infisical_events.api.specs import ManagedSecret, SecretKeyRef
from infisical_events.core.status.kube_events import InvolvedObject, KubeEvent
from infisical_events.core.subscriptions import SubscriptionKey
from infisical_events.core.sync.secret_providers import SecretProvider
from infisical_events.kube.http.api_client import KubeApi
from infisical_events.kube.kubernetes_errors import KubernetesError
from infisical_events.kube.provider_client import PROVIDER_KINDS
from infisical_events.runtime.app.kube_cluster import KubeCluster
from support.builders import a_workload
from support.scripted_server import Answer, Request, answer, serving
from support.virtual_time import virtual_now

NAMES = (
    "login",
    "../../other/secrets/theirs",
    "..",
    "a/../../../namespaces/other",
    "a?b=c",
    "a#b",
    "a%2f..%2fb",
    "a\r\nb",
)
HOME = "team"


def calls_of(cluster: KubeCluster, name: str) -> list[Callable[[], Awaitable[object]]]:
    """Everything that is done for a subscription, with this name wherever something is named."""
    ref = SecretKeyRef.model_construct(name=name, key="token")
    managed = ManagedSecret.model_construct(
        name=name, environment_slug="prod", labels={}, annotations={}, type="Opaque"
    )
    key = SubscriptionKey(HOME, name, "uid")
    workload = replace(a_workload(), name=name)
    sources = [SecretProvider(kind, name, "uid", "1", frozenset({name}), {}) for kind in PROVIDER_KINDS]
    about = InvolvedObject("apps/v1", "Deployment", HOME, name, "uid")
    return [
        lambda: cluster.get(key),
        lambda: cluster.write_status(key, "1", {}),
        lambda: cluster.secret_value(HOME, ref),
        lambda: cluster.service_account_token(HOME, name, ()),
        lambda: cluster.secret_metadata(HOME, name),
        lambda: cluster.config_map(HOME, name),
        lambda: cluster.apply_secret(key, managed, {}, "token"),
        lambda: cluster.list_workloads(HOME),
        *(lambda kind=kind: cluster.read_workload(HOME, kind.kind, name) for kind in WORKLOAD_KINDS),
        lambda: cluster.pod_creation_times(HOME, name),
        lambda: cluster.list_pods(HOME, name),
        lambda: cluster.patch_workload(HOME, workload, {}),
        lambda: cluster.list_providers(HOME),
        *(lambda source=source: cluster.request_sync(HOME, source, {}) for source in sources),
        lambda: cluster.emit_event(KubeEvent(about, "Reason", "note")),
    ]


@pytest.mark.parametrize("name", NAMES)
async def test_every_request_stays_in_the_namespace(name: str) -> None:
    """A name is one segment of a path, however it is spelled; only the discovery lies elsewhere."""

    async def script(_: Request) -> Answer:
        return answer(200, {"items": [], "metadata": {}, "resources": []})

    async with serving(script) as server, ApiClient(Configuration(host=server.url)) as client:
        cluster = KubeCluster(KubeApi(client, 5.0), virtual_now, ("operator", "own"))
        refused = 0
        for call in calls_of(cluster, name):
            try:
                await call()
            except KubernetesError:
                refused += 1
        paths = [request.path for request in server.requests]

    assert len(paths) + refused >= len(calls_of(cluster, name))
    assert [path for path in paths if not _is_at_home(path, name)] == []


def _is_at_home(path: str, name: str) -> bool:
    """Whether it is the discovery's, or below the namespace with the name as one segment at most."""
    segments = path.strip("/").split("/")
    if segments[0] == "apis" and len(segments) in {2, 3}:
        return True
    *_, namespace = segments[: segments.index("namespaces") + 2]
    behind = [unquote(segment) for segment in segments[segments.index("namespaces") + 2 :]]
    return namespace == HOME and ".." not in behind and behind[1:2] in ([], [name])
