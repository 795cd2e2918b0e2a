"""Whether an operator serves a subscription, by the status that it wrote."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from pydantic import ValidationError

from infisical_events.api.specs import Spec
from infisical_events.api.statuses import Condition, ConditionStatus, ConditionType, Status
from infisical_events.core.diagnosis.check_results import CheckResult, failed, passed
from infisical_events.core.status.remedies import remedy_for
from infisical_events.core.status.text import counted
from infisical_events.core.subscriptions import StoredSubscription

OPERATOR = "Operator"

_START_OPERATOR = (
    "Check that the operator runs and watches this namespace (kubectl get pods -A -l "
    "app.kubernetes.io/name=infisical-events), and read its log."
)
_SLACK = timedelta(minutes=5)
"""How much later than planned a full read may be: status is written in batches."""

_WANTED = {ConditionType.SUSPENDED: ConditionStatus.FALSE, ConditionType.STALLED: ConditionStatus.FALSE}
"""Conditions that are good when they are not true; all others are good unless they are false."""


def operator_checks(stored: StoredSubscription, spec: Spec, now: datetime) -> tuple[CheckResult, ...]:
    """Whether the operator has seen the newest spec, reads in time, and what it reports itself."""
    try:
        status = Status.model_validate(stored.status)
    except ValidationError:
        found = "the status is not one that this version can read"
        return (failed(OPERATOR, found, "", "Use the version of this program that the operator has."),)
    return (_service(stored.generation, status, spec, now), *_conditions(status))


def has_logged_in(stored: StoredSubscription) -> bool:
    """Whether an operator, which has a list of allowed addresses, has logged in for the newest spec."""
    try:
        status = Status.model_validate(stored.status)
    except ValidationError:
        return False
    return status.observed_generation == stored.generation and any(
        condition.type is ConditionType.AUTHENTICATED
        and condition.status is ConditionStatus.TRUE
        and condition.observed_generation == stored.generation
        for condition in status.conditions
    )


def _service(generation: int, status: Status, spec: Spec, now: datetime) -> CheckResult:
    if not status.observed_generation:
        return failed(OPERATOR, "no operator has served this subscription", "", _START_OPERATOR)
    if status.observed_generation < generation:
        found = f"the operator has served generation {status.observed_generation} and not {generation}"
        return failed(OPERATOR, found, "", _START_OPERATOR)
    read = status.observation.last_observed_time
    if spec.suspend or read is None:
        return passed(OPERATOR, f"has served generation {generation}")
    age = now - read
    found = f"has served generation {generation}, last full read {_ago(age)}"
    if age > timedelta(seconds=2 * spec.resync_interval_seconds) + _SLACK:
        return failed(OPERATOR, found, "", _START_OPERATOR)
    return passed(OPERATOR, found)


def _ago(age: timedelta) -> str:
    seconds = max(int(age.total_seconds()), 0)
    return f"{counted(seconds // 60, 'minute') if seconds >= 120 else counted(seconds, 'second')} ago"  # noqa: PLR2004


def _conditions(status: Status) -> Iterator[CheckResult]:
    """The conditions that are not as they should be, in the operator's own words."""
    for condition in status.conditions:
        if _is_bad(condition) and condition.type is not ConditionType.READY:
            yield failed(
                f"Condition {condition.type}",
                condition.message,
                condition.reason,
                _remedy_of(condition.reason),
            )


def _is_bad(condition: Condition) -> bool:
    if condition.type in _WANTED:
        return condition.status is ConditionStatus.TRUE
    return condition.status is ConditionStatus.FALSE


def _remedy_of(reason: str) -> str:
    return remedy_for(reason) or "Read the message, and docs/reasons.md for the reason."
