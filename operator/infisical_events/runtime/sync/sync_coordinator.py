"""Gathers what is known of workloads' Secrets and requests their providers to sync, each once per round.

`core.sync` decides what has to be requested and what a response means.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

from infisical_events.api.resources import INFISICAL_SECRET, STATIC_SECRET
from infisical_events.core.ledger.ledger import Ledger, PendingRestart, revision_of
from infisical_events.core.restarts.restart_records import pod_content_of
from infisical_events.core.status.reasons import Reason
from infisical_events.core.status.text import escaped
from infisical_events.core.subscriptions import StoredSubscription, SubscriptionKey
from infisical_events.core.sync.secret_ownership import is_released, other_writer_of
from infisical_events.core.sync.secret_providers import SecretProvider, not_listed_text
from infisical_events.core.sync.sibling_secrets import deleted_secret_state, sibling_secret_state
from infisical_events.core.sync.sync_requests import (
    PodContent,
    SecretContent,
    SyncContext,
    sync_request_patch,
)
from infisical_events.core.sync.value_digests import DigestKeySource
from infisical_events.core.sync.workload_sync_state import ManagedSecretState, WorkloadSecrets, may_affect
from infisical_events.core.workloads.other_reloaders import ReadSecret, is_marked_for_infisical
from infisical_events.core.workloads.workload_state import WorkloadState
from infisical_events.infisical.infisical_errors import InfisicalError
from infisical_events.kube.kubernetes_errors import (
    ConflictError,
    ForbiddenError,
    KubernetesError,
    NotFoundError,
    UnknownOutcomeError,
)
from infisical_events.runtime.clock import Clock
from infisical_events.runtime.ports import Cluster
from infisical_events.runtime.status.reporter import Reporter
from infisical_events.runtime.sync.drift_corrector import DriftCorrector
from infisical_events.runtime.sync.managed_secret_writer import ManagedSecretWriter
from infisical_events.runtime.sync.secret_cache import SecretCache
from infisical_events.runtime.sync.sync_request_log import SyncRequestLog

log = logging.getLogger(__name__)

_LONGEST_NAME = 128
"""Characters of a field manager's name: the API server accepts no more."""
_INFISICAL_KINDS = {INFISICAL_SECRET, STATIC_SECRET}
"""Providers whose controller is the Infisical operator."""


