"""Steps of the ledger when the scope of the spec changes, and just after."""

from dataclasses import replace

from hypothesis import given

from infisical_events.core.ledger.acceptance import ReceivedEvent
from infisical_events.core.ledger.ledger import (
    Ledger,
    RecentlyRemoved,
    UnmatchedImportEvent,
)
from infisical_events.core.ledger.transitions import (
    apply_snapshot,
    apply_snapshots,
)
from infisical_events.core.snapshots.snapshots import Snapshot
from support.builders import (
    CREATE,
    IMPORT,
    a_change,
    a_folder,
    a_ledger,
    a_partition,
    a_partition_state,
    a_pending_restart,
    a_scope,
    an_accepted_state,
    an_event,
    at,
    received,
)
from support.strategies import few_ledgers, received_events, snapshots
from support.transitions import (
    CLAIM,
    HORIZON_SECONDS,
    IMPORTED,
    MUTATION,
    OWN,
    accepting,
    applied,
    read_result,
)

# -- another scope --------------------------------------------------------------------------------


def test_a_widened_scope_is_baselined() -> None:
    """New folders are accepted as they are; the other folders continue unchanged."""
    tree, below = a_scope("/a/**"), a_partition("/a/b")
    wider = applied(
        accepting(own=a_partition_state(A=1)),
        read_result(5, {OWN: a_partition_state(A=2), below: a_partition_state(B=7)}, tree),
    )

    assert wider.changes == (a_change("A"),)
    assert wider.ledger.accepted == {
        OWN: an_accepted_state(a_partition_state(A=2), seconds=5),
        below: an_accepted_state(a_partition_state(B=7), seconds=5),
    }
    assert (wider.ledger.scopes, wider.ledger.baselined_at) == ((tree,), at(5))


def test_a_narrowed_scope_forgets() -> None:
    """Accepted states, pending restarts and unmatched events out of scope go, the others stay."""
    tree, partition = a_scope("/**"), a_partition("/**", source="/shared")
    both = a_pending_restart("both", 1, a_change("A"), a_change("B", path="/b"))
    ledger = a_ledger(
        {
            OWN: an_accepted_state(a_partition_state(A=1)),
            a_partition("/b"): an_accepted_state(a_partition_state(B=1)),
            partition: an_accepted_state(a_partition_state(C=1)),
        },
        both,
        a_pending_restart("gone", 1, a_change("B", path="/b")),
        a_pending_restart("wide", 1, a_change("*", path="/**")),
        scopes=[tree],
        unmatched_events=(CLAIM, UnmatchedImportEvent(a_folder("/b"), at(0))),
    )

    narrower = applied(ledger, read_result(1, {OWN: a_partition_state(A=1)}, a_scope("/a")))

    assert narrower.changes == ()
    assert narrower.ledger.accepted == {OWN: an_accepted_state(a_partition_state(A=1))}
    assert narrower.ledger.unmatched_events == (CLAIM,)
    assert narrower.ledger.pending == (
        replace(both, changes=(a_change("A"),)),
        a_pending_restart("wide", 1, a_change("*", path="/**")),
    )


WIDE, WIDE_IMPORT = a_scope("/**"), a_partition("/**", source="/shared")


def test_an_import_keeps_its_accepted_state_in_a_wider_scope() -> None:
    """The import is known by the scope that shows it; a change is found under its new name."""
    ledger = accepting(imported=a_partition_state(1, B=1))

    wider = applied(ledger, read_result(5, {WIDE_IMPORT: a_partition_state(3, B=2, C=1)}, WIDE))

    assert wider.changes == (a_change("B", IMPORT, path="/**"), a_change("C", IMPORT, path="/**"))
    assert list(wider.ledger.accepted) == [WIDE_IMPORT]


def test_another_rank_in_another_scope_is_no_change() -> None:
    """In a list of more imports the same one has another place."""
    wider = applied(
        accepting(imported=a_partition_state(1, B=1)),
        read_result(5, {WIDE_IMPORT: a_partition_state(3, B=1)}, WIDE),
    )

    assert wider.changes == ()
    assert wider.ledger.accepted == {WIDE_IMPORT: an_accepted_state(a_partition_state(3, B=1))}


