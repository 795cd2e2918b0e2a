"""When the next round of restarts is due."""

from dataclasses import dataclass, field
from datetime import datetime

from infisical_events.core.ledger.ledger import Ledger
from infisical_events.core.restarts.outcomes import RestartOutcome
from infisical_events.core.status.reasons import Reason
from infisical_events.runtime.backoff import Backoff

_DEFERRED_PAUSE = 15.0
"""Seconds until a workload is read again that is deferred without a known end."""

_ROLLOUT_PAUSE = 1.0
"""Seconds between reads of rollouts in progress, and of what waits for them."""

_SHORTEST_PAUSE = 0.05
"""Seconds."""

_SOON = {
    Reason.ROLLOUT_IN_PROGRESS,
    Reason.WAITING_FOR_ROLLOUTS,
    Reason.WAITING_FOR_WAVE,
    Reason.RESTART_BUDGET_EXHAUSTED,
    Reason.WORKLOAD_MODIFIED,
}

_FAILED = {Reason.RESTART_FAILED, Reason.KUBERNETES_API_ERROR}


@dataclass(slots=True)
class RetrySchedule:
    """The backoffs of one subscription's rounds: after failures, after conflicts, while providers sync."""

    failures: Backoff = field(default_factory=lambda: Backoff(first=0.5, longest=30.0))
    conflicts: Backoff = field(default_factory=lambda: Backoff(first=0.05, longest=5.0))
    syncs: Backoff = field(default_factory=lambda: Backoff(first=0.2, longest=2.0))

    def pause_after(self, outcomes: list[RestartOutcome], ledger: Ledger, now: datetime) -> float | None:
        """Seconds until the next round; None when nothing is left to do."""
        failed = [outcome for outcome in outcomes if outcome.result in _FAILED]
        if failed and all(outcome.is_conflict for outcome in failed):
            return self.conflicts.pause()  # a rollout in progress modifies its workload all the time
        if failed:
            return self.failures.pause()
        self.failures.reset()
        self.conflicts.reset()
        decided = {(each.pending.uid, each.pending.seq) for each in outcomes}
        if any((p.uid, p.seq) not in decided for p in ledger.pending if not p.is_watch):
            return _SHORTEST_PAUSE  # a rollout that was taken back is pending again
        deferred = {each.result for each in outcomes if each.is_pending and not each.is_confirmation_only}
        if Reason.RESYNCING in deferred:
            return self.syncs.pause()
        self.syncs.reset()
        is_new = any(outcome.has_started_rollout for outcome in outcomes)
        if deferred & _SOON or is_new or any(rollout.is_rolling for rollout in ledger.rollouts):
            return _ROLLOUT_PAUSE
        times = [outcome.until for outcome in outcomes if outcome.until is not None]
        pauses = [max(_SHORTEST_PAUSE, (time - now).total_seconds()) for time in times]
        return None if ledger.is_idle else min([_DEFERRED_PAUSE, *pauses])
