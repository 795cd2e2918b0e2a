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
    content_of,
    folder_of,
    is_as_believed,
    may_lack_import,
)
from infisical_events.core.sync.secret_metadata import SecretMetadata
from infisical_events.infisical.infisical_errors import InfisicalError
from infisical_events.kube.kubernetes_errors import KubernetesError
from infisical_events.runtime.clock import Clock
from infisical_events.runtime.ports import Cluster, Infisical
from infisical_events.runtime.status.reporter import Reporter
from infisical_events.runtime.triggers import Wakes

log = logging.getLogger(__name__)

_NOT_AS_BELIEVED = "Infisical shows another state than was looked at: everything is looked at again"
_MAY_LACK_IMPORT = "an import has changed that may be this folder's: it is read again for up to a minute"
_OF_A_MOMENT = {_NOT_AS_BELIEVED, _MAY_LACK_IMPORT}


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of one Secret under one revision of the ledger; no `secret` where there is a `trouble`.

    One that `is_held` is read again until it is known to lack nothing, which ends by itself.
    """

    seq: int
    secret: SecretMetadata | None = None
    token: str = ""
    trouble: str = ""
    is_held: bool = False


@dataclass(kw_only=True, slots=True)
class Keeper:
    """The Secrets that one subscription has the operator write."""

    secrets: tuple[ManagedSecret, ...]
    infisical: Infisical
    cluster: Cluster
    reporter: Reporter
    wakes: Wakes
    clock: Clock
    kept: dict[str, Kept] = field(default_factory=dict)

    @property
    def names(self) -> frozenset[str]:
        """Of the Secrets."""
        return frozenset(managed.name for managed in self.secrets)

    async def keep_all(self, ledger: Ledger) -> None:
        """Write what is not as it should be; what is refused is told and tried again with the next look."""
        for managed in self.secrets:
            await self._keep(managed, ledger)

    async def kept_for(self, names: frozenset[str], ledger: Ledger) -> dict[str, Kept]:
        """Those of the Secrets with these names, made fresh for all that the ledger owes."""
        answers = {}
        for managed in self.secrets:
            if managed.name not in names:
                continue
            known = self.kept.get(managed.name)
            is_fresh = known is not None and known.secret is not None and known.seq >= ledger.seq
            answers[managed.name] = known if known and is_fresh else await self._keep(managed, ledger)
        return answers

    async def _keep(self, managed: ManagedSecret, ledger: Ledger) -> Kept:
        before = self.kept.get(managed.name)
        try:
            kept = await self._write(managed, ledger)
        except (InfisicalError, KubernetesError, ContentError) as error:
            kept = Kept(ledger.seq, trouble=str(error))
        self.kept[managed.name] = kept
        await self._tell(managed, before, kept)
        return kept

    async def _write(self, managed: ManagedSecret, ledger: Ledger) -> Kept:
        reading = await self.infisical.read_values(folder_of(managed))
        if not is_as_believed(reading, {part: held.body for part, held in ledger.belief.items()}):
            self.wakes.ring()
            return Kept(ledger.seq, trouble=_NOT_AS_BELIEVED)
        if may_lack_import(reading, ledger, self.clock()):
            return Kept(ledger.seq, trouble=_MAY_LACK_IMPORT, is_held=True)
        content = content_of(reading, managed)
        key = self.reporter.key
        secret = await self.cluster.apply_secret(key, managed, content.data, content.token)
        return Kept(ledger.seq, secret, content.token)

    async def _tell(self, managed: ManagedSecret, before: Kept | None, kept: Kept) -> None:
        name = f"Secret {managed.name}"
        if kept.trouble:
            if (before is None or before.trouble != kept.trouble) and kept.trouble not in _OF_A_MOMENT:
                log.warning("%s is not written: %s", name, kept.trouble, extra=self.reporter.extra)
                note = f"{name} is not written: {kept.trouble}"
                await self.reporter.notify(Reason.SECRET_REFUSED, note, is_warning=True)
            return
        if before is None or before.token != kept.token:
            log.info("%s is in step with %s", name, folder_of(managed), extra=self.reporter.extra)
            if before is not None:
                await self.reporter.notify(Reason.SECRET_SYNCED, f"{name} has the new content.")