def test_an_import_that_was_removed_is_missed_in_a_wider_scope() -> None:
    """The wider list would show it: after the read lag its keys are reported as removed."""
    ledger = accepting(imported=a_partition_state(B=1))

    early = applied(ledger, read_result(5, {}, WIDE))
    late = applied(early.ledger, read_result(HORIZON_SECONDS + 1, {}, WIDE))

    assert (early.changes, early.read_again_at) == ((), at(HORIZON_SECONDS))
    assert late.changes == (a_change("B", IMPORT, path="/**"),)


def test_an_import_keeps_its_accepted_state_in_a_narrower_scope_that_shows_it() -> None:
    """One that is not shown there belonged to another folder, and is forgotten."""
    ledger = a_ledger({WIDE_IMPORT: an_accepted_state(a_partition_state(B=1))}, scopes=[WIDE])

    shown = applied(ledger, read_result(5, {IMPORTED: a_partition_state(B=2)}, a_scope("/a")))
    forgotten = applied(ledger, read_result(5, {}, a_scope("/a")))

    assert shown.changes == (a_change("B", IMPORT),)
    assert (forgotten.changes, forgotten.ledger.accepted) == ((), {})


def test_an_import_of_a_folder_below_is_forgotten_with_it() -> None:
    """Only the top of the tree stays in scope, and that does not import it."""
    tree, partition = a_scope("/a/**"), a_partition("/a/**", source="/shared")

    top = applied(
        a_ledger({partition: an_accepted_state(a_partition_state(B=1))}, scopes=[tree]),
        read_result(5, {}, a_scope("/a")),
    )

    assert (top.ledger.accepted, top.read_again_at) == ({}, None)


def test_an_import_does_not_move_to_a_sibling_folder() -> None:
    """In the sibling it is a new import, though its content is equal."""
    beside = a_partition("/b", source="/shared")

    moved = applied(
        accepting(imported=a_partition_state(B=1)),
        read_result(5, {beside: a_partition_state(B=2)}, a_scope("/b")),
    )

    assert (moved.changes, moved.ledger.accepted) == (
        (),
        {beside: an_accepted_state(a_partition_state(B=2), seconds=5)},
    )


def test_reads_in_sequence_are_one() -> None:
    """Changes of the last read of the old scope and of the new scope are reported together."""
    looks = (
        read_result(5, {OWN: a_partition_state(A=2)}),
        read_result(6, {a_partition("/b"): a_partition_state(B=1)}, a_scope("/b")),
    )
    ledger = replace(
        accepting(own=a_partition_state(A=1)),
        unmatched_events=(UnmatchedImportEvent(a_folder("/a"), at(-9)),),
    )

    found = apply_snapshots(ledger, looks, (received(an_event(CREATE, "/b", "B"), 4),), at(6))

    assert (found.changes, found.expired_import_events) == ((a_change("A"),), ledger.unmatched_events)
    assert found.unshown_events == (received(an_event(CREATE, "/b", "B"), 4),)
    assert found.ledger == a_ledger(
        {a_partition("/b"): an_accepted_state(a_partition_state(B=1), seconds=6)},
        scopes=[a_scope("/b")],
        baselined_at=at(6),
        recently_removed={OWN: RecentlyRemoved(an_accepted_state(a_partition_state(A=2), seconds=5), at(6))},
    )


def test_an_import_mutation_is_consumed_once() -> None:
    """The read that shows an import mutation consumes its event."""
    looks = (
        read_result(5, {IMPORTED: a_partition_state(B=2)}),
        read_result(6, {WIDE_IMPORT: a_partition_state(B=2)}, WIDE),
    )

    found = apply_snapshots(
        accepting(imported=a_partition_state(B=1)), looks, (received(MUTATION, 4),), at(6)
    )

    assert found.changes == (a_change("B", IMPORT),)
    assert (found.ledger.unmatched_events, found.ledger.unmatched_changes) == ((), ())


@given(few_ledgers, snapshots, received_events)
def test_a_sequence_of_one_read_is_that_read(
    ledger: Ledger, snapshot: Snapshot, told: tuple[ReceivedEvent, ...]
) -> None:
    """Without a change of scope there is one read, applied like any other."""
    now = snapshot.finished

    assert apply_snapshots(ledger, [snapshot], told, now) == apply_snapshot(ledger, snapshot, told, now)


