"""A Kubernetes API server in memory, as the loop of one subscription sees it.

`FakeCluster` implements `runtime.ports.Cluster` with the semantics that the ledger's protocol leans on:
one rising resourceVersion, generations that only a changed spec moves, uids, JSON merge patches under
preconditions, a status subresource, and writes whose answer is lost. Faults are queued by method.
"""

import asyncio
import base64
import copy
import itertools
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from infisical_events.api import annotations
from infisical_events.api.resources import (
    FIELD_MANAGER,
    MANAGED_BY,
    WORKLOAD_KINDS,
    ResourceKind,
    WorkloadKind,
)
from infisical_events.api.specs import CreationPolicy, ManagedSecret, SecretKeyRef
from infisical_events.core.status.kube_events import KubeEvent
from infisical_events.core.subscriptions import ListedSubscription, StoredSubscription, SubscriptionKey
from infisical_events.core.sync.secret_metadata import SecretMetadata
from infisical_events.core.sync.secret_ownership import denial_reason, is_claimable, other_writer_of
from infisical_events.core.sync.secret_providers import ProviderList, SecretProvider, provider_of
from infisical_events.core.sync.secret_stores import StoreReference, secret_store_of
from infisical_events.core.sync.value_digests import DigestKey
from infisical_events.core.workloads.annotation_checks import AnnotatedWorkload, WorkloadEvent
from infisical_events.core.workloads.pod_states import PodState
from infisical_events.core.workloads.rollout_progress import RolloutProgress
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
from infisical_events.kube.credential_reader import MissingKeyError
from infisical_events.kube.kubernetes_errors import (
    ConflictError,
    KubernetesError,
    NotFoundError,
    SecretOwnedError,
    UnknownOutcomeError,
)
from infisical_events.kube.provider_client import PROVIDER_KINDS
from infisical_events.kube.secret_client import config_map_metadata_of, managers_of
from infisical_events.runtime.metrics import Metrics
from infisical_events.runtime.subscription_context import SubscriptionContext
from support.virtual_time import virtual_now

JSONObject = dict[str, Any]
DEPLOYMENT = WORKLOAD_KINDS[0]


async def a_digest_key() -> DigestKey:
    """The key of digests, as the operator's own Secret has it."""
    return DigestKey(b"a key that lies in the namespace of the operator")


def a_context(
    cluster: "FakeCluster",
    key: SubscriptionKey,
    **fields: Any,  # noqa: ANN401 - of SubscriptionContext
) -> SubscriptionContext:
    """The context of one subscription in virtual time."""
    usual = {"clock": virtual_now, "metrics": Metrics()}
    return SubscriptionContext(cluster=cluster, key=key, **usual | fields)


async def _at_once(_: str) -> None:
    await asyncio.sleep(0)


