"""Reads snapshots of Infisical: whole scopes or the folders that events named, by the mode of the spec.

Without `spec.observe` versions are compared where the identity may describe secrets, and events alone are
used where it may not. Values are read only where the spec asks for them.
"""

import logging
from dataclasses import dataclass, field, replace

from infisical_events.api.specs import EventType, Grade, Spec
from infisical_events.core.ledger.acceptance import ReceivedEvent, unconfirmed_removals
from infisical_events.core.ledger.ledger import Header, Ledger
from infisical_events.core.ledger.observation_modes import ReadResult
from infisical_events.core.paths.scopes import Scope, scopes_of
from infisical_events.core.snapshots.selectors import selectors_of
from infisical_events.core.snapshots.snapshots import Partition, Snapshot
from infisical_events.core.status.reasons import Reason
from infisical_events.infisical.infisical_errors import InfisicalError, NoProjectAccessError
from infisical_events.runtime.ports import Infisical
from infisical_events.runtime.reconcile.missing_scope_resolver import MissingScopeResolver
from infisical_events.runtime.subscription_context import SubscriptionContext

_MAX_FOLDERS = 5
"""Folders that are read one by one; with more of them, a read of everything is less work."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class SnapshotReader:
    """Reads for one subscription under one spec."""

    context: SubscriptionContext
    spec: Spec
    address: str
    infisical: Infisical
    scopes: tuple[Scope, ...] = field(init=False)
    _resolver: MissingScopeResolver = field(init=False)

    def __post_init__(self) -> None:
        resolver = MissingScopeResolver(
            context=self.context, infisical=self.infisical, selectors=selectors_of(self.spec)
        )
        object.__setattr__(self, "scopes", scopes_of(self.spec))
        object.__setattr__(self, "_resolver", resolver)

    async def read_all(self, ledger: Ledger | None, received: tuple[ReceivedEvent, ...]) -> ReadResult:
        """Read everything; after a changed spec the old scopes as well, before.

        Raises:
            InfisicalError: something cannot be read.
        """
        read_result = await self._current(ledger)
        if ledger is None or not ledger.header.is_about_same(read_result.header):
            return await self._resolved(None, read_result, ())
        if ledger.header.grade is not Grade.EVENTS:
            snapshots = (*await self._old_scopes(ledger, read_result), *read_result.snapshots)
            return await self._resolved(ledger, replace(read_result, snapshots=snapshots), received)
        return await self._resolved(None, read_result, ())

    async def _resolved(
        self, ledger: Ledger | None, read_result: ReadResult, received: tuple[ReceivedEvent, ...]
    ) -> ReadResult:
        """The result in which neither missing folders nor hidden keys count as removed."""
        snapshots, missing = [], read_result.missing
        for snapshot in read_result.snapshots:
            found, missing = snapshot, ()
            if snapshot.missing:
                resolved = await self._resolver.resolve(ledger, snapshot, received)
                found, missing = resolved.snapshot, resolved.missing
            snapshots.append(await self._verified(ledger, found, received))
        return replace(read_result, snapshots=tuple(snapshots), missing=missing)

    async def read_folders(
        self, ledger: Ledger | None, received: tuple[ReceivedEvent, ...]
    ) -> ReadResult | None:
        """Read only the folders that the events named; None when that is not enough.

        Imports are known by their scope, and an edited spec or an open import event needs a full read.

        Raises:
            InfisicalError: something cannot be read.
        """
        scopes = self.scopes
        folders = tuple(Scope(folder) for folder in sorted({entry.event.folder for entry in received}))
        if (
            ledger is None
            or ledger.unmatched_events
            or ledger.scopes != scopes
            or ledger.header.grade is not (self.spec.observe or Grade.VERSIONS)
            or not 0 < len(folders) <= _MAX_FOLDERS
            or scopes == folders
            or any(entry.event.type is EventType.IMPORT_MUTATION for entry in received)
        ):
            return None
        header = await self._header(ledger.header.grade)
        snapshot = await self.infisical.read_snapshot(folders)
        header = replace(header, key_id=snapshot.key_id)
        if header != ledger.header or snapshot.missing:
            return None
        snapshot = snapshot.within(scopes, ledger.accepted)
        return ReadResult(header, scopes, (await self._verified(ledger, snapshot, received),))

    async def _current(self, ledger: Ledger | None) -> ReadResult:
        """Everything as it is now."""
        scopes = self.scopes
        if self.spec.observe is Grade.EVENTS:
            return ReadResult(await self._header(Grade.EVENTS), scopes, ())
        header = await self._header(self.spec.observe or Grade.VERSIONS)
        try:
            snapshot = await self.infisical.read_snapshot(scopes)
        except InfisicalError as error:
            # A scope that was readable before is an error when it is not now; another one may be on purpose.
            was_readable = ledger is not None and ledger.header.grade is not Grade.EVENTS
            if self.spec.observe or was_readable or not _may_be_on_purpose(error):
                raise
            return ReadResult(replace(header, grade=Grade.EVENTS), scopes, (), denial=str(error))
        return ReadResult(replace(header, key_id=snapshot.key_id), scopes, (snapshot,))

    async def _header(self, grade: Grade) -> Header:
        return Header(await self.infisical.project_id(), self.address, grade)

    async def _old_scopes(self, ledger: Ledger, read_result: ReadResult) -> tuple[Snapshot, ...]:
        """After a changed spec, the old scopes once more; what cannot be read any more is left out."""
        if ledger.scopes == read_result.scopes and not read_result.is_events_only:
            return ()
        try:
            return (await self.infisical.read_snapshot(ledger.scopes),)
        except InfisicalError as error:
            log.warning(
                "old scopes cannot be read a last time", extra=self.context.key.log_fields(error=str(error))
            )
            return ()

    async def _verified(
        self, ledger: Ledger | None, snapshot: Snapshot, received: tuple[ReceivedEvent, ...]
    ) -> Snapshot:
        """The same snapshot, in which keys that are hidden do not count as removed.

        Raises:
            InfisicalError: the identity may not describe them any more.
        """
        unconfirmed = unconfirmed_removals(ledger.accepted, snapshot, received) if ledger else {}
        hidden: list[Partition] = [
            partition
            for partition, key in unconfirmed.items()
            if not await self.infisical.is_gone(partition.folder, key)
        ]
        return snapshot.with_unverified(hidden) if hidden else snapshot


def _may_be_on_purpose(error: InfisicalError) -> bool:
    """Whether the identity may read events and no state, rather than nothing at all."""
    return error.reason is Reason.PERMISSION_DENIED and not isinstance(error, NoProjectAccessError)
