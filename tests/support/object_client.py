"""Namespaces and reads of objects over one connection to the API server.

A test that waits reads many times a second. One kubectl process for each read would take processor time
from the operator that the test waits for.
"""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import httpx

from infisical_events.kube.kubeconfig import ClusterAccess, Connection, load_connection
from support.kubectl import KubectlError

_SECONDS = 15.0
_PATHS = {
    "secret": "api/v1/{}/secrets",
    "deployment": "apis/apps/v1/{}/deployments",
    "statefulset": "apis/apps/v1/{}/statefulsets",
    "daemonset": "apis/apps/v1/{}/daemonsets",
    "replicaset": "apis/apps/v1/{}/replicasets",
    "lease": "apis/coordination.k8s.io/v1/{}/leases",
    "rollout": "apis/argoproj.io/v1alpha1/{}/rollouts",
    "ies": "apis/events.infisical.com/v1alpha1/{}/infisicaleventsubscriptions",
}


class ObjectClient:
    """Reads the kinds that tests wait for, as the user of a kubeconfig. All methods raise KubectlError."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    @classmethod
    def opened(cls, kubeconfig: Path) -> "ObjectClient":
        """Load a kubeconfig; the connection is made by the first read."""
        found = asyncio.run(load_connection(ClusterAccess(kubeconfig=str(kubeconfig))))
        headers = {"Authorization": f"{found.scheme} {found.token}"} if found.token else {}
        return cls(
            httpx.Client(
                base_url=found.server,
                verify=tls_of(found),
                headers=headers,
                timeout=_SECONDS,
                trust_env=False,
            )
        )

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def get(self, namespace: str, kind: str, name: str) -> dict[str, Any]:
        """Read one object."""
        path = _PATHS[kind.lower()].format(f"namespaces/{namespace}")
        return self._call("GET", f"/{path}/{name}")

    def create_namespace(self, name: str) -> None:
        """Create a namespace."""
        self._call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})

    def is_ready(self, namespace: str) -> bool:
        """Whether pods can run in a namespace, for which it needs its default ServiceAccount."""
        return bool(self._call("GET", f"/api/v1/namespaces/{namespace}/serviceaccounts/default"))

    def delete_namespace(self, name: str) -> None:
        """Delete a namespace; do not wait for its end."""
        self._call("DELETE", f"/api/v1/namespaces/{name}")

    def _call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        try:
            answer = self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise KubectlError(f"{method} {path} has no answer: {error!r}") from error
        if not answer.is_success:
            raise KubectlError(f"{method} {path} failed: {answer.status_code} {answer.text[:300]}")
        return dict(answer.json())


def tls_of(connection: Connection) -> ssl.SSLContext:
    """The trust and the client certificate of a connection."""
    context = ssl.create_default_context(cafile=connection.ca_path)
    if connection.is_insecure:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if connection.certificate_path:
        context.load_cert_chain(connection.certificate_path, connection.private_key_path)
    return context
