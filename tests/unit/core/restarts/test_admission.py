"""Which restarts may be made now: order, concurrency, and a halt after a failure."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_events.api.specs import OnFailure, Order
from infisical_events.api.specs import Rollout as Rules
from infisical_events.core.ledger.ledger import Rollout, Unconfirmed
from infisical_events.core.restarts.admission import Candidate, admit, is_waiting
from infisical_events.core.restarts.decision_kinds import (
    Defer,
    RequestSync,
    Resolve,
    Restart,
    RestartDecision,
)
from infisical_events.core.status.reasons import Reason
from support.builders import START, a_pending_restart, a_workload

PENDING = a_pending_restart()
UNCONFIRMED = replace(PENDING, unconfirmed=Unconfirmed.PROVIDER_TIMED_OUT)
FREE = Rules()
HALTING = Rules(on_failure=OnFailure.HALT)
BY_WAVE = Rules(order=Order.BY_WAVE)


def due(name: str, wave: int = 0, *, is_ready: bool = True) -> Candidate:
    """A workload that is owed a restart."""
    return Candidate(f"uid-of-{name}", name, wave, is_ready)


def rolling(name: str, wave: int = 0, *, has_failed: bool = False) -> Rollout:
    """A restart that is followed."""
    return Rollout(f"uid-of-{name}", "Deployment", name, 1, START, wave, has_failed)


def answers(waiting: list[Candidate], begun: list[Rollout], rules: Rules) -> list[tuple[str, Reason | None]]:
    """By name, in the order in which they are restarted."""
    verdicts = admit(waiting, begun, rules)
    return [(uid.removeprefix("uid-of-"), reason) for uid, reason in verdicts.items()]


def test_all_at_once() -> None:
    """Without bounds everything that is ready may be restarted, in the order of names."""
    assert answers([due("b"), due("a"), due("c", 3)], [rolling("x")], FREE) == [
        ("a", None),
        ("b", None),
        ("c", None),
    ]


def test_so_many_at_a_time() -> None:
    """What rolls out already counts; the rest waits, and so does what is not ready without taking a place."""
    waiting = [due("a", is_ready=False), due("b"), due("c")]

    assert answers(waiting, [rolling("x")], Rules(max_concurrent=2)) == [
        ("a", None),
        ("b", None),
        ("c", Reason.WAITING_FOR_ROLLOUTS),
    ]


def test_a_workload_does_not_wait_for_itself() -> None:
    """One that rolls out and is owed another restart takes no second place."""
    assert answers([due("a")], [rolling("a")], Rules(max_concurrent=1)) == [("a", None)]
    assert answers([due("a")], [rolling("a"), rolling("b")], Rules(max_concurrent=1)) == [
        ("a", Reason.WAITING_FOR_ROLLOUTS)
    ]


def test_a_failed_rollout_takes_no_place() -> None:
    """It may fail for ever; the others go on unless they are to halt."""
    assert answers([due("a")], [rolling("x", has_failed=True)], Rules(max_concurrent=1)) == [("a", None)]


@pytest.mark.parametrize(
    ("begun", "expected"),
    [
        ([], [("a", None), ("b", None), ("c", Reason.WAITING_FOR_WAVE)]),
        ([rolling("x", -1)], [(name, Reason.WAITING_FOR_WAVE) for name in "abc"]),
        ([rolling("x", 9)], [("a", None), ("b", None), ("c", Reason.WAITING_FOR_WAVE)]),
    ],
)
def test_wave_after_wave(begun: list[Rollout], expected: list[tuple[str, Reason | None]]) -> None:
    """A wave begins when nothing of a lower one is due or rolling out."""
    assert answers([due("c", 2), due("b", 1), due("a", 1)], begun, BY_WAVE) == expected


def test_a_wave_waits_for_who_is_not_ready() -> None:
    """A workload of a lower wave whose Secrets are being synced comes first all the same."""
    assert answers([due("a", 0, is_ready=False), due("b", 1)], [], BY_WAVE) == [
        ("a", None),
        ("b", Reason.WAITING_FOR_WAVE),
    ]


def test_waves_count_only_where_they_are_wanted() -> None:
    """In parallel they give the order of a bound and nothing else."""
    assert answers([due("a", 2), due("b", 1)], [], Rules(max_concurrent=1)) == [
        ("b", None),
        ("a", Reason.WAITING_FOR_ROLLOUTS),
    ]


def test_a_failure_halts_the_others() -> None:
    """But not the workload that failed: its next restart may mend it."""
    failed = [rolling("a", has_failed=True)]

    assert answers([due("a"), due("b")], failed, HALTING) == [("a", None), ("b", Reason.ROLLOUT_HALTED)]
    assert answers([due("a"), due("b")], failed, FREE) == [("a", None), ("b", None)]


dues = st.lists(
    st.builds(due, st.sampled_from("abcdef"), st.integers(-2, 2), is_ready=st.booleans()),
    max_size=6,
    unique_by=lambda entry: entry.uid,
)
begun = st.lists(
    st.builds(rolling, st.sampled_from("abcxyz"), st.integers(-2, 2), has_failed=st.booleans()),
    max_size=4,
    unique_by=lambda entry: entry.uid,
)
rules = st.builds(
    Rules,
    max_concurrent=st.none() | st.integers(1, 4),
    order=st.sampled_from(Order),
    on_failure=st.sampled_from(OnFailure),
)


@given(dues, begun, rules)
def test_laws_of_admission(waiting: list[Candidate], begun: list[Rollout], rules: Rules) -> None:
    """All are answered; no more roll out than may; nothing of a higher wave; a halt lets nobody in."""
    verdicts = admit(waiting, begun, rules)
    by_uid = {entry.uid: entry for entry in waiting}
    before = {rollout.uid for rollout in begun if not rollout.has_failed}
    failed = {rollout.uid for rollout in begun if rollout.has_failed}
    let_in = {uid for uid, reason in verdicts.items() if reason is None and by_uid[uid].is_ready}

    assert verdicts.keys() == by_uid.keys()
    if rules.max_concurrent:
        assert len(let_in - before) <= max(0, rules.max_concurrent - len(before))
    if rules.order is Order.BY_WAVE and let_in:
        waves = [r.wave for r in begun if not r.has_failed] + [entry.wave for entry in waiting]
        assert {by_uid[uid].wave for uid in let_in} == {min(waves)}
    if rules.on_failure is OnFailure.HALT and failed:
        assert let_in <= failed


@given(dues, begun, rules)
def test_somebody_is_let_in(waiting: list[Candidate], begun: list[Rollout], rules: Rules) -> None:
    """Where nothing rolls out and nothing has failed, not all that are ready are kept waiting."""
    ready = [replace(entry, is_ready=True) for entry in waiting]

    assert not ready or None in admit(ready, [], rules).values()
    assert admit(ready, begun, Rules(on_failure=OnFailure.CONTINUE)) == dict.fromkeys(
        admit(ready, begun, rules)
    )


@pytest.mark.parametrize(
    ("made", "has_place"),
    [
        (RequestSync(pending=PENDING), True),
        (Defer(pending=PENDING, reason=Reason.RESYNCING), True),
        (Defer(pending=PENDING, reason=Reason.COOLING_DOWN), True),
        (Defer(pending=PENDING, reason=Reason.PAUSED), False),
        (Defer(pending=PENDING, reason=Reason.SECRET_REJECTED), False),
        (Defer(pending=PENDING, reason=Reason.RESYNC_TIMED_OUT), False),
        (Defer(pending=UNCONFIRMED, reason=Reason.RESYNCING), False),
        (Resolve(pending=PENDING, reason=Reason.NO_DATA_CHANGE), False),
        (Restart(pending=PENDING, workload=a_workload()), False),
    ],
)
def test_who_waits_in_the_order_of_restarts(made: RestartDecision, has_place: bool) -> None:  # noqa: FBT001
    """What may last without an end, and what was restarted already, holds up no other workload."""
    assert is_waiting(made) is has_place
