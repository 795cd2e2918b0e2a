"""The ledger's steps: a baseline, an observation taken in, a changed scope."""

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
    """What is seen at a moment."""
    return an_observation(partitions, scopes=scopes, seconds=seconds)


def applied(ledger: Ledger, snapshot: Snapshot, *told: ReceivedEvent) -> AppliedSnapshots:
    """The observation taken in as soon as it was made."""
    return apply_snapshot(ledger, snapshot, told, snapshot.finished)


def believing(**states: PartitionState) -> Ledger:
    """A ledger of the folder `/a` that believes its `own` secrets, what it `imported`, or both."""
    partitions = {"own": OWN, "imported": IMPORTED}
    return a_ledger({partitions[name]: a_belief(state) for name, state in states.items()})


# -- baseline -------------------------------------------------------------------------------------


@given(snapshots)
def test_a_baseline_owes_nothing(snapshot: Snapshot) -> None:
    """The first sight is believed as it stands, as of the end of the look; the same again is no change."""
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
    """The look that shows it tells it, and is believed; the next look tells nothing."""
    first = applied(believing(own=a_body(A=1)), read_result(5, {OWN: a_body(A=2)}))
    second = applied(first.ledger, read_result(6, {OWN: a_body(A=2)}))

    assert first.changes == (a_change("A"),)
    assert first.ledger == a_ledger({OWN: a_belief(a_body(A=2), seconds=5)})
    assert (second.changes, second.ledger) == ((), first.ledger)


def test_an_equal_look_does_not_refresh_the_belief() -> None:
    """Only then a suspect read can be decided at a fixed moment."""
    ledger = believing(own=a_body(A=1))

    assert applied(ledger, read_result(30, {OWN: a_body(A=1)})).ledger == ledger


def test_own_and_imported_secrets_of_one_folder_are_looked_at_together() -> None:
    """A folder that has secrets and imports others is the usual case: a change of either is found."""
    ledger = believing(own=a_body(A=1), imported=a_body(B=1))

    found = applied(ledger, read_result(1, {OWN: a_body(A=2), IMPORTED: a_body(B=2)}))

    assert found.changes == (a_change("B", IMPORT), a_change("A"))


def test_every_change_is_told_however_many_there_are() -> None:
    """Whom they concern is decided on all of them, one by one."""
    before = a_body(**{f"KEY_{number:03}": 1 for number in range(200)})
    after = a_body(**{f"KEY_{number:03}": 2 for number in range(200)})

    changes = applied(believing(own=before), read_result(1, {OWN: after})).changes

    assert changes == tuple(a_change(f"KEY_{number:03}") for number in range(200))


def test_a_belief_is_of_the_end_of_its_look() -> None:
    """What came within the look is not taken for newer than it."""
    long_look = Snapshot((a_scope("/a"),), {OWN: a_body(A=2)}, at(5), at(9))

    after = apply_snapshot(believing(own=a_body(A=1)), long_look, (), at(10)).ledger

    assert after.accepted == {OWN: a_belief(a_body(A=2), seconds=9)}


def test_the_first_of_several_suspect_reads_is_decided_first() -> None:
    """Every part has its own horizon; the next look is owed at the earliest of them."""
    tree, other = a_scope("/a/**"), a_part("/a/b")
    held = {OWN: a_belief(a_body(A=1), seconds=9), other: a_belief(a_body(B=1), seconds=4)}

    found = applied(a_ledger(held, scopes=[tree]), read_result(10, {}, tree))

    assert found.read_again_at == at(HORIZON_SECONDS + 4)


def test_a_suspect_read_waits_for_the_horizon() -> None:
    """A key less is believed neither at once nor never: the next look is owed at the horizon."""
    ledger = believing(own=a_body(A=1, B=1))

    early = applied(ledger, read_result(30, {OWN: a_body(A=1)}))
    late = applied(early.ledger, read_result(HORIZON_SECONDS + 1, {OWN: a_body(A=1)}))

    assert (early.ledger, early.changes, early.read_again_at) == (ledger, (), at(HORIZON_SECONDS))
    assert (late.changes, late.read_again_at) == ((a_change("B", DELETE),), None)


