"""Steps of the ledger: a baseline, a snapshot, import events."""

from dataclasses import replace

from hypothesis import given

from infisical_events.core.ledger.ledger import (
    UnmatchedImportChange,
    UnmatchedImportEvent,
)
from infisical_events.core.ledger.transitions import (
    apply_snapshot,
    baseline,
)
from infisical_events.core.snapshots.snapshots import ABSENT, Snapshot
from support.builders import (
    CREATE,
    DELETE,
    HEADER,
    IMPORT,
    UPDATE,
    a_change,
    a_folder,
    a_ledger,
    a_partition,
    a_partition_state,
    a_scope,
    an_accepted_state,
    an_event,
    at,
    received,
)
from support.strategies import snapshots
from support.transitions import (
    CLAIM,
    CLAIM_SECONDS,
    CREDIT_SECONDS,
    HORIZON_SECONDS,
    IMPORTED,
    MUTATION,
    OWN,
    PATIENCE_SECONDS,
    accepting,
    applied,
    read_result,
)

# -- baseline -------------------------------------------------------------------------------------


@given(snapshots)
def test_a_baseline_restarts_nothing(snapshot: Snapshot) -> None:
    """The first read is accepted as of its end; an equal second read is no change."""
    ledger = baseline(HEADER, "epoch", snapshot)
    again = apply_snapshot(ledger, snapshot, (), snapshot.finished)

    assert (ledger.seq, ledger.pending, ledger.scopes) == (0, (), snapshot.scopes)
    assert {
        partition: accepted.state for partition, accepted in ledger.accepted.items()
    } == snapshot.partitions
    assert {accepted.accepted_at for accepted in ledger.accepted.values()} <= {snapshot.finished}
    assert (again.ledger, again.changes, again.read_again_at) == (ledger, (), None)


# -- what changed ---------------------------------------------------------------------------------


def test_a_change_is_found_once() -> None:
    """The first read with the change reports it and is accepted; the next read reports nothing."""
    first = applied(accepting(own=a_partition_state(A=1)), read_result(5, {OWN: a_partition_state(A=2)}))
    second = applied(first.ledger, read_result(6, {OWN: a_partition_state(A=2)}))

    assert first.changes == (a_change("A"),)
    assert first.ledger == a_ledger({OWN: an_accepted_state(a_partition_state(A=2), seconds=5)})
    assert (second.changes, second.ledger) == ((), first.ledger)


def test_an_equal_read_does_not_refresh_the_acceptance() -> None:
    """Only then a suspect read can be decided at a fixed moment."""
    ledger = accepting(own=a_partition_state(A=1))

    assert applied(ledger, read_result(30, {OWN: a_partition_state(A=1)})).ledger == ledger


def test_own_and_imported_secrets_are_one_read() -> None:
    """A folder that has secrets and imports others is the usual case: a change of either is found."""
    ledger = accepting(own=a_partition_state(A=1), imported=a_partition_state(B=1))

    found = applied(ledger, read_result(1, {OWN: a_partition_state(A=2), IMPORTED: a_partition_state(B=2)}))

    assert found.changes == (a_change("A"), a_change("B", IMPORT))


def test_every_change_is_reported() -> None:
    """Whom they concern is decided on all of them, one by one."""
    before = a_partition_state(**{f"KEY_{number:03}": 1 for number in range(200)})
    after = a_partition_state(**{f"KEY_{number:03}": 2 for number in range(200)})

    changes = applied(accepting(own=before), read_result(1, {OWN: after})).changes

    assert changes == tuple(a_change(f"KEY_{number:03}") for number in range(200))


def test_a_state_is_accepted_as_of_the_end_of_its_read() -> None:
    """Events received during the read are not newer than it."""
    long_look = Snapshot((a_scope("/a"),), {OWN: a_partition_state(A=2)}, at(5), at(9))

    after = apply_snapshot(accepting(own=a_partition_state(A=1)), long_look, (), at(10)).ledger

    assert after.accepted == {OWN: an_accepted_state(a_partition_state(A=2), seconds=9)}


def test_the_first_of_several_suspect_reads_is_decided_first() -> None:
    """Each partition has its own deadline; the next read is due at the earliest of them."""
    tree, other = a_scope("/a/**"), a_partition("/a/b")
    held = {
        OWN: an_accepted_state(a_partition_state(A=1), seconds=9),
        other: an_accepted_state(a_partition_state(B=1), seconds=4),
    }

    found = applied(a_ledger(held, scopes=[tree]), read_result(10, {}, tree))

    assert found.read_again_at == at(HORIZON_SECONDS + 4)


def test_a_suspect_read_waits_for_the_read_lag() -> None:
    """A missing key is accepted after the read lag, and the next read is due then."""
    ledger = accepting(own=a_partition_state(A=1, B=1))

    early = applied(ledger, read_result(30, {OWN: a_partition_state(A=1)}))
    late = applied(early.ledger, read_result(HORIZON_SECONDS + 1, {OWN: a_partition_state(A=1)}))

    assert (early.ledger, early.changes, early.read_again_at) == (ledger, (), at(HORIZON_SECONDS))
    assert (late.changes, late.read_again_at) == ((a_change("B", DELETE),), None)


