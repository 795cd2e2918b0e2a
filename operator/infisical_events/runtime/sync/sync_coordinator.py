"""Gathers what is known of workloads' Secrets and requests their providers to sync, each once per round.

`core.sync` decides what has to be requested and what a response means.
"""

import logging
from dataclasses import dataclass, replace
from datetime import timedelta

from infisical_events.api.resources import INFISICAL_SECRET, STATIC_SECRET
from infisical_events.core.ledger.ledger import Ledger, PendingRestart
from infisical_events.core.ledger.revisions import revision_of
from infisical_events.core.restarts.other_reloaders import ReadSecret, is_marked_for_infisical
from infisical_events.core.restarts.restart_records import pod_content_of
from infisical_events.core.restarts.workload_state import WorkloadState
from infisical_events.core.subscriptions import SubscriptionKey
from infisical_events.core.sync.secret_providers import SecretProvider
from infisical_events.core.sync.sync_requests import (
    PodContent,
    SecretContent,
    SyncContext,
    sync_request_patch,
)
from infisical_events.core.sync.value_digests import DigestKeySource
from infisical_events.core.sync.workload_sync_state import ManagedSecretState, WorkloadSecrets
from infisical_events.infisical.infisical_errors import InfisicalError
from infisical_events.kube.kubernetes_errors import ConflictError, KubernetesError, UnknownOutcomeError
from infisical_events.runtime.clock import Clock
from infisical_events.runtime.ports import Cluster
from infisical_events.runtime.sync.managed_secret_writer import ManagedSecretWriter
from infisical_events.runtime.sync.secret_cache import SecretCache

log = logging.getLogger(__name__)

_INFISICAL_KINDS = {INFISICAL_SECRET, STATIC_SECRET}
"""Providers whose controller is the Infisical operator."""


@dataclass(kw_only=True, slots=True)
class SyncCoordinator:
    """Coordinates the syncs of one subscription; `writer` writes the Secrets of `spec.resync.secrets`."""

    cluster: Cluster
    key: SubscriptionKey
    timeout: timedelta
    clock: Clock
    digest_key: DigestKeySource
    writer: ManagedSecretWriter | None = None

    async def begin(self, ledger: Ledger) -> "SyncRound":
        """List the namespace's secret providers for one round; raises KubernetesError."""
        providers = await self.cluster.list_providers(self.key.namespace)
        return SyncRound(
            cluster=self.cluster,
            key=self.key,
            timeout=self.timeout,
            clock=self.clock,
            writer=self.writer,
            secrets=self._cache(),
            ledger=ledger,
            providers=providers,
        )

    async def read_secrets(
        self, state: WorkloadState, sync_round: "SyncRound | None"
    ) -> dict[str, ReadSecret]:
        """The Secrets that the pods of a workload read, as other tools see them, by name.

        Raises:
            KubernetesError: a Secret or the providers cannot be read.
        """
        secrets = sync_round.secrets if sync_round else self._cache()
        names = await self._names_from_infisical(sync_round) if is_marked_for_infisical(state) else ()
        return {
            name: ReadSecret(name, await secrets.annotations_of(name), name in names)
            for name in sorted(state.read_secrets)
        }

    async def _names_from_infisical(self, sync_round: "SyncRound | None") -> frozenset[str]:
        """The Secrets of the namespace that the Infisical operator writes."""
        providers = (
            sync_round.providers if sync_round else await self.cluster.list_providers(self.key.namespace)
        )
        ours = (provider.secrets for provider in providers if provider.kind in _INFISICAL_KINDS)
        return frozenset[str]().union(*ours)

    async def content_fingerprints(self, states: tuple[WorkloadState, ...]) -> dict[str, str]:
        """Fingerprints of the Secrets that these workloads use and a provider or the operator writes.

        Raises:
            KubernetesError: a Secret or the providers cannot be read.
        """
        used = frozenset[str]().union(*(state.secrets for state in states))
        listed = await self.cluster.list_providers(self.key.namespace)
        providers = [provider for provider in listed if provider.secrets & used]
        secrets, found = self._cache(), {}
        for provider in providers if providers and await self._has_key() else ():
            for name, content in (await secrets.contents(provider, used)).items():
                found[name] = content.fingerprint
        if self.writer is not None:
            for name in self.writer.names & used:
                found[name] = await secrets.written_fingerprint(name)
        return {name: text for name, text in found.items() if text}

    def _cache(self) -> SecretCache:
        return SecretCache(cluster=self.cluster, namespace=self.key.namespace, digest_key=self.digest_key)

    async def _has_key(self) -> bool:
        try:
            await self.digest_key()
        except InfisicalError as error:
            fields = {"subscription": str(self.key), "error": str(error)}
            log.warning("Secret contents not fingerprinted for the baseline", extra=fields)
            return False
        return True


