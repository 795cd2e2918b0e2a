"""Telling what became of debts and rollouts: each thing once, in status, Events, log and metrics."""

import logging
from dataclasses import dataclass, field
from datetime import datetime

from infisical_events.api.statuses import ConditionType, WorkloadResult
from infisical_events.core.ledger.ledger import Debt, Doubt, Ledger
from infisical_events.core.restarts.pending_summary import owed_by_reason
from infisical_events.core.restarts.planner import Hold, Settle
from infisical_events.core.snapshots.changes import folded, named
from infisical_events.core.status.reasons import Reason
from infisical_events.core.sync.sync_state import Freshness
from infisical_events.runtime.metrics import Metrics
from infisical_events.runtime.restarts.restart_decider import Decision
from infisical_events.runtime.restarts.rollout_tracker import Followed
from infisical_events.runtime.status.reporter import Reporter

log = logging.getLogger(__name__)

_ACTED = {Reason.RESTARTED, Reason.RESTART_FAILED, Reason.ROLLOUT_PAUSED, Reason.ROLLOUT_ON_DELETE}

_ALARMING = {Reason.RESYNC_TIMED_OUT, Reason.ROLLOUT_HALTED, Reason.BUDGET_SPENT}
"""Reasons for holding a debt that somebody has to be told of by an Event."""

_MOST_HELD = 5

_HINTS = {
    Reason.PAUSED: "its owner holds it (annotation events.infisical.com/paused)",
    Reason.COOLING_DOWN: "it was restarted less than spec.cooldownSeconds ago",
    Reason.OTHER_ROLLOUT: "somebody else's rollout is under way",
    Reason.WAITING_FOR_ROLLOUTS: "spec.rollout.maxConcurrent others roll out",
    Reason.WAITING_FOR_WAVE: "an earlier wave is not through",
    Reason.ROLLOUT_HALTED: (
        "a rollout has failed and spec.rollout.onFailure is Halt: mend that workload, or annotate the "
        "subscription with a new value of events.infisical.com/resume-at"
    ),
    Reason.BUDGET_SPENT: (
        "the operator's budget is spent (--max-restarts-per-minute, --max-concurrent-rollouts)"
    ),
    Reason.DRY_RUN: "spec.mode is DryRun",
    Reason.ROLLOUT_PAUSED: "it is patched and paused: its pods are replaced when it is resumed",
    Reason.ROLLOUT_ON_DELETE: "it is patched, and its updateStrategy is OnDelete: delete its pods",
    Reason.NEXT_RUN_IS_FRESH: "its secrets are fresh, and its next run has them",
    Reason.NO_SOURCE: "nobody is known to write its Secrets, so none could be synced",
}


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one debt; `trouble` is the API server's own sentence."""

    decision: Decision
    made: Reason | None = None
    trouble: str = ""
    is_conflict: bool = False
    is_unanswered: bool = False

    @property
    def debt(self) -> Debt:
        """The debt."""
        return self.decision.step.debt

    @property
    def result(self) -> Reason:
        """What was done, or why nothing was."""
        step = self.decision.step
        return self.made or (step.reason if isinstance(step, Hold | Settle) else Reason.RESYNCED)

    @property
    def told(self) -> Reason:
        """The result for people: a restart whose answer was lost is found by its receipt."""
        return Reason.RESTARTED if self.result is Reason.ALREADY_RESTARTED else self.result

    @property
    def is_owed(self) -> bool:
        """Whether the debt stays."""
        return self.result is Reason.RESTART_FAILED or isinstance(self.decision.step, Hold)

    @property
    def doubt(self) -> Doubt | None:
        """Why its pods may have begun with content that is not the newest, if that may be mended."""
        step = self.decision.step
        if self.is_owed:
            return None
        if isinstance(step, Settle) and step.doubt:
            return step.doubt
        is_begun = self.made is not None or self.result is Reason.COVERED_BY_ROLLOUT
        is_found_same = self.result is Reason.NO_DATA_CHANGE and not self.debt.is_watched
        return self.decision.fresh.doubt if is_begun or is_found_same else None

    @property
    def is_watched(self) -> bool:
        """Whether it was restarted with most likely all there is, and is only watched for a while."""
        return self.debt.is_watched and self.result in {Reason.RESYNCING, Reason.RESYNC_TIMED_OUT}

    @property
    def until(self) -> datetime | None:
        """When it may be done, if that is known."""
        return self.decision.step.until if isinstance(self.decision.step, Hold) else None

    @property
    def why(self) -> str:
        """What changed, for people."""
        return "asked for by restart-at" if self.debt.is_requested else named(self.debt.changes)

    @property
    def note(self) -> str:
        """What a person should know besides the result."""
        return self.trouble or self.decision.note or _HINTS.get(self.result, "")


