"""Steps of the ledger: a baseline, a snapshot, another scope."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_events.core.ledger.acceptance import MAX_READ_LAG, ReceivedEvent
from infisical_events.core.ledger.event_correlation import (
    UNMATCHED_CHANGE_LIFETIME,
    UNMATCHED_EVENT_WAIT,
    without_event,
)
from infisical_events.core.ledger.ledger import (
    Ledger,
    RecentlyRemoved,
    UnmatchedImportChange,
    UnmatchedImportEvent,
)
from infisical_events.core.ledger.transitions import (
    EVENT_WAIT,
    AppliedSnapshots,
    apply_snapshot,
    apply_snapshots,
    baseline,
    unconfirmed_removals,
)
from infisical_events.core.paths.scopes import Scope
from infisical_events.core.snapshots.changes import Change
from infisical_events.core.snapshots.diffs import diff
from infisical_events.core.snapshots.snapshots import ABSENT, Partition, PartitionState, Snapshot, is_covered
from support.builders import (
    CREATE,
    DELETE,
    HEADER,
    IMPORT,
    UPDATE,
    a_belief,
    a_body,
    a_change,
    a_debt,
    a_folder,
    a_ledger,
    a_part,
    a_scope,
    an_event,
    an_observation,
    at,
    received,
)
from support.strategies import few_scopes, hearings, held_ledgers, meetings, own_bodies, snapshots

OWN, IMPORTED = a_part("/a"), a_part("/a", source="/shared")
HORIZON_SECONDS = MAX_READ_LAG.total_seconds()
PATIENCE_SECONDS = EVENT_WAIT.total_seconds()
CLAIM_SECONDS = UNMATCHED_EVENT_WAIT.total_seconds()
CREDIT_SECONDS = UNMATCHED_CHANGE_LIFETIME.total_seconds()


def read_result(seconds: float, partitions: dict[Partition, PartitionState], *scopes: Scope) -> Snapshot:
    """A read that ended at a moment."""
    return an_observation(partitions, scopes=scopes, seconds=seconds)


def applied(ledger: Ledger, snapshot: Snapshot, *told: ReceivedEvent) -> AppliedSnapshots:
    """The ledger after a snapshot that was applied when it ended."""
    return apply_snapshot(ledger, snapshot, told, snapshot.finished)


def accepting(**states: PartitionState) -> Ledger:
    """A ledger of the folder `/a` with its `own` secrets, what it `imported`, or both accepted."""
    partitions = {"own": OWN, "imported": IMPORTED}
    return a_ledger({partitions[name]: a_belief(state) for name, state in states.items()})


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
    first = applied(accepting(own=a_body(A=1)), read_result(5, {OWN: a_body(A=2)}))
    second = applied(first.ledger, read_result(6, {OWN: a_body(A=2)}))

    assert first.changes == (a_change("A"),)
    assert first.ledger == a_ledger({OWN: a_belief(a_body(A=2), seconds=5)})
    assert (second.changes, second.ledger) == ((), first.ledger)


def test_an_equal_read_does_not_refresh_the_acceptance() -> None:
    """Only then a suspect read can be decided at a fixed moment."""
    ledger = accepting(own=a_body(A=1))

    assert applied(ledger, read_result(30, {OWN: a_body(A=1)})).ledger == ledger


def test_own_and_imported_secrets_are_one_read() -> None:
    """A folder that has secrets and imports others is the usual case: a change of either is found."""
    ledger = accepting(own=a_body(A=1), imported=a_body(B=1))

    found = applied(ledger, read_result(1, {OWN: a_body(A=2), IMPORTED: a_body(B=2)}))

    assert found.changes == (a_change("B", IMPORT), a_change("A"))


def test_every_change_is_reported() -> None:
    """Whom they concern is decided on all of them, one by one."""
    before = a_body(**{f"KEY_{number:03}": 1 for number in range(200)})
    after = a_body(**{f"KEY_{number:03}": 2 for number in range(200)})

    changes = applied(accepting(own=before), read_result(1, {OWN: after})).changes

    assert changes == tuple(a_change(f"KEY_{number:03}") for number in range(200))


def test_a_state_is_accepted_as_of_the_end_of_its_read() -> None:
    """Events received during the read are not newer than it."""
    long_look = Snapshot((a_scope("/a"),), {OWN: a_body(A=2)}, at(5), at(9))

    after = apply_snapshot(accepting(own=a_body(A=1)), long_look, (), at(10)).ledger

    assert after.accepted == {OWN: a_belief(a_body(A=2), seconds=9)}


def test_the_first_of_several_suspect_reads_is_decided_first() -> None:
    """Each partition has its own deadline; the next read is due at the earliest of them."""
    tree, other = a_scope("/a/**"), a_part("/a/b")
    held = {OWN: a_belief(a_body(A=1), seconds=9), other: a_belief(a_body(B=1), seconds=4)}

    found = applied(a_ledger(held, scopes=[tree]), read_result(10, {}, tree))

    assert found.read_again_at == at(HORIZON_SECONDS + 4)


def test_a_suspect_read_waits_for_the_read_lag() -> None:
    """A missing key is accepted after the read lag, and the next read is due then."""
    ledger = accepting(own=a_body(A=1, B=1))

    early = applied(ledger, read_result(30, {OWN: a_body(A=1)}))
    late = applied(early.ledger, read_result(HORIZON_SECONDS + 1, {OWN: a_body(A=1)}))

    assert (early.ledger, early.changes, early.read_again_at) == (ledger, (), at(HORIZON_SECONDS))
    assert (late.changes, late.read_again_at) == ((a_change("B", DELETE),), None)


def test_a_lagging_read_changes_nothing() -> None:
    """From one version to the next, back by a replica that lags, and on again: one change."""
    first = applied(
        accepting(own=a_body(A=1)),
        read_result(5, {OWN: a_body(A=2)}),
        received(an_event(UPDATE, "/a", "A"), 4),
    )
    lagging = applied(
        first.ledger, read_result(6, {OWN: a_body(A=1)}), received(an_event(UPDATE, "/a", "A"), 5.5)
    )
    after = applied(lagging.ledger, read_result(7, {OWN: a_body(A=2)}))

    assert [first.changes, lagging.changes, after.changes] == [(a_change("A"),), (), ()]
    assert after.ledger == first.ledger


def test_received_events_add_their_types() -> None:
    """An upsert is a create in the state and an update in the event: both are reported."""
    event = received(an_event(UPDATE, "/a", "B"), 4)

    found = applied(accepting(own=a_body(A=1)), read_result(5, {OWN: a_body(A=1, B=1)}), event)

    assert found.changes == (a_change("B", CREATE, UPDATE),)
    assert found.unshown_events == ()


def test_events_of_other_folders_add_nothing() -> None:
    """Neither another key nor another folder lends its type."""
    events = [received(an_event(DELETE, "/a", "B"), 4), received(an_event(CREATE, "/b", "A"), 4)]

    assert applied(accepting(own=a_body(A=1)), read_result(5, {OWN: a_body(A=2)}), *events).changes == (
        a_change("A"),
    )


# -- what comes and goes --------------------------------------------------------------------------


def test_a_folder_that_goes_is_remembered_until_no_read_can_show_it() -> None:
    """A stale read cannot make it come back; afterwards nothing of it is kept."""
    ledger = replace(
        accepting(own=a_body(A=1)), baselined_at=at(-1000), accepted={OWN: a_belief(a_body(A=1), -1000)}
    )

    gone = applied(ledger, read_result(0, {}))
    stale = applied(gone.ledger, read_result(HORIZON_SECONDS, {OWN: a_body(A=1)}))
    forgotten = applied(gone.ledger, read_result(HORIZON_SECONDS + 1, {}))

    assert gone.changes == (a_change("A", DELETE),)
    assert gone.ledger.accepted_for(OWN).state == ABSENT
    assert list(gone.ledger.accepted) == [OWN]
    assert (stale.ledger, stale.changes) == (gone.ledger, ())
    assert forgotten.ledger.accepted == {}


def test_a_folder_that_comes_is_a_create() -> None:
    """A folder below that was never seen had nothing in it at the baseline."""
    tree, new = a_scope("/**"), a_part("/new")
    ledger = a_ledger(scopes=[tree])

    early = applied(ledger, read_result(30, {new: a_body(A=1)}, tree))
    late = applied(ledger, read_result(HORIZON_SECONDS + 1, {new: a_body(A=1)}, tree))

    assert (early.changes, early.read_again_at) == ((), at(HORIZON_SECONDS))
    assert late.changes == (a_change("A", CREATE, path="/new"),)


# -- what was heard and is not seen ---------------------------------------------------------------


def test_an_event_is_looked_for_until_it_shows() -> None:
    """Only when every key that it names has changed; or until patience ends."""
    ledger, event = accepting(own=a_body(A=1, B=1)), received(an_event(UPDATE, "/a", "A", "B"), 0)

    partition = applied(ledger, read_result(1, {OWN: a_body(A=2, B=1)}), event)
    whole = applied(ledger, read_result(1, {OWN: a_body(A=2, B=2)}), event)
    patient = applied(ledger, read_result(PATIENCE_SECONDS, {OWN: a_body(A=1, B=1)}), event)
    tired = applied(ledger, read_result(PATIENCE_SECONDS + 1, {OWN: a_body(A=1, B=1)}), event)

    assert [a.unshown_events for a in (partition, whole, patient, tired)] == [(event,), (), (event,), ()]


def test_a_change_of_another_folder_shows_nothing_of_an_event() -> None:
    """Keys of the same name lie in many folders."""
    event = received(an_event(UPDATE, "/b", "A"), 0)

    assert applied(accepting(own=a_body(A=1)), read_result(1, {OWN: a_body(A=2)}), event).unshown_events == (
        event,
    )


# -- import mutations -----------------------------------------------------------------------------

MUTATION = an_event(IMPORT, "/a")
CLAIM = UnmatchedImportEvent(a_folder("/a"), at(0))


def test_an_import_mutation_that_shows_is_one_change() -> None:
    """Received and read at once it leaves no unmatched event and no unmatched change."""
    found = applied(
        accepting(imported=a_body(B=1)), read_result(5, {IMPORTED: a_body(B=2)}), received(MUTATION, 4)
    )

    assert found.changes == (a_change("B", IMPORT),)
    assert (found.ledger.unmatched_events, found.ledger.unmatched_changes, found.expired_import_events) == (
        (),
        (),
        (),
    )


def test_an_import_mutation_received_first_waits_for_its_change() -> None:
    """The event is stored, another read is due, and the difference that it shows consumes the event."""
    ledger = accepting(imported=a_body(B=1))

    first = applied(ledger, read_result(1, {IMPORTED: a_body(B=1)}), received(MUTATION, 0))
    second = applied(first.ledger, read_result(2, {IMPORTED: a_body(B=2)}))

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
    first = applied(accepting(imported=a_body(B=1)), read_result(1, {IMPORTED: a_body(B=2)}))
    again = read_result(8, {IMPORTED: a_body(B=2)})

    paid = applied(first.ledger, again, received(MUTATION, 8))
    twice = applied(paid.ledger, again, received(MUTATION, 8))
    expired = applied(first.ledger, read_result(1 + CREDIT_SECONDS, {IMPORTED: a_body(B=2)}))

    assert first.ledger.unmatched_changes == (UnmatchedImportChange(a_scope("/a"), at(1 + CREDIT_SECONDS)),)
    assert (paid.ledger.unmatched_changes, paid.ledger.unmatched_events) == ((), ())
    assert len(twice.ledger.unmatched_events) == 1
    assert expired.ledger.unmatched_changes == ()


def test_an_import_mutation_without_a_difference_is_reported_once() -> None:
    """A reference changed, which no list shows: it is reported once after the wait."""
    ledger = replace(accepting(own=a_body(A=1)), unmatched_events=(CLAIM,))

    early = applied(ledger, read_result(CLAIM_SECONDS - 0.001, {OWN: a_body(A=1)}))
    late = applied(ledger, read_result(CLAIM_SECONDS, {OWN: a_body(A=1)}))
    after = applied(late.ledger, read_result(CLAIM_SECONDS + 1, {OWN: a_body(A=1)}))

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
    found = applied(accepting(own=a_body(A=1)), read_result(1, {OWN: a_body(A=2)}), received(MUTATION, 1))

    assert (found.ledger.unmatched_events, found.ledger.unmatched_changes) == (
        (UnmatchedImportEvent(a_folder("/a"), at(1)),),
        (),
    )


def test_a_recursive_read_shows_the_mutations_of_its_folders() -> None:
    """An import in a recursive list belongs to the scope, because the list names no importing folder."""
    tree, partition = a_scope("/**"), a_part("/**", source="/shared")
    ledger = a_ledger({partition: a_belief(a_body(B=1))}, scopes=[tree])

    found = applied(
        ledger, read_result(5, {partition: a_body(B=2)}, tree), received(an_event(IMPORT, "/a/b"), 4)
    )

    assert found.changes == (a_change("B", IMPORT, path="/**"),)
    assert (found.ledger.unmatched_events, found.ledger.unmatched_changes) == ((), ())


# -- another scope --------------------------------------------------------------------------------


def test_a_widened_scope_is_baselined() -> None:
    """New folders are accepted as they are; the other folders continue unchanged."""
    tree, below = a_scope("/a/**"), a_part("/a/b")
    wider = applied(accepting(own=a_body(A=1)), read_result(5, {OWN: a_body(A=2), below: a_body(B=7)}, tree))

    assert wider.changes == (a_change("A"),)
    assert wider.ledger.accepted == {
        OWN: a_belief(a_body(A=2), seconds=5),
        below: a_belief(a_body(B=7), seconds=5),
    }
    assert (wider.ledger.scopes, wider.ledger.baselined_at) == ((tree,), at(5))


def test_a_narrowed_scope_forgets() -> None:
    """Accepted states, pending restarts and unmatched events out of scope go, the others stay."""
    tree, partition = a_scope("/**"), a_part("/**", source="/shared")
    both = a_debt("both", 1, a_change("A"), a_change("B", path="/b"))
    ledger = a_ledger(
        {OWN: a_belief(a_body(A=1)), a_part("/b"): a_belief(a_body(B=1)), partition: a_belief(a_body(C=1))},
        both,
        a_debt("gone", 1, a_change("B", path="/b")),
        a_debt("wide", 1, a_change("*", path="/**")),
        scopes=[tree],
        unmatched_events=(CLAIM, UnmatchedImportEvent(a_folder("/b"), at(0))),
    )

    narrower = applied(ledger, read_result(1, {OWN: a_body(A=1)}, a_scope("/a")))

    assert narrower.changes == ()
    assert narrower.ledger.accepted == {OWN: a_belief(a_body(A=1))}
    assert narrower.ledger.unmatched_events == (CLAIM,)
    assert narrower.ledger.pending == (
        replace(both, changes=(a_change("A"),)),
        a_debt("wide", 1, a_change("*", path="/**")),
    )


WIDE, WIDE_IMPORT = a_scope("/**"), a_part("/**", source="/shared")


def test_an_import_keeps_its_accepted_state_in_a_wider_scope() -> None:
    """The import is known by the scope that shows it; a change is found under its new name."""
    ledger = accepting(imported=a_body(1, B=1))

    wider = applied(ledger, read_result(5, {WIDE_IMPORT: a_body(3, B=2, C=1)}, WIDE))

    assert wider.changes == (a_change("B", IMPORT, path="/**"), a_change("C", IMPORT, path="/**"))
    assert list(wider.ledger.accepted) == [WIDE_IMPORT]


def test_another_rank_in_another_scope_is_no_change() -> None:
    """In a list of more imports the same one has another place."""
    wider = applied(accepting(imported=a_body(1, B=1)), read_result(5, {WIDE_IMPORT: a_body(3, B=1)}, WIDE))

    assert wider.changes == ()
    assert wider.ledger.accepted == {WIDE_IMPORT: a_belief(a_body(3, B=1))}


def test_an_import_that_was_removed_is_missed_in_a_wider_scope() -> None:
    """The wider list would show it: after the read lag its keys are reported as removed."""
    ledger = accepting(imported=a_body(B=1))

    early = applied(ledger, read_result(5, {}, WIDE))
    late = applied(early.ledger, read_result(HORIZON_SECONDS + 1, {}, WIDE))

    assert (early.changes, early.read_again_at) == ((), at(HORIZON_SECONDS))
    assert late.changes == (a_change("B", IMPORT, path="/**"),)


def test_an_import_keeps_its_accepted_state_in_a_narrower_scope_that_shows_it() -> None:
    """One that is not shown there belonged to another folder, and is forgotten."""
    ledger = a_ledger({WIDE_IMPORT: a_belief(a_body(B=1))}, scopes=[WIDE])

    shown = applied(ledger, read_result(5, {IMPORTED: a_body(B=2)}, a_scope("/a")))
    forgotten = applied(ledger, read_result(5, {}, a_scope("/a")))

    assert shown.changes == (a_change("B", IMPORT),)
    assert (forgotten.changes, forgotten.ledger.accepted) == ((), {})


def test_an_import_of_a_folder_below_is_forgotten_with_it() -> None:
    """Only the top of the tree stays in scope, and that does not import it."""
    tree, partition = a_scope("/a/**"), a_part("/a/**", source="/shared")

    top = applied(
        a_ledger({partition: a_belief(a_body(B=1))}, scopes=[tree]), read_result(5, {}, a_scope("/a"))
    )

    assert (top.ledger.accepted, top.read_again_at) == ({}, None)


def test_an_import_does_not_move_to_a_sibling_folder() -> None:
    """In the sibling it is a new import, though its content is equal."""
    beside = a_part("/b", source="/shared")

    moved = applied(accepting(imported=a_body(B=1)), read_result(5, {beside: a_body(B=2)}, a_scope("/b")))

    assert (moved.changes, moved.ledger.accepted) == ((), {beside: a_belief(a_body(B=2), seconds=5)})


def test_reads_in_sequence_are_one() -> None:
    """Changes of the last read of the old scope and of the new scope are reported together."""
    looks = (read_result(5, {OWN: a_body(A=2)}), read_result(6, {a_part("/b"): a_body(B=1)}, a_scope("/b")))
    ledger = replace(
        accepting(own=a_body(A=1)), unmatched_events=(UnmatchedImportEvent(a_folder("/a"), at(-9)),)
    )

    found = apply_snapshots(ledger, looks, (received(an_event(CREATE, "/b", "B"), 4),), at(6))

    assert (found.changes, found.expired_import_events) == ((a_change("A"),), ledger.unmatched_events)
    assert found.unshown_events == (received(an_event(CREATE, "/b", "B"), 4),)
    assert found.ledger == a_ledger(
        {a_part("/b"): a_belief(a_body(B=1), seconds=6)},
        scopes=[a_scope("/b")],
        baselined_at=at(6),
        recently_removed={OWN: RecentlyRemoved(a_belief(a_body(A=2), seconds=5), at(6))},
    )


def test_an_import_mutation_is_consumed_once() -> None:
    """The read that shows an import mutation consumes its event."""
    looks = (read_result(5, {IMPORTED: a_body(B=2)}), read_result(6, {WIDE_IMPORT: a_body(B=2)}, WIDE))

    found = apply_snapshots(accepting(imported=a_body(B=1)), looks, (received(MUTATION, 4),), at(6))

    assert found.changes == (a_change("B", IMPORT),)
    assert (found.ledger.unmatched_events, found.ledger.unmatched_changes) == ((), ())


@given(held_ledgers, snapshots, hearings)
def test_a_sequence_of_one_read_is_that_read(
    ledger: Ledger, snapshot: Snapshot, told: tuple[ReceivedEvent, ...]
) -> None:
    """Without a change of scope there is one read, applied like any other."""
    now = snapshot.finished

    assert apply_snapshots(ledger, [snapshot], told, now) == apply_snapshot(ledger, snapshot, told, now)


def test_the_same_scope_is_no_new_baseline() -> None:
    """Only another scope moves the moment at which absent parts count as absent."""
    ledger = accepting(own=a_body(A=1))

    assert applied(ledger, read_result(5, {OWN: a_body(A=1)})).ledger.baselined_at == at(0)
    assert applied(ledger, read_result(5, {OWN: a_body(A=1)}, a_scope("/b"))).ledger.baselined_at == at(5)


def test_a_requested_restart_outlives_the_scope() -> None:
    """A requested restart stays pending in any scope; its changes out of scope are dropped."""
    asked = replace(a_debt("web", 1, a_change("B", path="/b")), is_requested=True)
    ledger = a_ledger({}, asked, scopes=[a_scope("/**")])

    narrower = applied(ledger, read_result(1, {OWN: a_body(A=1)}, a_scope("/a"))).ledger

    assert narrower.pending == (replace(asked, changes=()),)


def test_pending_restarts_stay_while_the_scope_does() -> None:
    """A snapshot does not alter pending restarts."""
    ledger = a_ledger({OWN: a_belief(a_body(A=1))}, a_debt("web", 1, a_change("B", path="/b")))

    assert applied(ledger, read_result(5, {OWN: a_body(A=1)})).ledger.pending == ledger.pending


# -- laws -----------------------------------------------------------------------------------------


@given(meetings, hearings)
def test_the_same_snapshot_again_changes_nothing(
    meeting: tuple[Ledger, Snapshot], told: tuple[ReceivedEvent, ...]
) -> None:
    """Applied twice it reports no change, and the next read is due at the same moment."""
    ledger, snapshot = meeting
    now = max([snapshot.finished, ledger.baselined_at, *(entry.received_at for entry in told)])
    now = max([now, *(held.accepted_at for held in ledger.accepted.values())])
    once = apply_snapshot(ledger, snapshot, told, now)
    twice = apply_snapshot(once.ledger, snapshot, (), now)

    assert (twice.changes, twice.expired_import_events) == ((), ())
    assert (twice.ledger, twice.read_again_at) == (once.ledger, once.read_again_at)


@given(held_ledgers, snapshots, hearings)
def test_the_same_snapshot_of_another_scope_changes_nothing(
    ledger: Ledger, snapshot: Snapshot, told: tuple[ReceivedEvent, ...]
) -> None:
    """A scope is changed once: taken in again it is the same scope."""
    now = max(snapshot.finished, *(entry.received_at for entry in told), snapshot.finished)
    once = apply_snapshot(ledger, snapshot, told, now)
    twice = apply_snapshot(once.ledger, snapshot, (), now)

    assert (twice.changes, twice.expired_import_events, twice.ledger) == ((), (), once.ledger)


@given(held_ledgers, snapshots, hearings)
def test_an_accepted_state_never_goes_back_within_the_read_lag(
    ledger: Ledger, snapshot: Snapshot, told: tuple[ReceivedEvent, ...]
) -> None:
    """With any reads and events, no secret in scope is accepted in an older version."""
    after = apply_snapshot(ledger, snapshot, told, snapshot.finished).ledger
    for partition, accepted in ledger.accepted.items():
        was_in_scope = is_covered(partition, ledger.scopes) and is_covered(partition, snapshot.scopes)
        if not was_in_scope or snapshot.started > accepted.accepted_at + MAX_READ_LAG:
            continue
        versions = {
            secret_version.id: secret_version.version for secret_version in accepted.state.versions.values()
        }
        held = after.accepted_for(partition).state.versions.values()
        assert all(secret_version.version >= versions.get(secret_version.id, 0) for secret_version in held)


@given(meetings, hearings)
def test_reported_changes_are_the_difference_of_accepted_states(
    meeting: tuple[Ledger, Snapshot], told: tuple[ReceivedEvent, ...]
) -> None:
    """A change is reported for exactly the keys whose accepted version differs."""
    ledger, snapshot = meeting
    found = apply_snapshot(ledger, snapshot, told, snapshot.finished)
    moved = {
        (change.scope, change.key)
        for partition in {*ledger.accepted, *snapshot.partitions}
        for change in diff(
            partition, ledger.accepted_for(partition).state, found.ledger.accepted_for(partition).state
        )
    }

    assert {(change.scope, change.key) for change in found.changes} == moved


@given(held_ledgers, snapshots, hearings)
def test_a_ledger_holds_nothing_out_of_scope(
    ledger: Ledger, snapshot: Snapshot, told: tuple[ReceivedEvent, ...]
) -> None:
    """After a read it has no state out of scope, and no new pending restart by itself."""
    after = apply_snapshot(ledger, snapshot, told, snapshot.finished).ledger

    assert after.scopes == snapshot.scopes
    assert all(is_covered(partition, after.scopes) for partition in after.accepted)
    assert (after.epoch, after.seq, after.header) == (ledger.epoch, ledger.seq, ledger.header)


@given(st.lists(own_bodies, min_size=1, max_size=5))
def test_after_the_read_lag_the_true_state_is_accepted(history: list[PartitionState]) -> None:
    """After any number of changes, a late enough read reports the rest and is accepted."""
    ledger = accepting(own=history[0])
    for number, state in enumerate(history):
        ledger = applied(ledger, read_result(number, {OWN: state})).ledger
    last = applied(ledger, read_result(len(history) + HORIZON_SECONDS + 1, {OWN: history[-1]}))

    assert last.ledger.accepted_for(OWN).state.agrees(history[-1])
    assert last.read_again_at is None


@pytest.mark.parametrize("scope", [a_scope("/a"), a_scope("/a/**")])
def test_the_next_read_is_at_the_earliest_moment(scope: Scope) -> None:
    """Of a suspect read and an open claim the earlier one decides."""
    ledger = a_ledger(
        {OWN: a_belief(a_body(A=1))},
        scopes=[scope],
        unmatched_events=(UnmatchedImportEvent(a_folder("/a"), at(58)),),
    )

    assert applied(ledger, read_result(59, {}, scope)).read_again_at == at(HORIZON_SECONDS)


@given(few_scopes, st.lists(few_scopes, min_size=1, max_size=2))
def test_a_pending_restart_outlives_every_scope_that_it_overlaps(owed: Scope, wanted: list[Scope]) -> None:
    """It is dropped only when none of its folders is in scope any more."""
    change = Change(owed, "A", frozenset({UPDATE}))
    ledger = a_ledger(None, a_debt("web", 1, change), scopes=[a_scope("/elsewhere")])

    kept = applied(ledger, read_result(1, {}, *wanted)).ledger.pending

    assert bool(kept) == any(scope.overlaps(owed) for scope in wanted)


def test_an_unverified_partition_keeps_its_accepted_state() -> None:
    """A possibly hidden partition changes nothing and makes no read due."""
    ledger = accepting(own=a_body(A=1))
    late = read_result(HORIZON_SECONDS + 1, {})

    taken = applied(ledger, late.with_unverified([OWN]))

    assert list(unconfirmed_removals(ledger, late, ())) == [OWN]
    assert (taken.changes, taken.read_again_at) == ((), None)
    assert taken.ledger.accepted_for(OWN).state == a_body(A=1)


def test_future_moments_become_now() -> None:
    """A clock that was a day ahead, or an edit by hand, hides no change."""
    ledger = replace(
        accepting(own=a_body(A=1)), baselined_at=at(86_400), accepted={OWN: a_belief(a_body(A=1), 86_400)}
    )

    now = applied(ledger, read_result(0, {OWN: a_body(A=1)}))
    later = applied(now.ledger, read_result(HORIZON_SECONDS + 1, {OWN: a_body(A=1, B=1)}))

    assert now.ledger.accepted_for(OWN).accepted_at == at(0)
    assert [change.key for change in later.changes] == ["B"]


def test_a_change_without_an_event_was_missed() -> None:
    """A change with an event, or of an import, was not missed; any other one was."""
    told, missed, imported = a_change("A", UPDATE), a_change("B", UPDATE), a_change("C", IMPORT)

    assert without_event((told, missed, imported), (received(an_event(UPDATE, "/a", "A")),)) == (missed,)


# -- what left the scope a moment ago ---------------------------------------------------------------


def test_a_read_that_lags_behind_an_edit_is_no_baseline() -> None:
    """A folder that left the scope and returned does not get the state from before it left."""
    ledger = accepting(own=a_body(A=2))
    left = applied(ledger, read_result(5, {}, a_scope("/b"))).ledger

    stale = applied(left, read_result(10, {OWN: a_body(A=1)}, a_scope("/a"), a_scope("/b")))
    fresh = applied(stale.ledger, read_result(15, {OWN: a_body(A=2)}, a_scope("/a"), a_scope("/b")))

    assert stale.ledger.accepted_for(OWN).state == a_body(A=2)
    assert (stale.changes, fresh.changes) == ((), ())
    assert fresh.ledger.recently_removed == {}


def test_changes_out_of_scope_are_part_of_the_baseline() -> None:
    """A folder that is in scope again is accepted as it is, and no workload restarts."""
    left = applied(accepting(own=a_body(A=1)), read_result(5, {}, a_scope("/b"))).ledger

    back = applied(left, read_result(10, {OWN: a_body(A=2)}, a_scope("/a"), a_scope("/b")))

    assert (back.changes, back.ledger.accepted_for(OWN).state) == ((), a_body(A=2))


def test_a_recently_removed_partition_is_forgotten_after_the_read_lag() -> None:
    """No read is that old."""
    left = applied(accepting(own=a_body(A=2)), read_result(5, {}, a_scope("/b"))).ledger

    later = applied(left, read_result(5 + HORIZON_SECONDS + 1, {}, a_scope("/b"))).ledger

    assert (len(left.recently_removed), later.recently_removed) == (1, {})


def test_a_suspect_import_is_accepted_before_its_scope_is_left() -> None:
    """Under another scope it would be a baseline, so a restart too many is better than one too few."""
    ledger = a_ledger({OWN: a_belief(a_body(A=1))}, scopes=[a_scope("/a")])
    old = read_result(5, {OWN: a_body(A=1), IMPORTED: a_body(B=1)}, a_scope("/a"))
    new = read_result(6, {OWN: a_body(A=1), WIDE_IMPORT: a_body(B=1)}, WIDE)

    alone = applied(ledger, old)
    edited = apply_snapshots(ledger, (old, new), (), at(6))

    assert (alone.changes, edited.changes) == ((), (a_change("B", IMPORT),))
    assert edited.ledger.accepted_for(WIDE_IMPORT).state == a_body(B=1)
