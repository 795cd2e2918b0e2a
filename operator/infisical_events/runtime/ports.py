"""The two worlds outside as the loop of one subscription sees them.

The loop gets both as arguments, so the whole of it can run in virtual time against models.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Protocol

from infisical_events.api.specs import ManagedSecret, SecretKeyRef, Spec
from infisical_events.core.paths.folders import Folder
from infisical_events.core.paths.scopes import Scope
from infisical_events.core.restarts.workload_state import Standing
from infisical_events.core.restarts.workloads import Workload
from infisical_events.core.snapshots.events import NotUnderstood, SecretEvent
from infisical_events.core.snapshots.snapshots import Observation
from infisical_events.core.sync.managed_secret_content import Reading
from infisical_events.core.sync.secret_metadata import SecretMetadata
from infisical_events.core.sync.secret_providers import Source
from infisical_events.infisical.tokens import CredentialsSource
from infisical_events.kube.event_recorder import Notice
from infisical_events.kube.subscription_client import ListedSubscription, StoredSubscription, SubscriptionKey


class Infisical(Protocol):
    """One project with the rights of one identity; every method raises InfisicalError."""

    async def login(self) -> None: ...  # noqa: D102 - as infisical.sessions.Session
    async def project_id(self) -> str: ...  # noqa: D102
    async def observe(self, scopes: tuple[Scope, ...]) -> Observation: ...  # noqa: D102
    async def is_gone(self, folder: Folder, key: str) -> bool: ...  # noqa: D102
    async def read_values(self, folder: Folder) -> Reading: ...  # noqa: D102
    def stream(  # noqa: D102
        self,
    ) -> AbstractAsyncContextManager[AsyncIterator[SecretEvent | NotUnderstood]]: ...


class InfisicalOpener(Protocol):
    """Opens a session for an address that was found to be allowed."""

    def __call__(  # noqa: D102
        self, address: str, spec: Spec, credentials: CredentialsSource
    ) -> AbstractAsyncContextManager[Infisical]: ...


class Cluster(Protocol):
    """The API server; every method raises KubernetesError."""

    async def get(self, key: SubscriptionKey) -> StoredSubscription: ...  # noqa: D102 - as in kube
    async def write_status(  # noqa: D102
        self, key: SubscriptionKey, resource_version: str, status: dict[str, Any]
    ) -> StoredSubscription: ...
    async def list_subscriptions(  # noqa: D102
        self, namespaces: tuple[str, ...]
    ) -> tuple[ListedSubscription, ...]: ...
    async def list_workloads(self, namespace: str) -> tuple[Workload, ...]: ...  # noqa: D102
    async def read_workload(  # noqa: D102
        self, namespace: str, kind: str, name: str
    ) -> Standing | None: ...
    async def births_of_pods(  # noqa: D102
        self, namespace: str, selector: str
    ) -> tuple[datetime, ...]: ...
    async def list_sources(self, namespace: str) -> tuple[Source, ...]: ...  # noqa: D102
    async def ask_source(  # noqa: D102
        self, namespace: str, source: Source, body: dict[str, Any]
    ) -> Source: ...
    async def secret_metadata(  # noqa: D102
        self, namespace: str, name: str
    ) -> SecretMetadata | None: ...
    async def apply_secret(  # noqa: D102
        self, key: SubscriptionKey, managed: ManagedSecret, data: Mapping[str, str], token: str
    ) -> SecretMetadata: ...
    async def patch_workload(  # noqa: D102
        self, namespace: str, workload: Workload, body: dict[str, Any]
    ) -> None: ...
    async def secret_value(self, namespace: str, ref: SecretKeyRef) -> str: ...  # noqa: D102
    async def service_account_token(  # noqa: D102
        self, namespace: str, name: str, audiences: tuple[str, ...]
    ) -> str: ...
    async def record(self, notice: Notice) -> None: ...  # noqa: D102
