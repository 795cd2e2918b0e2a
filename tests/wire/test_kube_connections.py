"""Finding the API server in a kubeconfig, and saying in one line why there is none to be found."""

import json
from pathlib import Path
from typing import Any

import pytest

from infisical_events.kube.connections import ClusterAccess, load_connection, opened_client
from infisical_events.kube.errors import KubernetesError

TOKEN = "kube-canary-token"


def kubeconfig(**more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
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
    file.write_text(json.dumps(kubeconfig()))
    connection = await load_connection(ClusterAccess(str(file), context))
    assert (connection.server, connection.scheme, connection.token) == (server, "Bearer", TOKEN)


async def test_rotated(tmp_path: Path) -> None:
    """Each look reads the file anew."""
    file = tmp_path / "config"
    file.write_text(json.dumps(kubeconfig()))
    access = ClusterAccess(str(file))
    await load_connection(access)
    file.write_text(json.dumps(kubeconfig(users=[{"name": "robot", "user": {"token": "next"}}])))
    assert (await load_connection(access)).token == "next"


async def test_user_agent(tmp_path: Path) -> None:
    """A client tells who it is."""
    file = tmp_path / "config"
    file.write_text(json.dumps(kubeconfig()))
    async with opened_client(ClusterAccess(str(file)), "infisical-events") as client:
        assert client.user_agent == "infisical-events"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "a: [",
        "{}",
        "\x00",
        TOKEN,
        json.dumps(kubeconfig(clusters=3)),
        json.dumps(kubeconfig(users=[TOKEN])),
        json.dumps(kubeconfig(contexts=[])),
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
    file.write_text(json.dumps(kubeconfig()))
    with pytest.raises(KubernetesError, match="three"):
        await load_connection(ClusterAccess(str(file), "three"))
