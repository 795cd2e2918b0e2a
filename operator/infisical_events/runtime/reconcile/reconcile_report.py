"""Reports on the reads of one subscription: what is watched, and why a change led to no restart."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from infisical_events.api.resources import WORKLOAD_KINDS
from infisical_events.api.statuses import ConditionType, WorkloadResult
from infisical_events.core.ledger.acceptance import ReceivedEvent
from infisical_events.core.ledger.event_correlation import without_event
from infisical_events.core.ledger.ledger import Ledger
from infisical_events.core.ledger.observation_modes import ReadResult
from infisical_events.core.restarts.affected_workloads import MatchedChanges
from infisical_events.core.restarts.annotation_checks import annotation_mistakes
from infisical_events.core.restarts.user_requests import UserRequests
from infisical_events.core.restarts.workloads import Workload
from infisical_events.core.snapshots.changes import Change, compacted, summarize
from infisical_events.core.status.reasons import Reason
from infisical_events.core.status.text import counted, object_name, sentence
from infisical_events.infisical.infisical_errors import InfisicalError, LoginError
from infisical_events.kube.kubernetes_errors import KubernetesError
from infisical_events.runtime.status.reporter import Reporter
from infisical_events.runtime.subscription_context import SubscriptionContext

_KINDS = " or ".join((", ".join(kind.kind for kind in WORKLOAD_KINDS[:-1]), WORKLOAD_KINDS[-1].kind))

log = logging.getLogger(__name__)

_MAX_WORKLOADS = 10
"""Workloads whose annotations are reported after one read: the restarts wait for it."""

_UNREADABLE_SHOWN = timedelta(minutes=15)
"""How long a condition says that the ledger could not be read."""


@dataclass(kw_only=True, slots=True)
class ReconcileReporter:
    """Reports on the reads of one subscription."""

    context: SubscriptionContext
    reporter: Reporter
    mistakes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The mistakes in the annotations of each workload that were reported, by its uid."""

    # -- the read as a whole --------------------------------------------------------------------------

    def count_read(self, result: str) -> None:
        """Count a read by its result: `ok`, or the reason of its failure."""
        self.context.metrics.count_reconcile(self.context.key, result)

    async def report_authenticated(self) -> None:
        """The access token was accepted."""
        await self.reporter.mark_authenticated()

    async def report_failure(self, error: InfisicalError) -> None:
        """Infisical could not be read: the login or the read is to blame."""
        is_login = isinstance(error, LoginError) or error.reason is Reason.TOKEN_REJECTED
        kind = ConditionType.AUTHENTICATED if is_login else ConditionType.OBSERVED
        if not is_login:
            await self.reporter.mark_authenticated()
        await self.reporter.set_condition(kind, error.reason, str(error), ok=False)
        self.count_read(error.reason)

    async def report_not_stored(self, error: KubernetesError) -> None:
        """The ledger could not be written, and no restart is made before it is."""
        message = f"Cannot store the ledger, so no workload is restarted: {error}."
        await self.reporter.set_condition(ConditionType.OBSERVED, Reason.LEDGER_NOT_STORED, message, ok=False)

    async def report_unreadable(self, cause: str) -> None:
        """The stored ledger cannot be read: a baseline replaces it."""
        note = f"{cause}. Recording a new baseline; changes since the last read are not detected."
        await self.reporter.emit_event(Reason.LEDGER_UNREADABLE, note, is_warning=True)

    async def report_baseline(self, read_result: ReadResult) -> None:
        """A baseline was recorded."""
        keys = sum(snapshot.key_count for snapshot in read_result.snapshots)
        note = f"Recorded baseline of {counted(keys, 'key')}; only later changes trigger restarts."
        log.info("recorded baseline", extra=self.context.log_fields(keys=keys))
        await self.reporter.emit_event(Reason.BASELINE_RECORDED, note)

    async def report_read(self, read_result: ReadResult, ledger: Ledger | None, unreadable: str = "") -> None:
        """Say what is watched and by which mode; `unreadable` is why the ledger before this read was lost."""
        scopes, grade = ", ".join(map(str, read_result.scopes)), read_result.header.grade
        keys = read_result.snapshots[-1].key_count if read_result.snapshots else 0
        self.reporter.record_observation(grade, keys)
        self.context.metrics.set_observed(self.context.key, grade, keys, self.context.clock())
        if not unreadable and self._is_new_after_damage(ledger):
            return
        reason, message = Reason.UP_TO_DATE, f"Watching {counted(keys, 'key')} in {scopes}."
        if read_result.is_events_only:
            reason = Reason.EVENTS_ONLY
            message = f"Event-only mode for {scopes}: changes made while disconnected are not detected."
        if unreadable:
            reason = Reason.LEDGER_UNREADABLE
            message = (
                f"{unreadable}. A new baseline was recorded. Restart by hand the workloads that may have "
                "missed a change."
            )
        await self.reporter.set_condition(ConditionType.OBSERVED, reason, message, ok=True)

    def _is_new_after_damage(self, ledger: Ledger | None) -> bool:
        """Whether users should still read in the condition that the ledger was lost."""
        return (
            self.reporter.has_reason(Reason.LEDGER_UNREADABLE)
            and ledger is not None
            and self.context.clock() < ledger.baselined_at + _UNREADABLE_SHOWN
        )

    # -- its changes ----------------------------------------------------------------------------------

    async def report_missed(self, selected: Sequence[Change], received: tuple[ReceivedEvent, ...]) -> None:
        """Changes for which no event was received."""
        missed = without_event(selected, received)
        if missed:
            changes, summary = counted(len(missed), "change"), summarize(missed)
            note = f"Detected {changes} without an event (missed while disconnected): {summary}."
            log.info("detected changes without an event", extra=self.context.log_fields(change=summary))
            await self.reporter.emit_event(Reason.MISSED_CHANGES_FOUND, note)

    def report_not_selected(self, changes: tuple[Change, ...], reason: Reason) -> None:
        """The spec selects none of the changes."""
        self.reporter.record_skip(
            reason, f"Detected a change that spec.events does not select: {summarize(changes)}."
        )

    def report_no_workload(self, selected: MatchedChanges) -> None:
        """The changes affect no workload."""
        changes = (*selected.changes, *(event.change for event in selected.import_events))
        self.reporter.record_skip(
            Reason.NO_MATCHING_WORKLOAD,
            f"No workload matches {summarize(changes)}: annotate a {_KINDS} of this namespace with "
            'events.infisical.com/auto-reload: "true" (or with the name of this subscription).',
        )

    def report_unshown(
        self,
        received: tuple[ReceivedEvent, ...],
        unshown: tuple[ReceivedEvent, ...],
        changes: tuple[Change, ...],
    ) -> None:
        """The change of an event never showed: an earlier restart covers it, or it was undone."""
        given_up = [entry for entry in received if entry not in unshown and entry.event.keys]
        if given_up and not changes:
            event = given_up[-1].event
            self.reporter.record_skip(
                Reason.NO_CHANGE_FOUND,
                f"Received {event.type} in {event.folder}; no change since the last restart was found.",
            )

    def report_dry_run(self, ledger: Ledger) -> None:
        """The restarts that are not made in a dry run."""
        all_pending = [pending for pending in ledger.pending if pending.seq == ledger.seq]
        if not all_pending:
            return
        changes = compacted(change for pending in all_pending for change in pending.changes)
        results = [
            WorkloadResult(kind=pending.kind, name=pending.name, result=Reason.WOULD_RESTART)
            for pending in all_pending
        ]
        workloads = counted(len(all_pending), "workload")
        self.reporter.record_dry_run(changes, results, f"{workloads} would be restarted (spec.mode: DryRun).")
        for pending in all_pending:
            fields = self.context.log_fields(
                workload=object_name(pending.kind, pending.name), change=summarize(changes)
            )
            log.info("dry run: would restart", extra=fields)

    # -- what users wrote -----------------------------------------------------------------------------

    async def report_invalid_annotations(self, workloads: Iterable[Workload]) -> None:
        """Mistakes that the annotations alone show, once each, on their workload.

        `runtime.inspection` reports them earlier, where the operator may watch workloads.
        """
        found = {
            workload.uid: (workload, mistakes)
            for workload in workloads
            if workload.is_subscribed_to(self.context.key.name)
            and (mistakes := annotation_mistakes(workload))
        }
        new = [entry for uid, entry in found.items() if self.mistakes.get(uid) != entry[1]]
        for workload, mistakes in new[:_MAX_WORKLOADS]:
            detail = "; ".join(mistakes)
            fields = self.context.log_fields(
                workload=object_name(workload.kind.kind, workload.name), detail=detail
            )
            log.warning("mistake in the annotations of a workload", extra=fields)
            for mistake in mistakes:
                await self.reporter.emit_workload_event(
                    workload, Reason.INVALID_ANNOTATION, sentence(mistake), is_warning=True, is_once=True
                )
            self.mistakes[workload.uid] = mistakes
        self.mistakes = {uid: mistakes for uid, mistakes in self.mistakes.items() if uid in found}

    @property
    def last_handled_reconcile_at(self) -> str | None:
        """The newest value of the annotation `reconcile-at` that was handled; None before the first."""
        return self.reporter.last_handled_reconcile_at

    def record_handled(self, requests: UserRequests) -> None:
        """These requests of users are stored as handled."""
        values = {
            "last_handled_reconcile_at": requests.reconcile_at,
            "last_handled_restart_at": requests.restart_at,
            "last_handled_resume_at": requests.resume_at,
        }
        self.reporter.record_handled(**{name: value for name, value in values.items() if value})
