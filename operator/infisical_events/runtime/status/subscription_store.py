"""The stored side of one subscription: ledger and status, written by compare-and-swap.

Every write carries the resourceVersion of the last read or write. So a second replica, an edit or a
write whose response was lost is noticed before a restart is made that the stored ledger does not list.
"""

import asyncio
import hashlib
import json
from functools import partial
from typing import Any, Protocol

from infisical_events.api.specs import Grade
from infisical_events.api.statuses import Status
from infisical_events.core.ledger.codec import (
    UnreadableLedgerError,
    decode,
    encode,
    is_stored_as,
    retired_fields,
)
from infisical_events.core.ledger.ledger import Ledger
from infisical_events.core.subscriptions import StoredSubscription
from infisical_events.kube.kubernetes_errors import ConflictError, KubernetesError, UnknownOutcomeError
from infisical_events.runtime.limits.fair_scheduling import MANY_KEYS
from infisical_events.runtime.subscription_context import SubscriptionContext

_TRIES = 5
"""Conflicts with writers that leave spec and ledger alone are rare; after these the write gives up."""


class StatusSource(Protocol):
    """The status to write, and whether it changed since the last write."""

    @property
    def changed(self) -> asyncio.Event: ...  # noqa: D102 - as in StatusBuilder
    @property
    def urgent(self) -> asyncio.Event: ...  # noqa: D102
    def render(self) -> Status: ...  # noqa: D102
    def mark_found(self, ledger: Ledger) -> int: ...  # noqa: D102


class SpecChangedError(Exception):
    """The spec changed: what runs for the old one has to end."""


class SubscriptionDeletedError(Exception):
    """The object is being deleted, or another one of the same name has taken its place.

    A 404 is no proof of that: proxies and API servers that lag behind a new CRD say it, too.
    """


class CrdOutdatedError(KubernetesError):
    """The API server drops fields of the ledger, as it does under the CRD of an earlier version.

    Pending restarts would be lost with them, or a restart that a user requested once would be repeated.
    """

    def __init__(self) -> None:
        super().__init__(
            "the CRD in the cluster is older than the operator and drops fields of the ledger: "
            "apply the CRD of this version"
        )


class LedgerConflictError(Exception):
    """Another writer changed the ledger: what was planned on the old one is void."""

    def __init__(self) -> None:
        super().__init__("another writer changed the ledger: reading it again")