@dataclass(kw_only=True, slots=True)
class SyncCoordinator:
    """Coordinates the syncs of one subscription.

    `writer` writes the Secrets of `spec.resync.secrets`, and `drift_corrector` puts them right.
    """

    cluster: Cluster
    key: SubscriptionKey
    timeout: timedelta
    clock: Clock
    digest_key: DigestKeySource
    reporter: Reporter
    writer: ManagedSecretWriter | None = None
    drift_corrector: DriftCorrector | None = None
    requests: SyncRequestLog = field(init=False)
    writers: dict[str, str] = field(default_factory=dict, init=False)
    """The other subscriptions that were seen to write Secrets, by the Secrets' names."""

    def __post_init__(self) -> None:
        """The log of requests lasts as long as the coordinator."""
        self.requests = SyncRequestLog(self.key.name)

    async def begin(self, ledger: Ledger) -> "SyncRound":
        """List the namespace's secret providers for one round; raises KubernetesError."""
        listed = await self.cluster.list_providers(self.key.namespace)
        providers = tuple([await self._observed(provider) for provider in listed.providers])
        return SyncRound(
            cluster=self.cluster,
            key=self.key,
            timeout=self.timeout,
            clock=self.clock,
            writer=self.writer,
            drift_corrector=self.drift_corrector,
            secrets=self._cache(),
            ledger=ledger,
            providers=providers,
            not_listed=listed.failures,
            requests=self.requests,
            writers=self.writers,
        )

    async def _observed(self, provider: SecretProvider) -> SecretProvider:
        """The provider; one whose owner removes each request is not requested any more, and that is said."""
        is_last = self.requests.observe(provider, self.clock())
        if not self.requests.is_refused(provider):
            return provider
        reason = f"the sync request was removed twice{_by(provider)}: waiting for its own sync interval"
        if is_last:
            message = f"{provider}: {reason}."
            await self.reporter.emit_event(Reason.SYNC_REQUEST_REMOVED, message, is_warning=True)
        return replace(provider, unrequestable_reason=provider.unrequestable_reason or reason)

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
        if sync_round:
            providers, not_listed = sync_round.providers, sync_round.not_listed
        else:
            listed = await self.cluster.list_providers(self.key.namespace)
            providers, not_listed = listed.providers, listed.failures
        if failed := not_listed.keys() & {kind.kind for kind in _INFISICAL_KINDS}:
            raise KubernetesError(not_listed_text({kind: not_listed[kind] for kind in sorted(failed)}))
        ours = (provider.secrets for provider in providers if provider.kind in _INFISICAL_KINDS)
        return frozenset[str]().union(*ours)

    async def content_fingerprints(self, states: tuple[WorkloadState, ...]) -> dict[str, str]:
        """Fingerprints of the Secrets that these workloads use and a provider or the operator writes.

        A Secret of another client that cannot be read has none: its content is unknown, and the baseline of
        the others does not wait for it.

        Raises:
            KubernetesError: a Secret of this operator cannot be read.
        """
        used = frozenset[str]().union(*(state.references for state in states))
        listed = await self.cluster.list_providers(self.key.namespace)
        secrets, found = self._cache(), {}
        own = self.writer.names if self.writer is not None else frozenset[str]()
        providers = [provider for provider in listed.providers if provider.references & used]
        unclaimed = used.difference(own, *(provider.references for provider in providers))
        for name in sorted(unclaimed):
            with self._skipping(name):
                providers += [each for each in await secrets.unlisted({name}) if each.is_waited_for]
        for provider in providers if providers and await self._has_key() else ():
            with self._skipping(str(provider)):
                for name, content in (await secrets.contents(provider, used)).items():
                    found[name] = content.fingerprint
        for name in sorted(used - found.keys()):
            found[name] = await self._written_fingerprint(secrets, name)
        return {name: text for name, text in found.items() if text}

    @contextmanager
    def _skipping(self, name: str) -> Iterator[None]:
        """Leave out what cannot be read."""
        try:
            yield
        except KubernetesError as error:
            fields = self.key.log_fields(secret=name, error=str(error))
            log.warning("content unknown at the baseline", extra=fields)

    def _cache(self) -> SecretCache:
        return SecretCache(cluster=self.cluster, namespace=self.key.namespace, digest_key=self.digest_key)

    async def _written_fingerprint(self, secrets: SecretCache, name: str) -> str:
        """The fingerprint of a Secret that this or another subscription writes; empty for any other one."""
        try:
            return await secrets.written_fingerprint(name)
        except KubernetesError:
            if self.writer is not None and name in self.writer.names:
                raise
            return ""

    async def _has_key(self) -> bool:
        try:
            await self.digest_key()
        except InfisicalError as error:
            fields = self.key.log_fields(error=str(error))
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
    drift_corrector: DriftCorrector | None
    secrets: SecretCache
    ledger: Ledger
    providers: tuple[SecretProvider, ...]
    not_listed: Mapping[str, str]
    requests: SyncRequestLog
    writers: dict[str, str]
    siblings: dict[str, StoredSubscription | None] = field(default_factory=dict)
    checked: frozenset[str] = frozenset()
    """The Secrets whose drift was corrected in this round."""

    async def gather(self, state: WorkloadState, pending: PendingRestart) -> WorkloadSecrets:
        """What is known of a workload's Secrets; those that the operator writes are brought up to date.

        Raises:
            KubernetesError: a Secret cannot be read, or a kind of provider that may write it cannot be listed
                and the time for a sync is not over.
        """
        pod_content = pod_content_of(state, pending, self.ledger)
        managed = (*await self._managed(state, pending), *await self._of_siblings(state, pending))
        writers = [provider for provider in self.providers if provider.references & state.references]
        own = (each.name for each in managed)
        unclaimed = state.references.difference(own, *(provider.references for provider in writers))
        if unclaimed and self.not_listed and self.clock() < pending.since + self.timeout:
            raise KubernetesError(not_listed_text(self.not_listed))
        writers += await self.secrets.unlisted(unclaimed)
        contexts = [
            self._context(
                provider, await self.secrets.contents(provider, state.references), pod_content, pending
            )
            for provider in writers
        ]
        return WorkloadSecrets(
            pending=pending,
            pod_content=pod_content,
            timeout=self.timeout,
            managed=managed,
            providers=tuple(contexts),
            untracked_volumes=state.untracked_volumes,
            written_at=self.secrets.written_at(state.references),
        )

    async def request_sync(self, context: SyncContext) -> str:
        """Request a provider to sync, for all pending restarts of the ledger at once.

        Returns the API server's message if it refused; empty if it accepted, or if the provider was modified
        or no response came: the next round reads it and requests again if necessary.
        """
        uid = context.provider.uid
        if message := self.requests.failure_of(uid, self.clock()):
            return message
        try:
            await self._request(context)
        except (ConflictError, UnknownOutcomeError):
            return self.requests.record_conflict(uid, self.clock())
        except KubernetesError as error:
            self.requests.record_failure(uid, str(error), self.clock())
            return str(error)
        return ""

    async def _request(self, context: SyncContext) -> None:
        provider, revision = context.provider, revision_of(self.ledger.epoch, self.ledger.seq)
        contents = await self.secrets.contents(provider, provider.references)
        patch = sync_request_patch(replace(context, contents=contents), revision, self.clock())
        fields = self.key.log_fields(provider=str(provider))
        log.info("requesting sync", extra=fields)
        await self.cluster.request_sync(self.key.namespace, provider, patch)
        self.requests.record_sent(provider, patch, self.clock())

    async def _managed(self, state: WorkloadState, pending: PendingRestart) -> tuple[ManagedSecretState, ...]:
        if self.writer is None:
            return ()
        if self.drift_corrector is not None:
            await self.drift_corrector.correct(state.secrets - self.checked, self.ledger)
            self.checked |= state.secrets
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
                    is_rejected=result.is_rejected,
                    is_affected=may_affect(self.writer.folder_of(name), pending, self.ledger),
                    error_message=result.error_message,
                    server_wait=result.server_wait,
                )
            )
        return tuple(managed)

    async def _of_siblings(
        self, state: WorkloadState, pending: PendingRestart
    ) -> tuple[ManagedSecretState, ...]:
        """The Secrets that other subscriptions of the namespace write."""
        own = self.writer.names if self.writer is not None else frozenset[str]()
        others = state.secrets - own - frozenset[str]().union(*(each.secrets for each in self.providers))
        found = [await self._of_sibling(name, pending) for name in sorted(others)]
        return tuple(each for each in found if each is not None)

    async def _of_sibling(self, name: str, pending: PendingRestart) -> ManagedSecretState | None:
        try:
            secret = await self.secrets.secret(name)
        except ForbiddenError:
            return None
        if secret is not None:
            self.writers[name] = other_writer_of(secret, self.key)
        writer = self.writers.get(name, "")
        stored = await self._subscription(writer) if writer else None
        if stored is None or is_released(name, stored):
            return None
        if secret is None:
            return deleted_secret_state(name, writer)
        fingerprint = await self.secrets.written_fingerprint(name)
        restart = (pending, self.ledger)
        return sibling_secret_state(secret, fingerprint, (writer, stored), restart, self.clock())

    async def _subscription(self, name: str) -> StoredSubscription | None:
        """Another subscription of the namespace, read once per round; None if it does not exist."""
        if name not in self.siblings:
            try:
                self.siblings[name] = await self.cluster.get(SubscriptionKey(self.key.namespace, name, ""))
            except NotFoundError:
                self.siblings[name] = None
        return self.siblings[name]

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
            sent=self.requests.sent_for(provider.uid, self.ledger.epoch, pending.seq),
        )


def _by(provider: SecretProvider) -> str:
    """The field manager that wrote the object last; the API server does not say who removed a field."""
    newest = max(provider.managers, key=lambda manager: manager.time, default=None)
    return f" (field manager {escaped(newest.name, _LONGEST_NAME)})" if newest else ""
