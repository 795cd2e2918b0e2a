"""What to look at, and by which means: whole scopes or the folders that events named, by which grade.

Without a word in the spec versions are compared where the identity may describe secrets, and events
alone are gone by where it may not. Values are read only for who asks for them.
"""

import logging
from dataclasses import dataclass, replace

from infisical_events.api.specs import EventType, Grade, Spec
from infisical_events.core.ledger.acceptance import ReceivedEvent
from infisical_events.core.ledger.ledger import Header, Ledger
from infisical_events.core.ledger.observation_modes import ReadResult
from infisical_events.core.ledger.transitions import unconfirmed_removals
from infisical_events.core.paths.scopes import Scope, scopes_of
from infisical_events.core.snapshots.snapshots import Partition, Snapshot
from infisical_events.core.status.reasons import Reason
from infisical_events.infisical.infisical_errors import InfisicalError
from infisical_events.runtime.ports import Infisical

_MOST_FOLDERS = 5
"""Folders that are looked at one by one; of more, a look at everything is the lesser work."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class SnapshotReader:
    """The eyes of one subscription under one spec."""

    spec: Spec
    address: str
    infisical: Infisical
    extra: dict[str, str]
    """What log lines are about."""

    async def read_all(self, ledger: Ledger | None, received: tuple[ReceivedEvent, ...]) -> ReadResult:
        """Look at everything; after a changed spec at the old scopes as well, before.

        Raises:
            InfisicalError: something cannot be read.
        """
        read_result = await self._now(ledger)
        if ledger is None or not ledger.header.is_about_same(read_result.header):
            return read_result
        if ledger.header.grade is not Grade.EVENTS:
            seen = [*await self._last_sight(ledger, read_result), *read_result.snapshots]
            sure = [await self._sure(ledger, snapshot, received) for snapshot in seen]
            return replace(read_result, snapshots=tuple(sure))
        return read_result

    async def read_folders(
        self, ledger: Ledger | None, received: tuple[ReceivedEvent, ...]
    ) -> ReadResult | None:
        """Look at the folders alone that the events named; None when that would not do.

        Imports are known by their scope, and what an edit or a doubt asks for is seen by looking at all.

        Raises:
            InfisicalError: something cannot be read.
        """
        scopes = scopes_of(self.spec)
        folders = tuple(Scope(folder) for folder in sorted({entry.event.folder for entry in received}))
        if (
            ledger is None
            or ledger.unmatched_events
            or ledger.scopes != scopes
            or ledger.header.grade is not (self.spec.observe or Grade.VERSIONS)
            or not 0 < len(folders) <= _MOST_FOLDERS
            or scopes == folders
            or any(entry.event.type is EventType.IMPORT_MUTATION for entry in received)
        ):
            return None
        header = await self._header(ledger.header.grade)
        seen = await self.infisical.read_snapshot(folders)
        header = replace(header, key_id=seen.key_id)
        if header != ledger.header:
            return None
        snapshot = seen.within(scopes, ledger.accepted)
        return ReadResult(header, scopes, (await self._sure(ledger, snapshot, received),))

    async def _now(self, ledger: Ledger | None) -> ReadResult:
        """Everything as it stands."""
        scopes = scopes_of(self.spec)
        if self.spec.observe is Grade.EVENTS:
            return ReadResult(await self._header(Grade.EVENTS), scopes, ())
        header = await self._header(self.spec.observe or Grade.VERSIONS)
        try:
            seen = await self.infisical.read_snapshot(scopes)
        except InfisicalError as error:
            # What was seen once is a trouble when it is hidden; what never was may not be meant to be seen.
            has_seen = ledger is not None and ledger.header.grade is not Grade.EVENTS
            if self.spec.observe or has_seen or error.reason is not Reason.PERMISSION_DENIED:
                raise
            return ReadResult(replace(header, grade=Grade.EVENTS), scopes, ())
        return ReadResult(replace(header, key_id=seen.key_id), scopes, (seen,))

    async def _header(self, grade: Grade) -> Header:
        return Header(await self.infisical.project_id(), self.address, grade)

    async def _last_sight(self, ledger: Ledger, read_result: ReadResult) -> tuple[Snapshot, ...]:
        """After a changed spec, the old scopes once more; what cannot be read any more is let go."""
        if ledger.scopes == read_result.scopes and not read_result.is_events_only:
            return ()
        try:
            return (await self.infisical.read_snapshot(ledger.scopes),)
        except InfisicalError as error:
            log.warning("no last look at the old scopes: %s", error, extra=self.extra)
            return ()

    async def _sure(
        self, ledger: Ledger, snapshot: Snapshot, received: tuple[ReceivedEvent, ...]
    ) -> Snapshot:
        """The same look, in which what is hidden does not count as gone.

        Raises:
            InfisicalError: the identity may not describe them any more.
        """
        doubtful = unconfirmed_removals(ledger, snapshot, received)
        hidden: list[Partition] = [
            partition
            for partition, key in doubtful.items()
            if not await self.infisical.is_gone(partition.folder, key)
        ]
        return snapshot.with_unverified(hidden) if hidden else snapshot