def test_a_lagging_read_changes_nothing() -> None:
    """From one version to the next, back by a replica that lags, and on again: one change."""
    first = applied(
        accepting(own=a_partition_state(A=1)),
        read_result(5, {OWN: a_partition_state(A=2)}),
        received(an_event(UPDATE, "/a", "A"), 4),
    )
    lagging = applied(
        first.ledger,
        read_result(6, {OWN: a_partition_state(A=1)}),
        received(an_event(UPDATE, "/a", "A"), 5.5),
    )
    after = applied(lagging.ledger, read_result(7, {OWN: a_partition_state(A=2)}))

    assert [first.changes, lagging.changes, after.changes] == [(a_change("A"),), (), ()]
    assert after.ledger == first.ledger


def test_received_events_add_their_types() -> None:
    """An upsert is a create in the state and an update in the event: both are reported."""
    event = received(an_event(UPDATE, "/a", "B"), 4)

    found = applied(
        accepting(own=a_partition_state(A=1)), read_result(5, {OWN: a_partition_state(A=1, B=1)}), event
    )

    assert found.changes == (a_change("B", CREATE, UPDATE),)
    assert found.unshown_events == ()


def test_events_of_other_folders_add_nothing() -> None:
    """Neither another key nor another folder lends its type."""
    events = [received(an_event(DELETE, "/a", "B"), 4), received(an_event(CREATE, "/b", "A"), 4)]

    assert applied(
        accepting(own=a_partition_state(A=1)), read_result(5, {OWN: a_partition_state(A=2)}), *events
    ).changes == (a_change("A"),)


# -- what comes and goes --------------------------------------------------------------------------


def test_a_folder_that_goes_is_remembered_until_no_read_can_show_it() -> None:
    """A stale read cannot make it come back; afterwards nothing of it is kept."""
    ledger = replace(
        accepting(own=a_partition_state(A=1)),
        baselined_at=at(-1000),
        accepted={OWN: an_accepted_state(a_partition_state(A=1), -1000)},
    )

    gone = applied(ledger, read_result(0, {}))
    stale = applied(gone.ledger, read_result(HORIZON_SECONDS, {OWN: a_partition_state(A=1)}))
    forgotten = applied(gone.ledger, read_result(HORIZON_SECONDS + 1, {}))

    assert gone.changes == (a_change("A", DELETE),)
    assert gone.ledger.accepted_for(OWN).state == ABSENT
    assert list(gone.ledger.accepted) == [OWN]
    assert (stale.ledger, stale.changes) == (gone.ledger, ())
    assert forgotten.ledger.accepted == {}


def test_a_folder_that_comes_is_a_create() -> None:
    """A folder below that was never seen had nothing in it at the baseline."""
    tree, new = a_scope("/**"), a_partition("/new")
    ledger = a_ledger(scopes=[tree])

    early = applied(ledger, read_result(30, {new: a_partition_state(A=1)}, tree))
    late = applied(ledger, read_result(HORIZON_SECONDS + 1, {new: a_partition_state(A=1)}, tree))

    assert (early.changes, early.read_again_at) == ((), at(HORIZON_SECONDS))
    assert late.changes == (a_change("A", CREATE, path="/new"),)


# -- what was heard and is not seen ---------------------------------------------------------------


def test_an_event_is_looked_for_until_it_shows() -> None:
    """Only when every key that it names has changed; or until patience ends."""
    ledger, event = accepting(own=a_partition_state(A=1, B=1)), received(an_event(UPDATE, "/a", "A", "B"), 0)

    partition = applied(ledger, read_result(1, {OWN: a_partition_state(A=2, B=1)}), event)
    whole = applied(ledger, read_result(1, {OWN: a_partition_state(A=2, B=2)}), event)
    patient = applied(ledger, read_result(PATIENCE_SECONDS, {OWN: a_partition_state(A=1, B=1)}), event)
    tired = applied(ledger, read_result(PATIENCE_SECONDS + 1, {OWN: a_partition_state(A=1, B=1)}), event)

    assert [a.unshown_events for a in (partition, whole, patient, tired)] == [(event,), (), (event,), ()]


def test_a_change_of_another_folder_shows_nothing_of_an_event() -> None:
    """Keys of the same name lie in many folders."""
    event = received(an_event(UPDATE, "/b", "A"), 0)

    assert applied(
        accepting(own=a_partition_state(A=1)), read_result(1, {OWN: a_partition_state(A=2)}), event
    ).unshown_events == (event,)


# -- import mutations -----------------------------------------------------------------------------