@dataclass(kw_only=True, slots=True)
class SyncRound:
    """One round: each Secret is read once, and each provider is requested once at most."""

    cluster: Cluster
    key: SubscriptionKey
    timeout: timedelta
    clock: Clock
    writer: ManagedSecretWriter | None
    secrets: SecretCache
    ledger: Ledger
    providers: tuple[SecretProvider, ...]

    async def gather(self, state: WorkloadState, pending: PendingRestart) -> WorkloadSecrets:
        """What is known of a workload's Secrets; those that the operator writes are brought up to date.

        Raises:
            KubernetesError: a Secret cannot be read.
        """
        pod_content = pod_content_of(state.workload, self.ledger)
        if not state.secrets:
            return WorkloadSecrets(
                pending, pod_content, self.timeout, untracked_volumes=state.untracked_volumes
            )
        managed = await self._managed(state)
        contexts = [
            self._context(provider, contents, pod_content, pending)
            for provider in self.providers
            if (contents := await self.secrets.contents(provider, state.secrets))
        ]
        return WorkloadSecrets(
            pending=pending,
            pod_content=pod_content,
            timeout=self.timeout,
            managed=managed,
            providers=tuple(contexts),
            untracked_volumes=state.untracked_volumes,
            written_at=self.secrets.written_at(state.secrets),
        )

    async def request_sync(self, context: SyncContext) -> str:
        """Request a provider to sync, for all pending restarts of the ledger at once.

        Returns the API server's message if it refused; empty if it accepted, or if the provider was modified
        or no response came: the next round reads it and requests again if necessary.
        """
        try:
            await self._request(context)
        except (ConflictError, UnknownOutcomeError):
            return ""
        except KubernetesError as error:
            return str(error)
        return ""

    async def _request(self, context: SyncContext) -> None:
        provider, revision = context.provider, revision_of(self.ledger.epoch, self.ledger.seq)
        contents = await self.secrets.contents(provider, provider.secrets)
        patch = sync_request_patch(replace(context, contents=contents), revision, self.clock())
        fields = {"subscription": str(self.key), "provider": str(provider)}
        log.info("requesting sync", extra=fields)
        await self.cluster.request_sync(self.key.namespace, provider, patch)

    async def _managed(self, state: WorkloadState) -> tuple[ManagedSecretState, ...]:
        if self.writer is None:
            return ()
        results = await self.writer.results_for(state.secrets, self.ledger)
        managed = []
        for name, result in results.items():
            if result.secret is not None:
                self.secrets.add(result.secret)
            managed.append(
                ManagedSecretState(
                    name=name,
                    fingerprint=result.fingerprint
                    if result.secret is not None
                    else await self.secrets.written_fingerprint(name),
                    is_written=result.secret is not None,
                    is_waiting_for_import=result.is_waiting_for_import,
                    error_message=result.error_message,
                )
            )
        return tuple(managed)

    def _context(
        self,
        provider: SecretProvider,
        contents: dict[str, SecretContent],
        pod_content: PodContent,
        pending: PendingRestart,
    ) -> SyncContext:
        return SyncContext(
            provider=provider,
            subscription=self.key.name,
            epoch=self.ledger.epoch,
            seq=pending.seq,
            changes=pending.changes,
            contents=contents,
            known=pod_content,
            timeout=self.timeout,
            since=pending.since,
            is_requested=pending.is_requested,
            is_confirmation_only=pending.is_confirmation_only,
        )
