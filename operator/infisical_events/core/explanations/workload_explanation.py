"""One workload: what concerns it, what happened to it, and the first thing that keeps it from a restart."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

from infisical_events.api import annotations
from infisical_events.api.resources import KIND
from infisical_events.api.statuses import Acted, LastSkip, WorkloadPhase, WorkloadStatus
from infisical_events.core.explanations.event_explanation import (
    Effect,
    NamespaceView,
    WorkloadEffect,
    workload_effects,
)
from infisical_events.core.explanations.problems import Problem, problem, subscription_problem
from infisical_events.core.explanations.subscription_view import SubscriptionView
from infisical_events.core.interruptible import run_to_end
from infisical_events.core.ledger.ledger import PendingRestart
from infisical_events.core.snapshots.changes import Change
from infisical_events.core.status.reasons import Reason
from infisical_events.core.status.text import object_name
from infisical_events.core.workloads.annotation_checks import (
    AnnotatedWorkload,
    annotation_mistakes,
    is_opted_in,
    missing_subscriptions,
    placement_mistakes,
    unmatched_names,
    watched_secrets,
)
from infisical_events.core.workloads.workloads import Workload, workload_filter_of

_MOST_RESTARTS = 3
"""Restarts of a workload that one answer has, the newest first."""

_QUIET_STATES = {WorkloadPhase.IDLE, WorkloadPhase.ROLLING_OUT}
"""States of a workload in which nothing keeps it from a restart."""


@dataclass(frozen=True, slots=True)
class SecretUse:
    """A Secret or ConfigMap that the pods of a workload use, and who writes it."""

    name: str
    writer: str


@dataclass(frozen=True, slots=True)
class WorkloadView:
    """One workload as it was read, with what its pods use."""

    found: AnnotatedWorkload
    uses: tuple[SecretUse, ...] = ()

    @property
    def workload(self) -> Workload:
        """Its metadata."""
        return self.found.workload

    @property
    def title(self) -> str:
        """`deployment/web`."""
        return object_name(self.workload.kind.kind, self.workload.name)


@dataclass(frozen=True, slots=True)
class PastRestart:
    """A restart that the status remembers."""

    time: datetime
    subscription: str
    cause: str
    trigger: str = ""
    result: str = ""


@dataclass(frozen=True, slots=True)
class SubscriptionPart:
    """One subscription that the workload opted in to: its problem, and what it says of the workload."""

    name: str
    problem: Problem | None = None
    status: WorkloadStatus | None = None
    pending: PendingRestart | None = None
    last_skip: LastSkip | None = None
    """The newest event or change for which the subscription restarted nothing."""


@dataclass(frozen=True, slots=True)
class WorkloadExplanation:
    """The answer; `problem` is None if the next matching change restarts the workload."""

    title: str
    namespace: str
    parts: tuple[SubscriptionPart, ...] = ()
    uses: tuple[SecretUse, ...] = ()
    restarts: tuple[PastRestart, ...] = ()
    example: Change | None = None
    """A change that was tried."""
    effect: WorkloadEffect | None = None
    """What it would do."""
    problem: Problem | None = None
    notes: tuple[str, ...] = field(default=())
    """Mistakes that do not keep it from a restart."""


def explain_workload(view: NamespaceView, asked: WorkloadView, now: datetime) -> WorkloadExplanation:
    """What concerns a workload of the namespace; the lists of `view` contain it."""
    workload = asked.workload
    mine = [each for each in view.subscriptions if workload.is_subscribed_to(each.name)]
    parts = tuple(_part(subscription, workload, now) for subscription in mine)
    notes = (*annotation_mistakes(workload), *placement_mistakes(asked.found))
    explained = WorkloadExplanation(
        title=asked.title,
        namespace=view.namespace,
        parts=parts,
        uses=asked.uses,
        restarts=_past_restarts(mine, workload),
        notes=notes,
    )
    opt_in = _opt_in_problem(asked, view, notes)
    if opt_in is not None:
        return replace(explained, problem=opt_in)
    served = [each for each, part in zip(mine, parts, strict=True) if part.problem is None]
    if not served:
        return replace(explained, problem=next((part.problem for part in parts if part.problem), None))
    return _tried(explained, served, replace(view, workloads=_with(view.workloads, workload)), workload, now)


def _part(subscription: SubscriptionView, workload: Workload, now: datetime) -> SubscriptionPart:
    ledger = subscription.ledger
    pending = [each for each in ledger.pending if each.uid == workload.uid] if ledger else []
    return SubscriptionPart(
        name=subscription.name,
        problem=subscription_problem(subscription, now),
        status=subscription.workload(workload.kind.kind, workload.name),
        pending=next((each for each in pending if not each.is_confirmation_only), None),
        last_skip=_own_skip(subscription),
    )


def _own_skip(subscription: SubscriptionView) -> LastSkip | None:
    """The newest skip, if it is about no other workload."""
    skip = subscription.status.last_skip
    return skip if skip is not None and skip.reason in _OF_NO_WORKLOAD else None


_OF_NO_WORKLOAD = {
    Reason.EVENT_TYPE_NOT_SELECTED,
    Reason.ENVIRONMENT_NOT_SELECTED,
    Reason.PATH_NOT_SELECTED,
    Reason.KEYS_NOT_SELECTED,
    Reason.NO_MATCHING_WORKLOAD,
    Reason.NO_CHANGE_FOUND,
}
"""Reasons for which a change led to no restart of any workload."""


def _opt_in_problem(asked: WorkloadView, view: NamespaceView, notes: tuple[str, ...]) -> Problem | None:
    """Why no subscription may restart the workload, by its annotations and the names of subscriptions."""
    workload = asked.workload
    names = [each.name for each in view.subscriptions]
    if not is_opted_in(workload):
        if notes:
            return problem(asked.title, Reason.INVALID_ANNOTATION, notes[0])
        text = workload.annotations.get(annotations.AUTO_RELOAD)
        said = f'{annotations.AUTO_RELOAD} is "{text[:20]}"' if text is not None else "no annotation opts in"
        return problem(asked.title, Reason.NOT_OPTED_IN, f"{said}: no subscription restarts it.")
    if not any(workload.is_subscribed_to(name) for name in names):
        missing = next(missing_subscriptions(asked.found, names), "")
        return problem(asked.title, Reason.SUBSCRIPTION_NOT_FOUND, missing)
    return None


def _tried(
    explained: WorkloadExplanation,
    served: list[SubscriptionView],
    view: NamespaceView,
    workload: Workload,
    now: datetime,
) -> WorkloadExplanation:
    """The answer with what a watched change would do: of what is pending, the state says it."""
    waiting = next((part for part in explained.parts if _is_waiting(part)), None)
    if waiting is not None and waiting.status is not None:
        why = problem(explained.title, Reason(waiting.status.reason), waiting.status.message or "")
        return replace(explained, problem=why)
    for subscription in served:
        change = _example(subscription, workload)
        if change is None:
            continue
        effects = workload_effects(subscription, view, change, now)
        effect = next(
            each for each in effects if (each.kind, each.name) == (workload.kind.kind, workload.name)
        )
        is_blocked = effect.effect in {Effect.HELD, Effect.NOTHING}
        return replace(
            explained, example=change, effect=effect, problem=effect.problem if is_blocked else None
        )
    return replace(explained, problem=_unmatched(explained, served, workload))


def _is_waiting(part: SubscriptionPart) -> bool:
    is_known = part.status is not None and part.status.reason in set(Reason)
    return is_known and part.status is not None and part.status.state not in _QUIET_STATES


def _example(subscription: SubscriptionView, workload: Workload) -> Change | None:
    """A change of something that the subscription watches and that the workload's annotations let through."""
    if subscription.spec is None:
        return None
    selector = workload_filter_of(workload).selector
    watched = watched_secrets(subscription.name, subscription.spec, subscription.ledger).changes
    return next((change for change in watched if selector.rejection_reason(change) is None), None)


