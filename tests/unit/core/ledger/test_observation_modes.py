"""How each observation mode finds changes, and what a change of the mode does to the ledger."""

from dataclasses import replace

from infisical_events.api.specs import Grade
from infisical_events.core.ledger.acceptance import MAX_READ_LAG, AcceptedState
from infisical_events.core.ledger.ledger import Header, Ledger, UnmatchedImportEvent
from infisical_events.core.ledger.observation_modes import (
    ReadResult,
    apply_read,
    first_ledger,
    renamed_partitions,
)
from infisical_events.core.snapshots.snapshots import Partition, PartitionState, Snapshot
from support.builders import (
    CREATE,
    HEADER,
    IMPORT,
    UPDATE,
    a_change,
    a_folder,
    a_ledger,
    a_partition,
    a_partition_state,
    a_pending_restart,
    a_scope,
    a_snapshot,
    an_event,
    at,
    received,
)

OWN = a_partition("/a")
BLIND = replace(HEADER, grade=Grade.EVENTS)
VALUES = replace(HEADER, grade=Grade.VALUES, key_id="key-1")
ROTATED = replace(VALUES, key_id="key-2")
LONG = MAX_READ_LAG.total_seconds() + 1


def read_result(header: Header, *snapshots: Snapshot) -> ReadResult:
    """A read of the folder `/a`."""
    return ReadResult(header, (a_scope(),), snapshots)


def seen(state: PartitionState, seconds: float = LONG) -> Snapshot:
    """The folder `/a` as it stood."""
    return a_snapshot({OWN: state}, seconds=seconds)


def believing(state: PartitionState, header: Header = HEADER) -> Ledger:
    """A ledger that holds the folder `/a` to be so since `START`."""
    return a_ledger({OWN: AcceptedState(state, at(0))}, a_pending_restart(), header=header)


# -- events alone -------------------------------------------------------------------------------------


def test_without_a_sight_the_first_ledger_believes_nothing() -> None:
    """It says so in its header, and covers the scopes all the same."""
    ledger = first_ledger(read_result(BLIND), "epoch", at(7))

    assert (ledger.accepted, ledger.header.grade, ledger.baselined_at) == ({}, Grade.EVENTS, at(7))
    assert ledger.scopes == (a_scope(),)


def test_in_event_mode_received_events_are_the_changes() -> None:
    """An event is its change, an import mutation is any key of its folder, other folders count nothing."""
    ledger = a_ledger(header=BLIND)
    told = (
        received(an_event(UPDATE, "/a", "A"), 1),
        received(an_event(CREATE, "/b", "B"), 2),
        received(an_event(IMPORT, "/a"), 3),
    )

    taken = apply_read(ledger, read_result(BLIND), told, at(4))

    assert taken.changes == (a_change("A"),)
    assert taken.expired_import_events == (UnmatchedImportEvent(a_folder("/a"), at(3)),)
    assert (taken.unshown_events, taken.ledger.unmatched_events, taken.ledger.accepted) == ((), (), {})


def test_the_first_permitted_read_is_a_baseline() -> None:
    """Received events count, the state is accepted, and pending restarts stay pending."""
    ledger = a_ledger({}, a_pending_restart(), header=BLIND)

    taken = apply_read(
        ledger, read_result(HEADER, seen(a_partition_state(A=2, B=1))), (received(an_event(), 1),), at(LONG)
    )

    assert [change.scope for change in taken.changes] == [a_scope()]
    assert taken.ledger.accepted_for(OWN).state == a_partition_state(A=2, B=1)
    assert (taken.ledger.pending, taken.ledger.epoch) == (ledger.pending, ledger.epoch)
    assert taken.ledger.header == HEADER


def test_the_last_read_before_event_mode_counts() -> None:
    """After the edit to `Events` the last read counts, and no state stays accepted."""
    taken = apply_read(
        believing(a_partition_state(A=1)), read_result(BLIND, seen(a_partition_state(A=2))), (), at(LONG)
    )

    assert taken.changes == (a_change("A"),)
    assert (taken.ledger.accepted, taken.ledger.header.grade) == ({}, Grade.EVENTS)
    assert len(taken.ledger.pending) == 1


def test_what_is_in_doubt_is_believed_before_looking_ends() -> None:
    """A create within the horizon is never seen again, so it counts."""
    taken = apply_read(
        believing(a_partition_state(A=1)), read_result(BLIND, seen(a_partition_state(A=1, B=1), 5)), (), at(5)
    )

    assert taken.changes == (a_change("B", CREATE),)


# -- versions and values ------------------------------------------------------------------------------