def test_a_lagging_read_changes_nothing() -> None:
    """From one version to the next, back by a replica that lags, and on again: one change."""
    first = applied(
        believing(own=a_body(A=1)),
        read_result(5, {OWN: a_body(A=2)}),
        received(an_event(UPDATE, "/a", "A"), 4),
    )
    lagging = applied(
        first.ledger, read_result(6, {OWN: a_body(A=1)}), received(an_event(UPDATE, "/a", "A"), 5.5)
    )
    after = applied(lagging.ledger, read_result(7, {OWN: a_body(A=2)}))

    assert [first.changes, lagging.changes, after.changes] == [(a_change("A"),), (), ()]
    assert after.ledger == first.ledger


def test_what_was_heard_adds_its_types() -> None:
    """An upsert is a create in the state and an update on the wire: both are told."""
    event = received(an_event(UPDATE, "/a", "B"), 4)

    found = applied(believing(own=a_body(A=1)), read_result(5, {OWN: a_body(A=1, B=1)}), event)

    assert found.changes == (a_change("B", CREATE, UPDATE),)
    assert found.unshown_events == ()


def test_what_was_heard_elsewhere_adds_nothing() -> None:
    """Neither another key nor another folder lends its type."""
    events = [received(an_event(DELETE, "/a", "B"), 4), received(an_event(CREATE, "/b", "A"), 4)]

    assert applied(believing(own=a_body(A=1)), read_result(5, {OWN: a_body(A=2)}), *events).changes == (
        a_change("A"),
    )


# -- what comes and goes --------------------------------------------------------------------------


