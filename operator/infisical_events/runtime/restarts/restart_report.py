"""Reports pending restarts and rollouts, each result once: in status, Events, log and metrics."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from infisical_events.api.annotations import IGNORE_OTHERS
from infisical_events.api.statuses import ConditionType, WorkloadResult
from infisical_events.core.ledger.ledger import Ledger, revision_of
from infisical_events.core.restarts.outcomes import RestartOutcome
from infisical_events.core.restarts.pending_summary import (
    ALARMING,
    not_listed_message,
    pending_by_reason,
    restarts_condition,
)
from infisical_events.core.restarts.rollouts import RolloutUpdate
from infisical_events.core.restarts.workload_statuses import WorkloadRound
from infisical_events.core.snapshots.changes import compacted
from infisical_events.core.status.reasons import Reason
from infisical_events.core.status.text import counted, object_name
from infisical_events.core.sync.sync_state import SyncState
from infisical_events.core.workloads.rollout_progress import OBSTACLES
from infisical_events.core.workloads.workloads import Workload, WorkloadList
from infisical_events.kube.kubernetes_errors import KubernetesError
from infisical_events.runtime.clock import Clock
from infisical_events.runtime.metrics import Metrics
from infisical_events.runtime.status.reporter import Reporter

log = logging.getLogger(__name__)

_FOR_OWNERS = {
    Reason.PAUSED,
    Reason.ROLLOUT_HALTED,
    Reason.RESYNC_TIMED_OUT,
    Reason.RESTART_BUDGET_EXHAUSTED,
}
"""Reasons for which a restart may stay pending for long: the owner of the workload reads them there."""

_ACTED = {Reason.RESTARTED, Reason.RESTART_FAILED, *OBSTACLES}


@dataclass(kw_only=True, slots=True)
class RestartReporter:
    """Reports for one subscription.

    Attributes:
        reporter: Writes conditions, Events and skips.
        metrics: The process's metrics.
        clock: The wall clock.
        last_reported: By the workload's uid, the pending restart (its seq) and its last reported reason.
        unanswered: Pending restarts (uid and seq) whose patch had no response once; twice is reported.
        blocked: Rollouts (uid and seq) that were reported as blocked.
        epoch: Of the ledger that is worked on: log lines have revisions.
    """

    reporter: Reporter
    metrics: Metrics
    clock: Clock
    last_reported: dict[str, tuple[int, Reason]] = field(default_factory=dict)
    unanswered: set[tuple[str, int]] = field(default_factory=set)
    blocked: set[tuple[str, int]] = field(default_factory=set)
    epoch: str = ""

    async def report(
        self,
        outcomes: list[RestartOutcome],
        updates: list[RolloutUpdate],
        not_listed: Mapping[str, str],
    ) -> None:
        """Report what is new in one round; `not_listed` has why kinds that have to be listed were not."""
        for update in updates:
            if update.result is not None:
                await self._report_rollout(update, update.result)
        await self._report_blocked(updates)
        news = [each for each in outcomes if not each.is_confirmation_only and self._is_news(each)]
        for outcome in news:
            self.metrics.count_workload_result(self.reporter.key, outcome.reported_reason)
        self._record_action([each for each in news if each.reported_reason in _ACTED])
        for outcome in news:
            await self._report_outcome(outcome)
        condition = restarts_condition(outcomes, updates, not_listed)
        if condition is not None:
            self._set_condition(condition.reason, condition.message, ok=condition.is_complete)

    def record_round(self, completed: WorkloadRound, listed: WorkloadList | None) -> None:
        """Record for each workload what one round did; `listed` are the workloads if they were listed."""
        if listed is not None:
            self.reporter.record_workloads(listed, self.reporter.key.name)
        self.reporter.record_round(completed)

    def count_pending(self, ledger: Ledger) -> None:
        """Set the metrics of pending restarts, by the last reported reason."""
        self.metrics.set_pending(self.reporter.key, pending_by_reason(ledger.pending, self.last_reported))

    def forget_done(self, ledger: Ledger) -> None:
        """Forget what was reported of restarts that are not pending any more."""
        left = {pending.uid for pending in ledger.pending}
        self.last_reported = {uid: last for uid, last in self.last_reported.items() if uid in left}
        self.unanswered = {(uid, seq) for uid, seq in self.unanswered if uid in left}

    def mark_complete(self) -> None:
        """Set the condition: no restart is pending and no rollout is in progress."""
        self._set_condition(Reason.NO_PENDING_RESTARTS, "No pending restarts.", ok=True)

    def mark_failed(self, error: KubernetesError) -> None:
        """Set the condition: what is pending cannot be worked on now."""
        message = f"Pending restarts wait for the Kubernetes API: {error}. Retrying."
        self._set_condition(Reason.KUBERNETES_API_ERROR, message, ok=False)

    def mark_not_listed(self, failures: Mapping[str, str]) -> None:
        """Set the condition: nothing is known of the workloads of these kinds."""
        self._set_condition(Reason.WORKLOADS_NOT_LISTED, not_listed_message(failures), ok=False)

    def _set_condition(self, reason: Reason, message: str, *, ok: bool) -> None:
        self.reporter.update_condition(ConditionType.RESTARTS_COMPLETE, ok=ok, reason=reason, message=message)

    def _is_news(self, outcome: RestartOutcome) -> bool:
        """Attempts repeat themselves; a conflict, or one missing response, is no result yet."""
        pending, result = outcome.pending, outcome.reported_reason
        attempt = (pending.uid, pending.seq)
        is_undecided = outcome.is_conflict or (outcome.is_unanswered and attempt not in self.unanswered)
        if outcome.is_unanswered:
            self.unanswered.add(attempt)
        is_known = self.last_reported.get(pending.uid) == (pending.seq, result)
        if is_undecided or is_known or result is Reason.WORKLOAD_MODIFIED:
            return False
        self.last_reported[pending.uid] = (pending.seq, result)
        return True

    def _record_action(self, acted: list[RestartOutcome]) -> None:
        if not acted:
            return
        changes = compacted(change for outcome in acted for change in outcome.pending.changes)
        results = [
            WorkloadResult(kind=each.pending.kind, name=each.pending.name, result=each.reported_reason)
            for each in acted
        ]
        restarted = sum(result.result != Reason.RESTART_FAILED for result in results)
        message = f"Restarted {restarted} of {counted(len(results), 'workload')}."
        self.reporter.record_action(changes, results, message)

    async def _report_outcome(self, outcome: RestartOutcome) -> None:
        if outcome.reported_reason is Reason.RESTART_FAILED:
            message = f"Failed to restart {_name(outcome)}: {outcome.error_message}"
            await self._warn_of(outcome.decision.workload, Reason.RESTART_FAILED, message)
        elif outcome.reported_reason is Reason.RESTART_REVERTED:
            message = f"The restart of {_name(outcome)} has no effect: {outcome.error_message}."
            await self._warn_of(outcome.decision.workload, Reason.RESTART_REVERTED, message)
        elif outcome.reported_reason in _ACTED:
            await self._report_restart(outcome)
        else:
            await self._report_skip(outcome)

    async def _report_restart(self, outcome: RestartOutcome) -> None:
        reason, name = outcome.reported_reason, _name(outcome)
        if outcome.decision.sync.state is SyncState.TIMED_OUT:
            await self._report_timeout(outcome)
        log.info("restarted workload", extra=self._fields(outcome))
        details = f"{outcome.cause}{_in_parentheses(outcome.note)}."
        done, is_held = ("Patched" if outcome.is_held else "Restarted"), outcome.is_held
        await self.reporter.emit_event(reason, f"{done} {name}: {details}", is_warning=is_held)
        if outcome.decision.state is not None:
            workload = outcome.decision.state.workload
            message = f"{done} by subscription {self.reporter.key.name}: {details}"
            await self.reporter.emit_workload_event(workload, reason, message, is_warning=is_held)

    async def _report_skip(self, outcome: RestartOutcome) -> None:
        reason, name = outcome.reported_reason, _name(outcome)
        note = _in_parentheses(outcome.note)
        self.reporter.record_skip(reason, f"{name}: {outcome.cause}{note}.")
        if reason is Reason.MANAGED_BY_OTHER_CONTROLLER:
            await self._report_other_reloader(outcome)
        if reason in {Reason.RESYNCED, Reason.APPLIES_TO_NEXT_RUN}:
            self.reporter.count_resync()
        workload = outcome.decision.workload
        if reason in _FOR_OWNERS and workload is not None and not outcome.pending.is_watch:
            message = f"Restart by subscription {self.reporter.key.name} is pending{note}: {outcome.cause}."
            await self.reporter.emit_workload_event(workload, reason, message, is_once=True)
        if reason in ALARMING and not outcome.pending.is_watch:
            await self.reporter.emit_event(reason, f"Restart of {name} is waiting{note}.", is_warning=True)

    async def _report_other_reloader(self, outcome: RestartOutcome) -> None:
        """Who looks at a workload that this operator never restarts reads why there."""
        if outcome.decision.state is not None:
            message = (
                f"Subscription {self.reporter.key.name} leaves the restart of this workload to another tool "
                f"({outcome.note}). To restart it by this operator as well, annotate the workload with "
                f'{IGNORE_OTHERS}: "true".'
            )
            await self.reporter.emit_workload_event(
                outcome.decision.state.workload, outcome.reported_reason, message, is_once=True
            )

    async def _report_timeout(self, outcome: RestartOutcome) -> None:
        """A restart that did not wait any longer may have to be made again."""
        self.metrics.count_workload_result(self.reporter.key, Reason.RESYNC_TIMED_OUT)
        message = (
            f"Restarting {_name(outcome)} with its current Secrets: no sync within "
            f"spec.resync.timeoutSeconds by {outcome.note}."
        )
        await self.reporter.emit_event(Reason.RESYNC_TIMED_OUT, message, is_warning=True)

    async def _report_rollout(self, update: RolloutUpdate, result: Reason) -> None:
        rollout = update.rollout
        name = object_name(rollout.kind, rollout.name)
        self.metrics.count_workload_result(self.reporter.key, result)
        if result is Reason.ROLLED_OUT:
            self.metrics.observe_rollout((self.clock() - rollout.begun_at).total_seconds())
        self.reporter.record_rollout_end(rollout.kind, rollout.name, result)
        fields = {"workload": name, "reason": result, "revision": self._revision(rollout.seq)}
        log.info("rollout ended", extra=self.reporter.extra | fields)
        if result is Reason.ROLLOUT_FAILED:
            cause = update.cause or "its new pods do not become ready"
            await self._warn(update, result, f"Rollout of {name} failed: {cause}.")
        elif result is Reason.RESTART_REVERTED:
            await self._warn(update, result, f"The restart of {name} was taken back: {update.cause}.")
        elif result in OBSTACLES:
            await self._warn(update, result, f"Rollout of {name} is incomplete: {update.cause}.")
        elif result is Reason.ROLLOUT_RESUMED:
            message = f"{name} is available with its new pods after its rollout had failed."
            await self.reporter.emit_event(result, message)

    async def _report_blocked(self, updates: list[RolloutUpdate]) -> None:
        """A rollout that cannot proceed is reported at once, and once: it fails only much later."""
        blocked = {(each.rollout.uid, each.rollout.seq): each for each in updates if each.is_blocked}
        for key, update in blocked.items():
            if key not in self.blocked and not update.rollout.has_failed:
                name = object_name(update.rollout.kind, update.rollout.name)
                message = f"Rollout of {name} does not proceed: {update.cause}."
                await self._warn(update, Reason.ROLLOUT_BLOCKED, message)
        self.blocked = set(blocked)

    async def _warn(self, update: RolloutUpdate, reason: Reason, message: str) -> None:
        await self._warn_of(update.workload, reason, message)

    async def _warn_of(self, workload: Workload | None, reason: Reason, message: str) -> None:
        """A Warning on the subscription and on the workload."""
        await self.reporter.emit_event(reason, message, is_warning=True)
        if workload is not None:
            await self.reporter.emit_workload_event(workload, reason, message, is_warning=True)

    def _revision(self, seq: int) -> str:
        return revision_of(self.epoch, seq)

    def _fields(self, outcome: RestartOutcome) -> dict[str, object]:
        about = {
            "workload": _name(outcome),
            "reason": outcome.reported_reason,
            "revision": self._revision(outcome.pending.seq),
            "change": outcome.cause,
        }
        return self.reporter.extra | about | ({"note": outcome.note} if outcome.note else {})


def _name(outcome: RestartOutcome) -> str:
    return object_name(outcome.pending.kind, outcome.pending.name)


def _in_parentheses(note: str) -> str:
    return f" ({note})" if note else ""
