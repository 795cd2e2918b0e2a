"""Infisical and the API server as protocols.

Subscriptions get both as arguments, so that all of their code runs in virtual time against models as well.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Protocol

from infisical_events.api.resources import WorkloadKind
from infisical_events.api.specs import ManagedSecret, SecretKeyRef, Spec
from infisical_events.core.credentials import CredentialsSource
from infisical_events.core.paths.scopes import Folder, Scope
from infisical_events.core.snapshots.events import SecretEvent, UnrecognizedFrame
from infisical_events.core.snapshots.snapshots import Snapshot
from infisical_events.core.status.kube_events import KubeEvent
from infisical_events.core.subscriptions import ListedSubscription, StoredSubscription, SubscriptionKey
from infisical_events.core.sync.managed_secret_content import FolderValues
from infisical_events.core.sync.secret_metadata import SecretMetadata
from infisical_events.core.sync.secret_providers import ProviderList, SecretProvider
from infisical_events.core.workloads.annotation_checks import WorkloadEvent
from infisical_events.core.workloads.pod_states import PodState
from infisical_events.core.workloads.workload_state import WorkloadState
from infisical_events.core.workloads.workloads import Workload, WorkloadList


class Infisical(Protocol):
    """One project with the rights of one identity; every method raises InfisicalError."""

    async def login(self) -> None: ...  # noqa: D102 - as infisical.session.Session
    async def project_id(self) -> str: ...  # noqa: D102
    async def read_snapshot(self, scopes: tuple[Scope, ...]) -> Snapshot: ...  # noqa: D102
    async def read_versions(self, scopes: tuple[Scope, ...]) -> Snapshot: ...  # noqa: D102
    async def environments(self) -> frozenset[str]: ...  # noqa: D102
    async def subfolders(self, folder: Folder) -> frozenset[str]: ...  # noqa: D102
    async def is_gone(self, folder: Folder, key: str) -> bool: ...  # noqa: D102
    async def read_values(self, folder: Folder) -> FolderValues: ...  # noqa: D102
    def stream(  # noqa: D102
        self,
    ) -> AbstractAsyncContextManager[AsyncIterator[SecretEvent | UnrecognizedFrame]]: ...


class InfisicalOpener(Protocol):
    """Opens a session of a namespace's subscription, for an address that was validated before."""

    def __call__(  # noqa: D102
        self, namespace: str, address: str, spec: Spec, credentials: CredentialsSource
    ) -> AbstractAsyncContextManager[Infisical]: ...


class WorkloadWatch(Protocol):
    """Watches the workloads of one kind, in one namespace or in all; raises KubernetesError."""

    def __call__(  # noqa: D102 - as kube.workload_client.WorkloadClient.watch
        self, kind: WorkloadKind, namespace: str, version: str
    ) -> AsyncGenerator[WorkloadEvent, None]: ...


class LoginAccess(Protocol):
    """The Secrets and ServiceAccounts that a login needs; every method raises KubernetesError."""

    async def secret_value(self, namespace: str, ref: SecretKeyRef) -> str: ...  # noqa: D102 - as in kube
    async def service_account_token(  # noqa: D102
        self, namespace: str, name: str, audiences: tuple[str, ...]
    ) -> str: ...


class Cluster(Protocol):
    """The API server; every method raises KubernetesError."""

    async def get(self, key: SubscriptionKey) -> StoredSubscription: ...  # noqa: D102 - as in kube
    async def write_status(  # noqa: D102
        self, key: SubscriptionKey, resource_version: str, status: dict[str, Any]
    ) -> StoredSubscription: ...
    async def list_subscriptions(  # noqa: D102
        self, namespaces: tuple[str, ...]
    ) -> tuple[ListedSubscription, ...]: ...
    async def list_workloads(self, namespace: str) -> WorkloadList: ...  # noqa: D102
    async def read_workload(  # noqa: D102
        self, namespace: str, kind: str, name: str
    ) -> WorkloadState | None: ...
    async def pod_creation_times(  # noqa: D102
        self, namespace: str, selector: str
    ) -> tuple[datetime, ...]: ...
    async def list_pods(self, namespace: str, selector: str) -> tuple[PodState, ...]: ...  # noqa: D102
    async def list_providers(self, namespace: str) -> ProviderList: ...  # noqa: D102
    async def request_sync(  # noqa: D102
        self, namespace: str, provider: SecretProvider, body: dict[str, Any]
    ) -> SecretProvider: ...
    async def secret_metadata(  # noqa: D102
        self, namespace: str, name: str
    ) -> SecretMetadata | None: ...
    async def config_map(  # noqa: D102
        self, namespace: str, name: str
    ) -> SecretMetadata | None: ...
    async def apply_secret(  # noqa: D102
        self, key: SubscriptionKey, managed: ManagedSecret, data: Mapping[str, str], token: str
    ) -> SecretMetadata: ...
    async def claim_secret(  # noqa: D102
        self, key: SubscriptionKey, managed: ManagedSecret
    ) -> SecretMetadata | None: ...
    async def patch_workload(  # noqa: D102
        self, namespace: str, workload: Workload, body: dict[str, Any]
    ) -> Mapping[str, str]: ...
    async def evict_pod(self, namespace: str, name: str) -> None: ...  # noqa: D102
    async def secret_value(self, namespace: str, ref: SecretKeyRef) -> str: ...  # noqa: D102
    async def service_account_token(  # noqa: D102
        self, namespace: str, name: str, audiences: tuple[str, ...]
    ) -> str: ...
    async def emit_event(self, event: KubeEvent) -> None: ...  # noqa: D102
