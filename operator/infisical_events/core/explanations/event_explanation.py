"""What an event would do: subscription by subscription, and workload by workload.

A pending restart is added to a copy of the ledger and planned, as the operator does it. What only the round
itself can tell, such as whether a provider brings new content, is said as a condition.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from infisical_events.api.resources import KIND, Restarting
from infisical_events.api.specs import Action, Mode, Rollout
from infisical_events.core.explanations.problems import Problem, problem, subscription_problem
from infisical_events.core.explanations.subscription_view import SubscriptionView
from infisical_events.core.interruptible import run_to_end
from infisical_events.core.ledger.ledger import Ledger, PendingRestart
from infisical_events.core.restarts.admission import admit, candidates
from infisical_events.core.restarts.decision_kinds import Restart
from infisical_events.core.restarts.planner import (
    Deferred,
    MatchedChanges,
    PlannedAction,
    RestartNow,
    add_pending,
    affected_workloads,
    plan,
)
from infisical_events.core.snapshots.changes import Change
from infisical_events.core.snapshots.selectors import Selector, select
from infisical_events.core.status.reason_hints import hint_for
from infisical_events.core.status.reasons import Reason
from infisical_events.core.status.text import object_name, preview
from infisical_events.core.workloads.other_reloaders import OtherReloader
from infisical_events.core.workloads.workloads import Workload, WorkloadList, workload_filter_of

_MAX_NAMED = 5
"""Things that one message names."""


class Effect(StrEnum):
    """What becomes of a workload."""

    RESTART = "Restart"
    SYNC_THEN_RESTART = "SyncThenRestart"
    SYNC = "Sync"
    HELD = "Held"
    NOTHING = "Nothing"

    @property
    def is_restart(self) -> bool:
        """Whether the workload is restarted now, if nothing else comes in between."""
        return self in {Effect.RESTART, Effect.SYNC_THEN_RESTART}


_EFFECTS = {
    Action.RESTART: Effect.RESTART,
    Action.RESYNC: Effect.SYNC,
    Action.RESYNC_THEN_RESTART: Effect.SYNC_THEN_RESTART,
}

_EFFECT_NOTES = {
    Effect.RESTART: "",
    Effect.SYNC: "its Secrets are synced, and it is not restarted",
    Effect.SYNC_THEN_RESTART: "after its Secrets are synced, if their content changes",
}


@dataclass(frozen=True, slots=True)
class WorkloadEffect:
    """What an event does to one workload for one subscription, with the problem if it is not restarted."""

    kind: str
    name: str
    subscription: str
    effect: Effect
    note: str = ""
    problem: Problem | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class SubscriptionEffect:
    """Whether a subscription selects an event, and the problem if it does not, or does not act on it."""

    subscription: str
    is_selected: bool
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class EventExplanation:
    """What an event would do in one namespace."""

    change: Change
    subscriptions: tuple[SubscriptionEffect, ...]
    workloads: tuple[WorkloadEffect, ...]

    @property
    def restarts(self) -> tuple[WorkloadEffect, ...]:
        """The effects that restart a workload."""
        return tuple(each for each in self.workloads if each.effect.is_restart)


@dataclass(frozen=True, slots=True)
class NamespaceView:
    """What is stored in one namespace; `other_reloaders` are known for workloads (by uid) that were read."""

    namespace: str
    subscriptions: tuple[SubscriptionView, ...] = ()
    workloads: tuple[Workload, ...] = ()
    other_reloaders: Mapping[str, OtherReloader] = field(default_factory=dict)


def explain_event(view: NamespaceView, change: Change, now: datetime) -> EventExplanation:
    """What a change would do in a namespace."""
    found = [_explained(each, view, change, now) for each in view.subscriptions]
    return EventExplanation(
        change,
        tuple(subscription for subscription, _ in found),
        tuple(effect for _, effects in found for effect in effects),
    )


def _explained(
    subscription: SubscriptionView, view: NamespaceView, change: Change, now: datetime
) -> tuple[SubscriptionEffect, list[WorkloadEffect]]:
    trouble = subscription_problem(subscription, now)
    if subscription.spec is None:
        return SubscriptionEffect(subscription.name, is_selected=False, problem=trouble), []
    rejected = select(subscription.selectors, (change,)).rejection_reason
    if rejected is not None:
        why = _not_selected(subscription, rejected)
        return SubscriptionEffect(subscription.name, is_selected=False, problem=why), []
    effects = workload_effects(subscription, view, change, now)
    if trouble is not None:
        effects = [_without_effect(effect, trouble) for effect in effects]
    return SubscriptionEffect(subscription.name, is_selected=True, problem=trouble), effects


def _without_effect(effect: WorkloadEffect, trouble: Problem) -> WorkloadEffect:
    return replace(effect, effect=Effect.NOTHING, note="", problem=effect.problem or trouble, until=None)


def _not_selected(subscription: SubscriptionView, reason: Reason) -> Problem:
    """Why no entry selects the event, with what the entries select instead."""
    spec = subscription.spec
    entries = spec.events if spec else ()
    selected: list[str] = {
        Reason.EVENT_TYPE_NOT_SELECTED: [str(entry.event) for entry in entries],
        Reason.ENVIRONMENT_NOT_SELECTED: [entry.conditions.environment_slug for entry in entries],
        Reason.PATH_NOT_SELECTED: [entry.conditions.secret_path for entry in entries],
        Reason.KEYS_NOT_SELECTED: [key for entry in entries for key in entry.conditions.secret_keys],
    }[reason]
    names = preview(sorted(set(selected)), _MAX_NAMED)
    return problem(object_name(KIND, subscription.name), reason, f"spec.events selects {names}.")


def workload_effects(
    subscription: SubscriptionView, view: NamespaceView, change: Change, now: datetime
) -> list[WorkloadEffect]:
    """What a selected change does to each workload that opted in to a subscription."""
    subscribed = [each for each in view.workloads if each.is_subscribed_to(subscription.name)]
    matched = MatchedChanges((change,))
    affected = run_to_end(affected_workloads(subscription.name, matched, subscribed))
    mine = {each.workload.uid for each in affected}
    filtered = [
        _filtered(subscription, workload, change) for workload in subscribed if workload.uid not in mine
    ]
    if subscription.ledger is None or not affected:
        return [*filtered, *(_without_baseline(subscription, each.workload) for each in affected)]
    planned = add_pending(subscription.ledger, subscription.name, affected, now)
    listed = WorkloadList(view.workloads)
    actions = plan(planned, subscription.name, listed, subscription.policy, now)
    refusals = _refusals(actions, planned, subscription)
    effects = [
        _effect(subscription, action, refusals.get(action.pending.uid), view)
        for action in actions
        if action.pending.uid in mine
    ]
    return [*effects, *filtered]


def _without_baseline(subscription: SubscriptionView, workload: Workload) -> WorkloadEffect:
    why = problem(
        object_name(KIND, subscription.name),
        Reason.STARTING,
        "No baseline is recorded yet: only changes after it lead to restarts.",
    )
    return _of(subscription, workload, Effect.NOTHING, why)


def _filtered(subscription: SubscriptionView, workload: Workload, change: Change) -> WorkloadEffect:
    """The annotations of a workload let only some changes through."""
    selector = workload_filter_of(workload).selector
    reason = selector.rejection_reason(change) or Reason.NO_LONGER_MATCHING
    about = object_name(workload.kind.kind, workload.name)
    message = f"Its annotations let only other changes through ({_filters(selector)})."
    remedy = "Change or remove the filter annotation of the workload."
    return _of(subscription, workload, Effect.NOTHING, Problem(about, reason, message, remedy))


def _filters(selector: Selector) -> str:
    """What the filter annotations of a workload select, for people."""
    parts = {
        "environment": sorted(selector.environments or ()),
        "secret-path": [selector.path.pattern] if selector.path else [],
        "secret-keys": selector.keys.patterns,
    }
    texts = [f"{name} {preview(list(values), _MAX_NAMED)}" for name, values in parts.items() if values]
    return "; ".join(texts) or f"events {preview(sorted(selector.types), _MAX_NAMED)}"


def _refusals(
    actions: Iterable[PlannedAction], ledger: Ledger, subscription: SubscriptionView
) -> dict[str, Reason | None]:
    """Which restarts admission refuses now: by wave, by concurrency or after a failure."""
    decisions = [
        Restart(pending=action.pending, workload=action.workload)
        for action in actions
        if isinstance(action, RestartNow) and action.action is not Action.RESYNC
    ]
    rules = subscription.spec.rollout if subscription.spec else Rollout()
    return admit(candidates(decisions), ledger.rollouts, rules)


def _effect(
    subscription: SubscriptionView, action: PlannedAction, refusal: Reason | None, view: NamespaceView
) -> WorkloadEffect:
    workload = action.workload
    if workload is None:  # it was listed, so this is a defect of the list
        return _of_pending(subscription, action.pending)
    about = object_name(workload.kind.kind, workload.name)
    if isinstance(action, Deferred):
        why = problem(about, action.reason, action.note or hint_for(action.reason))
        return replace(_of(subscription, workload, Effect.HELD, why), until=action.until)
    if isinstance(action, RestartNow):
        return _effect_now(subscription, action, refusal, view.other_reloaders.get(workload.uid))
    return _of(subscription, workload, Effect.NOTHING, problem(about, action.reason, ""))


def _effect_now(
    subscription: SubscriptionView, action: RestartNow, refusal: Reason | None, other: OtherReloader | None
) -> WorkloadEffect:
    """What is due now, unless another tool does it, or the spec holds it."""
    workload, effect = action.workload, _EFFECTS[action.action]
    about = object_name(workload.kind.kind, workload.name)
    if other is not None and effect.is_restart:
        left = problem(about, Reason.MANAGED_BY_OTHER_CONTROLLER, str(other))
        return _of(subscription, workload, Effect.NOTHING, left)
    if refusal is not None:
        return _of(subscription, workload, Effect.HELD, problem(about, refusal, hint_for(refusal)))
    if subscription.spec is not None and subscription.spec.mode is Mode.DRY_RUN:
        dry = problem(object_name(KIND, subscription.name), Reason.DRY_RUN, hint_for(Reason.DRY_RUN))
        return _of(subscription, workload, Effect.NOTHING, dry)
    is_for_next_run = workload.kind.restarting is Restarting.NEVER
    note = hint_for(Reason.APPLIES_TO_NEXT_RUN) if is_for_next_run else _EFFECT_NOTES[effect]
    return replace(_of(subscription, workload, effect), note=note)


def _of(
    subscription: SubscriptionView, workload: Workload, effect: Effect, why: Problem | None = None
) -> WorkloadEffect:
    return WorkloadEffect(workload.kind.kind, workload.name, subscription.name, effect, problem=why)


def _of_pending(subscription: SubscriptionView, pending: PendingRestart) -> WorkloadEffect:
    why = problem(object_name(pending.kind, pending.name), Reason.WORKLOAD_GONE, "")
    return WorkloadEffect(pending.kind, pending.name, subscription.name, Effect.NOTHING, problem=why)
