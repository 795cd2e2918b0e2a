"""When a read is accepted, suspected of being stale, or unchanged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_events.core.ledger.acceptance import (
    MAX_READ_LAG,
    AcceptedState,
    Assessment,
    ReceivedEvent,
    assess,
    unconfirmed_removal,
)
from infisical_events.core.snapshots.events import SecretEvent
from infisical_events.core.snapshots.snapshots import ABSENT, Partition, PartitionState
from support.builders import (
    CREATE,
    DELETE,
    IMPORT,
    UPDATE,
    a_partition,
    a_partition_state,
    an_accepted_state,
    an_event,
    at,
    received,
)
from support.strategies import few_accepted_states, few_moments, few_partitions, received_events, states

OWN, IMPORTED = a_partition("/a"), a_partition("/a", source="/shared")
BELIEVED = a_partition_state(A=2, B=1)
YOUNG, OLD = at(MAX_READ_LAG.total_seconds()), at(MAX_READ_LAG.total_seconds() + 0.001)
SAME, ACCEPTED, SUSPECT = Assessment


def assessed(
    seen: PartitionState, *told: SecretEvent, partition: Partition = OWN, current: PartitionState = BELIEVED
) -> Assessment:
    """The assessment of a read 10 s after the accepted state, with events received 5 s after it."""
    return assess(partition, an_accepted_state(current), seen, at(10), [received(event, 5) for event in told])


def test_what_is_believed_is_the_same() -> None:
    """An equal body is no news, however late."""
    assert assess(OWN, an_accepted_state(BELIEVED), BELIEVED, at(1000), ()) is SAME


@pytest.mark.parametrize(
    "seen", [a_partition_state(A=3, B=1), a_partition_state(A=3), a_partition_state(A=2, B=2, C=1)]
)
def test_a_version_that_rose_proves_a_body_newer(seen: PartitionState) -> None:
    """No lagging read shows a version that was not there yet."""
    assert assessed(seen) is ACCEPTED


@pytest.mark.parametrize(
    "seen",
    [
        a_partition_state(A=1, B=1),
        a_partition_state(A=1, B=2),
        a_partition_state(B=1),
        a_partition_state(A=2, B=1, C=1),
        a_partition_state(),
    ],
)
def test_a_possibly_older_read_is_suspect(seen: PartitionState) -> None:
    """A lower version, or one key more or less, may come from a read before the accepted state."""
    assert assessed(seen) is SUSPECT


@pytest.mark.parametrize(
    "seen", [a_partition_state(A=1, B=1), a_partition_state(), a_partition_state(A=2, B=1, C=1)]
)
def test_after_the_read_lag_every_state_is_accepted(seen: PartitionState) -> None:
    """A read that began after the longest read lag shows the true state, also a real rollback."""
    assert assess(OWN, an_accepted_state(BELIEVED), seen, YOUNG, ()) is SUSPECT
    assert assess(OWN, an_accepted_state(BELIEVED), seen, OLD, ()) is ACCEPTED


@pytest.mark.parametrize(
    ("seen", "events"),
    [
        (a_partition_state(A=2, B=1, C=1), [an_event(CREATE, "/a", "C")]),
        (a_partition_state(A=2, B=1, C=1), [an_event(UPDATE, "/a", "C")]),
        (a_partition_state(A=2), [an_event(DELETE, "/a", "B", "X")]),
        (a_partition_state(A=2, C=("B", 1)), [an_event(UPDATE, "/a", "B", "C")]),
        (a_partition_state(A=2, B=("new", 1)), [an_event(DELETE, "/a", "B"), an_event(CREATE, "/a", "B")]),
        (a_partition_state(B=1, C=1), [an_event(DELETE, "/a", "A"), an_event(CREATE, "/a", "C")]),
    ],
    ids=["create", "upsert", "delete", "rename", "replace", "two changes"],
)
def test_events_corroborate_what_no_version_proves(seen: PartitionState, events: list[SecretEvent]) -> None:
    """One key more or less is accepted at once if received events say the same."""
    assert assessed(seen, *events) is ACCEPTED


@pytest.mark.parametrize(
    ("seen", "events"),
    [
        (a_partition_state(A=2, B=1, C=1), [an_event(DELETE, "/a", "C")]),
        (a_partition_state(A=2, B=1, C=1), [an_event(CREATE, "/b", "C")]),
        (a_partition_state(A=2, B=1, C=1), [an_event(CREATE, "/a", "D")]),
        (a_partition_state(A=2, B=1, C=1, D=1), [an_event(CREATE, "/a", "C")]),
        (a_partition_state(A=2), [an_event(UPDATE, "/a", "B")]),
        (a_partition_state(A=2), [an_event(IMPORT, "/a")]),
        (a_partition_state(A=2, B=("new", 1)), [an_event(CREATE, "/a", "B")]),
        (a_partition_state(A=1, B=1), [an_event(UPDATE, "/a", "A")]),
        (a_partition_state(B=1), [an_event(UPDATE, "/a", "A")]),
    ],
    ids=[
        "another type",
        "another folder",
        "another key",
        "one of two changes",
        "an update is no delete",
        "an import is no own secret",
        "half of a replacement",
        "an older version",
        "from before a create",
    ],
)
def test_other_events_corroborate_nothing(seen: PartitionState, events: list[SecretEvent]) -> None:
    """Without a matching event a difference stays suspect, and an older version does with any event."""
    assert assessed(seen, *events) is SUSPECT


@pytest.mark.parametrize("seconds", [-1, 0])
def test_an_event_before_the_accepted_state_corroborates_nothing(seconds: float) -> None:
    """The accepted state already contains what such an event is about."""
    told = [received(an_event(CREATE, "/a", "C"), seconds)]

    assert assess(OWN, an_accepted_state(BELIEVED), a_partition_state(A=2, B=1, C=1), at(10), told) is SUSPECT


def test_an_import_mutation_corroborates_an_import() -> None:
    """The event names a folder and no keys; a recursive read also shows imports of that folder."""
    below = a_partition("/**", source="/shared")

    def new(*told: SecretEvent, partition: Partition = IMPORTED) -> Assessment:
        return assessed(a_partition_state(A=2), *told, partition=partition, current=a_partition_state())

    assert new(an_event(IMPORT, "/a")) is ACCEPTED
    assert new(an_event(IMPORT, "/a"), partition=below) is ACCEPTED
    assert new(an_event(IMPORT, "/b")) is SUSPECT
    assert new(an_event(CREATE, "/a", "A")) is SUSPECT
    assert new() is SUSPECT


def test_a_late_import_mutation_brings_nothing_back() -> None:
    """The server sends it seconds after the change, when a read may still be older."""
    assert assessed(a_partition_state(A=2, B=1, C=1), an_event(IMPORT, "/a"), partition=IMPORTED) is SUSPECT
    assert assessed(a_partition_state(A=2), an_event(IMPORT, "/a"), partition=IMPORTED) is SUSPECT
    assert assessed(a_partition_state(A=1, B=1), an_event(IMPORT, "/a"), partition=IMPORTED) is SUSPECT


def test_a_deleted_secret_does_not_come_back() -> None:
    """A recreated secret has another id: an early read with the old id is stale."""
    current = an_accepted_state(BELIEVED).succeeded_by(a_partition_state(A=2), at(5))
    told = [received(an_event(CREATE, "/a", "B"), 6)]

    assert assess(OWN, current, BELIEVED, at(10), told) is SUSPECT
    assert assess(OWN, current, a_partition_state(A=3, B=1), at(10), told) is SUSPECT
    assert assess(OWN, current, a_partition_state(A=2, B=("new", 1)), at(10), told) is ACCEPTED
    assert assess(OWN, current, BELIEVED, at(6 + MAX_READ_LAG.total_seconds()), ()) is ACCEPTED


def test_removed_ids_are_kept_for_a_while() -> None:
    """Removed ids are kept as long as a stale read may show them; ids that came back are dropped."""
    first = an_accepted_state(a_partition_state(A=1, B=1)).succeeded_by(a_partition_state(A=1), at(1))
    horizon = MAX_READ_LAG.total_seconds()

    assert first == AcceptedState(a_partition_state(A=1), at(1), frozenset("B"))
    assert first.succeeded_by(a_partition_state(), at(1 + horizon)).removed_ids == {"A", "B"}
    assert first.succeeded_by(a_partition_state(), at(1.001 + horizon)).removed_ids == {"A"}
    assert first.succeeded_by(a_partition_state(A=1, B=1), at(2)).removed_ids == frozenset()


@given(few_accepted_states, st.lists(states, max_size=4))
def test_nothing_is_both_there_and_gone(accepted: AcceptedState, history: list[PartitionState]) -> None:
    """After any history, the ids of the accepted state and the removed ids are disjoint."""
    for seconds, state in enumerate(history, start=100):
        accepted = accepted.succeeded_by(state, at(seconds))

    assert accepted.removed_ids.isdisjoint(accepted.state.ids)


@given(few_partitions, few_accepted_states, states, few_moments, received_events)
def test_no_early_read_reverts_a_version(
    partition: Partition,
    current: AcceptedState,
    seen: PartitionState,
    started: object,
    told: tuple[ReceivedEvent, ...],
) -> None:
    """With any events, no state within the read lag is accepted with an older version of a secret."""
    versions = {
        secret_version.id: secret_version.version for secret_version in current.state.versions.values()
    }
    is_lower = any(s.version < versions.get(s.id, 0) for s in seen.versions.values())
    goes_back = is_lower or not current.removed_ids.isdisjoint(seen.ids)
    is_young = started <= current.accepted_at + MAX_READ_LAG

    verdict = assess(partition, current, seen, started, told)

    assert (verdict is SAME) == current.state.agrees(seen)
    assert not (verdict is ACCEPTED and is_young and goes_back)
    assert verdict is not SUSPECT or is_young


LATE = MAX_READ_LAG.total_seconds() + 1


def test_removal_of_most_keys_without_an_event_is_unconfirmed() -> None:
    """All keys, or more than half of at least 3: the server omits keys without the right to describe them."""
    accepted = an_accepted_state(a_partition_state(A=1, B=1, C=1))

    assert unconfirmed_removal(OWN, accepted, ABSENT, at(LATE), ()) == "A"
    assert unconfirmed_removal(OWN, accepted, a_partition_state(A=1), at(LATE), ()) == "B"
    assert unconfirmed_removal(OWN, accepted, a_partition_state(A=1, B=1), at(LATE), ()) is None
    assert (
        unconfirmed_removal(
            OWN, an_accepted_state(a_partition_state(A=1, B=1)), a_partition_state(A=1), at(LATE), ()
        )
        is None
    )


def test_some_removals_need_no_confirmation() -> None:
    """Delete events confirm a removal, a suspect read waits anyway, and imports are not checked."""
    accepted, told = an_accepted_state(a_partition_state(A=1)), [received(an_event(DELETE, "/a", "A"), 5)]

    assert unconfirmed_removal(OWN, accepted, ABSENT, at(LATE), told) is None
    assert unconfirmed_removal(OWN, accepted, ABSENT, at(10), ()) is None
    assert unconfirmed_removal(IMPORTED, accepted, ABSENT, at(LATE), ()) is None
