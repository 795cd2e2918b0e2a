"""Laws of the ledger's steps, for any states, scopes and events."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_events.core.ledger.acceptance import MAX_READ_LAG, ReceivedEvent, unconfirmed_removals
from infisical_events.core.ledger.event_correlation import (
    without_event,
)
from infisical_events.core.ledger.ledger import (
    Ledger,
    UnmatchedImportEvent,
)
from infisical_events.core.ledger.transitions import apply_snapshot
from infisical_events.core.paths.scopes import Scope
from infisical_events.core.snapshots.changes import Change, diff_by_content
from infisical_events.core.snapshots.snapshots import PartitionState, Snapshot, is_covered
from support.builders import (
    IMPORT,
    UPDATE,
    a_change,
    a_folder,
    a_ledger,
    a_partition_state,
    a_pending_restart,
    a_scope,
    an_accepted_state,
    an_event,
    at,
    received,
)
from support.strategies import (
    few_ledgers,
    few_scopes,
    ledgers_with_snapshots,
    own_states,
    received_events,
    snapshots,
)
from support.transitions import (
    HORIZON_SECONDS,
    OWN,
    accepting,
    applied,
    read_result,
)

# -- laws -----------------------------------------------------------------------------------------


@given(ledgers_with_snapshots, received_events)
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


@given(few_ledgers, snapshots, received_events)
def test_the_same_snapshot_of_another_scope_changes_nothing(
    ledger: Ledger, snapshot: Snapshot, told: tuple[ReceivedEvent, ...]
) -> None:
    """A scope is changed once: taken in again it is the same scope."""
    now = max(snapshot.finished, *(entry.received_at for entry in told), snapshot.finished)
    once = apply_snapshot(ledger, snapshot, told, now)
    twice = apply_snapshot(once.ledger, snapshot, (), now)

    assert (twice.changes, twice.expired_import_events, twice.ledger) == ((), (), once.ledger)


@given(few_ledgers, snapshots, received_events)
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


@given(ledgers_with_snapshots, received_events)
def test_reported_changes_are_the_difference_of_accepted_states(
    meeting: tuple[Ledger, Snapshot], told: tuple[ReceivedEvent, ...]
) -> None:
    """A change is reported for exactly the keys whose accepted version and value differ."""
    ledger, snapshot = meeting
    found = apply_snapshot(ledger, snapshot, told, snapshot.finished)
    moved = {
        (change.scope, change.key)
        for partition in {*ledger.accepted, *snapshot.partitions}
        for change in diff_by_content(
            partition, ledger.accepted_for(partition).state, found.ledger.accepted_for(partition).state
        )[0]
    }

    assert {(change.scope, change.key) for change in found.changes} == moved


@given(few_ledgers, snapshots, received_events)
def test_a_ledger_holds_nothing_out_of_scope(
    ledger: Ledger, snapshot: Snapshot, told: tuple[ReceivedEvent, ...]
) -> None:
    """After a read it has no state out of scope, and no new pending restart by itself."""
    after = apply_snapshot(ledger, snapshot, told, snapshot.finished).ledger

    assert after.scopes == snapshot.scopes
    assert all(is_covered(partition, after.scopes) for partition in after.accepted)
    assert (after.epoch, after.seq, after.header) == (ledger.epoch, ledger.seq, ledger.header)


@given(st.lists(own_states, min_size=1, max_size=5))
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
        {OWN: an_accepted_state(a_partition_state(A=1))},
        scopes=[scope],
        unmatched_events=(UnmatchedImportEvent(a_folder("/a"), at(58)),),
    )

    assert applied(ledger, read_result(59, {}, scope)).read_again_at == at(HORIZON_SECONDS)


@given(few_scopes, st.lists(few_scopes, min_size=1, max_size=2))
def test_a_pending_restart_outlives_every_scope_that_it_overlaps(owed: Scope, wanted: list[Scope]) -> None:
    """It is dropped only when none of its folders is in scope any more."""
    change = Change(owed, "A", frozenset({UPDATE}))
    ledger = a_ledger(None, a_pending_restart("web", 1, change), scopes=[a_scope("/elsewhere")])

    kept = applied(ledger, read_result(1, {}, *wanted)).ledger.pending

    assert bool(kept) == any(scope.overlaps(owed) for scope in wanted)


def test_an_unverified_partition_keeps_its_accepted_state() -> None:
    """A possibly hidden partition changes nothing and makes no read due."""
    ledger = accepting(own=a_partition_state(A=1))
    late = read_result(HORIZON_SECONDS + 1, {})

    taken = applied(ledger, late.with_unverified([OWN]))

    assert list(unconfirmed_removals(ledger.accepted, late, ())) == [OWN]
    assert (taken.changes, taken.read_again_at) == ((), None)
    assert taken.ledger.accepted_for(OWN).state == a_partition_state(A=1)


def test_future_moments_become_now() -> None:
    """A clock that was a day ahead, or an edit by hand, hides no change."""
    ledger = replace(
        accepting(own=a_partition_state(A=1)),
        baselined_at=at(86_400),
        accepted={OWN: an_accepted_state(a_partition_state(A=1), 86_400)},
    )

    now = applied(ledger, read_result(0, {OWN: a_partition_state(A=1)}))
    later = applied(now.ledger, read_result(HORIZON_SECONDS + 1, {OWN: a_partition_state(A=1, B=1)}))

    assert now.ledger.accepted_for(OWN).accepted_at == at(0)
    assert [change.key for change in later.changes] == ["B"]


def test_a_change_without_an_event_was_missed() -> None:
    """A change with an event, or of an import, was not missed; any other one was."""
    told, missed, imported = a_change("A", UPDATE), a_change("B", UPDATE), a_change("C", IMPORT)

    assert without_event((told, missed, imported), (received(an_event(UPDATE, "/a", "A")),)) == (missed,)
