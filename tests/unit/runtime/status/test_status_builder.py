"""The status in the making: what it says, what survives, and when it is news."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from infisical_events.api.specs import EventType
from infisical_events.api.statuses import Condition, ConditionStatus, ConditionType, WorkloadResult
from infisical_events.core.ledger.ledger import Ledger, Rollout, Unconfirmed, UnlistedKind
from infisical_events.core.paths.scopes import Folder, Scope
from infisical_events.core.snapshots.changes import Change
from infisical_events.core.status.reasons import Reason
from infisical_events.runtime.status.status_builder import StatusBuilder
from support.builders import a_ledger, a_pending_restart
from support.virtual_time import EPOCH

A, R, S, O, X = (  # noqa: E741 - conditions, by a letter each
    ConditionType.AUTHENTICATED,
    ConditionType.READY,
    ConditionType.STREAMING,
    ConditionType.OBSERVED,
    ConditionType.STALLED,
)
CHANGE = Change(Scope(Folder("prod", "/a")), "KEY", frozenset({EventType.UPDATE}))


class HandSet:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = EPOCH

    def __call__(self) -> datetime:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> HandSet:
    """The board's clock."""
    return HandSet()


@pytest.fixture
def board(clock: HandSet) -> StatusBuilder:
    """The board of a subscription that has no status yet."""
    return StatusBuilder({}, 1, clock)


def condition(board: StatusBuilder, kind: ConditionType) -> Condition | None:
    """One condition as of now."""
    return next((found for found in board.conditions if found.type is kind), None)


def find(
    board: StatusBuilder, kind: ConditionType, *, ok: bool | None, reason: Reason = Reason.UP_TO_DATE
) -> bool:
    """A finding whose words do not matter."""
    return board.set_condition(kind, ok=ok, reason=reason, message="Words.")


def stored(board: StatusBuilder) -> dict[str, Any]:
    """The status as the API server gives it back: nulls removed."""
    return {key: value for key, value in board.render().as_patch().items() if value is not None}


def test_transition_time_stands_while_the_status_stands(board: StatusBuilder, clock: HandSet) -> None:
    """Another reason or message of the same status does not move the transition time."""
    find(board, O, ok=False, reason=Reason.UNREACHABLE)
    clock.move(60)
    find(board, O, ok=False, reason=Reason.SERVER_ERROR)

    found = condition(board, O)
    assert found is not None
    assert (found.last_transition_time, found.reason) == (EPOCH, "ServerError")


def test_transition_time_moves_with_the_status(board: StatusBuilder, clock: HandSet) -> None:
    """When the status flips the transition time is the present."""
    find(board, O, ok=False)
    clock.move(60)
    find(board, O, ok=True)

    found = condition(board, O)
    assert found is not None
    assert found.last_transition_time == EPOCH + timedelta(seconds=60)


def test_only_news_is_news(board: StatusBuilder) -> None:
    """A finding is news when it is the first, or its status or reason differs from the last."""
    news = [
        find(board, O, ok=True),
        find(board, O, ok=True),
        find(board, O, ok=False),
        find(board, O, ok=False, reason=Reason.UNREACHABLE),
    ]
    assert news == [True, False, True, True]


def test_first_words(board: StatusBuilder) -> None:
    """A subscription that was just seen says of everything that it is not known yet."""
    board.mark_starting("shop")
    assert {c.type: c.status for c in board.conditions} == dict.fromkeys(
        (R, A, S, O), ConditionStatus.UNKNOWN
    )


@pytest.mark.parametrize(
    ("authenticated", "streaming", "observed", "ready", "reason"),
    [
        (True, True, True, ConditionStatus.TRUE, Reason.WATCHING),
        (True, False, True, ConditionStatus.TRUE, Reason.POLLING),
        (False, True, True, ConditionStatus.FALSE, Reason.UP_TO_DATE),
        (True, True, False, ConditionStatus.FALSE, Reason.UP_TO_DATE),
        (True, True, None, ConditionStatus.UNKNOWN, Reason.UP_TO_DATE),
    ],
)
def test_ready_sums_up(
    board: StatusBuilder,
    *,
    authenticated: bool,
    streaming: bool,
    observed: bool | None,
    ready: ConditionStatus,
    reason: Reason,
) -> None:
    """Ready needs a login and an observation; without a stream it is True and says Polling."""
    find(board, A, ok=authenticated)
    find(board, S, ok=streaming)
    find(board, O, ok=observed)

    found = condition(board, R)
    assert found is not None
    assert (found.status, found.reason) == (ready, reason)


def test_stalled_makes_unready(board: StatusBuilder) -> None:
    """While the spec cannot be served Ready is False for the same reason."""
    find(board, X, ok=True, reason=Reason.INVALID_SPEC)
    found = condition(board, R)
    assert found is not None
    assert (found.status, found.reason) == (ConditionStatus.FALSE, "InvalidSpec")


