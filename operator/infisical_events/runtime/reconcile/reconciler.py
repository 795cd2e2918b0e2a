"""One read of Infisical: apply the snapshots, and store the pending restarts that follow from them.

The order is the protocol: workloads are listed after the snapshot, and pending restarts are stored before
the restart controller acts on them. `core.ledger.transitions` and `core.restarts.planner` decide.
"""

import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from infisical_events.api.specs import Action, Mode, Spec
from infisical_events.core.ledger.acceptance import ReceivedEvent
from infisical_events.core.ledger.ledger import Ledger
from infisical_events.core.ledger.observation_modes import ReadResult, apply_read, first_ledger
from infisical_events.core.ledger.transitions import AppliedSnapshots
from infisical_events.core.restarts.late_workloads import record_unlisted, watch_after_baseline
from infisical_events.core.restarts.planner import (
    MatchedChanges,
    add_pending,
    add_requested,
    affected_workloads,
)
from infisical_events.core.restarts.user_requests import UserRequests, is_new
from infisical_events.core.snapshots.selectors import Selection, Selector, select, select_in_steps
from infisical_events.core.status.text import object_name
from infisical_events.core.workloads.workload_state import WorkloadState
from infisical_events.core.workloads.workloads import Workload, WorkloadList
from infisical_events.kube.kubernetes_errors import KubernetesError
from infisical_events.runtime.limits.fair_scheduling import MANY_KEYS
from infisical_events.runtime.reconcile.reconcile_report import ReadReport, ReconcileReporter
from infisical_events.runtime.reconcile.snapshot_reader import SnapshotReader
from infisical_events.runtime.restarts.gatherer import WorkloadLister
from infisical_events.runtime.status.subscription_store import SubscriptionStore
from infisical_events.runtime.subscription_context import SubscriptionContext
from infisical_events.runtime.sync.sync_coordinator import SyncCoordinator
from infisical_events.runtime.triggers import PendingUserRequests

T = TypeVar("T")

_EPOCH_BYTES = 6

