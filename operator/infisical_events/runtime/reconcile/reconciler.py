"""One read of Infisical: apply the snapshots, and store the pending restarts that follow from them.

The order is the protocol: workloads are listed after the snapshot, and pending restarts are stored before
the restart controller acts on them. `core.ledger.transitions` and `core.restarts.planner` decide.
"""

import secrets
from dataclasses import dataclass, replace
from datetime import datetime

from infisical_events.api.specs import Action, Mode, Spec
from infisical_events.core.ledger.acceptance import ReceivedEvent
from infisical_events.core.ledger.ledger import Ledger
from infisical_events.core.ledger.observation_modes import ReadResult, apply_read, first_ledger
from infisical_events.core.ledger.transitions import AppliedSnapshots
from infisical_events.core.restarts.affected_workloads import MatchedChanges, affected_workloads
from infisical_events.core.restarts.planner import add_pending, add_requested
from infisical_events.core.restarts.user_requests import UserRequests, is_new
from infisical_events.core.restarts.workloads import Workload
from infisical_events.core.snapshots.selectors import Selection, Selector, select, select_in_steps
from infisical_events.kube.kubernetes_errors import KubernetesError
from infisical_events.runtime.reconcile.reconcile_report import ReconcileReporter
from infisical_events.runtime.reconcile.snapshot_reader import SnapshotReader
from infisical_events.runtime.status.subscription_store import SubscriptionStore
from infisical_events.runtime.subscription_context import SubscriptionContext
from infisical_events.runtime.sync.sync_coordinator import SyncCoordinator
from infisical_events.runtime.triggers import PendingUserRequests

_EPOCH_BYTES = 6


@dataclass(frozen=True, slots=True)
class ReconcileResult:
    """What a read leaves to be done.

    Attributes:
        unshown_events: Received events whose change did not show yet.
        read_again_at: When a suspect read can be decided; None without one.
        has_open_import_events: Whether an import event is not matched to a change yet.
        workloads: The workloads of the namespace if they were listed.
        is_full: Whether everything was read.
    """

    unshown_events: tuple[ReceivedEvent, ...] = ()
    read_again_at: datetime | None = None
    has_open_import_events: bool = False
    workloads: tuple[Workload, ...] | None = None
    is_full: bool = True


@dataclass(frozen=True, slots=True)
class _AppliedRead:
    """A read after its acceptance, and which of its changes the spec selects."""

    read_result: ReadResult
    applied: AppliedSnapshots
    selection: Selection