def test_the_same_scope_is_no_new_baseline() -> None:
    """Only another scope moves the moment at which absent parts count as absent."""
    ledger = accepting(own=a_partition_state(A=1))

    assert applied(ledger, read_result(5, {OWN: a_partition_state(A=1)})).ledger.baselined_at == at(0)
    assert applied(
        ledger, read_result(5, {OWN: a_partition_state(A=1)}, a_scope("/b"))
    ).ledger.baselined_at == at(5)


def test_a_requested_restart_outlives_the_scope() -> None:
    """A requested restart stays pending in any scope; its changes out of scope are dropped."""
    asked = replace(a_pending_restart("web", 1, a_change("B", path="/b")), is_requested=True)
    ledger = a_ledger({}, asked, scopes=[a_scope("/**")])

    narrower = applied(ledger, read_result(1, {OWN: a_partition_state(A=1)}, a_scope("/a"))).ledger

    assert narrower.pending == (replace(asked, changes=()),)


def test_pending_restarts_stay_while_the_scope_does() -> None:
    """A snapshot does not alter pending restarts."""
    ledger = a_ledger(
        {OWN: an_accepted_state(a_partition_state(A=1))},
        a_pending_restart("web", 1, a_change("B", path="/b")),
    )

    assert applied(ledger, read_result(5, {OWN: a_partition_state(A=1)})).ledger.pending == ledger.pending


# -- what left the scope a moment ago ---------------------------------------------------------------


def test_a_read_that_lags_behind_an_edit_is_no_baseline() -> None:
    """A folder that left the scope and returned does not get the state from before it left."""
    ledger = accepting(own=a_partition_state(A=2))
    left = applied(ledger, read_result(5, {}, a_scope("/b"))).ledger

    stale = applied(left, read_result(10, {OWN: a_partition_state(A=1)}, a_scope("/a"), a_scope("/b")))
    fresh = applied(
        stale.ledger, read_result(15, {OWN: a_partition_state(A=2)}, a_scope("/a"), a_scope("/b"))
    )

    assert stale.ledger.accepted_for(OWN).state == a_partition_state(A=2)
    assert (stale.changes, fresh.changes) == ((), ())
    assert fresh.ledger.recently_removed == {}


def test_changes_out_of_scope_are_part_of_the_baseline() -> None:
    """A folder that is in scope again is accepted as it is, and no workload restarts."""
    left = applied(accepting(own=a_partition_state(A=1)), read_result(5, {}, a_scope("/b"))).ledger

    back = applied(left, read_result(10, {OWN: a_partition_state(A=2)}, a_scope("/a"), a_scope("/b")))

    assert (back.changes, back.ledger.accepted_for(OWN).state) == ((), a_partition_state(A=2))


def test_a_recently_removed_partition_is_forgotten_after_the_read_lag() -> None:
    """No read is that old."""
    left = applied(accepting(own=a_partition_state(A=2)), read_result(5, {}, a_scope("/b"))).ledger

    later = applied(left, read_result(5 + HORIZON_SECONDS + 1, {}, a_scope("/b"))).ledger

    assert (len(left.recently_removed), later.recently_removed) == (1, {})


def test_a_suspect_import_is_accepted_before_its_scope_is_left() -> None:
    """Under another scope it would be a baseline, so a restart too many is better than one too few."""
    ledger = a_ledger({OWN: an_accepted_state(a_partition_state(A=1))}, scopes=[a_scope("/a")])
    old = read_result(5, {OWN: a_partition_state(A=1), IMPORTED: a_partition_state(B=1)}, a_scope("/a"))
    new = read_result(6, {OWN: a_partition_state(A=1), WIDE_IMPORT: a_partition_state(B=1)}, WIDE)

    alone = applied(ledger, old)
    edited = apply_snapshots(ledger, (old, new), (), at(6))

    assert (alone.changes, edited.changes) == ((), (a_change("B", IMPORT),))
    assert edited.ledger.accepted_for(WIDE_IMPORT).state == a_partition_state(B=1)
