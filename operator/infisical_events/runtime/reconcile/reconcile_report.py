"""Reports on the reads of one subscription: what is watched, and why a change led to no restart.

A read that may lead to restarts is reported after them: no restart waits for a status or an Event.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum, auto

from infisical_events.api.resources import WORKLOAD_KINDS
from infisical_events.api.statuses import ConditionType, WorkloadResult
from infisical_events.core.ledger.acceptance import ReceivedEvent
from infisical_events.core.ledger.event_correlation import without_event
from infisical_events.core.ledger.ledger import Ledger
from infisical_events.core.ledger.observation_modes import ReadResult
from infisical_events.core.restarts.planner import MatchedChanges
from infisical_events.core.restarts.user_requests import UserRequests
from infisical_events.core.snapshots.changes import Change, compacted, summarize
from infisical_events.core.snapshots.snapshots import Partition
from infisical_events.core.status.reasons import Reason
from infisical_events.core.status.text import counted, escaped, object_name, sentence
from infisical_events.core.workloads.annotation_checks import annotation_mistakes
from infisical_events.core.workloads.workloads import Workload, WorkloadList
from infisical_events.infisical.infisical_errors import InfisicalError, LoginError
from infisical_events.kube.kubernetes_errors import KubernetesError
from infisical_events.runtime.status.reporter import Reporter
from infisical_events.runtime.subscription_context import SubscriptionContext

_KINDS = " or ".join((", ".join(kind.kind for kind in WORKLOAD_KINDS[:-1]), WORKLOAD_KINDS[-1].kind))

log = logging.getLogger(__name__)

_MAX_WORKLOADS = 10
"""Workloads whose annotations are reported after one read: the restarts wait for it."""

_MAX_NAME = 253
"""Characters of the name of another installation: it is foreign text."""

_UNREADABLE_SHOWN = timedelta(minutes=15)
"""How long a condition says that the ledger could not be read."""


@dataclass(frozen=True, slots=True)
class ReadReport:
    """A read that was applied and stored, as it is reported.

    Attributes:
        read_result: What was read last.
        ledger: The ledger that was stored for it.
        is_full: Whether everything was read.
        handled: The requests of users that are handled with it.
        is_baseline: Whether it became a baseline; `lost_ledger` is why the ledger before was lost, if it was.
        received: The events around the read; those of `unshown` are waited for.
        changes: What changed; `selected` of it the spec selects.
        workloads: The workloads, if they were listed.
        renamed: Partitions with another name, before and after.
        same_values: Secrets that have a new version with the value that they had.
    """

    read_result: ReadResult
    ledger: Ledger
    is_full: bool = True
    handled: UserRequests = field(default_factory=UserRequests)
    is_baseline: bool = False
    lost_ledger: str = ""
    received: tuple[ReceivedEvent, ...] = ()
    unshown: tuple[ReceivedEvent, ...] = ()
    changes: tuple[Change, ...] = ()
    selected: tuple[Change, ...] = ()
    workloads: tuple[Workload, ...] = ()
    renamed: tuple[tuple[Partition, Partition], ...] = ()
    same_values: tuple[Change, ...] = ()


@dataclass(kw_only=True, slots=True)
class ReconcileReporter:
    """Reports on the reads of one subscription."""

    context: SubscriptionContext
    reporter: Reporter
    mistakes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The mistakes in the annotations of each workload that were reported, by its uid."""
    other_installation: str = ""
    """The other installation that was reported."""

    # -- the read as a whole --------------------------------------------------------------------------

    def count_read(self, result: str) -> None:
        """Count a read by its result: `ok`, or the reason of its failure."""
        self.context.metrics.count_reconcile(self.context.key, result)

    async def report(self, report: ReadReport) -> None:
        """Report on a read that succeeded."""
        await self.reporter.mark_authenticated()
        self._record_handled(report.handled)
        self._observe_detection(report)
        await self._report_missed(report)
        await self._report_invalid_annotations(report.workloads)
        if report.is_full:
            await self._report_observed(report)
        if report.is_baseline:
            await self._report_baseline(report.read_result)
        self._report_unshown(report)
        self._report_renamed(report.renamed)
        self._report_same_values(report.same_values)
        self.count_read("ok")

    async def report_failure(self, error: InfisicalError) -> None:
        """Infisical could not be read: the login or the read is to blame."""
        is_login = isinstance(error, LoginError) or error.reason is Reason.TOKEN_REJECTED
        kind = ConditionType.AUTHENTICATED if is_login else ConditionType.OBSERVED
        if not is_login:
            await self.reporter.mark_authenticated()
        await self.reporter.set_condition(kind, error.reason, str(error), ok=False)
        self.count_read(error.reason)

    async def report_cluster_failure(self, error: KubernetesError) -> None:
        """The API server did not answer what a read needs: no baseline and no pending restart is stored."""
        await self.reporter.mark_authenticated()
        message = f"No change is handled, because a request to the Kubernetes API failed: {error}. Retrying."
        reason = Reason.KUBERNETES_API_ERROR
        await self.reporter.set_condition(ConditionType.OBSERVED, reason, message, ok=False)

    async def report_not_stored(self, error: KubernetesError) -> None:
        """The ledger could not be written, and no restart is made before it is."""
        await self.reporter.mark_authenticated()
        message = f"Cannot store the ledger, so no workload is restarted: {error}."
        await self.reporter.set_condition(ConditionType.OBSERVED, Reason.LEDGER_NOT_STORED, message, ok=False)

    async def report_other_installation(self, name: str) -> None:
        """A second installation of the operator serves this subscription; each one is reported once."""
        if name and name != self.other_installation:
            self.other_installation = name
            note = (
                "Another installation of the operator serves this subscription as well (its Leases: "
                f"{escaped(name, _MAX_NAME)}). Remove one of the two, or let each watch other namespaces "
                "(--namespace). Until then counters and Events are divided between them."
            )
            log.warning(
                "served by another installation", extra=self.context.key.log_fields(installation=name)
            )
            await self.reporter.emit_event(Reason.SERVED_BY_OTHER_INSTALLATION, note, is_warning=True)

    async def report_unreadable(self, cause: str) -> None:
        """The stored ledger cannot be read: a baseline replaces it."""
        note = f"{cause}. Recording a new baseline; changes since the last read are not detected."
        await self.reporter.emit_event(Reason.LEDGER_UNREADABLE, note, is_warning=True)

    async def _report_baseline(self, read_result: ReadResult) -> None:
        """A baseline was recorded."""
        keys = sum(snapshot.key_count for snapshot in read_result.snapshots)
        note = f"Recorded baseline of {counted(keys, 'key')}; only later changes trigger restarts."
        log.info("recorded baseline", extra=self.context.key.log_fields(keys=keys))
        await self.reporter.emit_event(Reason.BASELINE_RECORDED, note)

    async def _report_observed(self, report: ReadReport) -> None:
        """Say what is watched, and in which mode."""
        read_result, unreadable = report.read_result, report.lost_ledger
        grade, keys = read_result.header.grade, read_result.key_count
        self.reporter.record_observation(grade, keys)
        self.context.metrics.set_observed(self.context.key, grade, keys, self.context.clock())
        if not unreadable and self._is_new_after_damage(report.ledger):
            return
        if unreadable:
            message = (
                f"{unreadable}. A new baseline was recorded. Restart by hand the workloads that may have "
                "missed a change."
            )
            await self._set_observed(Observation(Reason.LEDGER_UNREADABLE, message))
        else:
            await self._set_observed(observation_of(read_result))

    async def _set_observed(self, observation: "Observation") -> None:
        """Set condition Observed, with one Warning for what is most likely not meant, though True."""
        reason, message = observation.reason, observation.message
        is_news = not self.reporter.has_reason(reason)
        is_true = observation.state is not _State.INCOMPLETE
        await self.reporter.set_condition(ConditionType.OBSERVED, reason, message, ok=is_true)
        if is_news and observation.state is _State.DOUBTFUL:
            await self.reporter.emit_event(reason, message, is_warning=True)

    def _is_new_after_damage(self, ledger: Ledger) -> bool:
        """Whether users should still read in the condition that the ledger was lost."""
        return (
            self.reporter.has_reason(Reason.LEDGER_UNREADABLE)
            and self.context.clock() < ledger.baselined_at + _UNREADABLE_SHOWN
        )

    # -- its changes ----------------------------------------------------------------------------------

    def _observe_detection(self, report: ReadReport) -> None:
        """The time from the first event to the pending restarts that the read added, if it has both."""
        unshown = frozenset(report.unshown)
        events = [event.received_at for event in report.received if event not in unshown]
        found = [pending.since for pending in report.ledger.pending if pending.seq == report.ledger.seq]
        if events and found and report.selected:
            self.context.metrics.observe_detection((max(found) - min(events)).total_seconds())

    async def _report_missed(self, report: ReadReport) -> None:
        """Changes for which no event was received."""
        missed = without_event(report.selected, report.received)
        if missed:
            self.reporter.record_missed(missed)
            changes, summary = counted(len(missed), "change"), summarize(missed)
            note = f"Detected {changes} without an event (missed while disconnected): {summary}."
            log.info("detected changes without an event", extra=self.context.key.log_fields(change=summary))
            await self.reporter.emit_event(Reason.MISSED_CHANGES_FOUND, note)

    def record_workloads(self, listed: WorkloadList) -> None:
        """The workloads of the namespace, as they were listed before a baseline."""
        self.reporter.record_workloads(listed, self.context.key.name)

    def _skip(self, reason: Reason, message: str) -> None:
        """Record and count why what was read leads to no restart."""
        self.reporter.record_skip(reason, message)
        self.context.metrics.count_skipped_change(reason)

    def report_not_selected(self, changes: tuple[Change, ...], reason: Reason) -> None:
        """The spec selects none of the changes."""
        self._skip(reason, f"Detected a change that spec.events does not select: {summarize(changes)}.")

    def report_no_workload(self, selected: MatchedChanges) -> None:
        """The changes affect no workload."""
        changes = (*selected.changes, *(event.change for event in selected.import_events))
        self._skip(
            Reason.NO_MATCHING_WORKLOAD,
            f"No workload matches {summarize(changes)}: annotate a {_KINDS} of this namespace with "
            'events.infisical.com/auto-reload: "true" (or with the name of this subscription).',
        )

    def _report_unshown(self, report: ReadReport) -> None:
        """The change of an event never showed: an earlier restart covers it, or it was undone."""
        unshown = frozenset(report.unshown)
        given_up = [entry for entry in report.received if entry not in unshown and entry.event.keys]
        if given_up and not (report.changes or report.same_values):
            event = given_up[-1].event
            self._skip(
                Reason.NO_CHANGE_FOUND,
                f"Received {event.type} in {event.folder}; no change since the last restart was found.",
            )

    def _report_renamed(self, renamed: Iterable[tuple[Partition, Partition]]) -> None:
        """Folders or imports have another name, and the secrets that they had."""
        for old, new in renamed:
            self._skip(
                Reason.NO_CHANGE_FOUND,
                f"{old.source or old.folder} was renamed to {new.source or new.folder}: the same secrets.",
            )

    def _report_same_values(self, changes: tuple[Change, ...]) -> None:
        """Secrets have new versions with the values that they had."""
        if changes:
            message = f"A new version has the same value: {summarize(changes)}."
            self._skip(Reason.NO_DATA_CHANGE, message)

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
            fields = self.context.key.log_fields(
                workload=object_name(pending.kind, pending.name), change=summarize(changes)
            )
            log.info("dry run: would restart", extra=fields)

    # -- what users wrote -----------------------------------------------------------------------------

    async def _report_invalid_annotations(self, workloads: Iterable[Workload]) -> None:
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
            fields = self.context.key.log_fields(
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

    def _record_handled(self, requests: UserRequests) -> None:
        """These requests of users are stored as handled."""
        values = {
            "last_handled_reconcile_at": requests.reconcile_at,
            "last_handled_restart_at": requests.restart_at,
            "last_handled_resume_at": requests.resume_at,
        }
        self.reporter.record_handled(**{name: value for name, value in values.items() if value})


class _State(Enum):
    """How much of what the spec asks for is observed."""

    COMPLETE = auto()
    DOUBTFUL = auto()
    """Everything that exists, or that the identity may read: most likely less than the user expects."""
    INCOMPLETE = auto()


@dataclass(frozen=True, slots=True)
class Observation:
    """What condition Observed says after a read that succeeded."""

    reason: Reason
    message: str
    state: _State = _State.COMPLETE


def observation_of(read_result: ReadResult) -> Observation:
    """What condition Observed says about this read."""
    scopes, keys = ", ".join(map(str, read_result.scopes)), counted(read_result.key_count, "key")
    missing = " ".join(map(str, read_result.missing))
    problems = [entry for entry in read_result.missing if entry.is_problem]
    if read_result.is_events_only:
        message = f"Event-only mode for {scopes}: changes made while disconnected are not detected."
        state = _State.DOUBTFUL if read_result.denial else _State.COMPLETE
        return Observation(Reason.EVENTS_ONLY, f"{message} {read_result.denial}".strip(), state)
    if problems:
        is_environment = any(entry.is_environment for entry in problems)
        reason = Reason.ENVIRONMENT_NOT_FOUND if is_environment else Reason.FOLDER_NOT_FOUND
        message = f"{missing} Correct spec.events, or restore what is missing in Infisical."
        return Observation(reason, message, _State.INCOMPLETE)
    message = f"Watching {keys} in {scopes}. {missing}".strip()
    if read_result.key_count:
        return Observation(Reason.UP_TO_DATE, message)
    advice = "Check environmentSlug and secretPath, and whether the identity may describe the secrets there."
    return Observation(Reason.NOTHING_WATCHED, f"{message} {advice}", _State.DOUBTFUL)