@dataclass(kw_only=True, slots=True)
class Reconciler:
    """Reads for one subscription under one spec."""

    context: SubscriptionContext
    spec: Spec
    selectors: tuple[Selector, ...]
    user_requests: PendingUserRequests
    snapshot_reader: SnapshotReader
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
        fingerprints = {} if ledger else await self._content_fingerprints()
        partial = (
            None
            if is_full or self._has_new_request(ledger)
            else await self.snapshot_reader.read_folders(ledger, events)
        )
        if ledger is not None and partial is not None:
            await self.reconcile_reporter.report_authenticated()
            found = await self._apply(ledger, partial, events)
            if not found.selection.selected:
                return await self._store_changes(ledger, found, events, is_full=False)
        read_result = await self.snapshot_reader.read_all(ledger, events)
        await self.reconcile_reporter.report_authenticated()
        if ledger is None or not ledger.header.is_about_same(read_result.header):
            await self._record_baseline(read_result, fingerprints, planned_on=ledger)
            return ReconcileResult()
        snapshots = (*(partial.snapshots if partial else ()), *read_result.snapshots)
        found = await self._apply(ledger, replace(read_result, snapshots=snapshots), events)
        return await self._store_changes(ledger, found, events, is_full=True)

    async def _content_fingerprints(self) -> dict[str, str]:
        """Fingerprints of the Secrets of the workloads, before the first read of Infisical."""
        namespace, name = self.context.key.namespace, self.context.key.name
        workloads = await self.context.cluster.list_workloads(namespace)
        workload_states = [
            await self.context.cluster.read_workload(namespace, workload.kind.kind, workload.name)
            for workload in workloads
            if workload.is_subscribed_to(name) and workload.action(self.spec.action) is not Action.RESTART
        ]
        return await self.sync_coordinator.content_fingerprints(
            tuple(workload_state for workload_state in workload_states if workload_state)
        )

    async def _record_baseline(
        self, read_result: ReadResult, fingerprints: dict[str, str], *, planned_on: Ledger | None
    ) -> None:
        unreadable = self.store.unreadable_reason
        if unreadable:
            await self.reconcile_reporter.report_unreadable(unreadable)
        epoch = secrets.token_urlsafe(_EPOCH_BYTES).replace("-", "x")
        requests = self.user_requests.current
        ledger = replace(
            first_ledger(read_result, epoch, self.context.clock()),
            content_fingerprints=fingerprints,
            restart_at=requests.restart_at,
            resume_at=requests.resume_at,
        )
        await self._write(ledger, planned_on)
        self.reconcile_reporter.record_handled(requests)
        self.store.unreadable_reason = ""
        await self.reconcile_reporter.report_read(read_result, self.store.ledger, unreadable)
        await self.reconcile_reporter.report_baseline(read_result)

    async def _apply(
        self, ledger: Ledger, read_result: ReadResult, events: tuple[ReceivedEvent, ...]
    ) -> _AppliedRead:
        applied = apply_read(ledger, read_result, events, self.context.clock())
        steps = select_in_steps(self.selectors, applied.changes)
        selection = await self.context.scheduler.run(self.context.key.namespace, steps)
        return _AppliedRead(read_result, applied, selection)

    async def _store_changes(
        self, ledger: Ledger, found: _AppliedRead, events: tuple[ReceivedEvent, ...], *, is_full: bool
    ) -> ReconcileResult:
        """Store the pending restarts for what was found, and report it."""
        applied, selection, reporter = found.applied, found.selection, self.reconcile_reporter
        import_events = tuple(
            c for c in applied.expired_import_events if select(self.selectors, (c.change,)).selected
        )
        planned, workloads = applied.ledger, None
        if matched := MatchedChanges(selection.selected, import_events):
            workloads = await self.context.cluster.list_workloads(self.context.key.namespace)
            planned = await self._with_pending(planned, matched, workloads)
        elif selection.rejection_reason is not None:
            reporter.report_not_selected(applied.changes, selection.rejection_reason)
        requests = self.user_requests.current
        if is_full:
            planned, workloads = await self._with_requested(planned, requests, workloads)
        if planned != ledger:
            await self._write(planned, ledger)
        if is_full:
            reporter.record_handled(requests)
        await reporter.report_missed(selection.selected, events)
        if workloads is not None:
            await reporter.report_invalid_annotations(workloads)
        if is_full:
            await reporter.report_read(found.read_result, self.store.ledger)
        shown = (*applied.changes, *applied.same_values)
        reporter.report_unshown(events, applied.unshown_events, shown)
        reporter.report_same_values(applied.same_values)
        return ReconcileResult(
            applied.unshown_events, applied.read_again_at, bool(planned.unmatched_events), workloads, is_full
        )

    async def _with_pending(
        self, ledger: Ledger, matched: MatchedChanges, workloads: tuple[Workload, ...]
    ) -> Ledger:
        """The ledger with the pending restarts; a dry run reports them and adds none."""
        key = self.context.key
        all_affected = await self.context.scheduler.run(
            key.namespace, affected_workloads(key.name, matched, workloads)
        )
        planned = add_pending(ledger, key.name, all_affected, self.context.clock())
        if planned is ledger:
            self.reconcile_reporter.report_no_workload(matched)
        if self.spec.mode is Mode.ENFORCE:
            return planned
        self.reconcile_reporter.report_dry_run(planned)
        return ledger

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
        self, ledger: Ledger, requests: UserRequests, workloads: tuple[Workload, ...] | None
    ) -> tuple[Ledger, tuple[Workload, ...] | None]:
        """The ledger with what a user requested, and with the value of the request."""
        if is_new(requests.resume_at, ledger.resume_at):
            rollouts = tuple(rollout for rollout in ledger.rollouts if not rollout.has_failed)
            ledger = replace(ledger, resume_at=requests.resume_at, rollouts=rollouts)
        if is_new(requests.restart_at, ledger.restart_at):
            if workloads is None:
                workloads = await self.context.cluster.list_workloads(self.context.key.namespace)
            planned = add_requested(ledger, self.context.key.name, workloads, self.context.clock())
            if self.spec.mode is Mode.DRY_RUN:
                self.reconcile_reporter.report_dry_run(planned)
                planned = ledger
            ledger = replace(planned, restart_at=requests.restart_at)
        return ledger, workloads

    async def _write(self, ledger: Ledger, planned_on: Ledger | None) -> None:
        """Store the ledger; a failure is reported, since no restart is made before."""
        try:
            await self.store.write_ledger(ledger, planned_on=planned_on)
        except KubernetesError as error:
            await self.reconcile_reporter.report_not_stored(error)
            raise
