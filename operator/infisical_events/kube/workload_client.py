"""Workloads: listed by metadata, read completely for pending restarts, changed by one patch each."""

import contextlib
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from functools import partial

from infisical_events.api.resources import WORKLOAD_KINDS, Restarting, WorkloadKind
from infisical_events.api.statuses import parse_time
from infisical_events.core.workloads.annotation_checks import AnnotatedWorkload, WorkloadEvent
from infisical_events.core.workloads.pod_states import PodState, pod_state_of
from infisical_events.core.workloads.workload_state import (
    WorkloadState,
    template_annotations_of,
    with_template_of,
    workload_state_of,
)
from infisical_events.core.workloads.workloads import (
    Workload,
    WorkloadList,
    paired,
    template_owner_of,
    with_annotations_of,
)
from infisical_events.kube.discovery import Discovery, list_each
from infisical_events.kube.http.api_client import KubeApi
from infisical_events.kube.http.api_requests import JSON, METADATA_LIST, JSONObject, path_of
from infisical_events.kube.kubernetes_errors import KubernetesError, NotFoundError, UnknownOutcomeError

_DEPLOYMENT = WORKLOAD_KINDS[0]


class WorkloadClient:
    """The workloads of a namespace."""

    def __init__(self, kube: KubeApi, discovery: Discovery) -> None:
        self._kube = kube
        self._discovery = discovery

    async def list(self, namespace: str) -> WorkloadList:
        """All current workloads: no cache, no `resourceVersion=0`.

        A kind that cannot be listed is reported in the result.

        Raises:
            KubernetesError: no kind can be listed.
        """
        found, failures = await list_each(WORKLOAD_KINDS, lambda kind: self._list_kind(kind, namespace))
        if len(failures) == len(WORKLOAD_KINDS):
            raise failures[WORKLOAD_KINDS[0].kind]
        return WorkloadList(paired(found), {kind: str(error) for kind, error in failures.items()})

    async def _list_kind(self, kind: WorkloadKind, namespace: str) -> tuple[Workload, ...]:
        if not (kind.is_builtin or await self._discovery.has(kind)):
            return ()
        # Of an Argo Rollout, the spec says whose pod template it uses.
        accept = JSON if kind.restarting is Restarting.BY_RESTART_AT else METADATA_LIST
        found = await self._kube.list(_path(kind, namespace), partial(_listed, kind), accept=accept)
        return tuple(workload for workload in found if workload is not None)

    async def watch(
        self, kind: WorkloadKind, namespace: str, version: str
    ) -> AsyncGenerator[WorkloadEvent, None]:
        """The workloads with annotations of this operator that appear or change, until the watch ends.

        An empty namespace stands for all, an empty version for the beginning. Pod templates are not in the
        metadata, so whole objects are watched; those without `infisical` in their text are skipped.

        Raises:
            NotFoundError: the API server does not serve the kind.
            KubernetesError: any other error.
        """
        place = ("namespaces", namespace) if namespace else ()
        path = path_of("apis", kind.group, kind.version, *place, kind.plural)
        async with aclosing(self._kube.watch(path, version, b"infisical")) as events:
            async for event in events:
                yield _event(kind, event)

    async def read(self, namespace: str, kind: str, name: str) -> WorkloadState | None:
        """The current state of one workload; None if it does not exist; raises KubernetesError."""
        known = next((entry for entry in WORKLOAD_KINDS if entry.kind == kind), None)
        if known is None:  # the ledger was edited by hand
            return None
        try:
            stored = await self._kube.get(_path(known, namespace, name))
        except NotFoundError:
            return None
        try:
            workload = _workload(known, stored)
            deployment = await self._template_owner(namespace, workload)
            if deployment is not None:
                workload = with_annotations_of(workload, _workload(_DEPLOYMENT, deployment))
            return workload_state_of(workload, with_template_of(stored, deployment))
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError):
            raise KubernetesError(f"the API server's response is not a {kind}") from None

    async def read_annotated(self, namespace: str, kind: WorkloadKind, name: str) -> AnnotatedWorkload | None:
        """One workload with everything that may have our annotations; None if it does not exist.

        Raises:
            KubernetesError: it cannot be read.
        """
        try:
            return _annotated(kind, await self._kube.get(_path(kind, namespace, name)))
        except NotFoundError:
            return None

    async def _template_owner(self, namespace: str, workload: Workload) -> JSONObject | None:
        """The stored Deployment whose pod template the workload uses; None if there is none."""
        if not workload.template_owner:
            return None
        try:
            return await self._kube.get(_path(_DEPLOYMENT, namespace, workload.template_owner))
        except NotFoundError:
            return None

    async def pod_creation_times(self, namespace: str, selector: str) -> tuple[datetime, ...]:
        """The creation time of each pod with these labels, in whole seconds; raises KubernetesError."""
        path = path_of("api", "v1", "namespaces", namespace, "pods")
        found = await self._kube.list(path, _creation_time, selector=selector, accept=METADATA_LIST)
        return tuple(time for time in found if time is not None)

    async def list_pods(self, namespace: str, selector: str) -> tuple[PodState, ...]:
        """The pods with these labels, and why they are not ready; raises KubernetesError."""
        path = path_of("api", "v1", "namespaces", namespace, "pods")
        try:
            return await self._kube.list(path, pod_state_of, selector=selector)
        except (KeyError, TypeError, AttributeError, ValueError):
            raise KubernetesError("the API server's response is not a list of pods") from None

    async def patch(self, namespace: str, workload: Workload, body: JSONObject) -> Mapping[str, str]:
        """Apply a merge patch; return the annotations of the pod template as they are stored then.

        A mutating admission plugin may store something else than was sent.

        Raises:
            KubernetesError: the patch failed, or its outcome is not known.
        """
        stored = await self._kube.merge_patch(_path(workload.kind, namespace, workload.name), body)
        try:
            return template_annotations_of(workload.kind, stored)
        except (KeyError, TypeError, AttributeError):
            raise UnknownOutcomeError(f"the API server's response is not a {workload.kind.kind}") from None

    async def evict_pod(self, namespace: str, name: str) -> None:
        """Evict a pod; raises KubernetesError, also if its PodDisruptionBudget forbids it."""
        path = path_of("api", "v1", "namespaces", namespace, "pods", name, "eviction")
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace},
        }
        with contextlib.suppress(NotFoundError):
            await self._kube.create(path, body)


