"""Secrets that another subscription of the namespace writes: whether they have the changes already.

Every subscription stores which versions it has accepted. So the one that has to restart a workload sees in
the ledger of the writer whether that has found the change, and in the Secret whether it was written since.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from infisical_events.api.resources import KIND
from infisical_events.core.ledger.acceptance import AcceptedState
from infisical_events.core.ledger.codec import readable_ledger
from infisical_events.core.ledger.ledger import Ledger, PendingRestart
from infisical_events.core.paths.scopes import Folder, Scope, canonical
from infisical_events.core.snapshots.changes import ANY_KEY, Change
from infisical_events.core.snapshots.snapshots import Partition, PartitionState, SecretVersion
from infisical_events.core.status.text import object_name
from infisical_events.core.subscriptions import StoredSubscription
from infisical_events.core.sync.managed_secret_content import doubtful_imports
from infisical_events.core.sync.secret_metadata import SecretMetadata
from infisical_events.core.sync.workload_sync_state import ManagedSecretState

_LONGEST_WRITE = timedelta(seconds=10)
"""How long after it has accepted a change the writer may take to write its Secret."""

_ONE_SECOND = timedelta(seconds=1)
"""The API server's times are whole seconds."""


def sibling_secret_state(
    secret: SecretMetadata,
    fingerprint: str,
    writer: tuple[str, StoredSubscription],
    restart: tuple[PendingRestart, Ledger],
    now: datetime,
) -> ManagedSecretState:
    """The state of a Secret for a pending restart of another subscription than its writer.

    Args:
        secret: The Secret.
        fingerprint: Of its content.
        writer: The name and the object of the subscription that writes it.
        restart: The restart, and the ledger that it is pending in.
        now: The time.
    """
    name, stored = writer
    pending, ledger = restart
    folder, theirs = _folder_of(secret.name, stored), readable_ledger(stored.status)
    pairs = [(change, *pair) for change in pending.changes for pair in _pairs(change, ledger, theirs, folder)]
    is_found = all(_has_reached(held.state, ours, change.key) for change, ours, held in pairs)
    accepted_at = max((held.accepted_at for _, _, held in pairs), default=pending.since)
    is_new = secret.written_at is not None and secret.written_at + _ONE_SECOND > accepted_at
    # The writer itself waits while the folder may lack an import.
    doubts = [until + _LONGEST_WRITE for _, until in doubtful_imports(folder, theirs)] if theirs else []
    is_over = bool(pairs) and now >= max([accepted_at + _LONGEST_WRITE, *doubts])
    return ManagedSecretState(
        name=secret.name,
        fingerprint=fingerprint,
        is_written=is_found and (is_new or is_over) and not pending.is_confirmation_only,
        is_waiting_for_import=any(now < until for until in doubts),
        is_affected=bool(pairs) or any(change.scope.overlaps(Scope(folder)) for change in pending.changes),
        is_proven=is_new,
        error_message=f"written by {object_name(KIND, name)}",
    )


def deleted_secret_state(secret: str, writer: str) -> ManagedSecretState:
    """The state of a Secret that another client deleted: pods cannot start until its writer restores it."""
    message = f"deleted, written by {object_name(KIND, writer)}"
    return ManagedSecretState(name=secret, fingerprint="", is_written=False, error_message=message)


def _folder_of(secret: str, writer: StoredSubscription) -> Folder:
    """The folder that the writer makes the Secret from."""
    entries = (writer.spec.get("resync") or {}).get("secrets") or ()
    entry: dict[str, Any] = next((each for each in entries if each.get("name") == secret), {})
    return Folder(str(entry.get("environmentSlug") or ""), canonical(str(entry.get("secretPath") or "/")))


def _pairs(
    change: Change, ours: Ledger, theirs: Ledger | None, folder: Folder
) -> Iterator[tuple[PartitionState, AcceptedState]]:
    """The states of the same secrets in both ledgers, of what has the change and the Secret is made from."""
    sources = {
        _source(partition): held.state
        for partition, held in ours.accepted.items()
        if change.scope.overlaps(partition.scope)
    }
    for partition, held in theirs.accepted.items() if theirs else ():
        if partition.scope.covers(folder) and _source(partition) in sources:
            yield sources[_source(partition)], held


def _source(partition: Partition) -> Folder:
    """The folder whose secrets a partition shows."""
    return partition.source or partition.folder


def _has_reached(theirs: PartitionState, ours: PartitionState, key: str) -> bool:
    """Whether their state has our version of the key, or a newer one."""
    if theirs.fingerprint or ours.fingerprint:
        return theirs.compacted().fingerprint == ours.compacted().fingerprint
    keys = theirs.versions.keys() | ours.versions.keys() if key == ANY_KEY else {key}
    return all(_is_reached(theirs.versions.get(each), ours.versions.get(each)) for each in keys)


def _is_reached(theirs: SecretVersion | None, ours: SecretVersion | None) -> bool:
    if theirs is None or ours is None:
        return theirs is ours
    return theirs.agrees(ours) or (theirs.id == ours.id and theirs.version > ours.version)
