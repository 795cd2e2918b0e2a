"""Telling what became of debts and rollouts: each thing once, in status, Events, log and metrics."""

import logging
from dataclasses import dataclass, field
from datetime import datetime

from infisical_events.api.statuses import ConditionType, WorkloadResult
from infisical_events.core.ledger.ledger import Ledger, PendingRestart, Unconfirmed
from infisical_events.core.restarts.pending_summary import pending_by_reason
from infisical_events.core.restarts.planner import Deferred, Resolved
from infisical_events.core.snapshots.changes import compacted, summarize
from infisical_events.core.status.reasons import Reason
from infisical_events.core.sync.sync_state import SyncState
from infisical_events.runtime.metrics import Metrics
from infisical_events.runtime.restarts.restart_decider import RestartDecision
from infisical_events.runtime.restarts.rollout_tracker import RolloutUpdate
from infisical_events.runtime.status.reporter import Reporter

log = logging.getLogger(__name__)

_ACTED = {Reason.RESTARTED, Reason.RESTART_FAILED, Reason.ROLLOUT_PAUSED, Reason.ROLLOUT_ON_DELETE}

_ALARMING = {Reason.RESYNC_TIMED_OUT, Reason.ROLLOUT_HALTED, Reason.RESTART_BUDGET_EXHAUSTED}
"""Reasons for holding a debt that somebody has to be told of by an Event."""

_MOST_HELD = 5

_HINTS = {
    Reason.PAUSED: "its owner holds it (annotation events.infisical.com/paused)",
    Reason.COOLING_DOWN: "it was restarted less than spec.cooldownSeconds ago",
    Reason.ROLLOUT_IN_PROGRESS: "somebody else's rollout is under way",
    Reason.WAITING_FOR_ROLLOUTS: "spec.rollout.maxConcurrent others roll out",
    Reason.WAITING_FOR_WAVE: "an earlier wave is not through",
    Reason.ROLLOUT_HALTED: (
        "a rollout has failed and spec.rollout.onFailure is Halt: mend that workload, or annotate the "
        "subscription with a new value of events.infisical.com/resume-at"
    ),
    Reason.RESTART_BUDGET_EXHAUSTED: (
        "the operator's budget is spent (--max-restarts-per-minute, --max-concurrent-rollouts)"
    ),
    Reason.DRY_RUN: "spec.mode is DryRun",
    Reason.ROLLOUT_PAUSED: "it is patched and paused: its pods are replaced when it is resumed",
    Reason.ROLLOUT_ON_DELETE: "it is patched, and its updateStrategy is OnDelete: delete its pods",
    Reason.APPLIES_TO_NEXT_RUN: "its secrets are fresh, and its next run has them",
    Reason.NO_SECRET_PROVIDER: "nobody is known to write its Secrets, so none could be synced",
}


@dataclass(frozen=True, slots=True)
class RestartOutcome:
    """What became of one debt; `trouble` is the API server's own sentence."""

    decision: RestartDecision
    made: Reason | None = None
    error_message: str = ""
    is_conflict: bool = False
    is_unanswered: bool = False

    @property
    def pending(self) -> PendingRestart:
        """The debt."""
        return self.decision.action.pending

    @property
    def result(self) -> Reason:
        """What was done, or why nothing was."""
        step = self.decision.action
        return self.made or (step.reason if isinstance(step, Deferred | Resolved) else Reason.RESYNCED)

    @property
    def reported_reason(self) -> Reason:
        """The result for people: a restart whose answer was lost is found by its receipt."""
        return Reason.RESTARTED if self.result is Reason.ALREADY_RESTARTED else self.result

    @property
    def is_pending(self) -> bool:
        """Whether the debt stays."""
        return self.result is Reason.RESTART_FAILED or isinstance(self.decision.action, Deferred)

    @property
    def unconfirmed(self) -> Unconfirmed | None:
        """Why its pods may have begun with content that is not the newest, if that may be mended."""
        step = self.decision.action
        if self.is_pending:
            return None
        if isinstance(step, Resolved) and step.unconfirmed:
            return step.unconfirmed
        is_begun = self.made is not None or self.result is Reason.COVERED_BY_ROLLOUT
        is_found_same = self.result is Reason.NO_DATA_CHANGE and not self.pending.is_confirmation_only
        return self.decision.sync.unconfirmed if is_begun or is_found_same else None

    @property
    def is_confirmation_only(self) -> bool:
        """Whether it was restarted with most likely all there is, and is only watched for a while."""
        return self.pending.is_confirmation_only and self.result in {
            Reason.RESYNCING,
            Reason.RESYNC_TIMED_OUT,
        }

    @property
    def until(self) -> datetime | None:
        """When it may be done, if that is known."""
        return self.decision.action.until if isinstance(self.decision.action, Deferred) else None

    @property
    def cause(self) -> str:
        """What changed, for people."""
        return "asked for by restart-at" if self.pending.is_requested else summarize(self.pending.changes)

    @property
    def note(self) -> str:
        """What a person should know besides the result."""
        return self.error_message or self.decision.note or _HINTS.get(self.result, "")


