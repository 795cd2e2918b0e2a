"""Finding the API server in a kubeconfig, keeping the right to talk to it, saying in one line why not."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from kubernetes.aio.config import incluster_config

from infisical_events.kube import kubeconfig
from infisical_events.kube.http.api_client import KubeApi
from infisical_events.kube.kubeconfig import ClusterAccess, load_connection, open_kube_api
from infisical_events.kube.kubernetes_errors import KubernetesError, UnauthorizedError
from infisical_events.runtime.clock import utc_now
from local_cluster import certificates
from support.scripted_server import Answer, Request, Script, ScriptedServer, answer, serving

TOKEN = "kube-canary-token"
PLUGIN_API = "client.authentication.k8s.io/v1"


def a_kubeconfig(**more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """A kubeconfig (JSON is YAML) with two contexts."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "one",
        "contexts": [
            {"name": name, "context": {"cluster": name, "user": "robot"}} for name in ("one", "two")
        ],
        "clusters": [
            {"name": name, "cluster": {"server": f"https://{name}.example"}} for name in ("one", "two")
        ],
        "users": [{"name": "robot", "user": {"token": TOKEN}}],
    } | more


@pytest.mark.parametrize(
    ("context", "server"), [(None, "https://one.example"), ("two", "https://two.example")]
)
async def test_found(tmp_path: Path, context: str | None, server: str) -> None:
    """The current context, or the one that is named, says where the server is and with what right."""
    file = tmp_path / "config"
    file.write_text(json.dumps(a_kubeconfig()))
    connection = await load_connection(ClusterAccess(str(file), context))
    assert (connection.server, connection.scheme, connection.token) == (server, "Bearer", TOKEN)


async def test_rotated(tmp_path: Path) -> None:
    """Each look reads the file anew."""
    file = tmp_path / "config"
    file.write_text(json.dumps(a_kubeconfig()))
    access = ClusterAccess(str(file))
    await load_connection(access)
    file.write_text(json.dumps(a_kubeconfig(users=[{"name": "robot", "user": {"token": "next"}}])))
    assert (await load_connection(access)).token == "next"


@asynccontextmanager
async def reached(folder: Path, script: Script) -> AsyncIterator[tuple[KubeApi, ScriptedServer, Path]]:
    """A scripted API server, reached by a kubeconfig with a token file, which is given too."""
    token, file = folder / "token", folder / "config"
    token.write_text(TOKEN)
    async with serving(script) as server:
        cluster = {"name": "one", "cluster": {"server": server.url}}
        user = {"name": "robot", "user": {"tokenFile": str(token)}}
        file.write_text(json.dumps(a_kubeconfig(clusters=[cluster], users=[user])))
        async with open_kube_api(ClusterAccess(str(file), "one"), "infisical-events") as kube:
            yield kube, server, token


def only_for(token: str) -> Script:
    """Lets one token in, and nobody else."""

    async def script(request: Request) -> Answer:
        scheme, _, given = request.headers["authorization"].partition(" ")
        known = (scheme.lower(), given) == ("bearer", token)
        return answer(200, {}) if known else answer(401, {"kind": "Status", "message": "Unauthorized"})

    return script


async def test_user_agent(tmp_path: Path) -> None:
    """A client tells who it is."""
    async with reached(tmp_path, only_for(TOKEN)) as (kube, server, _):
        await kube.get("/api")
        assert server.requests[0].headers["user-agent"] == "infisical-events"


@pytest.mark.parametrize("ending", ["", "\n"])
async def test_token_ends(tmp_path: Path, ending: str) -> None:
    """When a token is no longer good, the file's next one is used for the same request."""
    async with reached(tmp_path, only_for("next")) as (kube, _, token):
        token.write_text(f"next{ending}")
        assert await kube.merge_patch("/api", {}) == {}


async def test_token_ends_for_all(tmp_path: Path) -> None:
    """All who are refused at the same time are served by one reading of the configuration."""
    async with reached(tmp_path, only_for("next")) as (kube, server, token):
        token.write_text("next")
        answers = await asyncio.gather(*(kube.get("/api") for _ in range(20)))
        assert answers == [{}] * 20
        await kube.get("/api")
        assert server.requests[-1].headers["authorization"] == "Bearer next"


async def test_tokens_end_again_and_again(tmp_path: Path, pass_time: Callable[[float], None]) -> None:
    """Each token is followed by the next, for as long as the operator runs."""
    good = [TOKEN]

    async def script(request: Request) -> Answer:
        return await only_for(good[0])(request)

    async with reached(tmp_path, script) as (kube, _, token):
        for n in range(5):
            good[0] = f"token-{n}"
            token.write_text(good[0])
            assert await kube.get("/api") == {}
            pass_time(60.0)