def _path(kind: WorkloadKind, namespace: str, *name: str) -> str:
    return path_of("apis", kind.group, kind.version, "namespaces", namespace, kind.plural, *name)


def _event(kind: WorkloadKind, event: JSONObject) -> WorkloadEvent:
    stored, version = event["object"], event["object"]["metadata"]["resourceVersion"]
    if event["type"] == "BOOKMARK" or _is_of_cron_job(stored["metadata"]):
        return WorkloadEvent(version)
    return WorkloadEvent(version, _annotated(kind, stored), is_deleted=event["type"] == "DELETED")


def _is_of_cron_job(metadata: JSONObject) -> bool:
    """Whether the CronJob has what a person wrote, and each Job only a copy."""
    return any(owner.get("kind") == "CronJob" for owner in metadata.get("ownerReferences") or ())


def _annotated(kind: WorkloadKind, stored: JSONObject) -> AnnotatedWorkload:
    try:
        metadata = stored["metadata"]
        return AnnotatedWorkload(
            namespace=metadata["namespace"],
            workload=_workload(kind, stored),
            labels=metadata.get("labels") or {},
            template_annotations=template_annotations_of(kind, stored),
        )
    except (KeyError, TypeError, AttributeError, ValueError):
        raise KubernetesError(f"the API server's response is not a {kind.kind}") from None


def _creation_time(pod: JSONObject) -> datetime | None:
    """When the pod was created; None if it is being deleted."""
    metadata = pod["metadata"]
    return None if "deletionTimestamp" in metadata else parse_time(metadata["creationTimestamp"])


def _listed(kind: WorkloadKind, stored: JSONObject) -> Workload | None:
    """The workload with the annotations that decide, unless it is being deleted.

    Other annotations may have 256 KiB in each object, and all workloads of a namespace are kept at once.
    """
    if "deletionTimestamp" in stored["metadata"]:
        return None
    workload = _workload(kind, stored)
    return replace(workload, annotations=workload.own_annotations)


def _workload(kind: WorkloadKind, stored: JSONObject) -> Workload:
    metadata = stored["metadata"]
    created = metadata.get("creationTimestamp")
    return Workload(
        uid=metadata["uid"],
        kind=kind,
        name=metadata["name"],
        resource_version=metadata["resourceVersion"],
        annotations=metadata.get("annotations") or {},
        created_at=parse_time(created) if created else None,
        template_owner=template_owner_of(stored),
    )