def test_served_again(board: StatusBuilder) -> None:
    """A spec that is served again is not stalled any more."""
    find(board, X, ok=True, reason=Reason.INVALID_SPEC)
    board.mark_starting("shop")
    assert condition(board, X) is None


def test_still_stalled_after_a_restart(clock: HandSet) -> None:
    """A restart of the operator neither moves the transition time of Stalled nor makes it news."""
    before = StatusBuilder({}, 1, clock)
    find(before, X, ok=True, reason=Reason.INVALID_SPEC)
    clock.move(60)

    after = StatusBuilder(stored(before), 1, clock)
    after.mark_inactive(X)
    is_news = find(after, X, ok=True, reason=Reason.INVALID_SPEC)
    assert not is_news
    assert condition(after, X) == condition(before, X)


def test_suspended_instead_of_stalled(board: StatusBuilder) -> None:
    """What was found while something was done, or was wrong with another spec, is taken back at rest."""
    find(board, A, ok=True)
    find(board, X, ok=True, reason=Reason.INVALID_SPEC)
    board.mark_inactive(R)
    assert [c.type for c in board.conditions] == [R]


def test_generation(clock: HandSet) -> None:
    """Status and every condition that is found tell which generation of the spec they are about."""
    board = StatusBuilder({}, 7, clock)
    find(board, O, ok=True)
    assert board.render().observed_generation == 7
    assert {c.observed_generation for c in board.conditions} == {7}


def test_counters_survive(board: StatusBuilder, clock: HandSet) -> None:
    """Counters, the last action, the last skip and the history go on where an earlier process stopped."""
    board.count_event(is_matched=True)
    board.record_skip(Reason.PATH_NOT_SELECTED, "Words.")
    result = WorkloadResult(kind="Deployment", name="web", result=Reason.RESTARTED)
    board.record_action((CHANGE,), [result], "1 of 1 workloads restarted.")
    board.count_resync()

    board = StatusBuilder(stored(board), 2, clock)
    board.count_event(is_matched=False)
    status = board.render()
    assert status.counters.model_dump() == {
        "events_received": 2,
        "events_matched": 1,
        "restarts": 1,
        "resyncs": 1,
    }
    assert status.last_skip is not None
    assert status.last_action is not None
    assert status.last_action.keys == ("KEY",)
    assert status.history == (status.last_action,)


def test_conditions_of_another_version(clock: HandSet) -> None:
    """A condition that this version does not know is dropped; counters and all else survive."""
    stored = {
        "conditions": [{"type": "Settled", "status": "True", "reason": "NothingOwed", "message": "Done."}],
        "counters": {"restarts": 7},
    }

    restored = StatusBuilder(stored, 1, clock).render()

    assert restored.conditions == ()
    assert restored.counters.restarts == 7


def test_unreadable_status(clock: HandSet) -> None:
    """A status that somebody broke is begun afresh."""
    assert StatusBuilder({"counters": "many"}, 1, clock).render().counters.events_received == 0


def test_ledger_is_left_alone(board: StatusBuilder) -> None:
    """What a board writes names no ledger, so a merge keeps the stored one."""
    assert "ledger" not in board.render().as_patch()


def test_blind_until_connected(board: StatusBuilder, clock: HandSet) -> None:
    """Blind seconds run while no stream is open, and only then."""
    clock.move(10)
    blind = [board.render().stream.blind_seconds]
    board.mark_connected()
    clock.move(100)
    blind.append(board.render().stream.blind_seconds)
    board.mark_disconnected()
    clock.move(5)
    blind.append(board.render().stream.blind_seconds)
    assert blind == [10, 10, 15]


def test_blind_seconds_add_up_over_restarts(board: StatusBuilder, clock: HandSet) -> None:
    """Blind seconds of an earlier process are kept and nothing of them counts twice."""
    clock.move(10)
    again = StatusBuilder(stored(board), 1, clock)
    clock.move(3)
    assert again.render().stream.blind_seconds == 13


def test_connected_since(board: StatusBuilder) -> None:
    """The time of the connect stands while the stream is open; without a stream there is none."""
    board.mark_connected()
    assert board.render().stream.connected_since == EPOCH
    board.mark_disconnected()
    assert board.render().stream.connected_since is None


@pytest.mark.parametrize(("seconds", "is_kept"), [(59.0, True), (61.0, False)])
def test_connected_since_over_a_restart(
    board: StatusBuilder, clock: HandSet, seconds: float, *, is_kept: bool
) -> None:
    """A restart of the operator that interrupts a stream for less than a minute is no news."""
    _stream(board, ok=True)
    board.mark_connected()
    again = StatusBuilder(stored(board), 1, clock)
    assert again.render().stream.connected_since == EPOCH
    clock.move(seconds)
    again.mark_connected()
    assert again.changed.is_set() is not is_kept
    assert again.render().stream.connected_since == (EPOCH if is_kept else clock())
    assert again.render().stream.blind_seconds == round(seconds)


