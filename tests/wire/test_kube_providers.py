"""Secret providers at the wire: in the version that the API server serves, with the stores they read from."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from kubernetes.aio.client import ApiClient, Configuration

from infisical_events.api.resources import EXTERNAL_SECRET, ResourceKind
from infisical_events.kube.discovery import Discovery
from infisical_events.kube.http.api_client import KubeApi
from infisical_events.kube.provider_client import ProviderClient
from infisical_events.kube.secret_client import SecretClient
from infisical_events.kube.workload_client import WorkloadClient
from support.scripted_server import Answer, Request, ScriptedServer, answer, serving

GROUP = "/apis/external-secrets.io"
NOT_FOUND = {"kind": "Status", "status": "Failure", "message": "not found"}


@asynccontextmanager
async def api_server(objects: Mapping[str, Any]) -> AsyncIterator[tuple[KubeApi, ScriptedServer]]:
    """An API server with these bodies, by path; everything else is not found. A number is a status."""

    async def script(request: Request) -> Answer:
        body = objects.get(request.path.partition("?")[0], 404)
        return answer(body, NOT_FOUND) if isinstance(body, int) else answer(200, body)

    async with serving(script) as server, ApiClient(Configuration(host=server.url)) as client:
        yield KubeApi(client, 5.0), server


def served(*plurals: str) -> dict[str, Any]:
    """The discovery of one version."""
    return {"resources": [{"name": plural} for plural in plurals]}


def group(*versions: str) -> dict[str, Any]:
    """The discovery of a group."""
    return {"versions": [{"version": version} for version in versions]}


def external_secret(**spec: object) -> dict[str, Any]:
    """A list with one ExternalSecret."""
    metadata = {"name": "app", "namespace": "team", "uid": "u", "resourceVersion": "1"}
    return {"metadata": {}, "items": [{"metadata": metadata, "spec": spec}]}


@pytest.mark.parametrize("version", ["v1", "v1beta1", "v2"])
async def test_every_served_version_of_a_kind_is_found(version: str) -> None:
    """The one that the API server has, whichever it is; requests go to that."""
    path = f"{GROUP}/{version}"
    objects = {
        GROUP: group(version),
        path: served("externalsecrets"),
        f"{path}/namespaces/team/externalsecrets": external_secret(),
        f"{path}/namespaces/team/externalsecrets/app": external_secret()["items"][0],
    }
    async with api_server(objects) as (kube, server):
        client = ProviderClient(kube, Discovery(kube))
        (provider,) = (await client.list("team")).providers
        await client.request_sync("team", provider, {})

        assert provider.kind == ResourceKind(
            "ExternalSecret", "externalsecrets", "external-secrets.io", version
        )
        assert server.requests[-1].path.startswith(path)


async def test_a_group_with_other_kinds_only() -> None:
    """A version that does not have the kind counts for nothing."""
    objects = {GROUP: group("v1", "v1alpha1"), f"{GROUP}/v1": served("pushsecrets")}
    async with api_server(objects) as (kube, _):
        assert await Discovery(kube).served(EXTERNAL_SECRET) is None


@pytest.mark.parametrize(
    ("store", "is_unaffected"),
    [
        ({"spec": {"provider": {"aws": {}}}}, True),
        ({"spec": {"provider": {"infisical": {}}}}, False),
        ({"spec": {"provider": {"kubernetes": {}}}}, False),
        ({"spec": {}}, False),
        (403, False),
        (404, False),
    ],
)
@pytest.mark.parametrize(
    ("kind", "place"),
    [("SecretStore", "namespaces/team/secretstores/s"), ("ClusterSecretStore", "clustersecretstores/s")],
)
async def test_the_store_of_an_external_secret(
    store: object,
    is_unaffected: bool,  # noqa: FBT001 - a table
    kind: str,
    place: str,
) -> None:
    """A store that is not read is taken for one of Infisical; one request serves for a while."""
    spec = {"secretStoreRef": {"name": "s", "kind": kind}, "dataFrom": [{"extract": {"key": "/a"}}]}
    objects = {
        f"{GROUP}/v1": served("externalsecrets", "secretstores", "clustersecretstores"),
        f"{GROUP}/v1/namespaces/team/externalsecrets": external_secret(**spec),
        f"{GROUP}/v1/{place}": store,
    }
    async with api_server(objects) as (kube, server):
        client = ProviderClient(kube, Discovery(kube))
        for _ in range(3):
            (provider,) = (await client.list("team")).providers
            assert bool(provider.unaffected_reason) is is_unaffected
        assert len([each for each in server.requests if each.path.endswith(place)]) == 1


async def test_a_config_map_is_read_without_keeping_its_values() -> None:
    """A digest of its data stands for them."""
    metadata = {"name": "cfg", "uid": "u", "resourceVersion": "1"}
    path = "/api/v1/namespaces/team/configmaps/cfg"
    objects: dict[str, Any] = {path: {"metadata": metadata, "data": {"KEY": "canary"}}}
    async with api_server(objects) as (kube, _):
        first = await SecretClient(kube).config_map("team", "cfg")
        objects[path]["data"]["KEY"] = "another"
        second = await SecretClient(kube).config_map("team", "cfg")
        gone = await SecretClient(kube).config_map("team", "other")

    assert first is not None
    assert second is not None
    assert first.name == "configmap/cfg"
    assert first.data_digest != second.data_digest
    assert "canary" not in repr(first)
    assert gone is None


async def test_config_maps_that_may_not_be_read() -> None:
    """They are taken for missing: the right can be left out."""
    async with api_server({"/api/v1/namespaces/team/configmaps/cfg": 403}) as (kube, _):
        assert await SecretClient(kube).config_map("team", "cfg") is None


async def test_a_rollout_with_the_template_of_a_deployment() -> None:
    """The list joins the two, and the read takes the template of the Deployment."""
    argo, apps = "/apis/argoproj.io/v1alpha1", "/apis/apps/v1/namespaces/team/deployments"
    rollout: dict[str, Any] = {
        "metadata": {"name": "app", "uid": "r", "resourceVersion": "1", "generation": 1},
        "spec": {"workloadRef": {"kind": "Deployment", "name": "web"}},
    }
    pod = {"spec": {"containers": [{"envFrom": [{"secretRef": {"name": "env"}}]}]}}
    deployment: dict[str, Any] = {
        "metadata": {
            "name": "web",
            "uid": "d",
            "resourceVersion": "2",
            "annotations": {"events.infisical.com/wave": "1"},
        },
        "spec": {"template": pod, "selector": {"matchLabels": {"app": "web"}}},
    }
    empty = {"metadata": {}, "items": []}
    objects = {
        argo: served("rollouts"),
        f"{argo}/namespaces/team/rollouts": {"metadata": {}, "items": [rollout]},
        f"{argo}/namespaces/team/rollouts/app": rollout,
        apps: {"metadata": {}, "items": [deployment]},
        f"{apps}/web": deployment,
        "/apis/apps/v1/namespaces/team/statefulsets": empty,
        "/apis/apps/v1/namespaces/team/daemonsets": empty,
        "/apis/batch/v1/namespaces/team/cronjobs": empty,
        "/apis/batch/v1/namespaces/team/jobs": empty,
    }
    async with api_server(objects) as (kube, _):
        client = WorkloadClient(kube, Discovery(kube))
        (listed,) = (await client.list("team")).workloads
        state = await client.read("team", "Rollout", "app")

    assert (listed.kind.kind, listed.annotations) == ("Rollout", {"events.infisical.com/wave": "1"})
    assert state is not None
    assert state.workload.own_annotations == listed.own_annotations
    assert (state.secrets, state.selector) == ({"env"}, "app=web")