_MOST_LOGGED = 100
"""Pending restarts of one change that the log has: the restarts themselves follow."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReconcileResult:
    """What a read leaves to be done.

    Attributes:
        report: What is reported after the restarts.
        unshown_events: Received events whose change did not show yet.
        read_again_at: When a suspect read can be decided; None without one.
        has_open_import_events: Whether an import event is not matched to a change yet.
        workloads: The workloads of the namespace if they were listed.
        is_full: Whether everything was read.
    """

    report: ReadReport
    unshown_events: tuple[ReceivedEvent, ...] = ()
    read_again_at: datetime | None = None
    has_open_import_events: bool = False
    workloads: WorkloadList | None = None
    is_full: bool = True


@dataclass(frozen=True, slots=True)
class ReadCompletion:
    """When a read ended, by the wall clock and by the clock of the budget: what it shows existed by then."""

    at: datetime
    moment: float


@dataclass(frozen=True, slots=True)
class _AppliedRead:
    """A read after its acceptance, and which of its changes the spec selects."""

    read_result: ReadResult
    applied: AppliedSnapshots
    selection: Selection
    completed: ReadCompletion


@dataclass(kw_only=True, slots=True)
class Reconciler:
    """Reads for one subscription under one spec."""

    context: SubscriptionContext
    spec: Spec
    selectors: tuple[Selector, ...]
    user_requests: PendingUserRequests
    snapshot_reader: SnapshotReader
    lister: WorkloadLister
    sync_coordinator: SyncCoordinator
    store: SubscriptionStore
    reconcile_reporter: ReconcileReporter

    async def reconcile(self, events: tuple[ReceivedEvent, ...], *, is_full: bool = True) -> ReconcileResult:
        """Read, apply what changed, and store the pending restarts for it.

        Unless the read has to be full, the folders that events named are read first, and everything else only
        if a change there is selected: changes in several folders are one restart.

        Raises:
            InfisicalError: the state could not be read; nothing changed.
            KubernetesError, LedgerConflictError: nothing was stored.
            SpecChangedError, SubscriptionDeletedError: this object is not to be served any more.
        """
        await self.snapshot_reader.infisical.login()
        ledger = self.store.ledger
        started = () if ledger else await self._workload_states()
        fingerprints = (
            await self._reported(self.sync_coordinator.content_fingerprints(started)) if started else {}
        )
        partial = (
            None
            if is_full or self._has_new_request(ledger)
            else await self.snapshot_reader.read_folders(ledger, events)
        )
        if ledger is not None and partial is not None:
            found = await self._apply(ledger, partial, events)
            if not found.selection.selected:
                return await self._store_changes(ledger, found, events, is_full=False)
        read_result = await self.snapshot_reader.read_all(ledger, events)
        if ledger is None or not ledger.header.is_about_same(read_result.header):
            baseline = await self._record_baseline(read_result, started, fingerprints, planned_on=ledger)
            return replace(baseline, unshown_events=events)  # the read may be older than they are
        snapshots = (*(partial.snapshots if partial else ()), *read_result.snapshots)
        found = await self._apply(ledger, replace(read_result, snapshots=snapshots), events)
        return await self._store_changes(ledger, found, events, is_full=True)

    async def _workload_states(self) -> tuple[WorkloadState, ...]:
        """The workloads whose Secrets are known by their content, before the first read of Infisical."""
        name = self.context.key.name
        listed = await self._reported(self.lister.list())
        self.reconcile_reporter.record_workloads(listed)
        states = [
            await self._workload_state(workload)
            for workload in listed.workloads
            if workload.is_subscribed_to(name) and workload.action(self.spec.action) is not Action.RESTART
        ]
        return tuple(state for state in states if state)

    async def _workload_state(self, workload: Workload) -> WorkloadState | None:
        """None if it is gone, or cannot be read: the baseline does not wait for one workload."""
        namespace, kind = self.context.key.namespace, workload.kind.kind
        try:
            return await self.context.cluster.read_workload(namespace, kind, workload.name)
        except KubernetesError as error:
            fields = self.context.key.log_fields(workload=object_name(kind, workload.name), error=str(error))
            log.warning("content unknown at the baseline", extra=fields)
            return None

    async def _record_baseline(
        self,
        read_result: ReadResult,
        started: tuple[WorkloadState, ...],
        fingerprints: dict[str, str],
        *,
        planned_on: Ledger | None,
    ) -> ReconcileResult:
        lost_ledger = self.store.unreadable_reason
        if lost_ledger:
            await self.reconcile_reporter.report_unreadable(lost_ledger)
        epoch = secrets.token_urlsafe(_EPOCH_BYTES).replace("-", "x")
        requests = self.user_requests.current
        first = await self._compute(
            partial(first_ledger, read_result, epoch, self.context.clock()), keys=read_result.key_count
        )
        ledger = replace(
            first,
            content_fingerprints=fingerprints,
            restart_at=requests.restart_at,
            resume_at=requests.resume_at,
        )
        if self.spec.mode is Mode.ENFORCE:
            own_secrets = (managed.name for managed in self.spec.resync.secrets)
            ledger = watch_after_baseline(ledger, started, own_secrets, self.context.clock())
        await self._write(ledger, planned_on)
        self.store.unreadable_reason = ""
        return ReconcileResult(
            report=ReadReport(
                read_result, ledger, handled=requests, is_baseline=True, lost_ledger=lost_ledger
            )
        )

    async def _apply(
        self, ledger: Ledger, read_result: ReadResult, events: tuple[ReceivedEvent, ...]
    ) -> _AppliedRead:
        now = self.context.clock()
        completed = ReadCompletion(now, self.context.budget.now())
        keys = read_result.snapshots[-1].key_count if read_result.snapshots else 0
        applied = await self._compute(partial(apply_read, ledger, read_result, events, now), keys=keys)
        steps = select_in_steps(self.selectors, applied.changes)
        selection = await self.context.scheduler.run(self.context.key.namespace, steps)
        return _AppliedRead(read_result, applied, selection, completed)

    async def _compute(self, computation: Callable[[], T], *, keys: int) -> T:
        if keys <= MANY_KEYS:
            return computation()
        return await self.context.scheduler.run_large(self.context.key.namespace, computation)

    async def _store_changes(
        self, ledger: Ledger, found: _AppliedRead, events: tuple[ReceivedEvent, ...], *, is_full: bool
    ) -> ReconcileResult:
        """Store the pending restarts for what was found."""
        applied, selection = found.applied, found.selection
        import_events = tuple(
            c for c in applied.expired_import_events if select(self.selectors, (c.change,)).selected
        )
        planned, workloads = applied.ledger, None
        if matched := MatchedChanges(selection.selected, import_events):
            workloads = await self._reported(self.lister.list())
            planned = await self._with_pending(planned, matched, workloads, found.completed)
        elif selection.rejection_reason is not None:
            self.reconcile_reporter.report_not_selected(applied.changes, selection.rejection_reason)
        requests = self.user_requests.current if is_full else UserRequests()
        planned, workloads = await self._with_requested(planned, requests, workloads)
        if planned != ledger:
            self._log_pending(planned, ledger, events)
            await self._write(planned, ledger)
        report = ReadReport(
            found.read_result,
            planned,
            is_full=is_full,
            handled=requests,
            received=events,
            unshown=applied.unshown_events,
            changes=applied.changes,
            selected=selection.selected,
            workloads=workloads.workloads if workloads else (),
            renamed=applied.renamed,
            same_values=applied.same_values,
        )
        return ReconcileResult(
            report,
            applied.unshown_events,
            applied.read_again_at,
            bool(planned.unmatched_events),
            workloads,
            is_full,
        )

    async def _with_pending(
        self,
        ledger: Ledger,
        matched: MatchedChanges,
        listed: WorkloadList,
        completed: ReadCompletion,
    ) -> Ledger:
        """The ledger with the pending restarts; a dry run reports them and adds none."""
        key = self.context.key
        all_affected = await self.context.scheduler.run(
            key.namespace, affected_workloads(key.name, matched, listed.workloads)
        )
        restarted = self.context.budget.restarted_since(completed.moment)
        since = dict.fromkeys(restarted, completed.at - timedelta.resolution)  # a later one covers
        planned = add_pending(ledger, key.name, all_affected, self.context.clock(), since)
        if planned is ledger and not listed.failures:
            self.reconcile_reporter.report_no_workload(matched)
        if self.spec.mode is Mode.DRY_RUN:
            self.reconcile_reporter.report_dry_run(planned)
            return ledger
        if listed.failures:
            changes = (*matched.changes, *(event.change for event in matched.import_events))
            planned = record_unlisted(planned, listed.failures, changes, self.context.clock())
        return planned

    def _log_pending(self, planned: Ledger, ledger: Ledger, events: tuple[ReceivedEvent, ...]) -> None:
        """One line for each new pending restart: its revision follows it to the end of the rollout."""
        if planned.seq == ledger.seq:
            return
        numbers = ",".join(str(received.number) for received in events)
        new = [pending for pending in planned.pending if pending.seq > ledger.seq]
        for pending in new[:_MOST_LOGGED]:
            fields = {
                "workload": f"{pending.kind.lower()}/{pending.name}",
                "revision": f"{planned.epoch}.{pending.seq}",
                "events": numbers,
            }
            log.info("recording pending restart", extra=self.reconcile_reporter.reporter.extra | fields)

    def _has_new_request(self, ledger: Ledger | None) -> bool:
        """Whether a user requested something that was not handled yet."""
        requests = self.user_requests.current
        if ledger is None or requests == UserRequests():
            return False
        return (
            is_new(requests.reconcile_at, self.reconcile_reporter.last_handled_reconcile_at)
            or is_new(requests.restart_at, ledger.restart_at)
            or is_new(requests.resume_at, ledger.resume_at)
        )

    async def _with_requested(
        self, ledger: Ledger, requests: UserRequests, listed: WorkloadList | None
    ) -> tuple[Ledger, WorkloadList | None]:
        """The ledger with what a user requested, and with the value of the request."""
        if requests == UserRequests():
            return ledger, listed
        if is_new(requests.resume_at, ledger.resume_at):
            rollouts = tuple(rollout for rollout in ledger.rollouts if not rollout.has_failed)
            ledger = replace(ledger, resume_at=requests.resume_at, rollouts=rollouts)
        if is_new(requests.restart_at, ledger.restart_at):
            if listed is None:
                listed = await self._reported(self.lister.list())
            now = self.context.clock()
            planned = add_requested(ledger, self.context.key.name, listed.workloads, now)
            planned = record_unlisted(planned, listed.failures, (), now, is_requested=True)
            if self.spec.mode is Mode.DRY_RUN:
                self.reconcile_reporter.report_dry_run(planned)
                planned = ledger
            ledger = replace(planned, restart_at=requests.restart_at)
        return ledger, listed

    async def _reported(self, request: Awaitable[T]) -> T:
        """The response of the API server; a failure is reported, since without it no change is stored."""
        try:
            return await request
        except KubernetesError as error:
            await self.reconcile_reporter.report_cluster_failure(error)
            raise

    async def _write(self, ledger: Ledger, planned_on: Ledger | None) -> None:
        """Store the ledger; a failure is reported, since no restart is made before."""
        try:
            await self.store.write_ledger(ledger, planned_on=planned_on)
        except KubernetesError as error:
            await self.reconcile_reporter.report_not_stored(error)
            raise
