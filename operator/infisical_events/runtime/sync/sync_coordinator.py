"""Making the Secrets of workloads fresh: who writes them is asked once, for all who wait, and heard out."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from infisical_events.api import annotations
from infisical_events.core.ledger.ledger import Ledger, PendingRestart
from infisical_events.core.ledger.revisions import revision_of
from infisical_events.core.restarts.restart_records import restart_record_of
from infisical_events.core.restarts.workload_state import WorkloadState
from infisical_events.core.restarts.workloads import Workload
from infisical_events.core.subscriptions import SubscriptionKey
from infisical_events.core.sync.secret_metadata import SecretMetadata
from infisical_events.core.sync.secret_providers import SecretProvider, content_marker_of
from infisical_events.core.sync.sync_requests import (
    PodContent,
    SecretContent,
    SyncContext,
    fingerprint,
    sync_request_patch,
)
from infisical_events.core.sync.sync_state import SyncState, evaluate
from infisical_events.core.sync.value_digests import DigestKeySource
from infisical_events.core.sync.workload_sync_state import ProviderState, WorkloadSyncState, combine
from infisical_events.infisical.infisical_errors import InfisicalError
from infisical_events.kube.kubernetes_errors import ConflictError, KubernetesError, UnknownOutcomeError
from infisical_events.runtime.clock import Clock
from infisical_events.runtime.ports import Cluster
from infisical_events.runtime.sync.managed_secret_writer import ManagedSecretWriter

log = logging.getLogger(__name__)


@dataclass(kw_only=True, slots=True)
class SyncCoordinator:
    """Freshens for one subscription."""

    cluster: Cluster
    key: SubscriptionKey
    timeout: timedelta
    clock: Clock
    digest_key: DigestKeySource
    writer: ManagedSecretWriter | None = None

    async def begin(self, ledger: Ledger) -> "SyncRound":
        """What the namespace's sources are now, for one round of settling; raises KubernetesError."""
        providers = await self.cluster.list_providers(self.key.namespace)
        by_uid = {provider.uid: provider for provider in providers}
        return SyncRound(
            sync_coordinator=self, reads=SecretCache(sync_coordinator=self), ledger=ledger, providers=by_uid
        )

    async def content_fingerprints(self, workload_states: tuple[WorkloadState, ...]) -> dict[str, str]:
        """What the content of the Secrets is that these workloads use and somebody writes.

        Raises:
            KubernetesError: nothing can be said.
        """
        used = frozenset[str]().union(*(workload_state.secrets for workload_state in workload_states))
        providers = [s for s in await self.cluster.list_providers(self.key.namespace) if s.secrets & used]
        reads, found = SecretCache(sync_coordinator=self), {}
        for provider in providers if providers and await self._has_key() else ():
            for name, content in (await reads.contents(provider, used)).items():
                found[name] = content.fingerprint
        if self.writer is not None:
            for name in self.writer.names & used:
                found[name] = await reads.written_token(name)
        return {name: token for name, token in found.items() if token}

    async def _has_key(self) -> bool:
        try:
            await self.digest_key()
        except InfisicalError as error:
            log.warning("contents of Secrets are not compared with those of now: %s", error)
            return False
        return True

    async def fingerprint_of(self, provider: SecretProvider, secret: SecretMetadata | None) -> str:
        """A token of a Secret's content that tells nothing of it; empty if there is none.

        Raises:
            KubernetesError: there is no key to make it with.
        """
        content = content_marker_of(provider, secret)
        if not content or secret is None:
            return ""
        try:
            key = await self.digest_key()
        except InfisicalError as error:
            raise KubernetesError(f"contents of Secrets cannot be compared: {error}") from None
        return fingerprint(key.id, key.digest(f"{self.key.namespace}/{secret.name}", content))


@dataclass(kw_only=True, slots=True)
class SecretCache:
    """The Secrets as they were when they were first asked for: each is read once."""

    sync_coordinator: SyncCoordinator
    secrets: dict[str, SecretMetadata | None] = field(default_factory=dict)

    async def contents(self, provider: SecretProvider, used: frozenset[str]) -> dict[str, SecretContent]:
        """The content of those of these Secrets that the source writes; raises KubernetesError."""
        return {name: await self._content(provider, name) for name in sorted(provider.secrets & used)}

    async def written_token(self, name: str) -> str:
        """What the operator wrote last into one of its own; empty if nothing."""
        secret = await self._secret(name)
        return secret.annotations.get(annotations.CONTENT, "") if secret else ""

    async def _secret(self, name: str) -> SecretMetadata | None:
        if name not in self.secrets:
            namespace = self.sync_coordinator.key.namespace
            self.secrets[name] = await self.sync_coordinator.cluster.secret_metadata(namespace, name)
        return self.secrets[name]

    async def _content(self, provider: SecretProvider, name: str) -> SecretContent:
        secret = await self._secret(name)
        return SecretContent(
            await self.sync_coordinator.fingerprint_of(provider, secret), secret.annotations if secret else {}
        )