class SubscriptionStore:
    """One stored object as of the last read or write, and the only writer of its status."""

    def __init__(
        self, context: SubscriptionContext, stored: StoredSubscription, status: StatusSource
    ) -> None:
        self._run_large = partial(context.scheduler.run_large, context.key.namespace)
        self._cluster = context.cluster
        self._installation = context.installation
        self._lock = asyncio.Lock()
        self._version = stored.resource_version
        self._generation = stored.generation
        self._status = status
        self.key = context.key
        self.unreadable_reason = ""
        """Why the stored ledger could not be read, if so."""
        self.ledger = self._read(stored)
        self._fingerprint = _fingerprint_of(stored)
        """Of the stored JSON that `ledger` stands for."""
        self._retired = retired_fields(stored.status.get("ledger")) or None
        """The stored fields of an earlier format; None until a write shows whether there are any."""
        self._part_fingerprint = b""
        """Of what is stored of the last ledger that was written, if fields were dropped."""
        self.other_installation = ""
        """Another installation of the operator that has written since this one did; empty if none has."""
        self._has_written = False

    def _read(self, stored: StoredSubscription) -> Ledger | None:
        """The stored ledger; None, which leads to a baseline, when there is none or it cannot be read."""
        try:
            return ledger_of(stored)
        except UnreadableLedgerError as error:
            self.unreadable_reason = str(error)
            return None

    def is_stateless(self) -> bool:
        """Whether the ledger has no state to compare with, so that every event counts."""
        return self.ledger is not None and self.ledger.header.grade is Grade.EVENTS

    async def write_ledger(self, ledger: Ledger, *, planned_on: Ledger | None) -> None:
        """Store a ledger and the status; `planned_on` is the ledger that it was made from.

        Raises:
            LedgerConflictError: another ledger than that is stored by now.
            CrdOutdatedError: only a part of it is stored; no restart may be made for it.
            SpecChangedError, SubscriptionDeletedError, KubernetesError: as `write_status`.
        """
        async with self._lock:
            # A status write may have met and adopted the ledger of another writer since.
            if self.ledger is not planned_on:
                raise LedgerConflictError
            await self._write(ledger)

    async def write_status(self) -> None:
        """Store the status alone.

        Raises:
            SpecChangedError, SubscriptionDeletedError: this object is not to be served any more.
            LedgerConflictError: another ledger than the one planned on is stored; it is `ledger` now.
            KubernetesError: for every other failure; no restart may be made for the new ledger then.
        """
        async with self._lock:
            await self._write(None)

    async def verify_stored(self) -> None:
        """Verify that the object exists, has the spec that is served, and stores the ledger as it is here.

        Raises:
            CrdOutdatedError: only a part of the ledger is stored.
            SpecChangedError, SubscriptionDeletedError, LedgerConflictError: it does not.
            KubernetesError: this cannot be verified.
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
            self._version, self._has_written = stored.resource_version, True
            if ledger is not None:
                self.ledger, self._part_fingerprint = ledger, b""
                self._fingerprint = _fingerprint_of(stored)
            return
        raise LedgerConflictError

    async def _write_once(self, ledger: Ledger | None) -> StoredSubscription:
        """No status tells that all restarts are complete beside a ledger in which one is pending."""
        encoded = None if ledger is None else await self._encoded(ledger)
        beside = ledger or self.ledger
        pending = self._status.mark_found(beside) if beside is not None else 0
        self._status.changed.clear()
        self._status.urgent.clear()
        update = {"installation": self._installation or None, "pending_restarts": pending}
        rendered = self._status.render().model_copy(update=update)
        status = rendered.as_patch()
        if encoded is not None:
            status["ledger"] = encoded | dict.fromkeys(self._retired or ())
        try:
            stored = await self._cluster.write_status(self.key, self._version, status)
        except KubernetesError:
            self._status.changed.set()  # it is still to be written
            raise
        if ledger is not None and not _has_all(stored.status.get("ledger"), status["ledger"]):
            self._version, self._part_fingerprint = stored.resource_version, _fingerprint_of(stored)
            raise CrdOutdatedError
        if ledger is not None and self._retired != ():
            self._retired = retired_fields(stored.status.get("ledger"))
        return stored

    async def _encoded(self, ledger: Ledger) -> dict[str, Any]:
        if ledger.key_count <= MANY_KEYS:
            return encode(ledger)
        return await self._run_large(partial(encode, ledger))

    async def _is_stored(self, ledger: Ledger | None) -> bool:
        """After a conflict or an unknown outcome: read again, and return whether the write had happened."""
        stored = await self._cluster.get(self.key)
        if stored.uid != self.key.uid or stored.is_deleting:
            raise SubscriptionDeletedError
        if stored.generation != self._generation:
            raise SpecChangedError
        self._version = stored.resource_version
        self._note_writer(stored)
        fingerprint = _fingerprint_of(stored)
        if fingerprint == self._part_fingerprint:
            raise CrdOutdatedError
        # Decoding takes a hundred times longer than to see that nothing has changed.
        found = self.ledger if fingerprint == self._fingerprint else self._read(stored)
        if ledger is not None and await self._is_same(ledger, found):
            self.ledger, self._fingerprint = ledger, fingerprint
            return True
        if not await self._is_same(self.ledger, found):
            self.ledger, self._fingerprint = found, fingerprint
            raise LedgerConflictError
        return False

    async def _is_same(self, ledger: Ledger | None, found: Ledger | None) -> bool:
        if ledger is found:
            return True
        if ledger is None or ledger.key_count <= MANY_KEYS:
            return is_stored_as(ledger, found)
        return await self._run_large(partial(is_stored_as, ledger, found))

    def _note_writer(self, stored: StoredSubscription) -> None:
        """A foreign writer before the first own write was an earlier installation, after it a second one."""
        writer = str(stored.status.get("installation") or "")
        if self._has_written and writer not in {"", self._installation}:
            self.other_installation = writer


def _has_all(stored: Any, written: Any) -> bool:  # noqa: ANN401 - JSON
    """Whether all that was written is stored; fields that a later version added do not matter.

    What was written as None is removed.
    """
    if isinstance(written, dict) and isinstance(stored, dict):
        return all(_has_all(stored.get(key), value) for key, value in written.items())
    return bool(stored == written)


def _fingerprint_of(stored: StoredSubscription) -> bytes:
    text = json.dumps(stored.status.get("ledger"), sort_keys=True)
    return hashlib.sha256(text.encode()).digest()


def ledger_of(stored: StoredSubscription) -> Ledger | None:
    """The stored ledger; None when there is none yet; raises UnreadableLedgerError."""
    raw = stored.status.get("ledger")
    return None if raw is None else decode(raw)