def test_reading_values_from_now_on_restarts_nobody() -> None:
    """Digests that were not known before are noted down, and are no change."""
    taken = apply_read(
        believing(a_partition_state(A=1)),
        read_result(VALUES, seen(a_partition_state(A=("A", 1, "d1")))),
        (),
        at(LONG),
    )

    assert taken.changes == ()
    assert taken.ledger.accepted_for(OWN) == AcceptedState(a_partition_state(A=("A", 1, "d1")), at(0))


def test_a_change_that_only_the_edit_to_values_would_hide_is_found() -> None:
    """Versions are compared across the edit."""
    taken = apply_read(
        believing(a_partition_state(A=1)),
        read_result(VALUES, seen(a_partition_state(A=("A", 2, "d2")))),
        (),
        at(LONG),
    )

    assert taken.changes == (a_change("A"),)


def test_a_rotated_key_restarts_nobody() -> None:
    """Digests under two keys are not compared."""
    before = believing(a_partition_state(A=("A", 1, "old")), VALUES)

    taken = apply_read(before, read_result(ROTATED, seen(a_partition_state(A=("A", 1, "new")))), (), at(LONG))

    assert taken.changes == ()
    assert taken.ledger.accepted_for(OWN).state == a_partition_state(A=("A", 1, "new"))
    assert taken.ledger.header == ROTATED


def test_a_changed_value_without_a_version_is_an_import_mutation() -> None:
    """A referenced secret changed: Infisical also sends an import mutation for that."""
    before = believing(a_partition_state(A=("A", 1, "d1"), B=("B", 1, "d1")), VALUES)

    taken = apply_read(
        before, read_result(VALUES, seen(a_partition_state(A=("A", 1, "d2"), B=("B", 1, "d1")))), (), at(LONG)
    )

    assert taken.changes == (a_change("A", IMPORT),)


def test_the_event_of_a_reference_and_the_value_that_shows_it_are_one() -> None:
    """The event that comes seconds after the value was seen to change is set off against it."""
    before = believing(a_partition_state(A=("A", 1, "d1")), VALUES)
    first = apply_read(before, read_result(VALUES, seen(a_partition_state(A=("A", 1, "d2")))), (), at(LONG))

    event = received(an_event(IMPORT, "/a"), LONG + 4)
    later = seen(a_partition_state(A=("A", 1, "d2")), LONG + 10)
    second = apply_read(first.ledger, read_result(VALUES, later), (event,), at(LONG + 10))

    assert (second.changes, second.expired_import_events, second.ledger.unmatched_events) == ((), (), ())


def test_a_young_value_is_believed_with_the_event_that_is_believed() -> None:
    """Within the horizon a digest proves nothing; but the restart for its event is the one for it, too."""
    before = believing(a_partition_state(A=("A", 1, "d1")), VALUES)
    event = received(an_event(IMPORT, "/a"), 1)

    first = apply_read(
        before, read_result(VALUES, seen(a_partition_state(A=("A", 1, "d2")), 2)), (event,), at(2)
    )
    second = apply_read(
        first.ledger, read_result(VALUES, seen(a_partition_state(A=("A", 1, "d2")), 7)), (), at(7)
    )
    third = apply_read(
        second.ledger, read_result(VALUES, seen(a_partition_state(A=("A", 1, "d2")), 90)), (), at(90)
    )

    assert (first.changes, first.expired_import_events) == ((), ())
    assert (second.changes, second.expired_import_events) == (
        (),
        (UnmatchedImportEvent(a_folder("/a"), at(1)),),
    )
    assert (third.changes, third.expired_import_events) == ((), ())


def test_a_value_that_is_hidden_for_once_is_no_change() -> None:
    """Without a digest there is only the version to go by, and the digest from before is kept."""
    before = believing(a_partition_state(A=("A", 1, "d1")), VALUES)

    taken = apply_read(before, read_result(VALUES, seen(a_partition_state(A=1))), (), at(LONG))

    assert taken.changes == ()
    assert taken.ledger.accepted_for(OWN).state == a_partition_state(A=("A", 1, "d1"))


def test_a_partition_is_renamed_when_its_secrets_are_elsewhere() -> None:
    """It has vanished, and another one has appeared with its ids."""
    shop, old, new = a_scope("/shop/**"), a_partition("/shop/a"), a_partition("/shop/b")
    here, there = {old: a_partition_state(A=("a", 1))}, {new: a_partition_state(A=("a", 1))}
    held = {old: AcceptedState(here[old], at(0))}

    def renamed(seen: dict[Partition, PartitionState]) -> dict[Partition, Partition]:
        return renamed_partitions(held, Snapshot((shop,), seen, at(1), at(1)))

    assert renamed(there) == {old: new}
    assert renamed(here | there) == {}
    assert renamed({new: a_partition_state(Z=("z", 1))}) == {}