def test_not_connected_after_a_restart(board: StatusBuilder, clock: HandSet) -> None:
    """When the first connect after a restart of the operator fails, the stream is not open any more."""
    _stream(board, ok=True)
    board.mark_connected()
    again = StatusBuilder(stored(board), 1, clock)
    _stream(again, ok=False)
    assert again.render().stream.connected_since is None


def _stream(board: StatusBuilder, *, ok: bool) -> None:
    reason = Reason.CONNECTED if ok else Reason.UNREACHABLE
    board.set_condition(ConditionType.STREAMING, ok=ok, reason=reason, message="About the stream.")


def test_reconnects(board: StatusBuilder) -> None:
    """The first connect is no reconnect."""
    for _ in range(3):
        board.mark_connected()
        board.mark_disconnected()
    assert board.render().stream.reconnects == 2


def test_failed_restart_is_no_restart(board: StatusBuilder) -> None:
    """An action in which nothing was restarted counts none and moves no restart time."""
    failed = WorkloadResult(kind="Deployment", name="web", result=Reason.RESTART_FAILED)
    board.record_action((CHANGE,), [failed], "0 of 1 workloads restarted.")
    status = board.render()
    assert (status.counters.restarts, status.last_restart_time) == (0, None)
    assert status.last_action is not None
    assert status.last_action.reason == "RestartFailed"


def test_turn_of_ready_is_urgent(board: StatusBuilder) -> None:
    """A turn of Ready is urgent, other news are not, and no news is neither."""
    find(board, O, ok=True)
    assert board.urgent.is_set()

    board.urgent.clear()
    board.changed.clear()
    find(board, O, ok=True)
    assert not board.changed.is_set()

    board.count_event(is_matched=False)
    assert (board.changed.is_set(), board.urgent.is_set()) == (True, False)


def test_what_the_last_look_was_like(board: StatusBuilder, clock: HandSet) -> None:
    """Grade and keys are news; the time alone is news after ten minutes, or every read would be a write."""
    board.record_observation("Versions", 7)
    first = board.render().observation
    assert (first.grade, first.keys, first.last_observed_time) == ("Versions", 7, clock())

    board.changed.clear()
    clock.move(599.0)
    board.record_observation("Versions", 7)
    assert not board.changed.is_set()
    assert board.render().observation.last_observed_time == clock()

    board.record_observation("Versions", 8)
    assert board.render().observation.keys == 8
    board.changed.clear()
    clock.move(601.0)
    board.record_observation("Versions", 8)
    assert board.changed.is_set()
    assert board.render().observation.last_observed_time == clock()


PENDING = a_pending_restart()
WATCHED = replace(PENDING, unconfirmed=Unconfirmed.PROVIDER_SILENT)
REVERTED = Rollout("uid", "Deployment", "web", 1, EPOCH, reverted_at=EPOCH)
NOT_LISTED = ("False", "WorkloadsNotListed")


@pytest.mark.parametrize(
    ("ledger", "expected", "named"),
    [
        (replace(a_ledger(), pending=(PENDING,)), ("False", "Pending"), "deployment/"),
        (replace(a_ledger(), pending=(WATCHED,)), ("True", "NoPendingRestarts"), ""),
        (a_ledger(), ("True", "NoPendingRestarts"), ""),
        (
            replace(a_ledger(), pending=(WATCHED,), rollouts=(REVERTED,)),
            ("False", "RestartReverted"),
            "deployment/web",
        ),
        (replace(a_ledger(), unlisted=(UnlistedKind("Rollout", EPOCH, ()),)), NOT_LISTED, "Rollout"),
    ],
)
def test_what_is_pending_is_not_complete(ledger: Ledger, expected: tuple[str, str], named: str) -> None:
    """A restart that nobody tried yet, or that was taken back, is not complete; a watched one is."""
    status = StatusBuilder({}, 1, lambda: EPOCH)
    kind = ConditionType.RESTARTS_COMPLETE
    status.set_condition(kind, ok=True, reason=Reason.NO_PENDING_RESTARTS, message="No pending restarts.")

    pending = status.mark_found(ledger)

    (condition,) = [each for each in status.conditions if each.type is kind]
    assert (condition.status, condition.reason) == expected
    assert named in condition.message
    assert pending == sum(each is PENDING for each in ledger.pending)


def test_a_newer_restart_ends_the_history_of_the_one_before(board: StatusBuilder) -> None:
    """No entry says for ever that its rollout is going on; other workloads keep theirs."""
    web, mail = (
        WorkloadResult(kind="Deployment", name=name, result=Reason.RESTARTED) for name in ("web", "mail")
    )
    board.record_action((CHANGE,), [web, mail], "Restarted 2 of 2 workloads.")
    board.record_action((CHANGE,), [web], "Restarted 1 of 1 workload.")
    board.record_rollout_end("Deployment", "web", Reason.ROLLED_OUT)

    newest, first = board.render().history
    assert [each.result for each in newest.workloads] == [Reason.ROLLED_OUT]
    assert [each.result for each in first.workloads] == [Reason.ROLLOUT_SUPERSEDED, Reason.RESTARTED]
    assert first.completed_time is None
