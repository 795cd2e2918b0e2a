"""Listing workloads by their metadata and restarting one by one patch."""

import asyncio
from typing import Any

from infisical_events.api.resources import WORKLOAD_KINDS, WorkloadKind
from infisical_events.core.workloads import Workload
from infisical_events.kube.calls import JSONObject, Kube, path_of


class Workloads:
    """The workloads of a namespace."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube

    async def list(self, namespace: str) -> tuple[Workload, ...]:
        """All of them as they are now: no cache, no `resourceVersion=0`; raises KubernetesError."""
        listed = await asyncio.gather(*(self._list_kind(kind, namespace) for kind in WORKLOAD_KINDS))
        return tuple(workload for workloads in listed for workload in workloads)

    async def _list_kind(self, kind: WorkloadKind, namespace: str) -> tuple[Workload, ...]:
        found = [metadata async for metadata in self._kube.list_metadata(_path(kind, namespace))]
        return tuple(_workload(kind, metadata) for metadata in found if "deletionTimestamp" not in metadata)

    async def patch(self, namespace: str, workload: Workload, body: dict[str, Any]) -> None:
        """Apply a merge patch; raises KubernetesError."""
        await self._kube.merge_patch(_path(workload.kind, namespace, workload.name), body)


def _path(kind: WorkloadKind, namespace: str, *name: str) -> str:
    return path_of("apis", kind.group, kind.version, "namespaces", namespace, kind.plural, *name)


def _workload(kind: WorkloadKind, metadata: JSONObject) -> Workload:
    return Workload(
        uid=metadata["uid"],
        kind=kind,
        name=metadata["name"],
        resource_version=metadata["resourceVersion"],
        annotations=metadata.get("annotations") or {},
    )
