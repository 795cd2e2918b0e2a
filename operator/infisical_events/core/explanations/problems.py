"""Why a subscription restarts nothing now, as far as its object says."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from infisical_events.api.resources import KIND
from infisical_events.api.specs import Mode
from infisical_events.api.statuses import ConditionStatus, ConditionType
from infisical_events.core.explanations.subscription_view import SubscriptionView
from infisical_events.core.status.reasons import Reason
from infisical_events.core.status.remedies import remedy_for
from infisical_events.core.status.text import object_name

_SILENCE = timedelta(minutes=20)
"""Without a write of the status for so long beyond the interval of reads, the operator may not run."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What keeps something from happening: the object, the reason, a sentence, and what to do."""

    about: str
    reason: Reason
    message: str
    remedy: str


def problem(about: str, reason: Reason, message: str) -> Problem:
    """A problem with the remedy of its reason."""
    return Problem(about, reason, message, remedy_for(reason))


def subscription_problem(view: SubscriptionView, now: datetime) -> Problem | None:
    """The first reason why a subscription restarts nothing; None if changes lead to restarts."""
    about = object_name(KIND, view.name)
    if view.spec is None:
        return problem(about, Reason.INVALID_SPEC, view.spec_error)
    if view.spec.suspend:
        return problem(about, Reason.SUSPENDED, "spec.suspend is true.")
    stalled = view.condition(ConditionType.STALLED)
    if stalled is not None and stalled.status is ConditionStatus.TRUE:
        return problem(about, Reason(stalled.reason), stalled.message)
    ready = view.condition(ConditionType.READY)
    if ready is None:
        return problem(about, Reason.STARTING, "The operator has not reported on this subscription yet.")
    if ready.status is ConditionStatus.FALSE:
        return problem(about, Reason(ready.reason), ready.message)
    return _silence(view, now) or _harmless(view)


def _silence(view: SubscriptionView, now: datetime) -> Problem | None:
    spec, read = view.spec, view.status.observation.last_observed_time
    if (
        spec is None
        or read is None
        or now - read < _SILENCE + timedelta(seconds=spec.resync_interval_seconds)
    ):
        return None
    message = f"The operator last read Infisical at {read:%Y-%m-%d %H:%M:%S}Z: does it still run?"
    return problem(object_name(KIND, view.name), Reason.STARTING, message)


def _harmless(view: SubscriptionView) -> Problem | None:
    """It is served, and was told to restart nothing, or has nothing to watch."""
    about = object_name(KIND, view.name)
    if view.spec is not None and view.spec.mode is Mode.DRY_RUN:
        return problem(about, Reason.DRY_RUN, "spec.mode is DryRun: restarts are only reported.")
    observed = view.condition(ConditionType.OBSERVED)
    if observed is not None and observed.reason == Reason.NOTHING_WATCHED:
        return problem(about, Reason.NOTHING_WATCHED, observed.message)
    return None
