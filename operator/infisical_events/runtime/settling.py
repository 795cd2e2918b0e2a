"""Doing what is owed: one patch per workload, under the version it was listed with, and its receipt.

`core.planning` decides what to do for each debt; here it is carried out and told. A debt leaves the
ledger only when its restart was made, found, or is not due any more.
"""

import logging
from dataclasses import dataclass, field

from infisical_events.api.statuses import WorkloadResult
from infisical_events.core.changes import folded, named
from infisical_events.core.ledgers import Ledger
from infisical_events.core.planning import Restart, Step, clear, plan
from infisical_events.core.reasons import Reason
from infisical_events.core.receipts import restart_patch
from infisical_events.core.workloads import Workload
from infisical_events.kube.errors import ConflictError, KubernetesError, UnknownOutcomeError
from infisical_events.runtime.backoffs import Backoff
from infisical_events.runtime.clocks import Clock
from infisical_events.runtime.metrics import Metrics
from infisical_events.runtime.ports import Cluster
from infisical_events.runtime.records import Record
from infisical_events.runtime.reporting import Reporter

log = logging.getLogger(__name__)

_HELD_PAUSE = 15.0
"""Seconds between looks at a workload that its owner holds."""

_ACTED = {Reason.RESTARTED, Reason.RESTART_FAILED}

_KEEPING = {Reason.RESTART_FAILED, Reason.PAUSED}
"""Results after which the debt stays."""


@dataclass(frozen=True, slots=True)
class _Done:
    """What became of one step; `trouble` is the API server's own sentence."""

    step: Step
    result: Reason
    trouble: str = ""
    is_conflict: bool = False
    is_unanswered: bool = False

    @property
    def told(self) -> Reason:
        """The result for people: a restart whose answer was lost is found by its receipt."""
        return Reason.RESTARTED if self.result is Reason.ALREADY_RESTARTED else self.result


@dataclass(kw_only=True, slots=True)
class Settler:
    """The debts of one subscription."""

    cluster: Cluster
    record: Record
    reporter: Reporter
    metrics: Metrics
    clock: Clock
    backoff: Backoff = field(default_factory=lambda: Backoff(first=0.5, longest=30.0))
    conflicts: Backoff = field(default_factory=lambda: Backoff(first=0.05, longest=5.0))
    told: dict[str, tuple[int, Reason]] = field(default_factory=dict)
    """By the workload's uid: the debt (its seq) and what was told of it last."""
    unanswered: set[tuple[str, int]] = field(default_factory=set)
    """Debts (uid and seq) whose restart had no answer once: the next time that is news."""

    async def settle(self, listed: tuple[Workload, ...] | None = None) -> float | None:
        """Do what is owed; return after how many seconds to try again, None when nothing is left.

        `listed` are workloads that were listed a moment ago, when the ledger was written: a patch under an
        old version conflicts. Later the subscription may be gone without anybody here having been told.

        Raises:
            KubernetesError, LedgerMovedError, SupersededError, GoneError: what was done is found again by
                its receipts.
        """
        ledger = self.record.ledger
        if ledger is None or not ledger.debts:
            return None
        if listed is None:
            await self.record.check()
        workloads = listed or await self.cluster.list_workloads(self.record.key.namespace)
        done = [await self._carry_out(step, ledger) for step in plan(ledger, self.record.key.name, workloads)]
        for entry in done:
            self.metrics.dealt(self.record.key, entry.result)
        await self._tell([entry for entry in done if self._is_news(entry)])
        cleared = clear(ledger, (entry.step.debt for entry in done if entry.result not in _KEEPING))
        if cleared is not ledger:
            await self.record.write_ledger(cleared, planned_on=ledger)
        owed = {debt.uid for debt in cleared.debts}
        self.told = {uid: told for uid, told in self.told.items() if uid in owed}
        self.unanswered = {(uid, seq) for uid, seq in self.unanswered if uid in owed}
        return self._pause_after(done, is_owed=bool(owed))

    def _pause_after(self, done: list[_Done], *, is_owed: bool) -> float | None:
        failed = [entry for entry in done if entry.result is Reason.RESTART_FAILED]
        if failed and all(entry.is_conflict for entry in failed):
            return self.conflicts.pause()  # a rollout under way moves its workload's version all the time
        if failed:
            return self.backoff.pause()
        self.backoff.reset()
        self.conflicts.reset()
        return _HELD_PAUSE if is_owed else None

    def _is_news(self, entry: _Done) -> bool:
        """Tries of one debt repeat themselves; a conflict, or one lost answer, is no result yet."""
        debt, result = entry.step.debt, entry.told
        attempt = (debt.uid, debt.seq)
        is_undecided = entry.is_conflict or (entry.is_unanswered and attempt not in self.unanswered)
        if entry.is_unanswered:
            self.unanswered.add(attempt)
        if is_undecided or self.told.get(debt.uid) == (debt.seq, result):
            return False
        self.told[debt.uid] = (debt.seq, result)
        return True

    async def _tell(self, news: list[_Done]) -> None:
        restarts = [(entry.step.debt, entry.told) for entry in news if entry.told in _ACTED]
        if restarts:
            changes = folded(change for debt, _ in restarts for change in debt.changes)
            told = [WorkloadResult(kind=d.kind, name=d.name, result=result) for d, result in restarts]
            self.reporter.board.acted(changes, told, _summary(told))
        for entry in news:
            await self._tell_of(entry)

    async def _tell_of(self, entry: _Done) -> None:
        debt, why = entry.step.debt, named(entry.step.debt.changes)
        name = f"{debt.kind} {debt.name}"
        if entry.told not in _ACTED:
            self.reporter.skip(entry.result, f"{name}: {why}.")
            return
        if entry.result is Reason.RESTART_FAILED:
            note = f"{name} could not be restarted: {entry.trouble}"
            await self.reporter.notify(Reason.RESTART_FAILED, note, is_warning=True)
            return
        log.info("restarted %s: %s", name, why, extra=self.reporter.extra)
        await self.reporter.notify(Reason.RESTARTED, f"{name} restarted: {why}.")
        if isinstance(entry.step, Restart):
            note = f"Restarted by subscription {self.record.key.name}: {why}."
            await self.reporter.notify_workload(entry.step.workload, Reason.RESTARTED, note)

    async def _carry_out(self, step: Step, ledger: Ledger) -> _Done:
        if not isinstance(step, Restart):
            return _Done(step, step.reason)
        key = self.record.key
        patch = restart_patch(step.workload, step.debt, key.name, ledger.epoch, self.clock())
        try:
            await self.cluster.patch_workload(key.namespace, step.workload, patch)
        except ConflictError:  # it was edited since it was listed: listed and planned anew
            return _Done(step, Reason.RESTART_FAILED, is_conflict=True)
        except UnknownOutcomeError as error:  # done or not: its receipt will tell
            return _Done(step, Reason.RESTART_FAILED, str(error), is_unanswered=True)
        except KubernetesError as error:
            return _Done(step, Reason.RESTART_FAILED, str(error))
        return _Done(step, Reason.RESTARTED)


def _summary(results: list[WorkloadResult]) -> str:
    done = sum(result.result == Reason.RESTARTED for result in results)
    return f"{done} of {len(results)} workloads restarted."