@dataclass(kw_only=True, slots=True)
class Recounter:
    """Tells for one subscription."""

    reporter: Reporter
    metrics: Metrics
    told: dict[str, tuple[int, Reason]] = field(default_factory=dict)
    """By the workload's uid: the debt (its seq) and what was told of it last."""
    unanswered: set[tuple[str, int]] = field(default_factory=set)
    """Debts (uid and seq) whose restart had no answer once: the next time that is news."""

    async def tell(self, done: list[Done], followed: list[Followed]) -> None:
        """Tell what is news of one round."""
        for end in followed:
            if end.result is not None:
                await self._tell_end(end, end.result)
        news = [entry for entry in done if not entry.is_watched and self._is_news(entry)]
        for entry in news:
            self.metrics.dealt(self.reporter.key, entry.told)
        acted = [entry for entry in news if entry.told in _ACTED]
        if acted:
            changes = folded(change for entry in acted for change in entry.debt.changes)
            results = [
                WorkloadResult(kind=entry.debt.kind, name=entry.debt.name, result=entry.told)
                for entry in acted
            ]
            self.reporter.board.acted(changes, results, _summary(results))
        for entry in news:
            await self._tell_of(entry)
        owed = [entry for entry in done if entry.is_owed]
        self._sum_up([entry for entry in owed if not entry.is_watched], followed)
        if owed and all(entry.is_watched for entry in done) and not followed:
            self.nothing_owed(owed[0].note)

    def owes(self, ledger: Ledger) -> None:
        """Have it counted what a ledger owes, and why it is not done yet as far as that was told."""
        self.metrics.owes(self.reporter.key, owed_by_reason(ledger.debts, self.told))

    def forget_paid(self, ledger: Ledger) -> None:
        """Drop what was told of debts that are no more."""
        left = {debt.uid for debt in ledger.debts}
        self.told = {uid: told for uid, told in self.told.items() if uid in left}
        self.unanswered = {(uid, seq) for uid, seq in self.unanswered if uid in left}
        self.owes(ledger)

    def nothing_owed(self, watched: str = "") -> None:
        """Nothing is left to be done; who is watched all the same may be told."""
        message = "Every change that was found has been dealt with."
        if watched:
            message += f" What never answers may still bring another content, and is watched: {watched}."
        board = self.reporter.board
        board.find(ConditionType.SETTLED, ok=True, reason=Reason.NOTHING_OWED, message=message)

    def _is_news(self, entry: Done) -> bool:
        """Tries of one debt repeat themselves; a conflict, or one lost answer, is no result yet."""
        debt, result = entry.debt, entry.told
        attempt = (debt.uid, debt.seq)
        is_undecided = entry.is_conflict or (entry.is_unanswered and attempt not in self.unanswered)
        if entry.is_unanswered:
            self.unanswered.add(attempt)
        if is_undecided or result is Reason.JUST_EDITED or self.told.get(debt.uid) == (debt.seq, result):
            return False
        self.told[debt.uid] = (debt.seq, result)
        return True

    def _sum_up(self, owed: list[Done], followed: list[Followed]) -> None:
        """The condition that says what is still to be done, and why it is not done yet."""
        rolling = [entry for entry in followed if entry.is_kept and not entry.rollout.has_failed]
        if not (owed or rolling):
            return  # what was restarted in this round is followed in the next
        worst = min(owed, key=lambda entry: entry.result not in _ALARMING, default=None)
        lines = [f"{_name(entry.debt)}: {entry.result}: {entry.note or entry.why}" for entry in owed]
        lines += [f"{entry.rollout.kind} {entry.rollout.name}: rolls out" for entry in rolling]
        told = "; ".join(lines[:_MOST_HELD])
        more = f"; and {len(lines) - _MOST_HELD} more" if len(lines) > _MOST_HELD else ""
        reason = worst.result if worst else Reason.ROLLING_OUT
        board = self.reporter.board
        board.find(ConditionType.SETTLED, ok=False, reason=reason, message=f"{told}{more}.")

    async def _tell_of(self, entry: Done) -> None:
        name, told = _name(entry.debt), entry.told
        if told is Reason.RESTART_FAILED:
            note = f"{name} could not be restarted: {entry.trouble}"
            await self.reporter.notify(told, note, is_warning=True)
        elif told in _ACTED:
            if entry.decision.fresh.state is Freshness.OVERDUE:
                await self._tell_timeout(entry)
            note = f"; {entry.note}" if entry.note else ""
            log.info("restarted %s: %s%s", name, entry.why, note, extra=self.reporter.extra)
            await self.reporter.notify(told, f"{name} restarted: {entry.why}{note}.")
            if entry.decision.standing is not None:
                sentence = f"Restarted by subscription {self.reporter.key.name}: {entry.why}{note}."
                await self.reporter.notify_workload(entry.decision.standing.workload, told, sentence)
        else:
            note = f" ({entry.note})" if entry.note else ""
            self.reporter.skip(told, f"{name}: {entry.why}{note}.")
            if told in {Reason.RESYNCED, Reason.NEXT_RUN_IS_FRESH}:
                self.reporter.board.resynced()
            if told in _ALARMING and entry.debt.doubt is None:
                await self.reporter.notify(told, f"{name} waits{note}.", is_warning=True)

    async def _tell_timeout(self, entry: Done) -> None:
        """A restart that did not wait any longer is one to look at: it may have to be made again."""
        reason = Reason.RESYNC_TIMED_OUT
        self.metrics.dealt(self.reporter.key, reason)
        note = f"{_name(entry.debt)} is restarted with the Secrets that there are: no answer in time from "
        await self.reporter.notify(reason, f"{note}{entry.note}.", is_warning=True)

    async def _tell_end(self, entry: Followed, result: Reason) -> None:
        rollout = entry.rollout
        name = f"{rollout.kind} {rollout.name}"
        self.metrics.dealt(self.reporter.key, result)
        self.reporter.board.ended(rollout.kind, rollout.name, result)
        log.info("rollout of %s: %s", name, result, extra=self.reporter.extra)
        if result is Reason.ROLLOUT_FAILED:
            note = f"{name} was restarted and its pods do not become ready."
            await self.reporter.notify(result, note, is_warning=True)
        elif result is Reason.ROLLOUT_RESUMED:
            await self.reporter.notify(result, f"{name} is available after all: the others go on.")


def _name(debt: Debt) -> str:
    return f"{debt.kind} {debt.name}"


def _summary(results: list[WorkloadResult]) -> str:
    done = sum(result.result != Reason.RESTART_FAILED for result in results)
    return f"{done} of {len(results)} workloads restarted."
