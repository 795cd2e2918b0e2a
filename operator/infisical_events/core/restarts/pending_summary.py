"""What is pending at a moment and why: for the metrics and for the condition `RestartsComplete`."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from infisical_events.core.ledger.ledger import PendingRestart
from infisical_events.core.restarts.outcomes import RestartOutcome
from infisical_events.core.restarts.rollouts import RolloutUpdate
from infisical_events.core.status.reasons import Reason
from infisical_events.core.status.text import object_name, preview

ALARMING: Final = {
    Reason.RESYNC_TIMED_OUT,
    Reason.ROLLOUT_HALTED,
    Reason.RESTART_BUDGET_EXHAUSTED,
    Reason.KUBERNETES_API_ERROR,
}
"""Reasons for a deferral that a Warning reports, and that the condition names first."""

_MAX_LINES: Final = 5
"""Workloads that one message names."""


@dataclass(frozen=True, slots=True)
class PendingCount:
    """How many workloads wait for their restart for one reason, and since when the first of them."""

    count: int
    since: datetime


@dataclass(frozen=True, slots=True)
class RestartsCondition:
    """What the condition `RestartsComplete` says after a round."""

    is_complete: bool
    reason: Reason
    message: str


def pending_by_reason(
    all_pending: Iterable[PendingRestart], reasons: Mapping[str, tuple[int, str]]
) -> dict[str, PendingCount]:
    """Pending restarts by the reason for which they wait.

    `reasons` has, by uid, the seq of a pending restart and its reason. Unconfirmed ones are left out: their
    restart was made, and another one is necessary only if a provider syncs after all.
    """
    waiting: dict[str, list[datetime]] = defaultdict(list)
    for pending in all_pending:
        if not pending.is_watch:
            seq, reason = reasons.get(pending.uid, (pending.seq, Reason.PENDING))
            waiting[str(reason) if seq == pending.seq else Reason.PENDING].append(pending.since)
    return {reason: PendingCount(len(since), min(since)) for reason, since in waiting.items()}


def restarts_condition(
    outcomes: Sequence[RestartOutcome],
    updates: Sequence[RolloutUpdate],
    not_listed: Mapping[str, str] | None = None,
) -> RestartsCondition | None:
    """The condition after a round; None when nothing is left that it could name.

    A restart that was just made is named in the next round, when its rollout is tracked. One that failed,
    that the spec holds or that was taken back is named until all its pods are new. `not_listed` has why kinds
    whose workloads may be affected could not be listed.
    """
    if not_listed:
        message = not_listed_message(not_listed)
        return RestartsCondition(is_complete=False, reason=Reason.WORKLOADS_NOT_LISTED, message=message)
    pending = [outcome for outcome in outcomes if outcome.is_pending]
    if pending and not updates and all(outcome.is_confirmation_only for outcome in outcomes):
        message = f"No pending restarts. Watching {pending[0].note} for a late update."
        return RestartsCondition(is_complete=True, reason=Reason.NO_PENDING_RESTARTS, message=message)
    waiting = [outcome for outcome in pending if not outcome.is_confirmation_only]
    rolling = [update for update in updates if update.is_kept]
    if not (waiting or rolling):
        return None
    first = min(waiting, key=lambda outcome: outcome.result not in ALARMING, default=None)
    lines = [*map(_pending_line, waiting), *map(_rollout_line, rolling)]
    return RestartsCondition(
        is_complete=False,
        reason=first.result if first else _worst(rolling),
        message=f"{preview(lines, _MAX_LINES, '; ')}.",
    )


def not_listed_message(failures: Mapping[str, str]) -> str:
    """Which kinds could not be listed, in the API server's words."""
    lines = [f"Cannot list workloads of kind {kind}: {why}" for kind, why in failures.items()]
    return f"{preview(lines, _MAX_LINES, '; ')}. Their restarts wait until they can be listed."


def _pending_line(outcome: RestartOutcome) -> str:
    name = object_name(outcome.pending.kind, outcome.pending.name)
    return f"{name}: {outcome.result}: {outcome.note or outcome.cause}"


def _rollout_line(update: RolloutUpdate) -> str:
    reason = rollout_reason(update)
    state = "rollout in progress" if reason is Reason.ROLLING_OUT else reason
    name = object_name(update.rollout.kind, update.rollout.name)
    return f"{name}: {state}{f': {update.cause}' if update.cause else ''}"


def rollout_reason(update: RolloutUpdate) -> Reason:
    """Why a rollout that is tracked has not ended."""
    if update.rollout.reverted_at is not None:
        return Reason.RESTART_REVERTED
    if update.rollout.is_held and update.obstacle:
        return update.obstacle
    if update.rollout.has_failed:
        return Reason.ROLLOUT_FAILED
    return Reason.ROLLOUT_BLOCKED if update.is_blocked else Reason.ROLLING_OUT


def _worst(rolling: Sequence[RolloutUpdate]) -> Reason:
    """The reason that needs a person most."""
    reasons = [rollout_reason(update) for update in rolling]
    order = (Reason.RESTART_REVERTED, Reason.ROLLOUT_FAILED, Reason.ROLLOUT_BLOCKED, Reason.ROLLING_OUT)
    return next((reason for reason in order if reason in reasons), reasons[0])
