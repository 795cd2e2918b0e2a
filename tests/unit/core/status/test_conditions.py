"""Transitions of a condition, and Ready as the summary of the others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_events.api.statuses import Condition, ConditionStatus, ConditionType
from infisical_events.core.status.conditions import ConditionUpdate, ready, with_condition, without
from infisical_events.core.status.reasons import Reason
from support.builders import at

READY, AUTHENTICATED, STREAMING, OBSERVED, _, RESTARTS_COMPLETE, SUSPENDED, STALLED = ConditionType
TRUE, FALSE, UNKNOWN = ConditionStatus

findings = st.builds(
    ConditionUpdate,
    st.sampled_from(ConditionType),
    st.sampled_from(ConditionStatus),
    st.sampled_from(Reason),
    st.text(),
)


def found(*told: tuple[ConditionType, ConditionStatus, Reason]) -> tuple[Condition, ...]:
    """Conditions after these findings."""
    conditions: tuple[Condition, ...] = ()
    for kind, status, reason in told:
        conditions = with_condition(
            conditions, ConditionUpdate(kind, status, reason, f"{kind}: {reason}."), 3, at(0)
        )
    return conditions


GOOD = found(
    (AUTHENTICATED, TRUE, Reason.LOGGED_IN),
    (OBSERVED, TRUE, Reason.UP_TO_DATE),
    (STREAMING, TRUE, Reason.CONNECTED),
)


def later(finding: ConditionUpdate, conditions: tuple[Condition, ...] = GOOD) -> Condition:
    """The condition of the finding's type when it is found at second 60 under generation 4."""
    (condition,) = (c for c in with_condition(conditions, finding, 4, at(60)) if c.type is finding.type)
    return condition


@pytest.mark.parametrize(
    ("status", "moved"),
    [(TRUE, at(0)), (FALSE, at(60)), (UNKNOWN, at(60))],
    ids=["stays", "falls", "is unknown"],
)
def test_a_transition_is_a_change_of_status(status: ConditionStatus, moved: object) -> None:
    """A new reason or message of the same status moves no transition time."""
    condition = later(ConditionUpdate(OBSERVED, status, Reason.SERVER_ERROR, "The server failed."))

    assert condition.last_transition_time == moved
    assert (condition.reason, condition.message) == ("ServerError", "The server failed.")
    assert condition.observed_generation == 4


def test_a_first_finding_is_a_transition() -> None:
    """The transition time of a new condition is now."""
    assert later(ConditionUpdate(STALLED, TRUE, Reason.INVALID_SPEC, "")).last_transition_time == at(60)


def test_a_message_is_cut() -> None:
    """A foreign text in it cannot fill the terminal, nor the object."""
    assert later(ConditionUpdate(OBSERVED, FALSE, Reason.SERVER_ERROR, "x" * 5000)).message == "x" * 1024


@given(st.lists(findings, max_size=8))
def test_every_condition_stands_once_and_in_order(several: list[ConditionUpdate]) -> None:
    """However often something is found: one condition of each type, in the order of the types."""
    conditions: tuple[Condition, ...] = ()
    for finding in several:
        conditions = with_condition(conditions, finding, 1, at(0))

    newest = {finding.type: finding.reason for finding in several}
    assert {c.type: c.reason for c in conditions} == newest
    assert [c.type for c in conditions] == [kind for kind in ConditionType if kind in newest]


def test_a_condition_can_be_dropped() -> None:
    """Stalled stands only while it is true."""
    stalled = with_condition(GOOD, ConditionUpdate(STALLED, TRUE, Reason.INVALID_SPEC, ""), 3, at(0))

    assert without(stalled, STALLED) == GOOD
    assert without(GOOD, STALLED) == GOOD


@pytest.mark.parametrize(
    ("conditions", "status", "reason"),
    [
        (GOOD, TRUE, Reason.WATCHING),
        ((), UNKNOWN, Reason.STARTING),
        (found((STREAMING, TRUE, Reason.CONNECTED)), UNKNOWN, Reason.STARTING),
        (found((AUTHENTICATED, TRUE, Reason.LOGGED_IN)), UNKNOWN, Reason.STARTING),
        (without(GOOD, STREAMING), TRUE, Reason.POLLING),
    ],
    ids=["all is well", "nothing is known", "only a stream", "only a login", "never a stream"],
)
def test_ready_sums_up(conditions: tuple[Condition, ...], status: ConditionStatus, reason: Reason) -> None:
    """Changes reach the workloads once the login and the state are good; a stream makes it faster."""
    told = ready(conditions)

    assert (told.type, told.status, told.reason) == (READY, status, reason)


@pytest.mark.parametrize("status", [FALSE, UNKNOWN])
def test_a_lost_stream_is_no_failure(status: ConditionStatus) -> None:
    """Without a stream changes are found by looking, and Ready says so."""
    lost = with_condition(
        GOOD, ConditionUpdate(STREAMING, status, Reason.STREAM_ENDED, "It ended."), 3, at(0)
    )

    assert (ready(lost).status, ready(lost).reason) == (TRUE, Reason.POLLING)
    assert "condition Streaming" in ready(lost).message


@pytest.mark.parametrize("kind", [AUTHENTICATED, OBSERVED])
@pytest.mark.parametrize("status", [FALSE, UNKNOWN])
def test_ready_gives_the_reason_of_the_missing_condition(
    kind: ConditionType, status: ConditionStatus
) -> None:
    """Without a login or a read no change is found: Ready has the reason of that condition."""
    missing = ConditionUpdate(kind, status, Reason.UNREACHABLE, "No route to the host.")

    told = ready(with_condition(GOOD, missing, 3, at(0)))

    assert told == ConditionUpdate(READY, status, Reason.UNREACHABLE, "No route to the host.")


def test_the_login_comes_before_the_read() -> None:
    """With a failed login the read fails as well: Ready has the reason of the login."""
    failed = found(
        (AUTHENTICATED, FALSE, Reason.CREDENTIALS_REJECTED), (OBSERVED, FALSE, Reason.SERVER_ERROR)
    )

    assert ready(failed).reason == Reason.CREDENTIALS_REJECTED


def test_stalled_is_never_ready() -> None:
    """A spec that is not served is not ready, whatever else is still found."""
    stalled = ConditionUpdate(
        STALLED, TRUE, Reason.INVALID_SPEC, "set exactly one of projectId or projectSlug"
    )

    told = ready(with_condition(GOOD, stalled, 3, at(0)))

    assert told == ConditionUpdate(READY, FALSE, Reason.INVALID_SPEC, stalled.message)


@pytest.mark.parametrize(("status", "reason"), [(TRUE, Reason.WATCHING), (FALSE, Reason.PERMISSION_DENIED)])
def test_event_mode_needs_a_stream(status: ConditionStatus, reason: Reason) -> None:
    """In event mode no change is found without a stream."""
    streaming = Reason.CONNECTED if status is TRUE else Reason.PERMISSION_DENIED
    blind = found(
        (AUTHENTICATED, TRUE, Reason.LOGGED_IN),
        (OBSERVED, TRUE, Reason.EVENTS_ONLY),
        (STREAMING, status, streaming),
    )

    told = ready(blind)

    assert (told.status, told.reason) == (status, reason)
    assert ready(without(blind, STREAMING)).status is UNKNOWN
