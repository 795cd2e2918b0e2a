"""Conditions: the transition of one condition, and Ready as the summary of the others."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from infisical_events.api.statuses import Condition, ConditionStatus, ConditionType
from infisical_events.core.status.reasons import Reason

_MAX_MESSAGE_LENGTH = 1024
"""Characters; far below the 32,768 of `metav1.Condition`, since users read it in a terminal."""


@dataclass(frozen=True, slots=True)
class ConditionUpdate:
    """A new status, reason and message for one condition."""

    type: ConditionType
    status: ConditionStatus
    reason: str
    message: str


_UNKNOWN = ConditionUpdate(
    ConditionType.READY, ConditionStatus.UNKNOWN, Reason.STARTING, "Waiting for the first login and read."
)


def without(conditions: Iterable[Condition], kind: ConditionType) -> tuple[Condition, ...]:
    """The conditions without the one of this type; for types that exist only while they are true."""
    return tuple(condition for condition in conditions if condition.type is not kind)


def with_condition(
    conditions: Iterable[Condition], update: ConditionUpdate, generation: int, now: datetime
) -> tuple[Condition, ...]:
    """The conditions with one replaced; its transition time changes only with its status."""
    others = {condition.type: condition for condition in conditions}
    old = others.pop(update.type, None)
    kept = old.last_transition_time if old and old.status is update.status else None
    new = Condition(
        type=update.type,
        status=update.status,
        reason=update.reason,
        message=update.message[:_MAX_MESSAGE_LENGTH],
        observed_generation=generation,
        last_transition_time=kept or now,
    )
    order = list(ConditionType)
    return tuple(sorted((*others.values(), new), key=lambda c: order.index(c.type)))


def ready(conditions: Iterable[Condition]) -> ConditionUpdate:
    """Ready means that changes reach workloads: by the stream or, where state is read, by polling."""
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
        message = "Event stream connected."
        return ConditionUpdate(ConditionType.READY, ConditionStatus.TRUE, Reason.WATCHING, message)
    if by_type[ConditionType.OBSERVED].reason == Reason.EVENTS_ONLY:
        return _as_ready(streaming, ConditionStatus.FALSE) if streaming else _UNKNOWN
    polling = "No event stream; polling every resyncIntervalSeconds. See condition Streaming."
    return ConditionUpdate(ConditionType.READY, ConditionStatus.TRUE, Reason.POLLING, polling)


def _as_ready(condition: Condition, status: ConditionStatus) -> ConditionUpdate:
    return ConditionUpdate(ConditionType.READY, status, condition.reason, condition.message)