class FakeCluster:
    """The stored objects, the verbs of the port, and the edits of people and controllers.

    Attributes:
        notices: The Kubernetes Events that were written.
        strips_templates: Whether an admission policy removes what patches change in pod templates.
        interpose: Awaited with the method's name before each call of the port: latency, crashes, races.
    """

    def __init__(self, interpose: Callable[[str], Awaitable[None]] = _at_once) -> None:
        self.notices: list[KubeEvent] = []
        self.interpose = interpose
        self._subscriptions: dict[tuple[str, str], JSONObject] = {}
        self._workloads: dict[tuple[str, str, str], JSONObject] = {}
        self._secrets: dict[tuple[str, str], Mapping[str, str]] = {}
        self._accounts: dict[tuple[str, str], str] = {}
        self._sources: dict[tuple[str, str, str], JSONObject] = {}
        self._kept: dict[tuple[str, str], SecretMetadata] = {}
        self._config_maps: dict[tuple[str, str], SecretMetadata] = {}
        self._data: dict[tuple[str, str], dict[str, str]] = {}
        self._births: dict[tuple[str, str], tuple[datetime, ...]] = {}
        self._progress: dict[tuple[str, str], RolloutProgress] = {}
        self._unlisted: dict[str, str] = {}
        self.strips_templates = False
        self._pods: dict[tuple[str, str], tuple[PodState, ...]] = {}
        self._failures: dict[str, deque[KubernetesError]] = defaultdict(deque)
        self._lost_answers: dict[str, int] = defaultdict(int)
        self._versions = itertools.count(1)
        self._uids = itertools.count(1)

    # -- faults ---------------------------------------------------------------------------------------

    def fail(self, method: str, error: KubernetesError, times: int = 1) -> None:
        """Let the next calls of a method of the port fail before they do anything."""
        self._failures[method].extend([error] * times)

    def refuse_kind(self, kind: str, message: str | None) -> None:
        """Let lists of workloads and providers lack a kind, with this message; None lets them have it."""
        self._unlisted.pop(kind, None)
        if message is not None:
            self._unlisted[kind] = message

    def lose_answer(self, method: str, times: int = 1) -> None:
        """Let the next writes happen and their answer be lost."""
        self._lost_answers[method] += times

    # -- what people and controllers do ---------------------------------------------------------------

    def create_subscription(self, namespace: str, name: str, spec: JSONObject) -> SubscriptionKey:
        """A new object, also in the place of a deleted one of the same name."""
        self._subscriptions[namespace, name] = self._created(namespace, name) | {"spec": copy.deepcopy(spec)}
        return SubscriptionKey(namespace, name, self._subscriptions[namespace, name]["metadata"]["uid"])

    def put_back(self, subscription: JSONObject, workload: JSONObject) -> SubscriptionKey:
        """A subscription and a Deployment as they were stored by an earlier version of the operator."""
        for objects, stored, kind in (
            (self._subscriptions, subscription, ()),
            (self._workloads, workload, (DEPLOYMENT.kind,)),
        ):
            raw: JSONObject = copy.deepcopy(stored)
            raw["metadata"]["resourceVersion"] = str(next(self._versions))
            objects[raw["metadata"]["namespace"], *kind, raw["metadata"]["name"]] = raw  # type: ignore[index]
        metadata = subscription["metadata"]
        return SubscriptionKey(metadata["namespace"], metadata["name"], metadata["uid"])

    def edit_subscription(self, key: SubscriptionKey, spec: JSONObject) -> None:
        """Another spec: the generation moves."""
        stored = self._subscriptions[key.namespace, key.name]
        self._replace(self._subscriptions, (key.namespace, key.name), stored | {"spec": copy.deepcopy(spec)})

    def label_subscription(self, key: SubscriptionKey, label: str) -> None:
        """An unrelated edit: only the resourceVersion changes."""
        patch = {"metadata": {"labels": {label: "true"}}}
        self._patch(self._subscriptions, (key.namespace, key.name), patch)

    def annotate_subscription(self, key: SubscriptionKey, annotations: Mapping[str, str]) -> None:
        """A user request on a subscription."""
        patch = {"metadata": {"annotations": dict(annotations)}}
        self._patch(self._subscriptions, (key.namespace, key.name), patch)

    def overwrite_status(self, key: SubscriptionKey, status: JSONObject) -> None:
        """A write of the status by a second replica, or by a person with kubectl."""
        self._patch(self._subscriptions, (key.namespace, key.name), {"status": status})

    def begin_deletion(self, key: SubscriptionKey) -> None:
        """A deletion that waits for a finalizer."""
        patch = {"metadata": {"deletionTimestamp": "2030-01-01T00:00:00Z"}}
        self._patch(self._subscriptions, (key.namespace, key.name), patch)

    def delete_subscription(self, key: SubscriptionKey) -> None:
        """The object is gone."""
        del self._subscriptions[key.namespace, key.name]

    def status_of(self, key: SubscriptionKey) -> JSONObject:
        """The stored status, as plain JSON."""
        status: JSONObject = copy.deepcopy(self._subscriptions[key.namespace, key.name].get("status", {}))
        return status

    def create_workload(
        self,
        namespace: str,
        name: str,
        annotations: Mapping[str, str],
        kind: WorkloadKind = DEPLOYMENT,
        secrets: Iterable[str] = (),
    ) -> None:
        """A workload with a pod template, whose pods use these Secrets."""
        raw = self._created(namespace, name)
        raw["metadata"]["annotations"] = dict(annotations)
        containers = [{"name": "main", "envFrom": [{"secretRef": {"name": secret}} for secret in secrets]}]
        template = {"metadata": {"annotations": {}}, "spec": {"containers": containers}}
        raw["spec"] = {"selector": {"matchLabels": {"app": name}}, "template": template}
        if kind.kind == "CronJob":
            raw["spec"] = {"jobTemplate": {"spec": {"template": template}}}
        self._workloads[namespace, kind.kind, name] = raw

    def date_workload(self, namespace: str, name: str, created_at: datetime) -> None:
        """Set the creation time of a Deployment; it is unknown otherwise."""
        self._workloads[namespace, DEPLOYMENT.kind, name]["metadata"]["created"] = created_at

    def annotate_workload(
        self,
        namespace: str,
        name: str,
        annotations: Mapping[str, str | None],
        kind: WorkloadKind = DEPLOYMENT,
    ) -> None:
        """An edit of annotations; None removes one."""
        patch = {"metadata": {"annotations": dict(annotations)}}
        self._patch(self._workloads, (namespace, kind.kind, name), patch)

    def edit_workload(
        self, namespace: str, name: str, spec: JSONObject, kind: WorkloadKind = DEPLOYMENT
    ) -> None:
        """A merge patch of the spec by another client."""
        self._patch(self._workloads, (namespace, kind.kind, name), {"spec": spec})

    def workload_of(self, namespace: str, name: str, kind: WorkloadKind = DEPLOYMENT) -> JSONObject:
        """The workload as it is stored."""
        return self._workloads[namespace, kind.kind, name]

    def delete_workload(self, namespace: str, name: str, kind: WorkloadKind = DEPLOYMENT) -> None:
        """The workload is gone."""
        del self._workloads[namespace, kind.kind, name]

    def rollouts_of(self, namespace: str, name: str, kind: WorkloadKind = DEPLOYMENT) -> int:
        """How often the pod template was changed since the workload was created."""
        return int(self._workloads[namespace, kind.kind, name]["metadata"]["generation"]) - 1

    def let_roll(self, namespace: str, name: str, progress: RolloutProgress) -> None:
        """Set the progress of a workload's rollouts; they are complete by default."""
        self._progress[namespace, name] = progress

    def put_status(
        self, namespace: str, name: str, status: JSONObject, kind: WorkloadKind = DEPLOYMENT
    ) -> None:
        """A status of the workload's controller; its rollouts are judged by that from now on."""
        self._patch(self._workloads, (namespace, kind.kind, name), {"status": status})

    def put_pod_states(self, namespace: str, app: str, *pods: PodState) -> None:
        """The pods of a workload, as a rollout finds them."""
        self._pods[namespace, f"app={app}"] = pods

    def put_pods(self, namespace: str, app: str, *births: datetime) -> None:
        """The pods of a workload, by when they were made."""
        self._births[namespace, f"app={app}"] = births

    def put_source(self, namespace: str, kind: ResourceKind, name: str, **fields: Any) -> None:  # noqa: ANN401 - JSON
        """An object of another operator: its `spec`, and its `status` if it has one."""
        place = namespace, kind.kind, name
        if place not in self._sources:
            self._sources[place] = self._created(namespace, name)
        self._sources[place] = self._replace(self._sources, place, self._sources[place] | fields)

    def own_source(self, namespace: str, kind: ResourceKind, name: str, owner: JSONObject) -> None:
        """An object of another operator was made by this owner."""
        self._sources[namespace, kind.kind, name]["metadata"]["ownerReferences"] = [owner]

    def annotate_source(
        self, namespace: str, kind: ResourceKind, name: str, annotations: Mapping[str, str | None]
    ) -> None:
        """An edit of annotations by another client; None removes one."""
        self._patch(
            self._sources, (namespace, kind.kind, name), {"metadata": {"annotations": dict(annotations)}}
        )

    def manage_source(self, namespace: str, kind: ResourceKind, name: str, manager: str) -> None:
        """The object was last written by this field manager."""
        entry = {"manager": manager, "operation": "Update", "time": "2029-12-31T00:00:00Z"}
        self._sources[namespace, kind.kind, name]["metadata"]["managedFields"] = [entry]

    def source_of(self, namespace: str, kind: ResourceKind, name: str) -> JSONObject:
        """The object as it is stored."""
        return self._sources[namespace, kind.kind, name]

    def keep_secret(
        self, namespace: str, name: str, annotations: Mapping[str, str], written_at: datetime | None = None
    ) -> None:
        """A Secret that a source writes, by its metadata."""
        version = str(next(self._versions))
        kept = SecretMetadata(name, f"uid-of-{name}", version, dict(annotations), written_at=written_at)
        self._kept[namespace, name] = kept

    def edit_secret(self, namespace: str, name: str, manager: str = "kubectl", **data: str | None) -> None:
        """An edit of data by another client, which then manages these fields; None removes a key."""
        place = namespace, name
        edited = self._data[place] | data
        self._data[place] = {key: text for key, text in edited.items() if text is not None}
        lost = {f"f:data/f:{key}" for key in data}
        self._kept[place] = replace(
            self._kept[place],
            resource_version=str(next(self._versions)),
            our_fields=self._kept[place].our_fields - lost,
            other_managers={f"f:data/f:{key}": manager for key, text in data.items() if text is not None},
        )

    def delete_secret(self, namespace: str, name: str) -> None:
        """The Secret is gone."""
        del self._kept[namespace, name], self._data[namespace, name]

    def collect_garbage(self) -> None:
        """Kubernetes deletes Secrets without a living owner, and removes the references to dead owners."""
        alive = {raw["metadata"]["uid"] for raw in self._subscriptions.values()}
        for place, found in list(self._kept.items()):
            if found.owner_uids and not found.owner_uids & alive:
                self.delete_secret(*place)
            elif found.owner_uids - alive:
                is_alive = found.controller_uid in alive
                self._kept[place] = replace(
                    found,
                    resource_version=str(next(self._versions)),
                    owner_uids=found.owner_uids & alive,
                    controller_uid=found.controller_uid if is_alive else "",
                    is_owned_by_subscription=is_alive,
                )

    def secret_of(self, namespace: str, name: str) -> SecretMetadata | None:
        """The metadata of a Secret; None if it does not exist."""
        return self._kept.get((namespace, name))

    def mark_secret(self, namespace: str, name: str, **fields: Any) -> None:  # noqa: ANN401 - of SecretMetadata
        """Other metadata of a Secret that is kept."""
        self._kept[namespace, name] = replace(self._kept[namespace, name], **fields)

    def keep_config_map(
        self, namespace: str, name: str, data: Mapping[str, str], annotations: Mapping[str, str] | None = None
    ) -> None:
        """A ConfigMap with these data."""
        body = {
            "metadata": {
                "name": name,
                "uid": f"uid-of-configmap-{name}",
                "resourceVersion": str(next(self._versions)),
                "annotations": dict(annotations or {}),
            },
            "data": dict(data),
        }
        self._config_maps[namespace, name] = config_map_metadata_of(body)

    def put_secret(self, namespace: str, name: str, values: Mapping[str, str]) -> None:
        """A Secret with these values, encoded as the API server keeps them."""
        self._secrets[namespace, name] = {
            key: base64.b64encode(value.encode()).decode() for key, value in values.items()
        }

    def put_account(self, namespace: str, name: str, token: str) -> None:
        """A ServiceAccount whose tokens are all this one."""
        self._accounts[namespace, name] = token

    # -- runtime.ports.Cluster ------------------------------------------------------------------------

    async def get(self, key: SubscriptionKey) -> StoredSubscription:
        """As in `kube.subscriptions`."""
        await self._called("get")
        return _stored(self._existing(self._subscriptions, (key.namespace, key.name)))

    async def write_status(
        self, key: SubscriptionKey, resource_version: str, status: dict[str, Any]
    ) -> StoredSubscription:
        """As in `kube.subscriptions`."""
        await self._called("write_status")
        patch = {"metadata": {"uid": key.uid, "resourceVersion": resource_version}, "status": status}
        stored = _stored(self._patch(self._subscriptions, (key.namespace, key.name), patch))
        self._answer("write_status")
        return stored

    async def list_subscriptions(self, namespaces: tuple[str, ...]) -> tuple[ListedSubscription, ...]:
        """As in `kube.subscriptions`."""
        await self._called("list_subscriptions")
        return tuple(
            _listed(namespace, name, raw["metadata"])
            for (namespace, name), raw in self._subscriptions.items()
            if not namespaces or namespace in namespaces
        )

    async def list_workloads(self, namespace: str) -> WorkloadList:
        """As in `kube.workloads`."""
        await self._called("list_workloads")
        kinds = {kind.kind: kind for kind in WORKLOAD_KINDS}
        found = paired(
            _workload(kinds[kind], raw)
            for (place, kind, _), raw in self._workloads.items()
            if place == namespace and kind not in self._unlisted
        )
        return WorkloadList(found, {kind: why for kind, why in self._unlisted.items() if kind in kinds})

    async def watch_workloads(
        self,
        kind: WorkloadKind,
        namespace: str,
        version: str,  # noqa: ARG002 - every watch begins with all that exist
    ) -> AsyncGenerator[WorkloadEvent, None]:
        """As in `kube.workloads`: each existing object first, then what changes, within a second."""
        await self._called("watch_workloads")
        known: dict[tuple[str, str, str], JSONObject] = {}
        while True:
            now = {
                place: raw
                for place, raw in self._workloads.items()
                if place[1] == kind.kind and namespace in {"", place[0]}
            }
            for place in [
                place for place, raw in {**known, **now}.items() if known.get(place) is not now.get(place)
            ]:
                yield _event(kind, now.get(place) or known[place], is_deleted=place not in now)
            known = now
            await asyncio.sleep(1.0)

    async def read_workload(self, namespace: str, kind: str, name: str) -> WorkloadState | None:
        """As in `kube.workloads`."""
        await self._called("read_workload")
        raw = self._workloads.get((namespace, kind, name))
        if raw is None:
            return None
        known = next(entry for entry in WORKLOAD_KINDS if entry.kind == kind)
        workload = _workload(known, raw)
        deployment = self._workloads.get((namespace, DEPLOYMENT.kind, workload.template_owner))
        if deployment is not None:
            workload = with_annotations_of(workload, _workload(DEPLOYMENT, deployment))
        state = workload_state_of(workload, with_template_of(raw, deployment))
        progress = self._progress.get((namespace, name))
        if progress is None and "status" in raw:
            return state
        simulated = replace(state.rollout, counts=None, restart=None, has_deadline=False, message="")
        if progress is None:
            is_held = state.obstacle is not None
            progress = RolloutProgress.HELD if is_held else RolloutProgress.COMPLETE
        return replace(state, progress=progress, rollout=simulated)

    async def list_pods(self, namespace: str, selector: str) -> tuple[PodState, ...]:
        """As in `kube.workloads`."""
        await self._called("list_pods")
        return self._pods.get((namespace, selector), ())

    async def pod_creation_times(self, namespace: str, selector: str) -> tuple[datetime, ...]:
        """As in `kube.workloads`."""
        await self._called("pod_creation_times")
        return self._births.get((namespace, selector), ())

    async def list_providers(self, namespace: str) -> ProviderList:
        """As in `kube.sources`."""
        await self._called("list_providers")
        kinds = {kind.kind: kind for kind in PROVIDER_KINDS}
        stores = {
            StoreReference(kind, name): store
            for (place, kind, name), raw in self._sources.items()
            if kind.endswith("SecretStore") and place in {namespace, ""} and (store := secret_store_of(raw))
        }
        found = tuple(
            replace(provider_of(kinds[kind], raw, stores), managers=managers_of(raw["metadata"]))
            for (place, kind, _), raw in self._sources.items()
            if place == namespace and kind in kinds and kind not in self._unlisted
        )
        return ProviderList(found, {kind: why for kind, why in self._unlisted.items() if kind in kinds})

    async def request_sync(
        self, namespace: str, provider: SecretProvider, body: dict[str, Any]
    ) -> SecretProvider:
        """As in `kube.sources`."""
        await self._called("request_sync")
        asked = self._patch(self._sources, (namespace, provider.kind.kind, provider.name), body)
        self._answer("request_sync")
        return provider_of(provider.kind, asked)

    async def secret_metadata(self, namespace: str, name: str) -> SecretMetadata | None:
        """As in `kube.secrets`."""
        await self._called("secret_metadata")
        return self._kept.get((namespace, name))

    async def config_map(self, namespace: str, name: str) -> SecretMetadata | None:
        """As in `kube.secrets`."""
        await self._called("config_map")
        return self._config_maps.get((namespace, name))

    async def apply_secret(
        self, key: SubscriptionKey, managed: ManagedSecret, data: Mapping[str, str], token: str
    ) -> SecretMetadata:
        """As in `kube.managing`: keys of others stay, and one that does so already is not touched."""
        await self._called("apply_secret")
        place = key.namespace, managed.name
        found = self._kept.get(place)
        self._check_owner(key, managed)
        ours = found.our_keys if found else frozenset[str]()
        held = {name: text for name, text in self._data.get(place, {}).items() if name not in ours}
        said = {annotations.CONTENT: token, annotations.SUBSCRIPTION: key.name}
        wanted = held | dict(data)
        fields = _fields_of(key, managed, data)
        is_said = found is not None and not said.items() - found.annotations.items()
        if found is None or not is_said or self._data.get(place) != wanted or found.our_fields != fields:
            self._data[place] = wanted
            self.keep_secret(*place, said, written_at=virtual_now().replace(microsecond=0))
            is_owner = managed.creation_policy is CreationPolicy.OWNER
            self._kept[place] = replace(
                self._kept[place],
                uid=found.uid if found else f"uid-{next(self._uids)}",
                our_fields=fields,
                labels={} if managed.creation_policy is CreationPolicy.MERGE else {MANAGED_BY: FIELD_MANAGER},
                owner_uids=frozenset({key.uid}) if is_owner else frozenset(),
                controller_uid=key.uid if is_owner else "",
                is_owned_by_subscription=is_owner,
            )
        self._answer("apply_secret")
        return self._kept[place]

    async def claim_secret(self, key: SubscriptionKey, managed: ManagedSecret) -> SecretMetadata | None:
        """As in `kube.managed_secrets`."""
        await self._called("claim_secret")
        place = key.namespace, managed.name
        found = self._kept.get(place)
        if found is not None and is_claimable(found, key, managed, self._other_writer(key, found)):
            version, owners = str(next(self._versions)), found.owner_uids | {key.uid}
            self._kept[place] = replace(found, owner_uids=owners, resource_version=version)
        self._check_owner(key, managed)
        return found

    def _check_owner(self, key: SubscriptionKey, managed: ManagedSecret) -> None:
        found = self._kept.get((key.namespace, managed.name))
        writer = self._other_writer(key, found) if found else None
        if reason := denial_reason(found, key, managed, writer):
            raise SecretOwnedError(f"secret/{managed.name} {reason}.")

    def _other_writer(self, key: SubscriptionKey, found: SecretMetadata) -> StoredSubscription | None:
        raw = self._subscriptions.get((key.namespace, other_writer_of(found, key)))
        return _stored(raw) if raw else None

    def data_of(self, namespace: str, name: str) -> Mapping[str, str]:
        """The data of a Secret from `hold_data` or `apply_secret`."""
        return self._data.get((namespace, name), {})

    def hold_data(self, namespace: str, name: str, data: Mapping[str, str]) -> None:
        """A Secret of another client with these keys."""
        self._data[namespace, name] = dict(data)
        self.keep_secret(namespace, name, {})

    async def patch_workload(
        self, namespace: str, workload: Workload, body: dict[str, Any]
    ) -> Mapping[str, str]:
        """As in `kube.workloads`."""
        await self._called("patch_workload")
        if self.strips_templates and "spec" in body:
            body = {**body, "spec": {}}
        place = namespace, workload.kind.kind, workload.name
        self._patch(self._workloads, place, body)
        self._answer("patch_workload")
        return template_annotations_of(workload.kind, self._workloads[place])

    async def evict_pod(self, namespace: str, name: str) -> None:
        """As in `kube.workloads`; nothing replaces the pod."""
        await self._called("evict_pod")
        for place, pods in self._pods.items():
            if place[0] == namespace:
                self._pods[place] = tuple(pod for pod in pods if pod.name != name)

    async def secret_value(self, namespace: str, ref: SecretKeyRef) -> str:
        """As in `kube.credentials`."""
        await self._called("secret_value")
        values = self._existing(self._secrets, (namespace, ref.name))
        value = base64.b64decode(values.get(ref.key, "")).decode().strip()
        if not value:
            raise MissingKeyError(f"secret/{ref.name} has no text under key {ref.key}")
        return value

    async def service_account_token(self, namespace: str, name: str, audiences: tuple[str, ...]) -> str:
        """As in `kube.credentials`; the audiences show in the token."""
        await self._called("service_account_token")
        token: str = self._existing(self._accounts, (namespace, name))
        return "+".join((token, *audiences))

    async def emit_event(self, notice: KubeEvent) -> None:
        """As in `kube.recording`."""
        await self._called("emit_event")
        if not (notice.is_once and notice.digest in {each.digest for each in self.notices}):
            self.notices.append(notice)

    # -- the server's own rules -----------------------------------------------------------------------

    async def _called(self, method: str) -> None:
        await self.interpose(method)
        if self._failures[method]:
            raise self._failures[method].popleft()

    def _answer(self, method: str) -> None:
        if self._lost_answers[method]:
            self._lost_answers[method] -= 1
            raise UnknownOutcomeError("no response from the API server (TimeoutError)")

    def _created(self, namespace: str, name: str) -> JSONObject:
        metadata = {
            "namespace": namespace,
            "name": name,
            "uid": f"uid-{next(self._uids)}",
            "resourceVersion": str(next(self._versions)),
            "generation": 1,
        }
        return {"metadata": metadata}

    def _existing(self, objects: Mapping[Any, Any], place: tuple[str, ...]) -> Any:  # noqa: ANN401 - JSON
        if place not in objects:
            raise NotFoundError(f"{place[-1]} not found")
        return objects[place]

    def _patch(self, objects: dict[Any, JSONObject], place: tuple[str, ...], patch: JSONObject) -> JSONObject:
        """Apply a merge patch under its preconditions; one that changes nothing makes no new version."""
        stored = self._existing(objects, place)
        for field in ("uid", "resourceVersion"):
            wanted = patch.get("metadata", {}).get(field)
            if wanted is not None and wanted != stored["metadata"][field]:
                raise ConflictError(f"the object has been modified: {field}")
        return self._replace(objects, place, merged_patch(stored, patch))

    def _replace(self, objects: dict[Any, JSONObject], place: tuple[str, ...], new: JSONObject) -> JSONObject:
        old = objects[place]
        if new == old:
            return old
        moved = new.get("spec") != old.get("spec")
        metadata = new["metadata"] | {
            "resourceVersion": str(next(self._versions)),
            "generation": old["metadata"]["generation"] + moved,
        }
        objects[place] = new | {"metadata": metadata}
        return objects[place]