def test_an_import_mutation_that_shows_is_one_change() -> None:
    """Received and read at once it leaves no unmatched event and no unmatched change."""
    found = applied(
        accepting(imported=a_partition_state(B=1)),
        read_result(5, {IMPORTED: a_partition_state(B=2)}),
        received(MUTATION, 4),
    )

    assert found.changes == (a_change("B", IMPORT),)
    assert (found.ledger.unmatched_events, found.ledger.unmatched_changes, found.expired_import_events) == (
        (),
        (),
        (),
    )


def test_an_import_mutation_received_first_waits_for_its_change() -> None:
    """The event is stored, another read is due, and the difference that it shows consumes the event."""
    ledger = accepting(imported=a_partition_state(B=1))

    first = applied(ledger, read_result(1, {IMPORTED: a_partition_state(B=1)}), received(MUTATION, 0))
    second = applied(first.ledger, read_result(2, {IMPORTED: a_partition_state(B=2)}))

    assert (first.ledger.unmatched_events, first.changes, first.read_again_at) == (
        (CLAIM,),
        (),
        at(CLAIM_SECONDS),
    )
    assert (second.ledger.unmatched_events, second.ledger.unmatched_changes, second.changes) == (
        (),
        (),
        (a_change("B", IMPORT),),
    )


def test_an_import_mutation_read_first_waits_for_its_event() -> None:
    """The event that comes late is paid for, once, and only for a while."""
    first = applied(
        accepting(imported=a_partition_state(B=1)), read_result(1, {IMPORTED: a_partition_state(B=2)})
    )
    again = read_result(8, {IMPORTED: a_partition_state(B=2)})

    paid = applied(first.ledger, again, received(MUTATION, 8))
    twice = applied(paid.ledger, again, received(MUTATION, 8))
    expired = applied(first.ledger, read_result(1 + CREDIT_SECONDS, {IMPORTED: a_partition_state(B=2)}))

    assert first.ledger.unmatched_changes == (UnmatchedImportChange(a_scope("/a"), at(1 + CREDIT_SECONDS)),)
    assert (paid.ledger.unmatched_changes, paid.ledger.unmatched_events) == ((), ())
    assert len(twice.ledger.unmatched_events) == 1
    assert expired.ledger.unmatched_changes == ()


def test_an_import_mutation_without_a_difference_is_reported_once() -> None:
    """A reference changed, which no list shows: it is reported once after the wait."""
    ledger = replace(accepting(own=a_partition_state(A=1)), unmatched_events=(CLAIM,))

    early = applied(ledger, read_result(CLAIM_SECONDS - 0.001, {OWN: a_partition_state(A=1)}))
    late = applied(ledger, read_result(CLAIM_SECONDS, {OWN: a_partition_state(A=1)}))
    after = applied(late.ledger, read_result(CLAIM_SECONDS + 1, {OWN: a_partition_state(A=1)}))

    assert (early.expired_import_events, early.ledger.unmatched_events) == ((), (CLAIM,))
    assert (late.expired_import_events, late.ledger.unmatched_events) == ((CLAIM,), ())
    assert (after.expired_import_events, after.changes) == ((), ())


def test_an_unmatched_event_is_one_for_each_folder() -> None:
    """Doubled events of one folder are one claim, since the first; those of two folders are two."""
    tree = a_scope("/**")
    told = [
        received(MUTATION, 0),
        received(MUTATION, 1),
        received(an_event(IMPORT, "/b"), 1),
        received(an_event(UPDATE, "/a"), 1),
    ]

    found = applied(a_ledger(scopes=[tree]), read_result(2, {}, tree), *told)

    assert found.ledger.unmatched_events == (CLAIM, UnmatchedImportEvent(a_folder("/b"), at(1)))


def test_an_unmatched_event_is_of_a_folder_in_scope() -> None:
    """An import mutation of a folder out of scope is ignored."""
    assert (
        applied(accepting(), read_result(1, {}), received(an_event(IMPORT, "/b"), 0)).ledger.unmatched_events
        == ()
    )


def test_an_own_change_is_no_import_mutation() -> None:
    """It neither shows a claim nor leaves a credit."""
    found = applied(
        accepting(own=a_partition_state(A=1)),
        read_result(1, {OWN: a_partition_state(A=2)}),
        received(MUTATION, 1),
    )

    assert (found.ledger.unmatched_events, found.ledger.unmatched_changes) == (
        (UnmatchedImportEvent(a_folder("/a"), at(1)),),
        (),
    )


def test_a_recursive_read_shows_the_mutations_of_its_folders() -> None:
    """An import in a recursive list belongs to the scope, because the list names no importing folder."""
    tree, partition = a_scope("/**"), a_partition("/**", source="/shared")
    ledger = a_ledger({partition: an_accepted_state(a_partition_state(B=1))}, scopes=[tree])

    found = applied(
        ledger,
        read_result(5, {partition: a_partition_state(B=2)}, tree),
        received(an_event(IMPORT, "/a/b"), 4),
    )

    assert found.changes == (a_change("B", IMPORT, path="/**"),)
    assert (found.ledger.unmatched_events, found.ledger.unmatched_changes) == ((), ())
