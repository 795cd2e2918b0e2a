"""Whether an operator serves a subscription is read from the status that it wrote."""

from datetime import timedelta
from typing import Any

import pytest

from infisical_events.api.statuses import rfc3339
from infisical_events.core.diagnosis.check_results import CheckOutcome, CheckResult, has_failure
from infisical_events.core.diagnosis.operator_status import has_logged_in, operator_checks
from infisical_events.core.subscriptions import StoredSubscription
from support.builders import START, a_spec


def checked(status: dict[str, Any], **spec: object) -> tuple[CheckResult, ...]:
    """The checks of a subscription of generation 2 with this status."""
    stored = StoredSubscription("uid", "41", 2, is_deleting=False, spec={}, status=status)
    return operator_checks(stored, a_spec(**spec), START)


def read(minutes: float) -> dict[str, Any]:
    """A status whose last full read is so old."""
    moment = rfc3339(START - timedelta(minutes=minutes))
    return {"observedGeneration": 2, "observation": {"lastObservedTime": moment}}


def a_condition(kind: str, status: str, reason: str) -> dict[str, Any]:
    """A condition as it is stored."""
    fixed = {"observedGeneration": 2, "lastTransitionTime": rfc3339(START), "message": "as the operator says"}
    return {"type": kind, "status": status, "reason": reason, **fixed}


@pytest.mark.parametrize(
    ("status", "found"),
    [
        ({}, "no operator has served this subscription"),
        ({"observedGeneration": 1}, "the operator has served generation 1 and not 2"),
        (read(16), "has served generation 2, last full read 16 minutes ago"),
        ({"observedGeneration": "x"}, "the status is not one that this version can read"),
    ],
)
def test_not_served(status: dict[str, Any], found: str) -> None:
    """No operator, an old generation and an old read are faults with advice."""
    (result,) = checked(status)

    assert (result.outcome, result.found) == (CheckOutcome.FAILED, found)
    assert result.remedy


@pytest.mark.parametrize("status", [read(1), read(14), {"observedGeneration": 2}])
def test_served(status: dict[str, Any]) -> None:
    """A read within two intervals and some minutes is in time."""
    assert not has_failure(checked(status))


def test_suspended_is_not_late() -> None:
    """A suspended subscription is not read."""
    assert not has_failure(checked(read(600), suspend=True))


def test_conditions() -> None:
    """Bad conditions are reported in the operator's words; Ready only sums them up."""
    conditions = [
        a_condition("Ready", "False", "PlanLacksEventSubscriptions"),
        a_condition("Streaming", "False", "PlanLacksEventSubscriptions"),
        a_condition("Stalled", "True", "OfANewerVersion"),
        a_condition("Authenticated", "True", "LoggedIn"),
        a_condition("Observed", "Unknown", "Starting"),
    ]
    _, streaming, stalled = checked({**read(1), "conditions": conditions})

    assert (streaming.name, streaming.found) == ("Condition Streaming", "as the operator says")
    assert "Use a plan" in streaming.remedy
    assert (stalled.reason, "docs/reasons.md" in stalled.remedy) == ("OfANewerVersion", True)


@pytest.mark.parametrize(
    ("status", "is_accepted"),
    [
        ({}, False),
        ({"observedGeneration": "x"}, False),
        ({"observedGeneration": 2, "conditions": [a_condition("Authenticated", "True", "LoggedIn")]}, True),
        ({"observedGeneration": 1, "conditions": [a_condition("Authenticated", "True", "LoggedIn")]}, False),
        ({"observedGeneration": 2, "conditions": [a_condition("Authenticated", "False", "X")]}, False),
    ],
)
def test_logged_in(status: dict[str, Any], *, is_accepted: bool) -> None:
    """An operator accepts an address by logging in for the newest spec."""
    stored = StoredSubscription("uid", "41", 2, is_deleting=False, spec={}, status=status)

    assert has_logged_in(stored) is is_accepted
