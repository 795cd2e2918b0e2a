"""Keeping the Secrets of `spec.resync.secrets` in step with what is believed of Infisical.

A Secret is written only from a read that shows what the ledger believes: a newer one is looked at and
owed for first, an older one is read again.
"""

import logging
from dataclasses import dataclass, field

from infisical_events.api.specs import ManagedSecret
from infisical_events.core.ledger.ledger import Ledger
from infisical_events.core.status.reasons import Reason
from infisical_events.core.sync.managed_secret_content import (
    ContentError,
    folder_of,
    managed_secret_content_of,
    matches_accepted,
    may_lack_import,
)
from infisical_events.core.sync.secret_metadata import SecretMetadata
from infisical_events.infisical.infisical_errors import InfisicalError
from infisical_events.kube.kubernetes_errors import KubernetesError
from infisical_events.runtime.clock import Clock
from infisical_events.runtime.ports import Cluster, Infisical
from infisical_events.runtime.status.reporter import Reporter
from infisical_events.runtime.triggers import TriggerQueue

log = logging.getLogger(__name__)

_NOT_AS_BELIEVED = "Infisical shows another state than was looked at: everything is looked at again"
_MAY_LACK_IMPORT = "an import has changed that may be this folder's: it is read again for up to a minute"
_OF_A_MOMENT = {_NOT_AS_BELIEVED, _MAY_LACK_IMPORT}


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What became of one Secret under one revision of the ledger; no `secret` where there is a `trouble`.

    One that `is_held` is read again until it is known to lack nothing, which ends by itself.
    """

    seq: int
    secret: SecretMetadata | None = None
    fingerprint: str = ""
    error_message: str = ""
    is_waiting_for_import: bool = False


@dataclass(kw_only=True, slots=True)
class ManagedSecretWriter:
    """The Secrets that one subscription has the operator write."""

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
        """Write what is not as it should be; what is refused is told and tried again with the next look."""
        for managed in self.secrets:
            await self._keep(managed, ledger)

    async def results_for(self, names: frozenset[str], ledger: Ledger) -> dict[str, WriteResult]:
        """Those of the Secrets with these names, made fresh for all that the ledger owes."""
        answers = {}
        for managed in self.secrets:
            if managed.name not in names:
                continue
            known = self.results.get(managed.name)
            is_fresh = known is not None and known.secret is not None and known.seq >= ledger.seq
            answers[managed.name] = known if known and is_fresh else await self._keep(managed, ledger)
        return answers

    async def _keep(self, managed: ManagedSecret, ledger: Ledger) -> WriteResult:
        before = self.results.get(managed.name)
        try:
            kept = await self._write(managed, ledger)
        except (InfisicalError, KubernetesError, ContentError) as error:
            kept = WriteResult(ledger.seq, error_message=str(error))
        self.results[managed.name] = kept
        await self._tell(managed, before, kept)
        return kept

    async def _write(self, managed: ManagedSecret, ledger: Ledger) -> WriteResult:
        folder_values = await self.infisical.read_values(folder_of(managed))
        if not matches_accepted(folder_values, {part: held.state for part, held in ledger.accepted.items()}):
            self.triggers.add()
            return WriteResult(ledger.seq, error_message=_NOT_AS_BELIEVED)
        if may_lack_import(folder_values, ledger, self.clock()):
            return WriteResult(ledger.seq, error_message=_MAY_LACK_IMPORT, is_waiting_for_import=True)
        content = managed_secret_content_of(folder_values, managed)
        key = self.reporter.key
        secret = await self.cluster.apply_secret(key, managed, content.data, content.fingerprint)
        return WriteResult(ledger.seq, secret, content.fingerprint)

    async def _tell(self, managed: ManagedSecret, before: WriteResult | None, kept: WriteResult) -> None:
        name = f"Secret {managed.name}"
        if kept.error_message:
            if (
                before is None or before.error_message != kept.error_message
            ) and kept.error_message not in _OF_A_MOMENT:
                log.warning("%s is not written: %s", name, kept.error_message, extra=self.reporter.extra)
                note = f"{name} is not written: {kept.error_message}"
                await self.reporter.emit_event(Reason.SECRET_REJECTED, note, is_warning=True)
            return
        if before is None or before.fingerprint != kept.fingerprint:
            log.info("%s is in step with %s", name, folder_of(managed), extra=self.reporter.extra)
            if before is not None:
                await self.reporter.emit_event(Reason.SECRET_SYNCED, f"{name} has the new content.")