@dataclass(kw_only=True, slots=True)
class RestartReporter:
    """Tells for one subscription."""

    reporter: Reporter
    metrics: Metrics
    last_reported: dict[str, tuple[int, Reason]] = field(default_factory=dict)
    """By the workload's uid: the debt (its seq) and what was told of it last."""
    unanswered: set[tuple[str, int]] = field(default_factory=set)
    """Debts (uid and seq) whose restart had no answer once: the next time that is news."""

    async def report(self, done: list[RestartOutcome], followed: list[RolloutUpdate]) -> None:
        """Tell what is news of one round."""
        for end in followed:
            if end.result is not None:
                await self._tell_end(end, end.result)
        news = [entry for entry in done if not entry.is_confirmation_only and self._is_news(entry)]
        for entry in news:
            self.metrics.count_workload_result(self.reporter.key, entry.reported_reason)
        acted = [entry for entry in news if entry.reported_reason in _ACTED]
        if acted:
            changes = compacted(change for entry in acted for change in entry.pending.changes)
            results = [
                WorkloadResult(kind=entry.pending.kind, name=entry.pending.name, result=entry.reported_reason)
                for entry in acted
            ]
            self.reporter.status.record_action(changes, results, _summary(results))
        for entry in news:
            await self._tell_of(entry)
        owed = [entry for entry in done if entry.is_pending]
        self._sum_up([entry for entry in owed if not entry.is_confirmation_only], followed)
        if owed and all(entry.is_confirmation_only for entry in done) and not followed:
            self.mark_complete(owed[0].note)

    def count_pending(self, ledger: Ledger) -> None:
        """Have it counted what a ledger owes, and why it is not done yet as far as that was told."""
        self.metrics.set_pending(self.reporter.key, pending_by_reason(ledger.pending, self.last_reported))

    def forget_done(self, ledger: Ledger) -> None:
        """Drop what was told of debts that are no more."""
        left = {pending.uid for pending in ledger.pending}
        self.last_reported = {uid: told for uid, told in self.last_reported.items() if uid in left}
        self.unanswered = {(uid, seq) for uid, seq in self.unanswered if uid in left}
        self.count_pending(ledger)

    def mark_complete(self, watched: str = "") -> None:
        """Nothing is left to be done; who is watched all the same may be told."""
        message = "Every change that was found has been dealt with."
        if watched:
            message += f" What never answers may still bring another content, and is watched: {watched}."
        status = self.reporter.status
        status.set_condition(
            ConditionType.RESTARTS_COMPLETE, ok=True, reason=Reason.NO_PENDING_RESTARTS, message=message
        )

    def _is_news(self, entry: RestartOutcome) -> bool:
        """Tries of one debt repeat themselves; a conflict, or one lost answer, is no result yet."""
        pending, result = entry.pending, entry.reported_reason
        attempt = (pending.uid, pending.seq)
        is_undecided = entry.is_conflict or (entry.is_unanswered and attempt not in self.unanswered)
        if entry.is_unanswered:
            self.unanswered.add(attempt)
        if (
            is_undecided
            or result is Reason.WORKLOAD_MODIFIED
            or self.last_reported.get(pending.uid) == (pending.seq, result)
        ):
            return False
        self.last_reported[pending.uid] = (pending.seq, result)
        return True

    def _sum_up(self, owed: list[RestartOutcome], followed: list[RolloutUpdate]) -> None:
        """The condition that says what is still to be done, and why it is not done yet."""
        rolling = [entry for entry in followed if entry.is_kept and not entry.rollout.has_failed]
        if not (owed or rolling):
            return  # what was restarted in this round is followed in the next
        worst = min(owed, key=lambda entry: entry.result not in _ALARMING, default=None)
        lines = [f"{_name(entry.pending)}: {entry.result}: {entry.note or entry.cause}" for entry in owed]
        lines += [f"{entry.rollout.kind} {entry.rollout.name}: rolls out" for entry in rolling]
        told = "; ".join(lines[:_MOST_HELD])
        more = f"; and {len(lines) - _MOST_HELD} more" if len(lines) > _MOST_HELD else ""
        reason = worst.result if worst else Reason.ROLLING_OUT
        status = self.reporter.status
        status.set_condition(
            ConditionType.RESTARTS_COMPLETE, ok=False, reason=reason, message=f"{told}{more}."
        )

    async def _tell_of(self, entry: RestartOutcome) -> None:
        name, told = _name(entry.pending), entry.reported_reason
        if told is Reason.RESTART_FAILED:
            note = f"{name} could not be restarted: {entry.error_message}"
            await self.reporter.emit_event(told, note, is_warning=True)
        elif told in _ACTED:
            if entry.decision.sync.state is SyncState.TIMED_OUT:
                await self._tell_timeout(entry)
            note = f"; {entry.note}" if entry.note else ""
            log.info("restarted %s: %s%s", name, entry.cause, note, extra=self.reporter.extra)
            await self.reporter.emit_event(told, f"{name} restarted: {entry.cause}{note}.")
            if entry.decision.state is not None:
                sentence = f"Restarted by subscription {self.reporter.key.name}: {entry.cause}{note}."
                await self.reporter.emit_workload_event(entry.decision.state.workload, told, sentence)
        else:
            note = f" ({entry.note})" if entry.note else ""
            self.reporter.record_skip(told, f"{name}: {entry.cause}{note}.")
            if told in {Reason.RESYNCED, Reason.APPLIES_TO_NEXT_RUN}:
                self.reporter.status.count_resync()
            if told in _ALARMING and entry.pending.unconfirmed is None:
                await self.reporter.emit_event(told, f"{name} waits{note}.", is_warning=True)

    async def _tell_timeout(self, entry: RestartOutcome) -> None:
        """A restart that did not wait any longer is one to look at: it may have to be made again."""
        reason = Reason.RESYNC_TIMED_OUT
        self.metrics.count_workload_result(self.reporter.key, reason)
        note = f"{_name(entry.pending)} is restarted with the Secrets that there are: no answer in time from "
        await self.reporter.emit_event(reason, f"{note}{entry.note}.", is_warning=True)

    async def _tell_end(self, entry: RolloutUpdate, result: Reason) -> None:
        rollout = entry.rollout
        name = f"{rollout.kind} {rollout.name}"
        self.metrics.count_workload_result(self.reporter.key, result)
        self.reporter.status.record_rollout_end(rollout.kind, rollout.name, result)
        log.info("rollout of %s: %s", name, result, extra=self.reporter.extra)
        if result is Reason.ROLLOUT_FAILED:
            note = f"{name} was restarted and its pods do not become ready."
            await self.reporter.emit_event(result, note, is_warning=True)
        elif result is Reason.ROLLOUT_RESUMED:
            await self.reporter.emit_event(result, f"{name} is available after all: the others go on.")


def _name(pending: PendingRestart) -> str:
    return f"{pending.kind} {pending.name}"


def _summary(results: list[WorkloadResult]) -> str:
    done = sum(result.result != Reason.RESTART_FAILED for result in results)
    return f"{done} of {len(results)} workloads restarted."
