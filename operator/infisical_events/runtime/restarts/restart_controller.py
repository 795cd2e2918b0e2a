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
from infisical_events.core.restarts.admission import Due, admitted
from infisical_events.core.restarts.planner import Act, Hold, Rules, Step, belated, clear, plan
from infisical_events.core.restarts.workloads import Workload
from infisical_events.core.status.reasons import Reason
from infisical_events.runtime.backoff import Backoff
from infisical_events.runtime.clock import Clock
from infisical_events.runtime.limits.restart_budget import Budget
from infisical_events.runtime.ports import Cluster
from infisical_events.runtime.restarts.restart_decider import Decider, Decision
from infisical_events.runtime.restarts.restart_report import Done, Recounter
from infisical_events.runtime.restarts.rollout_tracker import Followed, Roller
from infisical_events.runtime.restarts.workload_patcher import Restarter
from infisical_events.runtime.status.subscription_store import Record

_HELD_PAUSE = 15.0
"""Seconds between looks at a workload that its owner holds."""

_ROLLING_PAUSE = 1.0
"""Seconds between looks at rollouts that are under way, and at what waits for them."""

_SOON = {
    Reason.OTHER_ROLLOUT,
    Reason.WAITING_FOR_ROLLOUTS,
    Reason.WAITING_FOR_WAVE,
    Reason.BUDGET_SPENT,
    Reason.JUST_EDITED,
}

_FAILED = {Reason.RESTART_FAILED, Reason.KUBERNETES_REFUSED}

_HELD_ALONE = {Reason.PAUSED, Reason.RESYNC_TIMED_OUT}
"""Reasons to hold a workload that may last for ever."""


