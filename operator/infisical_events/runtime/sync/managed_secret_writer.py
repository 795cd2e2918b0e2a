"""Writes the Secrets of `spec.resync.secrets` from the accepted state of Infisical.

A Secret is written only from a read that shows the accepted state: a newer state is accepted and recorded
first, an older one is read again.
"""

import logging
from dataclasses import dataclass, field

from infisical_events.api.specs import ManagedSecret
from infisical_events.core.ledger.ledger import Ledger
from infisical_events.core.status.reasons import Reason
from infisical_events.core.status.text import object_name
from infisical_events.core.sync.managed_secret_content import (
    ContentError,
    folder_of,
    managed_secret_content_of,
    matches_accepted,
    may_lack_import,
)
from infisical_events.core.sync.secret_metadata import SecretMetadata
from infisical_events.core.sync.server_wait import NO_SERVER_WAIT, ServerWait
from infisical_events.infisical.infisical_errors import InfisicalError
from infisical_events.kube.kubernetes_errors import KubernetesError
from infisical_events.runtime.clock import Clock
from infisical_events.runtime.ports import Cluster, Infisical
from infisical_events.runtime.status.reporter import Reporter
from infisical_events.runtime.triggers import TriggerQueue

log = logging.getLogger(__name__)

_NOT_ACCEPTED_YET = "Infisical shows a newer state: all scopes are read again first"
_MAY_LACK_IMPORT = "a changed import may belong to this folder: it is read again for up to 60s"
_TRANSIENT = {_NOT_ACCEPTED_YET, _MAY_LACK_IMPORT}


@dataclass(frozen=True, slots=True)
class WriteResult:
    """The result for one Secret under one revision of the ledger; no `secret` where there is an error.

    A Secret that is waiting for an import is read again until it lacks nothing, which ends by itself.
    `server_wait` is how long the server has demanded that requests wait, under this revision.
    """

    seq: int
    secret: SecretMetadata | None = None
    fingerprint: str = ""
    error_message: str = ""
    is_waiting_for_import: bool = False
    server_wait: ServerWait = NO_SERVER_WAIT


@dataclass(kw_only=True, slots=True)
class ManagedSecretWriter:
    """Writes the Secrets of one subscription."""

    secrets: tuple[ManagedSecret, ...]
    infisical: Infisical
    cluster: Cluster
    reporter: Reporter
    triggers: TriggerQueue
    clock: Clock
    results: dict[str, WriteResult] = field(default_factory=dict)

    @property
    def names(self) -> frozenset[str]:
        """Of the Secrets."""
        return frozenset(managed.name for managed in self.secrets)

    async def write_all(self, ledger: Ledger) -> None:
        """Write every Secret that differs; an error is reported, and the next full read tries again."""
        for managed in self.secrets:
            await self._write_one(managed, ledger)

    async def results_for(self, names: frozenset[str], ledger: Ledger) -> dict[str, WriteResult]:
        """The Secrets with these names, brought up to date for everything that is pending."""
        answers = {}
        for managed in self.secrets:
            if managed.name not in names:
                continue
            known = self.results.get(managed.name)
            is_fresh = known is not None and known.secret is not None and known.seq >= ledger.seq
            answers[managed.name] = known if known and is_fresh else await self._write_one(managed, ledger)
        return answers

    async def _write_one(self, managed: ManagedSecret, ledger: Ledger) -> WriteResult:
        before = self.results.get(managed.name)
        try:
            result = await self._write(managed, ledger)
        except (InfisicalError, KubernetesError, ContentError) as error:
            is_demanded = isinstance(error, InfisicalError) and error.is_backoff
            known = before.server_wait if before and before.seq == ledger.seq else NO_SERVER_WAIT
            wait = known.continued(self.clock(), is_demanded=is_demanded)
            result = WriteResult(ledger.seq, error_message=str(error), server_wait=wait)
        self.results[managed.name] = result
        await self._report(managed, before, result)
        return result

    async def _write(self, managed: ManagedSecret, ledger: Ledger) -> WriteResult:
        folder_values = await self.infisical.read_values(folder_of(managed))
        if not matches_accepted(folder_values, {part: held.state for part, held in ledger.accepted.items()}):
            self.triggers.add()
            return WriteResult(ledger.seq, error_message=_NOT_ACCEPTED_YET)
        if may_lack_import(folder_values, ledger, self.clock()):
            return WriteResult(ledger.seq, error_message=_MAY_LACK_IMPORT, is_waiting_for_import=True)
        content = managed_secret_content_of(folder_values, managed)
        key = self.reporter.key
        secret = await self.cluster.apply_secret(key, managed, content.data, content.fingerprint)
        return WriteResult(ledger.seq, secret, content.fingerprint)

    async def _report(self, managed: ManagedSecret, before: WriteResult | None, result: WriteResult) -> None:
        name = object_name("Secret", managed.name)
        fields = self.reporter.extra | {"secret": name}
        if result.error_message:
            is_news = before is None or (
                before.error_message != result.error_message
                and not (before.server_wait.is_demanded and result.server_wait.is_demanded)
            )
            if is_news and result.error_message not in _TRANSIENT:
                log.warning("Secret not written", extra=fields | {"error": result.error_message})
                message = f"Failed to write {name}: {result.error_message}"
                await self.reporter.emit_event(Reason.SECRET_REJECTED, message, is_warning=True)
            return
        if before is None or before.fingerprint != result.fingerprint:
            log.info("Secret synced", extra=fields | {"folder": str(folder_of(managed))})
            if before is not None:
                await self.reporter.emit_event(Reason.SECRET_SYNCED, f"Synced {name} with new content.")