def test_a_folder_that_goes_is_remembered_until_no_read_can_show_it() -> None:
    """A stale read cannot make it come back; afterwards nothing of it is kept."""
    ledger = replace(
        believing(own=a_body(A=1)), baselined_at=at(-1000), accepted={OWN: a_belief(a_body(A=1), -1000)}
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
    ledger, event = believing(own=a_body(A=1, B=1)), received(an_event(UPDATE, "/a", "A", "B"), 0)

    partition = applied(ledger, read_result(1, {OWN: a_body(A=2, B=1)}), event)
    whole = applied(ledger, read_result(1, {OWN: a_body(A=2, B=2)}), event)
    patient = applied(ledger, read_result(PATIENCE_SECONDS, {OWN: a_body(A=1, B=1)}), event)
    tired = applied(ledger, read_result(PATIENCE_SECONDS + 1, {OWN: a_body(A=1, B=1)}), event)

    assert [a.unshown_events for a in (partition, whole, patient, tired)] == [(event,), (), (event,), ()]


def test_a_change_of_another_folder_shows_nothing_of_an_event() -> None:
    """Keys of the same name lie in many folders."""
    event = received(an_event(UPDATE, "/b", "A"), 0)

    assert applied(believing(own=a_body(A=1)), read_result(1, {OWN: a_body(A=2)}), event).unshown_events == (
        event,
    )


# -- import mutations -----------------------------------------------------------------------------

MUTATION = an_event(IMPORT, "/a")
CLAIM = UnmatchedImportEvent(a_folder("/a"), at(0))


def test_an_import_mutation_that_shows_is_one_change() -> None:
    """Heard and seen at once: it leaves neither a claim nor a credit."""
    found = applied(
        believing(imported=a_body(B=1)), read_result(5, {IMPORTED: a_body(B=2)}), received(MUTATION, 4)
    )

    assert found.changes == (a_change("B", IMPORT),)
    assert (found.ledger.unmatched_events, found.ledger.unmatched_changes, found.expired_import_events) == (
        (),
        (),
        (),
    )


def test_an_import_mutation_heard_first_is_a_claim() -> None:
    """It is kept, another look is owed, and the difference that shows then consumes it."""
    ledger = believing(imported=a_body(B=1))

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


def test_an_import_mutation_seen_first_is_a_credit() -> None:
    """The event that comes late is paid for, once, and only for a while."""
    first = applied(believing(imported=a_body(B=1)), read_result(1, {IMPORTED: a_body(B=2)}))
    again = read_result(8, {IMPORTED: a_body(B=2)})

    paid = applied(first.ledger, again, received(MUTATION, 8))
    twice = applied(paid.ledger, again, received(MUTATION, 8))
    expired = applied(first.ledger, read_result(1 + CREDIT_SECONDS, {IMPORTED: a_body(B=2)}))

    assert first.ledger.unmatched_changes == (UnmatchedImportChange(a_scope("/a"), at(1 + CREDIT_SECONDS)),)
    assert (paid.ledger.unmatched_changes, paid.ledger.unmatched_events) == ((), ())
    assert len(twice.ledger.unmatched_events) == 1
    assert expired.ledger.unmatched_changes == ()


def test_an_import_mutation_that_never_shows_is_believed_once() -> None:
    """A reference changed, which no list shows: after a while it is told, and not again."""
    ledger = replace(believing(own=a_body(A=1)), unmatched_events=(CLAIM,))

    early = applied(ledger, read_result(CLAIM_SECONDS - 0.001, {OWN: a_body(A=1)}))
    late = applied(ledger, read_result(CLAIM_SECONDS, {OWN: a_body(A=1)}))
    after = applied(late.ledger, read_result(CLAIM_SECONDS + 1, {OWN: a_body(A=1)}))

    assert (early.expired_import_events, early.ledger.unmatched_events) == ((), (CLAIM,))
    assert (late.expired_import_events, late.ledger.unmatched_events) == ((CLAIM,), ())
    assert (after.expired_import_events, after.changes) == ((), ())


def test_a_claim_is_one_for_each_folder() -> None:
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


def test_a_claim_is_of_a_folder_in_scope() -> None:
    """An import mutation of a folder that is not looked at is no business of this subscription."""
    assert (
        applied(believing(), read_result(1, {}), received(an_event(IMPORT, "/b"), 0)).ledger.unmatched_events
        == ()
    )


def test_an_own_change_is_no_import_mutation() -> None:
    """It neither shows a claim nor leaves a credit."""
    found = applied(believing(own=a_body(A=1)), read_result(1, {OWN: a_body(A=2)}), received(MUTATION, 1))

    assert (found.ledger.unmatched_events, found.ledger.unmatched_changes) == (
        (UnmatchedImportEvent(a_folder("/a"), at(1)),),
        (),
    )


def test_a_look_at_all_below_shows_the_mutations_of_its_folders() -> None:
    """There an import belongs to the scope, since the list does not tell which folder imports."""
    tree, partition = a_scope("/**"), a_part("/**", source="/shared")
    ledger = a_ledger({partition: a_belief(a_body(B=1))}, scopes=[tree])

    found = applied(
        ledger, read_result(5, {partition: a_body(B=2)}, tree), received(an_event(IMPORT, "/a/b"), 4)
    )

    assert found.changes == (a_change("B", IMPORT, path="/**"),)
    assert (found.ledger.unmatched_events, found.ledger.unmatched_changes) == ((), ())


# -- another scope --------------------------------------------------------------------------------


def test_a_widened_scope_is_baselined() -> None:
    """What was not looked at before is believed as it stands; the rest goes on as it was."""
    tree, below = a_scope("/a/**"), a_part("/a/b")
    wider = applied(believing(own=a_body(A=1)), read_result(5, {OWN: a_body(A=2), below: a_body(B=7)}, tree))

    assert wider.changes == (a_change("A"),)
    assert wider.ledger.accepted == {
        OWN: a_belief(a_body(A=2), seconds=5),
        below: a_belief(a_body(B=7), seconds=5),
    }
    assert (wider.ledger.scopes, wider.ledger.baselined_at) == ((tree,), at(5))


def test_a_narrowed_scope_forgets() -> None:
    """Belief, debts and claims of what is not looked at any more go, those of the rest stay."""
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


def test_an_import_keeps_its_belief_in_a_wider_scope() -> None:
    """It is known by the scope that shows it; what changed meanwhile is found under the new name."""
    ledger = believing(imported=a_body(1, B=1))

    wider = applied(ledger, read_result(5, {WIDE_IMPORT: a_body(3, B=2, C=1)}, WIDE))

    assert wider.changes == (a_change("B", IMPORT, path="/**"), a_change("C", IMPORT, path="/**"))
    assert list(wider.ledger.accepted) == [WIDE_IMPORT]


def test_another_rank_in_another_scope_is_no_change() -> None:
    """In a list of more imports the same one has another place."""
    wider = applied(believing(imported=a_body(1, B=1)), read_result(5, {WIDE_IMPORT: a_body(3, B=1)}, WIDE))

    assert wider.changes == ()
    assert wider.ledger.accepted == {WIDE_IMPORT: a_belief(a_body(3, B=1))}


def test_an_import_that_was_removed_is_missed_in_a_wider_scope() -> None:
    """The wider list would show it: after the horizon its keys are told."""
    ledger = believing(imported=a_body(B=1))

    early = applied(ledger, read_result(5, {}, WIDE))
    late = applied(early.ledger, read_result(HORIZON_SECONDS + 1, {}, WIDE))

    assert (early.changes, early.read_again_at) == ((), at(HORIZON_SECONDS))
    assert late.changes == (a_change("B", IMPORT, path="/**"),)


def test_an_import_keeps_its_belief_in_a_narrower_scope_that_shows_it() -> None:
    """One that is not shown there belonged to another folder, and is forgotten."""
    ledger = a_ledger({WIDE_IMPORT: a_belief(a_body(B=1))}, scopes=[WIDE])

    shown = applied(ledger, read_result(5, {IMPORTED: a_body(B=2)}, a_scope("/a")))
    forgotten = applied(ledger, read_result(5, {}, a_scope("/a")))

    assert shown.changes == (a_change("B", IMPORT),)
    assert (forgotten.changes, forgotten.ledger.accepted) == ((), {})


def test_an_import_of_a_folder_below_is_forgotten_with_it() -> None:
    """Of a tree only its top is looked at any more, and that does not import it."""
    tree, partition = a_scope("/a/**"), a_part("/a/**", source="/shared")

    top = applied(
        a_ledger({partition: a_belief(a_body(B=1))}, scopes=[tree]), read_result(5, {}, a_scope("/a"))
    )

    assert (top.ledger.accepted, top.read_again_at) == ({}, None)


def test_an_import_does_not_wander_to_a_folder_beside() -> None:
    """There it is an import that was not looked at before, though it brings the same."""
    beside = a_part("/b", source="/shared")

    moved = applied(believing(imported=a_body(B=1)), read_result(5, {beside: a_body(B=2)}, a_scope("/b")))

    assert (moved.changes, moved.ledger.accepted) == ((), {beside: a_belief(a_body(B=2), seconds=5)})


def test_looks_one_after_the_other_are_one() -> None:
    """What the old scope shows for the last time and what the new one shows is told together."""
    looks = (read_result(5, {OWN: a_body(A=2)}), read_result(6, {a_part("/b"): a_body(B=1)}, a_scope("/b")))
    ledger = replace(
        believing(own=a_body(A=1)), unmatched_events=(UnmatchedImportEvent(a_folder("/a"), at(-9)),)
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


def test_what_one_look_showed_is_no_claim_in_the_next() -> None:
    """An import mutation is consumed once, by the look that shows it."""
    looks = (read_result(5, {IMPORTED: a_body(B=2)}), read_result(6, {WIDE_IMPORT: a_body(B=2)}, WIDE))

    found = apply_snapshots(believing(imported=a_body(B=1)), looks, (received(MUTATION, 4),), at(6))

    assert found.changes == (a_change("B", IMPORT),)
    assert (found.ledger.unmatched_events, found.ledger.unmatched_changes) == ((), ())


@given(held_ledgers, snapshots, hearings)
def test_one_look_is_a_look(ledger: Ledger, snapshot: Snapshot, told: tuple[ReceivedEvent, ...]) -> None:
    """Where no scope changed there is one look only, and it is taken in like any other."""
    now = snapshot.finished

    assert apply_snapshots(ledger, [snapshot], told, now) == apply_snapshot(ledger, snapshot, told, now)


def test_the_same_scope_is_no_new_baseline() -> None:
    """Only another scope moves the moment at which absent parts count as absent."""
    ledger = believing(own=a_body(A=1))

    assert applied(ledger, read_result(5, {OWN: a_body(A=1)})).ledger.baselined_at == at(0)
    assert applied(ledger, read_result(5, {OWN: a_body(A=1)}, a_scope("/b"))).ledger.baselined_at == at(5)


def test_what_a_person_asked_for_outlives_the_scope() -> None:
    """A restart that was asked for is owed whatever is looked at; the changes that left the scope are not."""
    asked = replace(a_debt("web", 1, a_change("B", path="/b")), is_requested=True)
    ledger = a_ledger({}, asked, scopes=[a_scope("/**")])

    narrower = applied(ledger, read_result(1, {OWN: a_body(A=1)}, a_scope("/a"))).ledger

    assert narrower.pending == (replace(asked, changes=()),)


def test_debts_stay_while_the_scope_does() -> None:
    """What is owed is not the observation's business."""
    ledger = a_ledger({OWN: a_belief(a_body(A=1))}, a_debt("web", 1, a_change("B", path="/b")))

    assert applied(ledger, read_result(5, {OWN: a_body(A=1)})).ledger.pending == ledger.pending


# -- laws -----------------------------------------------------------------------------------------


@given(meetings, hearings)
def test_the_same_observation_again_is_no_news(
    meeting: tuple[Ledger, Snapshot], told: tuple[ReceivedEvent, ...]
) -> None:
    """Taken in twice it changes nothing, tells nothing, and asks for the same other look."""
    ledger, snapshot = meeting
    now = max([snapshot.finished, ledger.baselined_at, *(entry.received_at for entry in told)])
    now = max([now, *(held.accepted_at for held in ledger.accepted.values())])
    once = apply_snapshot(ledger, snapshot, told, now)
    twice = apply_snapshot(once.ledger, snapshot, (), now)

    assert (twice.changes, twice.expired_import_events) == ((), ())
    assert (twice.ledger, twice.read_again_at) == (once.ledger, once.read_again_at)


@given(held_ledgers, snapshots, hearings)
def test_the_same_observation_of_another_scope_is_no_news(
    ledger: Ledger, snapshot: Snapshot, told: tuple[ReceivedEvent, ...]
) -> None:
    """A scope is changed once: taken in again it is the same scope."""
    now = max(snapshot.finished, *(entry.received_at for entry in told), snapshot.finished)
    once = apply_snapshot(ledger, snapshot, told, now)
    twice = apply_snapshot(once.ledger, snapshot, (), now)

    assert (twice.changes, twice.expired_import_events, twice.ledger) == ((), (), once.ledger)


@given(held_ledgers, snapshots, hearings)
def test_a_belief_never_goes_back_within_the_horizon(
    ledger: Ledger, snapshot: Snapshot, told: tuple[ReceivedEvent, ...]
) -> None:
    """Whatever is seen and heard: no secret that was and is in scope is believed in an older version."""
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
def test_what_is_told_is_what_the_belief_gained(
    meeting: tuple[Ledger, Snapshot], told: tuple[ReceivedEvent, ...]
) -> None:
    """A change is told for exactly the keys of which something else is believed now."""
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
def test_a_ledger_is_of_what_was_looked_at(
    ledger: Ledger, snapshot: Snapshot, told: tuple[ReceivedEvent, ...]
) -> None:
    """After a look it remembers nothing outside of the scopes, and owes nothing new by itself."""
    after = apply_snapshot(ledger, snapshot, told, snapshot.finished).ledger

    assert after.scopes == snapshot.scopes
    assert all(is_covered(partition, after.scopes) for partition in after.accepted)
    assert (after.epoch, after.seq, after.header) == (ledger.epoch, ledger.seq, ledger.header)


@given(st.lists(own_bodies, min_size=1, max_size=5))
def test_after_the_horizon_the_belief_is_what_stands(history: list[PartitionState]) -> None:
    """However often the state changed: a look that is late enough tells the rest and is believed."""
    ledger = believing(own=history[0])
    for number, state in enumerate(history):
        ledger = applied(ledger, read_result(number, {OWN: state})).ledger
    last = applied(ledger, read_result(len(history) + HORIZON_SECONDS + 1, {OWN: history[-1]}))

    assert last.ledger.accepted_for(OWN).state.agrees(history[-1])
    assert last.read_again_at is None


@pytest.mark.parametrize("scope", [a_scope("/a"), a_scope("/a/**")])
def test_moments_of_another_look_are_the_earliest(scope: Scope) -> None:
    """Of a suspect read and an open claim the earlier one decides."""
    ledger = a_ledger(
        {OWN: a_belief(a_body(A=1))},
        scopes=[scope],
        unmatched_events=(UnmatchedImportEvent(a_folder("/a"), at(58)),),
    )

    assert applied(ledger, read_result(59, {}, scope)).read_again_at == at(HORIZON_SECONDS)


@given(few_scopes, st.lists(few_scopes, min_size=1, max_size=2))
def test_a_debt_outlives_every_scope_that_it_may_concern(owed: Scope, wanted: list[Scope]) -> None:
    """What is owed is dropped only when no folder of it is looked at any more."""
    change = Change(owed, "A", frozenset({UPDATE}))
    ledger = a_ledger(None, a_debt("web", 1, change), scopes=[a_scope("/elsewhere")])

    kept = applied(ledger, read_result(1, {}, *wanted)).ledger.pending

    assert bool(kept) == any(scope.overlaps(owed) for scope in wanted)


def test_a_doubted_part_stays_as_it_is_believed() -> None:
    """What may be hidden instead of gone changes nothing, and asks for no early look."""
    ledger = believing(own=a_body(A=1))
    late = read_result(HORIZON_SECONDS + 1, {})

    taken = applied(ledger, late.with_unverified([OWN]))

    assert list(unconfirmed_removals(ledger, late, ())) == [OWN]
    assert (taken.changes, taken.read_again_at) == ((), None)
    assert taken.ledger.accepted_for(OWN).state == a_body(A=1)


def test_moments_to_come_are_taken_for_now() -> None:
    """A clock that was a day ahead, or an edit by hand, hides no change."""
    ledger = replace(
        believing(own=a_body(A=1)), baselined_at=at(86_400), accepted={OWN: a_belief(a_body(A=1), 86_400)}
    )

    now = applied(ledger, read_result(0, {OWN: a_body(A=1)}))
    later = applied(now.ledger, read_result(HORIZON_SECONDS + 1, {OWN: a_body(A=1, B=1)}))

    assert now.ledger.accepted_for(OWN).accepted_at == at(0)
    assert [change.key for change in later.changes] == ["B"]


def test_what_no_event_had_told_was_missed() -> None:
    """A change that was heard is told, an import is told later; anything else was missed."""
    told, missed, imported = a_change("A", UPDATE), a_change("B", UPDATE), a_change("C", IMPORT)

    assert without_event((told, missed, imported), (received(an_event(UPDATE, "/a", "A")),)) == (missed,)


# -- what left the scope a moment ago ---------------------------------------------------------------


def test_a_read_that_lags_behind_an_edit_is_no_baseline() -> None:
    """A folder that left the scope and is in it again is not believed to be what it was before it left."""
    ledger = believing(own=a_body(A=2))
    left = applied(ledger, read_result(5, {}, a_scope("/b"))).ledger

    stale = applied(left, read_result(10, {OWN: a_body(A=1)}, a_scope("/a"), a_scope("/b")))
    fresh = applied(stale.ledger, read_result(15, {OWN: a_body(A=2)}, a_scope("/a"), a_scope("/b")))

    assert stale.ledger.accepted_for(OWN).state == a_body(A=2)
    assert (stale.changes, fresh.changes) == ((), ())
    assert fresh.ledger.recently_removed == {}


def test_what_changed_out_of_scope_is_part_of_the_baseline() -> None:
    """A folder that is in scope again is believed as it stands, and restarts nobody."""
    left = applied(believing(own=a_body(A=1)), read_result(5, {}, a_scope("/b"))).ledger

    back = applied(left, read_result(10, {OWN: a_body(A=2)}, a_scope("/a"), a_scope("/b")))

    assert (back.changes, back.ledger.accepted_for(OWN).state) == ((), a_body(A=2))


def test_what_left_is_forgotten_after_the_horizon() -> None:
    """No read is that old."""
    left = applied(believing(own=a_body(A=2)), read_result(5, {}, a_scope("/b"))).ledger

    later = applied(left, read_result(5 + HORIZON_SECONDS + 1, {}, a_scope("/b"))).ledger

    assert (len(left.recently_removed), later.recently_removed) == (1, {})


def test_an_import_in_doubt_is_believed_before_its_scope_is_left() -> None:
    """Under another scope it would be a baseline, so a restart too many is better than one too few."""
    ledger = a_ledger({OWN: a_belief(a_body(A=1))}, scopes=[a_scope("/a")])
    old = read_result(5, {OWN: a_body(A=1), IMPORTED: a_body(B=1)}, a_scope("/a"))
    new = read_result(6, {OWN: a_body(A=1), WIDE_IMPORT: a_body(B=1)}, WIDE)

    alone = applied(ledger, old)
    edited = apply_snapshots(ledger, (old, new), (), at(6))

    assert (alone.changes, edited.changes) == ((), (a_change("B", IMPORT),))
    assert edited.ledger.accepted_for(WIDE_IMPORT).state == a_body(B=1)
