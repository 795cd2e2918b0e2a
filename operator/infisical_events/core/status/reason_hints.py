"""What a reason means and what to do about it, where no better message is at hand."""

from typing import Final

from infisical_events.core.status.reasons import Reason

_HINTS: Final = {
    Reason.PAUSED: "paused by annotation events.infisical.com/paused",
    Reason.COOLING_DOWN: "restarted less than spec.cooldownSeconds ago",
    Reason.ROLLOUT_IN_PROGRESS: "waiting for a rollout that another party started",
    Reason.WAITING_FOR_ROLLOUTS: "spec.rollout.maxConcurrent rollouts are in progress",
    Reason.WAITING_FOR_WAVE: "waiting for an earlier wave to complete",
    Reason.ROLLOUT_HALTED: (
        "a rollout failed and spec.rollout.onFailure is Halt: repair that workload, or annotate the "
        "subscription with a new value of events.infisical.com/resume-at"
    ),
    Reason.RESTART_BUDGET_EXHAUSTED: (
        "the operator's limit is reached (--max-restarts-per-minute, --max-concurrent-rollouts)"
    ),
    Reason.DRY_RUN: "spec.mode is DryRun",
    Reason.APPLIES_TO_NEXT_RUN: "its Secrets are up to date and apply to the next run",
    Reason.NO_SECRET_PROVIDER: "no Secret with a known provider",
}


def hint_for(reason: Reason) -> str:
    """A clause for people; empty when the reason explains itself."""
    return _HINTS.get(reason, "")
