"""The stored side of one subscription: ledger and status, written by compare-and-swap.

Every write carries the resourceVersion of the last read or write. So a second replica, an edit or a
write whose answer was lost is noticed before anything is done that the stored ledger does not owe.
"""

import asyncio
import logging
from contextlib import suppress
from typing import Any

from infisical_events.core.ledger.codec import UnreadableLedgerError, decode, encode, is_stored_as
from infisical_events.core.ledger.ledger import Ledger
from infisical_events.core.subscriptions import StoredSubscription, SubscriptionKey
from infisical_events.kube.kubernetes_errors import ConflictError, KubernetesError, UnknownOutcomeError
from infisical_events.runtime.backoff import Backoff
from infisical_events.runtime.ports import Cluster
from infisical_events.runtime.status.status_builder import StatusBuilder
from infisical_events.runtime.triggers import TriggerQueue

_TRIES = 5
"""Conflicts with writers that leave spec and ledger alone are rare; more than this is a storm."""

_NEWS_PAUSE = 2.0
"""Seconds that news of little weight wait for more of their kind."""

log = logging.getLogger(__name__)


class SpecChangedError(Exception):
    """The spec changed: what runs for the old one has to end."""


class SubscriptionDeletedError(Exception):
    """The object is being deleted, or another one of the same name has taken its place.

    A 404 is no proof of that: proxies and API servers that lag behind a new CRD say it, too.
    """


class CrdOutdatedError(KubernetesError):
    """The API server drops fields of the ledger, as it does under an earlier version's CRD.

    What is owed would be forgotten with them, or done again for a person who asked for it once.
    """

    def __init__(self) -> None:
        super().__init__(
            "the cluster's CRD is older than the operator and has no place for all of the ledger: "
            "apply the CRD of this version"
        )


class LedgerConflictError(Exception):
    """Somebody else wrote the ledger: what was planned on the old one is void."""

    def __init__(self) -> None:
        super().__init__("somebody else wrote the ledger; it is read and planned on anew")


class SubscriptionStore:
    """One stored object as of the last read or write, and the only writer of its status."""

    def __init__(
        self, cluster: Cluster, key: SubscriptionKey, stored: StoredSubscription, status: StatusBuilder
    ) -> None:
        self._cluster = cluster
        self._lock = asyncio.Lock()
        self._version = stored.resource_version
        self._generation = stored.generation
        self.key = key
        self.status = status
        self.unreadable_reason = ""
        """Why the stored ledger could not be read, if so."""
        self.ledger = self._read(stored)
        self._in_part: Ledger | None = None
        """What is left of the last ledger that was written, if not all of it is: nobody goes on with that."""

    def _read(self, stored: StoredSubscription) -> Ledger | None:
        """The stored ledger; None, which asks for a baseline, when there is none or it cannot be read."""
        try:
            return ledger_of(stored)
        except UnreadableLedgerError as error:
            self.unreadable_reason = str(error)
            return None

    async def write_ledger(self, ledger: Ledger, *, planned_on: Ledger | None) -> None:
        """Store a ledger and the status; `planned_on` is the ledger that it was made from.

        Raises:
            LedgerMovedError: another one than that is stored by now.
            OutdatedResourceError: a part of it is; nothing may be done for it.
            SupersededError, GoneError, KubernetesError: as `write_status`.
        """
        async with self._lock:
            # A status write may have met and adopted the ledger of another writer since.
            if self.ledger is not planned_on:
                raise LedgerConflictError
            await self._write(ledger)

    async def write_status(self) -> None:
        """Store the status alone.

        Raises:
            SupersededError, GoneError: this object is not ours to serve any more.
            LedgerMovedError: another ledger than the one planned on is stored; it is remembered now.
            KubernetesError: for every other failure; nothing may be done for the new ledger then.
        """
        async with self._lock:
            await self._write(None)

    async def verify_stored(self) -> None:
        """See that the object is still there, ours to serve, and owes what is remembered.

        Raises:
            OutdatedResourceError: a part of what was written is owed.
            SupersededError, GoneError, LedgerMovedError, KubernetesError: it is not, or nobody can tell.
        """
        async with self._lock:
            await self._is_stored(None)

    async def _write(self, ledger: Ledger | None) -> None:
        for _ in range(_TRIES):
            try:
                stored = await self._write_once(ledger)
            except (ConflictError, UnknownOutcomeError):
                if await self._is_stored(ledger):
                    return
                continue
            self._version = stored.resource_version
            if ledger is not None:
                self.ledger, self._in_part = ledger, None
            return
        raise LedgerConflictError

    async def _write_once(self, ledger: Ledger | None) -> StoredSubscription:
        self.status.changed.clear()
        self.status.urgent.clear()
        status = self.status.status().as_patch()
        if ledger is not None:
            status["ledger"] = encode(ledger)
        try:
            stored = await self._cluster.write_status(self.key, self._version, status)
        except KubernetesError:
            self.status.changed.set()  # what the board had to say is still news
            raise
        if ledger is not None and not _has_all(stored.status.get("ledger"), status["ledger"]):
            self._version, self._in_part = stored.resource_version, self._read(stored)
            raise CrdOutdatedError
        return stored

    async def _is_stored(self, ledger: Ledger | None) -> bool:
        """After a conflict or an unknown outcome: read again, and tell whether the write had happened."""
        stored = await self._cluster.get(self.key)
        if stored.uid != self.key.uid or stored.is_deleting:
            raise SubscriptionDeletedError
        if stored.generation != self._generation:
            raise SpecChangedError
        self._version = stored.resource_version
        found = self._read(stored)
        if ledger is not None and is_stored_as(ledger, found):
            self.ledger = ledger
            return True
        if not is_stored_as(self.ledger, found):
            if self._in_part is not None and is_stored_as(self._in_part, found):
                raise CrdOutdatedError
            self.ledger = found
            raise LedgerConflictError
        return False


def _has_all(stored: Any, written: Any) -> bool:  # noqa: ANN401 - JSON
    """Whether all that was written is stored; what a later version has left beside it does not matter."""
    if isinstance(written, dict) and isinstance(stored, dict):
        return all(key in stored and _has_all(stored[key], value) for key, value in written.items())
    return bool(stored == written)


def ledger_of(stored: StoredSubscription) -> Ledger | None:
    """The stored ledger; None when there is none yet; raises UnreadableLedgerError."""
    raw = stored.status.get("ledger")
    return None if raw is None else decode(raw)


async def keep_written(record: SubscriptionStore, triggers: TriggerQueue) -> None:
    """Write what the board has to say until cancelled: a turn of Ready at once, other news together."""
    status, backoff = record.status, Backoff(first=1.0, longest=30.0)
    while True:
        await status.changed.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(_NEWS_PAUSE):
                await status.urgent.wait()
        if not status.changed.is_set():
            continue  # a pass has written it meanwhile
        try:
            await record.write_status()
            backoff.reset()
        except LedgerConflictError:
            triggers.add()
        except KubernetesError as error:
            log.warning("status not written: %s", error, extra={"subscription": str(record.key)})
            await asyncio.sleep(backoff.pause())