def merged_patch(target: object, patch: object) -> Any:  # noqa: ANN401 - JSON
    """RFC 7396: objects are merged, null removes, everything else replaces.

    Nothing that is stored is ever changed in place, and nobody changes a patch that was sent.
    """
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merged_patch(merged.get(key), value)
    return merged


def _fields_of(key: SubscriptionKey, managed: ManagedSecret, data: Mapping[str, str]) -> frozenset[str]:
    """The fields that an apply of this Secret makes the operator's."""
    paths = {f"f:data/f:{name}" for name in data} | {f"f:metadata/f:annotations/f:{annotations.CONTENT}"}
    if managed.creation_policy is CreationPolicy.OWNER:
        paths.add(f"f:metadata/f:ownerReferences/{key.uid}")
    return frozenset(paths)


def _listed(namespace: str, name: str, metadata: JSONObject) -> ListedSubscription:
    key = SubscriptionKey(namespace, name, metadata["uid"])
    return ListedSubscription(key, metadata["generation"])


def _stored(raw: JSONObject) -> StoredSubscription:
    metadata = raw["metadata"]
    return StoredSubscription(
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        generation=metadata["generation"],
        is_deleting="deletionTimestamp" in metadata,
        spec=raw["spec"],  # nothing that is stored is ever changed in place
        status=raw.get("status", {}),
        annotations=metadata.get("annotations", {}),
    )


def _event(kind: WorkloadKind, raw: JSONObject, *, is_deleted: bool) -> WorkloadEvent:
    metadata = raw["metadata"]
    found = AnnotatedWorkload(
        metadata["namespace"],
        _workload(kind, raw),
        metadata.get("labels", {}),
        template_annotations_of(kind, raw),
    )
    return WorkloadEvent(metadata["resourceVersion"], found, is_deleted)


def _workload(kind: WorkloadKind, raw: JSONObject) -> Workload:
    metadata = raw["metadata"]
    return Workload(
        uid=metadata["uid"],
        kind=kind,
        name=metadata["name"],
        resource_version=metadata["resourceVersion"],
        annotations=dict(metadata["annotations"]),
        created_at=metadata.get("created"),
        template_owner=template_owner_of(raw),
    )
