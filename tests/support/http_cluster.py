"""A Kubernetes API server over HTTP that keeps objects in memory: its requests can be counted at the wire.

`support.fake_cluster` stands in for the operator's whole `kube` package. Here the package is real and what it
sends is seen as it arrives. Only what the operator's usual way needs is served: reads, lists, merge patches
under preconditions, the status subresource, and Events, which are forgotten.
"""

import itertools
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from kubernetes.aio.client import ApiClient, Configuration

from infisical_events.kube.http.api_client import KubeApi
from support.fake_cluster import merged_patch
from support.manifests import Manifest
from support.scripted_server import Answer, Request, ScriptedServer, answer, serving

_BUILT_IN = frozenset({"apps", "batch"})
_DEPTH_OF_KIND = 6
"""Segments of the path of a kind: apis, group, version, namespaces, namespace, kind."""
_CREATED, _NOT_FOUND, _CONFLICT = 201, 404, 409


@dataclass(slots=True)
class HttpCluster:
    """The objects by their path, and the server."""

    objects: dict[str, Manifest] = field(default_factory=dict)
    server: ScriptedServer = field(default_factory=lambda: ScriptedServer(""))
    _versions: Any = field(default_factory=lambda: itertools.count(1))

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator[Self]:
        """Serve until the block ends."""
        cluster = cls()
        async with serving(cluster._answer) as server:
            cluster.server = server
            yield cluster

    @asynccontextmanager
    async def client(self) -> AsyncIterator[KubeApi]:
        """The operator's client of it."""
        async with ApiClient(Configuration(host=self.server.url)) as client:
            yield KubeApi(client)

    def create(self, namespace: str, manifest: Manifest) -> Manifest:
        """Store an object; a Deployment is rolled out at once."""
        version, plural = manifest["apiVersion"], f"{manifest['kind'].lower()}s"
        root = "/api/v1" if version == "v1" else f"/apis/{version}"
        name = manifest["metadata"]["name"]
        place = {"namespace": namespace, "uid": f"uid-of-{name}", "generation": 1}
        metadata = {"creationTimestamp": "2026-01-01T00:00:00Z"} | manifest["metadata"] | place
        return self._store(
            f"{root}/namespaces/{namespace}/{plural}/{name}", manifest | {"metadata": metadata}
        )

    def find(self, plural: str, name: str) -> Manifest:
        """The stored object of this name."""
        return next(stored for path, stored in self.objects.items() if path.endswith(f"/{plural}/{name}"))

    def calls_since(self, number: int) -> Counter[str]:
        """The requests after the first `number` ones, as `PATCH deployments`."""
        return Counter(map(_name, self.server.requests[number:]))

    async def _answer(self, request: Request) -> Answer:
        match request.method:
            case "GET":
                return self._read(request.path)
            case "PATCH":
                return self._patch(request)
            case "POST" if request.path.endswith("/events"):
                return answer(_CREATED, request.json())
        return _status(_NOT_FOUND)

    def _read(self, path: str) -> Answer:
        if path in self.objects:
            return answer(200, self.objects[path])
        depth, group = len(path.strip("/").split("/")), path.strip("/").split("/")[1]
        is_served = group in _BUILT_IN or any(known.startswith(f"{path}/") for known in self.objects)
        if depth != _DEPTH_OF_KIND or not is_served:
            return _status(_NOT_FOUND)
        items = [stored for known, stored in self.objects.items() if known.startswith(f"{path}/")]
        return answer(200, {"metadata": {"resourceVersion": "1"}, "items": items})

    def _patch(self, request: Request) -> Answer:
        path, patch = request.path.removesuffix("/status"), request.json()
        stored = self.objects.get(path)
        if stored is None:
            return _status(_NOT_FOUND)
        wanted = patch.get("metadata", {}).get("resourceVersion")
        if wanted not in {None, stored["metadata"]["resourceVersion"]}:
            return _status(_CONFLICT)
        return answer(200, self._store(path, merged_patch(stored, patch), stored))

    def _store(self, path: str, new: Manifest, old: Manifest | None = None) -> Manifest:
        if new == old:
            return new
        metadata = new["metadata"] | {"resourceVersion": str(next(self._versions))}
        if old is not None and new.get("spec") != old.get("spec"):
            metadata["generation"] += 1
        status = _rolled_out(metadata["generation"]) if new["kind"] == "Deployment" else new.get("status", {})
        self.objects[path] = new | {"metadata": metadata, "status": status}
        return self.objects[path]


def _rolled_out(generation: int) -> Manifest:
    """The status of a Deployment of one pod without a rollout."""
    counts = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    return {"observedGeneration": generation} | dict.fromkeys(counts, 1)


def _status(code: int) -> Answer:
    return answer(code, {"kind": "Status", "status": "Failure", "message": f"answered {code}", "code": code})


def _name(request: Request) -> str:
    """`LIST deployments`, `GET deployments`, `PATCH KIND/status`; for discovery the method and the path."""
    segments = request.path.strip("/").split("/")
    below = segments[segments.index("namespaces") + 2 :] if "namespaces" in segments else []
    is_list = request.method == "GET" and len(below) == 1
    return f"{'LIST' if is_list else request.method} {'/'.join([*below[:1], *below[2:]]) or request.path}"
