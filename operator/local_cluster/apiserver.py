"""The few requests of the local cluster to its own API server."""

import ssl
from pathlib import Path
from typing import Any

import httpx

from local_cluster import components, errors

_TIMEOUT_SECONDS = 5
_CONFLICT = 409


def connect(port: int, certificates: Path) -> httpx.Client:
    """Return a client with the administrator's certificate for the component at `port`."""
    context = ssl.create_default_context(cafile=str(certificates / "ca.crt"))
    context.load_cert_chain(certificates / "admin.crt", certificates / "admin.key")
    return httpx.Client(
        base_url=components.url(port), verify=context, timeout=_TIMEOUT_SECONDS, trust_env=False
    )


def is_healthy(client: httpx.Client, path: str) -> bool:
    """Return True if a health endpoint responds with success; no response is False."""
    try:
        return client.get(path).is_success
    except httpx.TransportError:
        return False


def create_node(client: httpx.Client, name: str) -> None:
    """Create a node for kwok to simulate, unless it exists.

    Raises:
        ClusterError: the API server rejects the node.
    """
    resources = {"cpu": "64", "memory": "256Gi", "ephemeral-storage": "1Ti", "pods": "1000"}
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "type": "kwok",
    }
    node: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "status": {"allocatable": resources, "capacity": resources},
    }
    answer = client.post("/api/v1/nodes", json=node)
    if answer.status_code != _CONFLICT and not answer.is_success:
        raise errors.ClusterError(f"the API server rejected node/{name}: {answer.text[:300]}")


def ready_nodes(client: httpx.Client) -> int:
    """Return the number of nodes that are Ready and have no not-ready taint."""
    nodes = client.get("/api/v1/nodes").raise_for_status().json()["items"]
    return sum(_is_ready(node) for node in nodes)


def takes_pods(client: httpx.Client, namespace: str) -> bool:
    """Return True if the default service account of a namespace exists, which pods need."""
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
    return client.get(path).is_success


def _is_ready(node: dict[str, Any]) -> bool:
    conditions = node["status"].get("conditions", ())
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    taints = (taint["key"] for taint in node["spec"].get("taints", ()))
    return ready and "node.kubernetes.io/not-ready" not in taints
