"""Conditions: the transitions of one, and Ready as the summary of the others."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from infisical_events.api.statuses import Condition, ConditionStatus, ConditionType
from infisical_events.core.status.reasons import Reason

_LONGEST_MESSAGE = 1024
"""Characters; far below the 32,768 of `metav1.Condition`, since a person reads it in a terminal."""


@dataclass(frozen=True, slots=True)
class ConditionUpdate:
    """What a condition is about to say."""

    type: ConditionType
    status: ConditionStatus
    reason: str
    message: str


_UNKNOWN = ConditionUpdate(
    ConditionType.READY, ConditionStatus.UNKNOWN, Reason.STARTING, "Not found out yet."
)


def without(conditions: Iterable[Condition], kind: ConditionType) -> tuple[Condition, ...]:
    """Drop a condition that stands only while it is true."""
    return tuple(condition for condition in conditions if condition.type is not kind)


def with_condition(
    conditions: Iterable[Condition], finding: ConditionUpdate, generation: int, now: datetime
) -> tuple[Condition, ...]:
    """Replace one condition; its transition time moves only when its status flips."""
    others = {condition.type: condition for condition in conditions}
    old = others.pop(finding.type, None)
    kept = old.last_transition_time if old and old.status is finding.status else None
    new = Condition(
        type=finding.type,
        status=finding.status,
        reason=finding.reason,
        message=finding.message[:_LONGEST_MESSAGE],
        observed_generation=generation,
        last_transition_time=kept or now,
    )
    order = list(ConditionType)
    return tuple(sorted((*others.values(), new), key=lambda c: order.index(c.type)))


def ready(conditions: Iterable[Condition]) -> ConditionUpdate:
    """Ready: changes reach the workloads. Without a stream they still do, only later, if one may look."""
    by_type = {condition.type: condition for condition in conditions}
    if stalled := by_type.get(ConditionType.STALLED):
        return _as_ready(stalled, ConditionStatus.FALSE)
    for needed in (ConditionType.AUTHENTICATED, ConditionType.OBSERVED):
        condition = by_type.get(needed)
        if condition is None:
            return _UNKNOWN
        if condition.status is not ConditionStatus.TRUE:
            return _as_ready(condition, condition.status)
    streaming = by_type.get(ConditionType.STREAMING)
    if streaming and streaming.status is ConditionStatus.TRUE:
        received = "Changes are heard as they happen."
        return ConditionUpdate(ConditionType.READY, ConditionStatus.TRUE, Reason.WATCHING, received)
    if by_type[ConditionType.OBSERVED].reason == Reason.EVENTS_ONLY:
        return _as_ready(streaming, ConditionStatus.FALSE) if streaming else _UNKNOWN
    looked = "Changes are found by looking at intervals; condition Streaming says why no stream is open."
    return ConditionUpdate(ConditionType.READY, ConditionStatus.TRUE, Reason.POLLING, looked)


def _as_ready(condition: Condition, status: ConditionStatus) -> ConditionUpdate:
    return ConditionUpdate(ConditionType.READY, status, condition.reason, condition.message)
