"""Doing what is owed: rollouts are followed, debts decided and admitted, restarts made and written down.

`core.planning` and `core.admitting` decide; `deciding` reads what they need to know. A debt leaves the
ledger only when its restart was made, found, or is not due any more, and its rollout takes its place.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from infisical_events.api.specs import Action, Mode
from infisical_events.api.specs import Rollout as RolloutSpec
from infisical_events.core.ledger.ledger import Ledger, Rollout
from infisical_events.core.restarts.admission import Candidate, admit
from infisical_events.core.restarts.planner import (
    Deferred,
    PlannedAction,
    RestartNow,
    RestartPolicy,
    plan,
    remove_done,
    requeue_unconfirmed,
)
from infisical_events.core.restarts.workloads import Workload
from infisical_events.core.status.reasons import Reason
from infisical_events.runtime.backoff import Backoff
from infisical_events.runtime.clock import Clock
from infisical_events.runtime.limits.restart_budget import RestartBudget
from infisical_events.runtime.ports import Cluster
from infisical_events.runtime.restarts.restart_decider import RestartDecider, RestartDecision
from infisical_events.runtime.restarts.restart_report import RestartOutcome, RestartReporter
from infisical_events.runtime.restarts.rollout_tracker import RolloutTracker, RolloutUpdate
from infisical_events.runtime.restarts.workload_patcher import WorkloadPatcher
from infisical_events.runtime.status.subscription_store import SubscriptionStore

_HELD_PAUSE = 15.0
"""Seconds between looks at a workload that its owner holds."""

_ROLLING_PAUSE = 1.0
"""Seconds between looks at rollouts that are under way, and at what waits for them."""

_SOON = {
    Reason.ROLLOUT_IN_PROGRESS,
    Reason.WAITING_FOR_ROLLOUTS,
    Reason.WAITING_FOR_WAVE,
    Reason.RESTART_BUDGET_EXHAUSTED,
    Reason.WORKLOAD_MODIFIED,
}

_FAILED = {Reason.RESTART_FAILED, Reason.KUBERNETES_API_ERROR}

_HELD_ALONE = {Reason.PAUSED, Reason.RESYNC_TIMED_OUT}
"""Reasons to hold a workload that may last for ever."""


@dataclass(kw_only=True, slots=True)
class RestartController:
    """The debts and rollouts of one subscription."""

    cluster: Cluster
    record: SubscriptionStore
    restart_decider: RestartDecider
    workload_patcher: WorkloadPatcher
    rollout_tracker: RolloutTracker
    restart_reporter: RestartReporter
    budget: RestartBudget
    clock: Clock
    rules: RestartPolicy
    rollout: RolloutSpec
    mode: Mode = Mode.ENFORCE
    backoff: Backoff = field(default_factory=lambda: Backoff(first=0.5, longest=30.0))
    conflicts: Backoff = field(default_factory=lambda: Backoff(first=0.05, longest=5.0))
    syncing: Backoff = field(default_factory=lambda: Backoff(first=0.2, longest=2.0))

    async def run_round(self, listed: tuple[Workload, ...] | None = None) -> float | None:
        """Do what is owed; return after how many seconds to try again, None when nothing is left.

        `listed` are workloads that were listed a moment ago, when the ledger was written: a patch under an
        old version conflicts. Later the subscription may be gone without anybody here having been told.

        Raises:
            KubernetesError, LedgerMovedError, SupersededError, GoneError: what was done is found again by
                its receipts.
        """
        ledger = self.record.ledger
        if ledger is not None:
            self.restart_reporter.count_pending(ledger)  # also where nothing can be done for it now
        if ledger is None or not (ledger.pending or ledger.rollouts):
            self.restart_reporter.mark_complete()
            return None
        if listed is None:
            await self.record.verify_stored()
        followed = await self.rollout_tracker.follow(ledger)
        done = await self._execute(ledger, followed, listed) if ledger.pending else []
        settled = self._next_ledger(ledger, followed, done)
        maybe = [_rollout_of(e.decision.action, self.clock()) for e in done if e.is_unanswered]
        self._count((*settled.rollouts, *maybe))
        if not (settled.pending or settled.rollouts):
            self.restart_reporter.mark_complete()
        await self.restart_reporter.report(done, followed)
        if settled != ledger:
            await self.record.write_ledger(settled, planned_on=ledger)
        self.restart_reporter.forget_done(settled)
        return self._pause_after(done, settled)

    async def _execute(
        self, ledger: Ledger, followed: list[RolloutUpdate], listed: tuple[Workload, ...] | None
    ) -> list[RestartOutcome]:
        """Carry out one step per debt."""
        key = self.record.key
        workloads = listed or await self.cluster.list_workloads(key.namespace)
        steps = plan(ledger, key.name, workloads, self.rules, self.clock())
        if self.mode is Mode.DRY_RUN:
            return [RestartOutcome(RestartDecision(Deferred(step.pending, Reason.DRY_RUN))) for step in steps]
        decisions = await self.restart_decider.decide(steps, ledger)
        rolling = [entry.rollout for entry in followed if entry.is_kept]
        rolling += [_rollout_of(d.action, self.clock()) for d in decisions if _is_found_paid(d.action)]
        self._count(rolling)
        verdicts = admit(_due(decisions), rolling, self.rollout)
        by_uid = {decision.action.pending.uid: decision for decision in decisions}
        held = [
            await self.workload_patcher.record_coverage(decision)
            for decision in decisions
            if not _is_restart(decision.action)
        ]
        made = [
            await self.workload_patcher.restart(by_uid[uid], ledger.epoch, reason)
            for uid, reason in verdicts.items()
            if _is_restart(by_uid[uid].action)
        ]
        return held + made

    def _next_ledger(
        self, ledger: Ledger, followed: list[RolloutUpdate], done: list[RestartOutcome]
    ) -> Ledger:
        """The ledger without what is paid, and with what rolls out for it."""
        cleared = remove_done(ledger, (entry.pending for entry in done if not entry.is_pending))
        rollouts = {entry.rollout.uid: entry.rollout for entry in followed if entry.is_kept}
        for entry in done:
            if entry.result is Reason.RESTARTED or _is_found_paid(entry.decision.action):
                rollout = _rollout_of(entry.decision.action, self.clock())
                rollouts[rollout.uid] = rollout
        kept = tuple(rollouts.values())
        written = cleared if kept == cleared.rollouts else replace(cleared, rollouts=kept)
        doubted = {entry.pending: unconfirmed for entry in done if (unconfirmed := entry.unconfirmed)}
        return requeue_unconfirmed(written, doubted, self.clock())

    def _count(self, rollouts: Iterable[Rollout]) -> None:
        rolling = frozenset(rollout.uid for rollout in rollouts if not rollout.has_failed)
        self.budget.set_rolling(str(self.record.key), rolling)

    def _pause_after(self, done: list[RestartOutcome], ledger: Ledger) -> float | None:
        """Seconds until the next round: as soon as the first of what is left may have moved."""
        failed = [entry for entry in done if entry.result in _FAILED]
        if failed and all(entry.is_conflict for entry in failed):
            return self.conflicts.pause()  # a rollout under way moves its workload's version all the time
        if failed:
            return self.backoff.pause()
        self.backoff.reset()
        self.conflicts.reset()
        held = {entry.result for entry in done if entry.is_pending and not entry.is_confirmation_only}
        if Reason.RESYNCING in held:
            return self.syncing.pause()
        self.syncing.reset()
        if held & _SOON or any(not rollout.has_failed for rollout in ledger.rollouts):
            return _ROLLING_PAUSE
        moments = [entry.until for entry in done if entry.until is not None]
        pauses = [max(0.05, (moment - self.clock()).total_seconds()) for moment in moments]
        is_left = bool(ledger.pending or ledger.rollouts)
        return min([_HELD_PAUSE, *pauses]) if is_left else None


def _is_restart(step: PlannedAction) -> bool:
    return isinstance(step, RestartNow) and step.action is not Action.RESYNC


def _is_found_paid(step: PlannedAction) -> bool:
    """Whether the restart was made earlier, and only its receipt tells."""
    return not isinstance(step, RestartNow) and step.reason is Reason.ALREADY_RESTARTED


def _rollout_of(step: PlannedAction, now: datetime) -> Rollout:
    pending = step.pending
    wave = step.workload.wave if step.workload else 0
    return Rollout(pending.uid, pending.kind, pending.name, pending.seq, now, wave)


def _due(decisions: Iterable[RestartDecision]) -> list[Candidate]:
    """What waits for its turn; who is held by its owner or a dead source, or restarted, holds up nobody."""
    due = []
    for step in (decision.action for decision in decisions):
        is_waiting = (
            isinstance(step, Deferred) and step.reason not in _HELD_ALONE and not step.pending.unconfirmed
        )
        if _is_restart(step) or is_waiting:
            wave = step.workload.wave if step.workload else 0
            due.append(Candidate(step.pending.uid, step.pending.name, wave, is_ready=_is_restart(step)))
    return due
