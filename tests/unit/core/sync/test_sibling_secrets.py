"""A Secret that another subscription writes, for a restart that is pending in ours."""

from dataclasses import replace
from datetime import datetime

import pytest

from infisical_events.core.ledger.codec import encode
from infisical_events.core.ledger.ledger import Ledger, PendingRestart, Unconfirmed
from infisical_events.core.paths.scopes import Folder, Scope
from infisical_events.core.snapshots.snapshots import Partition, PartitionState
from infisical_events.core.subscriptions import StoredSubscription
from infisical_events.core.sync.secret_metadata import SecretMetadata
from infisical_events.core.sync.sibling_secrets import sibling_secret_state
from infisical_events.core.sync.workload_sync_state import ManagedSecretState
from support.builders import (
    a_change,
    a_ledger,
    a_partition,
    a_partition_state,
    a_pending_restart,
    an_accepted_state,
    at,
)

COMMON, APP, IMPORTED = a_partition("/common"), a_partition("/app"), a_partition("/app", source="/common")
ENTRY = {"name": "env", "environmentSlug": "prod", "secretPath": "/app"}
PENDING = a_pending_restart("web", 1, a_change("SMTP", path="/common"), seconds=10)


def seen(state: PartitionState, seconds: float = 10) -> Ledger:
    """Our ledger: the state of `prod:/common`, accepted at a moment."""
    return a_ledger({COMMON: an_accepted_state(state, seconds)})


def a_writer(ledger: Ledger | None) -> StoredSubscription:
    """The subscription that writes `env` from `prod:/app`."""
    status = {} if ledger is None else {"ledger": encode(ledger)}
    return StoredSubscription(
        "u", "1", 1, is_deleting=False, spec={"resync": {"secrets": [ENTRY]}}, status=status
    )


def imported(state: PartitionState, seconds: float = 12) -> Ledger:
    """The writer's ledger: what `prod:/app` imports, accepted at a moment."""
    return a_ledger({IMPORTED: an_accepted_state(state, seconds), APP: an_accepted_state()})


def judged(
    ours: Ledger,
    theirs: Ledger | None,
    written_at: datetime | None,
    now: datetime,
    pending: PendingRestart = PENDING,
) -> ManagedSecretState:
    """The state of the Secret."""
    secret = SecretMetadata("env", "s", "1", {}, written_at=written_at)
    return sibling_secret_state(secret, "k:f", ("writer", a_writer(theirs)), (pending, ours), now)


V1, V2, V3 = (a_partition_state(SMTP=version) for version in (1, 2, 3))


@pytest.mark.parametrize(
    ("theirs", "written_at", "now", "is_written"),
    [
        (imported(V1, 0), at(0), at(13), False),
        (imported(V1, 0), at(0), at(99), False),
        (imported(V2), at(0), at(13), False),
        (imported(V2), at(12), at(13), True),
        (imported(V3), at(12), at(13), True),
        (imported(V2), at(0), at(22), True),
        (imported(V2), None, at(13), False),
        (imported(a_partition_state()), at(12), at(13), False),
        (imported(V2.compacted()), at(12), at(13), True),
        (imported(V1.compacted()), at(12), at(13), False),
    ],
    ids=[
        "not found yet",
        "never found",
        "found, not written yet",
        "written",
        "written with a newer version",
        "found, and the data is the same",
        "found, time of the write unknown",
        "lost",
        "written, large ledger",
        "not found yet, large ledger",
    ],
)
def test_whether_the_change_is_in_the_secret(
    theirs: Ledger,
    written_at: datetime | None,
    now: datetime,
    is_written: bool,  # noqa: FBT001 - a case
) -> None:
    """The writer has to have accepted our version, and to have written since, or to have had time."""
    state = judged(seen(V2), theirs, written_at, now)

    assert (state.is_written, state.is_affected) == (is_written, True)


def test_what_was_not_seen_to_be_written_is_not_proven() -> None:
    """So it is watched."""
    assert judged(seen(V2), imported(V2), at(12), at(13)).is_proven
    assert not judged(seen(V2), imported(V2), at(0), at(22)).is_proven


def test_a_change_that_the_secret_is_not_made_from() -> None:
    """Neither of the folder nor of what it imports."""
    other = a_pending_restart("web", 1, a_change("X", path="/other"))

    assert not judged(a_ledger(), imported(V2), at(0), at(1), other).is_affected


@pytest.mark.parametrize("theirs", [None, a_ledger()])
def test_a_writer_that_knows_nothing_yet(theirs: Ledger | None) -> None:
    """Its Secret counts when it was written after the change of its folder was found."""
    pending = a_pending_restart("web", 1, a_change("OWN", path="/app"), seconds=10)
    ours = a_ledger({APP: an_accepted_state(a_partition_state(OWN=2), 10)})

    assert judged(ours, theirs, at(0), at(99), pending).is_affected
    assert not judged(ours, theirs, at(0), at(99), pending).is_written
    assert judged(ours, theirs, at(11), at(12), pending).is_written


def test_a_restart_that_is_only_watched() -> None:
    """The Secret counts when its content changes."""
    watched = replace(PENDING, unconfirmed=Unconfirmed.PROVIDER_SILENT)

    assert not judged(seen(V2), imported(V2), at(12), at(13), watched).is_written


@pytest.mark.parametrize(("now", "is_written"), [(at(45), False), (at(81), False), (at(82), True)])
def test_a_writer_whose_folder_may_lack_an_import(now: datetime, *, is_written: bool) -> None:
    """A recursive read does not say whose import it is: the writer waits a minute, and then has its time."""
    recursive = Partition(Scope(Folder("prod", "/"), recursive=True), Folder("dev", "/shared"))
    doubtful = an_accepted_state(a_partition_state(OTHER=1), 12)
    theirs = replace(imported(V2), accepted={**imported(V2).accepted, recursive: doubtful})
    judgement = judged(seen(V2), theirs, at(0), now)

    assert (judgement.is_written, judgement.is_waiting_for_import) == (is_written, not is_written)