@dataclass(kw_only=True, slots=True)
class Settler:
    """The debts and rollouts of one subscription."""

    cluster: Cluster
    record: Record
    decider: Decider
    restarter: Restarter
    roller: Roller
    recounter: Recounter
    budget: Budget
    clock: Clock
    rules: Rules
    rollout: RolloutSpec
    mode: Mode = Mode.ENFORCE
    backoff: Backoff = field(default_factory=lambda: Backoff(first=0.5, longest=30.0))
    conflicts: Backoff = field(default_factory=lambda: Backoff(first=0.05, longest=5.0))
    syncing: Backoff = field(default_factory=lambda: Backoff(first=0.2, longest=2.0))

    async def settle(self, listed: tuple[Workload, ...] | None = None) -> float | None:
        """Do what is owed; return after how many seconds to try again, None when nothing is left.

        `listed` are workloads that were listed a moment ago, when the ledger was written: a patch under an
        old version conflicts. Later the subscription may be gone without anybody here having been told.

        Raises:
            KubernetesError, LedgerMovedError, SupersededError, GoneError: what was done is found again by
                its receipts.
        """
        ledger = self.record.ledger
        if ledger is not None:
            self.recounter.owes(ledger)  # also where nothing can be done for it now
        if ledger is None or not (ledger.debts or ledger.rollouts):
            self.recounter.nothing_owed()
            return None
        if listed is None:
            await self.record.check()
        followed = await self.roller.follow(ledger)
        done = await self._pay(ledger, followed, listed) if ledger.debts else []
        settled = self._written(ledger, followed, done)
        maybe = [_rollout_of(e.decision.step, self.clock()) for e in done if e.is_unanswered]
        self._count((*settled.rollouts, *maybe))
        if not (settled.debts or settled.rollouts):
            self.recounter.nothing_owed()
        await self.recounter.tell(done, followed)
        if settled != ledger:
            await self.record.write_ledger(settled, planned_on=ledger)
        self.recounter.forget_paid(settled)
        return self._pause_after(done, settled)

    async def _pay(
        self, ledger: Ledger, followed: list[Followed], listed: tuple[Workload, ...] | None
    ) -> list[Done]:
        """Carry out one step per debt."""
        key = self.record.key
        workloads = listed or await self.cluster.list_workloads(key.namespace)
        steps = plan(ledger, key.name, workloads, self.rules, self.clock())
        if self.mode is Mode.DRY_RUN:
            return [Done(Decision(Hold(step.debt, Reason.DRY_RUN))) for step in steps]
        decisions = await self.decider.decide(steps, ledger)
        rolling = [entry.rollout for entry in followed if entry.is_kept]
        rolling += [_rollout_of(d.step, self.clock()) for d in decisions if _is_found_paid(d.step)]
        self._count(rolling)
        verdicts = admitted(_due(decisions), rolling, self.rollout)
        by_uid = {decision.step.debt.uid: decision for decision in decisions}
        held = [
            await self.restarter.note(decision) for decision in decisions if not _is_restart(decision.step)
        ]
        made = [
            await self.restarter.restart(by_uid[uid], ledger.epoch, reason)
            for uid, reason in verdicts.items()
            if _is_restart(by_uid[uid].step)
        ]
        return held + made

    def _written(self, ledger: Ledger, followed: list[Followed], done: list[Done]) -> Ledger:
        """The ledger without what is paid, and with what rolls out for it."""
        cleared = clear(ledger, (entry.debt for entry in done if not entry.is_owed))
        rollouts = {entry.rollout.uid: entry.rollout for entry in followed if entry.is_kept}
        for entry in done:
            if entry.result is Reason.RESTARTED or _is_found_paid(entry.decision.step):
                rollout = _rollout_of(entry.decision.step, self.clock())
                rollouts[rollout.uid] = rollout
        kept = tuple(rollouts.values())
        written = cleared if kept == cleared.rollouts else replace(cleared, rollouts=kept)
        doubted = {entry.debt: doubt for entry in done if (doubt := entry.doubt)}
        return belated(written, doubted, self.clock())

    def _count(self, rollouts: Iterable[Rollout]) -> None:
        rolling = frozenset(rollout.uid for rollout in rollouts if not rollout.has_failed)
        self.budget.rolls(str(self.record.key), rolling)

    def _pause_after(self, done: list[Done], ledger: Ledger) -> float | None:
        """Seconds until the next round: as soon as the first of what is left may have moved."""
        failed = [entry for entry in done if entry.result in _FAILED]
        if failed and all(entry.is_conflict for entry in failed):
            return self.conflicts.pause()  # a rollout under way moves its workload's version all the time
        if failed:
            return self.backoff.pause()
        self.backoff.reset()
        self.conflicts.reset()
        held = {entry.result for entry in done if entry.is_owed and not entry.is_watched}
        if Reason.RESYNCING in held:
            return self.syncing.pause()
        self.syncing.reset()
        if held & _SOON or any(not rollout.has_failed for rollout in ledger.rollouts):
            return _ROLLING_PAUSE
        moments = [entry.until for entry in done if entry.until is not None]
        pauses = [max(0.05, (moment - self.clock()).total_seconds()) for moment in moments]
        is_left = bool(ledger.debts or ledger.rollouts)
        return min([_HELD_PAUSE, *pauses]) if is_left else None


def _is_restart(step: Step) -> bool:
    return isinstance(step, Act) and step.action is not Action.RESYNC


def _is_found_paid(step: Step) -> bool:
    """Whether the restart was made earlier, and only its receipt tells."""
    return not isinstance(step, Act) and step.reason is Reason.ALREADY_RESTARTED


def _rollout_of(step: Step, now: datetime) -> Rollout:
    debt = step.debt
    wave = step.workload.wave if step.workload else 0
    return Rollout(debt.uid, debt.kind, debt.name, debt.seq, now, wave)


def _due(decisions: Iterable[Decision]) -> list[Due]:
    """What waits for its turn; who is held by its owner or a dead source, or restarted, holds up nobody."""
    due = []
    for step in (decision.step for decision in decisions):
        is_waiting = isinstance(step, Hold) and step.reason not in _HELD_ALONE and not step.debt.doubt
        if _is_restart(step) or is_waiting:
            wave = step.workload.wave if step.workload else 0
            due.append(Due(step.debt.uid, step.debt.name, wave, is_ready=_is_restart(step)))
    return due