@dataclass(kw_only=True, slots=True)
class SyncRound:
    """One round: each Secret is read once in it, and each source asked once at most."""

    sync_coordinator: SyncCoordinator
    reads: SecretCache
    ledger: Ledger
    providers: dict[str, SecretProvider]

    async def freshen(self, workload_state: WorkloadState, pending: PendingRestart) -> WorkloadSyncState:
        """What can be said of the workload's Secrets; who was not asked yet for this debt is asked.

        Raises:
            KubernetesError: a Secret cannot be read.
        """
        known = self._known(workload_state.workload)
        answers, tokens = await self._kept(workload_state, known, pending)
        for provider in list(self.providers.values()):
            contents = await self.reads.contents(provider, workload_state.secrets)
            if not contents:
                continue
            tokens |= {name: content.fingerprint for name, content in contents.items()}
            answers.append(await self._answer(self._question(provider, contents, known, pending), pending))
        return combine(answers, tokens, workload_state.untracked_volumes)

    async def _kept(
        self, workload_state: WorkloadState, known: PodContent, pending: PendingRestart
    ) -> tuple[list[ProviderState], dict[str, str]]:
        """What is said of the Secrets that are written here."""
        answers: list[ProviderState] = []
        tokens: dict[str, str] = {}
        sync_coordinator = self.sync_coordinator
        if sync_coordinator.writer is None:
            return answers, tokens
        for name, kept in (
            await sync_coordinator.writer.results_for(workload_state.secrets, self.ledger)
        ).items():
            is_late = (
                not kept.is_waiting_for_import
                and sync_coordinator.clock() >= pending.since + sync_coordinator.timeout
            )
            state = SyncState.TIMED_OUT if is_late else SyncState.WAITING
            if kept.secret is None:
                tokens[name] = await self.reads.written_token(name)
            else:
                self.reads.secrets[name] = kept.secret
                tokens[name] = kept.fingerprint
                has_changed = pending.is_requested or known.has_changed(name, kept.fingerprint)
                state = SyncState.CHANGED if has_changed else SyncState.UNCHANGED
            answers.append(ProviderState(f"Secret {name}", state, kept.error_message))
        return answers, tokens

    def _known(self, workload: Workload) -> PodContent:
        """What its pods have; of a workload made after the baseline nobody saw that content."""
        created, baseline = workload.created_at, self.ledger.baselined_at
        before = self.ledger.content_fingerprints if created is None or created <= baseline else {}
        return PodContent({**before, **restart_record_of(workload).content_fingerprints})

    def _question(
        self,
        provider: SecretProvider,
        contents: Mapping[str, SecretContent],
        known: PodContent,
        pending: PendingRestart,
    ) -> SyncContext:
        return SyncContext(
            provider=provider,
            subscription=self.sync_coordinator.key.name,
            epoch=self.ledger.epoch,
            seq=pending.seq,
            changes=pending.changes,
            contents=contents,
            known=known,
            timeout=self.sync_coordinator.timeout,
            since=pending.since,
            is_requested=pending.is_requested,
            is_confirmation_only=pending.is_confirmation_only,
        )

    async def _answer(self, context: SyncContext, pending: PendingRestart) -> ProviderState:
        provider, now = context.provider, self.sync_coordinator.clock()
        state, trouble = (
            evaluate(context, now),
            provider.disabled_reason or provider.error_message or provider.unrequestable_reason,
        )
        if state is not SyncState.NOT_REQUESTED:
            is_proven = provider.is_acknowledging or not pending.changes
            return ProviderState(str(provider), state, trouble, provider.max_wait, is_proven)
        try:
            await self._ask(provider, context)
        except (ConflictError, UnknownOutcomeError):
            return ProviderState(str(provider), SyncState.WAITING, trouble)  # read and asked anew
        except KubernetesError as error:
            is_late = now >= pending.since + context.timeout
            return ProviderState(
                str(provider), SyncState.TIMED_OUT if is_late else SyncState.WAITING, str(error)
            )
        return ProviderState(str(provider), SyncState.WAITING, trouble)

    async def _ask(self, provider: SecretProvider, context: SyncContext) -> None:
        """For all debts of the ledger at once."""
        sync_coordinator = self.sync_coordinator
        revision = revision_of(self.ledger.epoch, self.ledger.seq)
        contents = await self.reads.contents(provider, provider.secrets)
        patch = sync_request_patch(replace(context, contents=contents), revision, sync_coordinator.clock())
        log.info("asking %s to sync", provider, extra={"subscription": str(sync_coordinator.key)})
        asked = await sync_coordinator.cluster.request_sync(sync_coordinator.key.namespace, provider, patch)
        self.providers[provider.uid] = asked

    def written_at(self, names: frozenset[str]) -> datetime | None:
        """When the newest of these Secrets was written, by the API server's clock; None if unknown."""
        secrets = self.reads.secrets.items()
        read = [secret for name, secret in secrets if secret is not None and name in names]
        return max((secret.written_at for secret in read if secret.written_at), default=None)
