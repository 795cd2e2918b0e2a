"""Corrects drift of managed Secrets: what other clients change or delete, and Secrets that become free.

Only metadata are read, one request per Secret. Values are read for the Secrets that have to be written.
"""

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from infisical_events.api.specs import ManagedSecret
from infisical_events.core.ledger.ledger import Ledger
from infisical_events.core.status.reasons import Reason
from infisical_events.core.status.text import object_name
from infisical_events.core.sync.secret_metadata import Drift, drift_of
from infisical_events.kube.kubernetes_errors import KubernetesError, SecretOwnedError
from infisical_events.runtime.clock import Clock
from infisical_events.runtime.ports import Cluster
from infisical_events.runtime.status.reporter import Reporter
from infisical_events.runtime.status.subscription_store import LedgerConflictError, SubscriptionStore
from infisical_events.runtime.sync.managed_secret_writer import ManagedSecretWriter, WriteResult

log = logging.getLogger(__name__)

_MAX_CORRECTIONS = 5
"""Corrections of one Secret per period: a client that changes it again and again has to be stopped."""

_PERIOD = timedelta(hours=1)


@dataclass(kw_only=True, slots=True)
class DriftCorrector:
    """Corrects drift of the Secrets that one subscription writes.

    Attributes:
        corrections: When each Secret was corrected within the last period.
    """

    writer: ManagedSecretWriter
    cluster: Cluster
    reporter: Reporter
    store: SubscriptionStore
    clock: Clock
    corrections: dict[str, tuple[datetime, ...]] = field(default_factory=dict)

    async def claim_all(self) -> None:
        """Become the next owner of Secrets that another subscription writes, before that is deleted."""
        for managed in self.writer.secrets:
            try:
                await self.cluster.claim_secret(self.reporter.key, managed)
            except KubernetesError:  # the write reports it
                continue

    async def write_all(self, ledger: Ledger) -> None:
        """Write every Secret that differs from what it should be."""
        for managed in self.writer.secrets:
            drift = await self._drift(managed)
            if drift.edit:
                await self._correct(managed, ledger, drift.edit)
            elif not drift.is_rewritten or await self._is_stored():
                await self.writer.write(managed, ledger)

    async def correct(self, names: frozenset[str], ledger: Ledger) -> None:
        """Write those of these Secrets that others changed: pods are about to start with them.

        The ledger is the stored one, as it was verified at the begin of the round.
        """
        for managed in self.writer.secrets:
            drift = await self._drift(managed) if managed.name in names else Drift()
            if drift.edit and self._may_correct(managed.name):
                await self._correct(managed, ledger, drift.edit)
            elif drift.is_rewritten:
                await self.writer.write(managed, ledger)

    async def correct_all(self, ledger: Ledger) -> None:
        """Write the Secrets that other clients changed, and those that may be written now."""
        for managed in self.writer.secrets:
            known = self.writer.results.get(managed.name)
            drift = await self._drift(managed)
            if drift.edit and self._may_correct(managed.name):
                await self._correct(managed, ledger, drift.edit)
            elif known and known.secret is None and await self._may_be_written(managed, known):
                await self.writer.write(managed, ledger)

    async def _drift(self, managed: ManagedSecret) -> Drift:
        """What others did to a Secret that was written; nothing if that is unknown."""
        known = self.writer.results.get(managed.name)
        if known is None or known.secret is None:
            return Drift()
        try:
            found = await self.cluster.claim_secret(self.reporter.key, managed)
        except SecretOwnedError:
            return Drift("was taken over by another owner")
        except KubernetesError:  # the next check may read it
            return Drift()
        return drift_of(found, known.secret)

    async def _is_stored(self) -> bool:
        """Whether the ledger here is the stored one; if another process has a newer one, that decides."""
        try:
            await self.store.verify_stored()
        except LedgerConflictError:
            self.writer.triggers.add()
            return False
        except KubernetesError:  # the next full read verifies it again
            return False
        return True

    async def _may_be_written(self, managed: ManagedSecret, known: WriteResult) -> bool:
        """Whether a Secret that was not written may be now, as far as the cluster shows.

        What its content forbids, a change in Infisical or an edited spec corrects: both lead to a read.
        A read that Infisical refuses is tried with every check.
        """
        if known.is_read_refused:
            return True
        try:
            found = await self.cluster.claim_secret(self.reporter.key, managed)
        except KubernetesError:
            return False
        is_modified = bool(known.version) and (found is None or found.resource_version != known.version)
        return known.is_owned or not known.is_rejected or is_modified

    def _may_correct(self, name: str) -> bool:
        now = self.clock()
        recent = tuple(at for at in self.corrections.get(name, ()) if now - at < _PERIOD)
        self.corrections[name] = recent
        return len(recent) < _MAX_CORRECTIONS

    async def _correct(self, managed: ManagedSecret, ledger: Ledger, edit: str) -> None:
        result = await self.writer.write(managed, ledger)
        if result.secret is None:
            return
        self.corrections[managed.name] = (*self.corrections.get(managed.name, ()), self.clock())
        name, count = object_name("Secret", managed.name), len(self.corrections[managed.name])
        log.warning("Secret restored", extra=self.reporter.extra | {"secret": name, "detail": edit})
        message = f"{name} {edit}: restored."
        if count == _MAX_CORRECTIONS:
            message += f" That was number {count} within 1 hour: stop the client that changes it."
        await self.reporter.emit_event(Reason.SECRET_RESTORED, message, is_warning=True)