async def test_token_is_not_good(tmp_path: Path) -> None:
    """With no better token to be had the refusal is told, and the plugin is not run for each request."""
    plugin, runs = tmp_path / "plugin", tmp_path / "runs"
    status = {"token": TOKEN, "expirationTimestamp": "2020-01-01T00:00:00Z"}
    credential = {"apiVersion": PLUGIN_API, "kind": "ExecCredential", "status": status}
    plugin.write_text(f"#!/bin/sh\necho >>{runs}\necho '{json.dumps(credential)}'\n")
    plugin.chmod(0o755)
    file = tmp_path / "config"
    async with serving(only_for("other")) as server:
        cluster = {"name": "one", "cluster": {"server": server.url}}
        user = {"exec": {"apiVersion": PLUGIN_API, "command": str(plugin), "interactiveMode": "Never"}}
        file.write_text(json.dumps(a_kubeconfig(clusters=[cluster], users=[{"name": "robot", "user": user}])))
        async with open_kube_api(ClusterAccess(str(file), "one"), "infisical-events") as kube:
            for _ in range(5):
                with pytest.raises(UnauthorizedError):
                    await kube.get("/api")
    assert runs.read_text().count("\n") == 2


async def test_configuration_is_gone(tmp_path: Path) -> None:
    """A configuration that cannot be read when it is needed again is an error like all others."""
    async with reached(tmp_path, only_for("next")) as (kube, _, token):
        token.unlink()
        with pytest.raises(KubernetesError, match="--kubeconfig"):
            await kube.get("/api")


async def test_broken_certificates(tmp_path: Path) -> None:
    """A certificate authority that is none is told as that."""
    file, ca = tmp_path / "config", tmp_path / "ca.crt"
    ca.write_text("no certificate")
    cluster = {"server": "https://one.example", "certificate-authority": str(ca)}
    file.write_text(json.dumps(a_kubeconfig(clusters=[{"name": "one", "cluster": cluster}])))
    with pytest.raises(KubernetesError, match="certificates"):
        async with open_kube_api(ClusterAccess(str(file), "one"), "infisical-events"):
            raise AssertionError("nothing was opened")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "a: [",
        "{}",
        "\x00",
        TOKEN,
        json.dumps(a_kubeconfig(clusters=3)),
        json.dumps(a_kubeconfig(users=[TOKEN])),
        json.dumps(a_kubeconfig(contexts=[])),
    ],
)
async def test_no_kubeconfig(tmp_path: Path, text: str) -> None:
    """A file that is no kubeconfig is told in one line that repeats nothing of it."""
    file = tmp_path / "config"
    file.write_text(text)
    with pytest.raises(KubernetesError, match="--kubeconfig") as caught:
        await load_connection(ClusterAccess(str(file)))
    assert TOKEN not in str(caught.value)
    assert str(caught.value).isprintable()


async def test_no_file(tmp_path: Path) -> None:
    """A file that does not exist is named."""
    with pytest.raises(KubernetesError, match="missing"):
        await load_connection(ClusterAccess(str(tmp_path / "missing")))


async def test_no_context(tmp_path: Path) -> None:
    """A context that does not exist is named."""
    file = tmp_path / "config"
    file.write_text(json.dumps(a_kubeconfig()))
    with pytest.raises(KubernetesError, match="three"):
        await load_connection(ClusterAccess(str(file), "three"))


# -- proxies ------------------------------------------------------------------------------------------


def no_exceptions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that is named is one for all hosts."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what a pod finds in its own, and the pairs of a cluster."""
    certificates.write(tmp_path, utc_now())
    (tmp_path / "token").write_text(TOKEN)
    monkeypatch.setattr(kubeconfig, "_SERVICE_ACCOUNT_TOKEN", tmp_path / "token")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    return tmp_path


async def test_no_proxy_in_a_cluster(pod: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that a pod has for Infisical is not asked for the API server."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pod / "server.crt", pod / "server.key")
    async with serving(only_for(TOKEN)) as proxy, serving(only_for(TOKEN), tls) as server:
        no_exceptions(monkeypatch)
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", server.url.rpartition(":")[2])
        async with open_kube_api(ClusterAccess(), "infisical-events") as kube:
            assert await kube.get("/api") == {}
        assert not (await load_connection(ClusterAccess())).trusts_environment
    assert proxy.requests == []


@pytest.mark.parametrize("where", ["file", "environment"])
async def test_proxy_of_a_kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """With a kubeconfig its proxy, or that of the environment, is used, as by kubectl."""
    async with serving(only_for(TOKEN)) as proxy:
        no_exceptions(monkeypatch)
        cluster = {"server": "http://one.example"}
        if where == "file":
            cluster["proxy-url"] = proxy.url
        else:
            monkeypatch.setenv("http_proxy", proxy.url)
        file = tmp_path / "config"
        file.write_text(json.dumps(a_kubeconfig(clusters=[{"name": "one", "cluster": cluster}])))
        access = ClusterAccess(str(file), "one")
        async with open_kube_api(access, "infisical-events") as kube:
            assert await kube.get("/api") == {}
        assert proxy.requests[0].target == "http://one.example/api"
        connection = await load_connection(access)
    assert (connection.proxy, connection.trusts_environment) == (proxy.url if where == "file" else None, True)


@pytest.mark.parametrize(
    "setting", [{"tls-server-name": "kubernetes"}, {"proxy-url": "socks5://127.0.0.1:1"}]
)
async def test_not_supported(tmp_path: Path, setting: dict[str, str]) -> None:
    """What cannot be done is told at once and by its name."""
    file = tmp_path / "config"
    cluster = {"server": "https://one.example"} | setting
    file.write_text(json.dumps(a_kubeconfig(clusters=[{"name": "one", "cluster": cluster}])))
    with pytest.raises(KubernetesError, match=f"{next(iter(setting))} is"):
        await load_connection(ClusterAccess(str(file), "one"))