def _unmatched(explained: WorkloadExplanation, served: list[SubscriptionView], workload: Workload) -> Problem:
    """The workload's filter annotations match nothing that is watched."""
    watched = [watched_secrets(each.name, each.spec, each.ledger) for each in served if each.spec is not None]
    names = run_to_end(unmatched_names(workload, watched))
    message = names[0] if names else "the filter annotations match nothing that is watched"
    return problem(explained.title, Reason.NO_MATCHING_SECRET, message)


def _with(workloads: tuple[Workload, ...], workload: Workload) -> tuple[Workload, ...]:
    """The listed workloads with the one that was asked for as it was read."""
    return (*(each for each in workloads if each.uid != workload.uid), workload)


def _past_restarts(subscriptions: list[SubscriptionView], workload: Workload) -> tuple[PastRestart, ...]:
    """The restarts that the status of its subscriptions remembers, the newest first."""
    found = {
        (restart.subscription, restart.time): restart
        for subscription in subscriptions
        for restart in _restarts_of(subscription, workload)
    }
    newest = sorted(found.values(), key=lambda each: each.time, reverse=True)
    return tuple(newest[:_MOST_RESTARTS])


def _restarts_of(subscription: SubscriptionView, workload: Workload) -> Iterator[PastRestart]:
    for action in subscription.status.history:
        for each in action.workloads:
            if (each.kind, each.name) == (workload.kind.kind, workload.name):
                yield PastRestart(action.time, subscription.name, _cause_of(action), "", each.result)
    status = subscription.workload(workload.kind.kind, workload.name)
    restart = status.last_restart if status else None
    if restart is not None:  # it says more than the history, and replaces the same restart there
        trigger = restart.trigger.value
        asked = f"annotation restart-at {restart.requested_at!r} on {object_name(KIND, subscription.name)}"
        cause = asked if restart.requested_at else restart.cause
        yield PastRestart(restart.time, subscription.name, cause, trigger, restart.result)


def _cause_of(action: Acted) -> str:
    place = f"{action.environment_slug}:{action.secret_path}" if action.environment_slug else ""
    return " ".join(filter(None, (action.event, place, ",".join(action.keys)))) or action.message
