"""Reading and writing Leases, by compare-and-swap only; `core.sharding.election` interprets them.

The elector of the client library is not used: it handles a single Lease and no shard assignment, waits five
minutes for a response, and does not stop the work when a connection fails.
"""

from math import ceil

from infisical_events.api.resources import FIELD_MANAGER, GROUP, MANAGED_BY
from infisical_events.core.sharding.leases import Lease
from infisical_events.kube.http.api_client import KubeApi
from infisical_events.kube.http.api_requests import JSONObject, path_of
from infisical_events.kube.kubernetes_errors import KubernetesError

_API_VERSION = "coordination.k8s.io/v1"
_LABEL = f"{GROUP}/leases"
"""Its value is the prefix of the Leases' names, so that those of one installation can be listed."""


class LeaseClient:
    """The Leases of one installation in one namespace."""

    def __init__(self, kube: KubeApi, namespace: str, prefix: str) -> None:
        self._kube = kube
        self._path = path_of("apis", *_API_VERSION.split("/"), "namespaces", namespace, "leases")
        self._prefix = prefix

    async def list(self) -> tuple[Lease, ...]:
        """All Leases of the installation, as a consistent list; raises KubernetesError."""
        return await self._kube.list(self._path, _lease_of, selector=f"{_LABEL}={self._prefix}")

    async def write(self, lease: Lease) -> Lease:
        """Create a Lease without version, or replace the given version; returns the stored Lease.

        Raises:
            ConflictError: another client was faster.
            NotFoundError: the Lease was deleted.
            UnknownOutcomeError: no response; the Lease may have been written.
            KubernetesError: any other error.
        """
        body = self._manifest(lease)
        if lease.version:
            return _lease_of(await self._kube.replace(f"{self._path}/{lease.name}", body))
        return _lease_of(await self._kube.create(self._path, body))

    async def remove(self, lease: Lease) -> None:
        """Delete this version of a Lease; raises the errors of `write`."""
        await self._kube.delete(f"{self._path}/{lease.name}", lease.uid, lease.version)

    def _manifest(self, lease: Lease) -> JSONObject:
        identity = {"uid": lease.uid, "resourceVersion": lease.version} if lease.version else {}
        labels = {MANAGED_BY: FIELD_MANAGER, _LABEL: self._prefix}
        spec = {
            "holderIdentity": lease.holder,
            "leaseDurationSeconds": ceil(lease.duration),
            "acquireTime": lease.acquired,
            "renewTime": lease.renewed,
            "leaseTransitions": lease.transitions,
        }
        return {
            "apiVersion": _API_VERSION,
            "kind": "Lease",
            "metadata": {"name": lease.name, "labels": labels, **identity},
            "spec": {name: value for name, value in spec.items() if value != ""},
        }


def _lease_of(raw: JSONObject) -> Lease:
    """Parse a Lease; raises KubernetesError when it is malformed."""
    try:
        metadata, spec = raw["metadata"], raw.get("spec") or {}
        return Lease(
            name=metadata["name"],
            holder=spec.get("holderIdentity") or "",
            duration=float(spec.get("leaseDurationSeconds") or 0),
            acquired=spec.get("acquireTime") or "",
            renewed=spec.get("renewTime") or "",
            transitions=int(spec.get("leaseTransitions") or 0),
            uid=metadata["uid"],
            version=metadata["resourceVersion"],
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise KubernetesError("the API server's response is not a Lease") from None
