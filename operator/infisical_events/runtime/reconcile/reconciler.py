"""One look: observe, take in what changed, write down what is owed for it.

The order is the protocol: workloads are listed after the observation, and what is owed is stored
before `settling` does anything for it. `core.passes` and `core.planning` decide.
"""

import logging
import secrets
from dataclasses import dataclass, field, replace
from datetime import datetime

from infisical_events.api.specs import Action, Mode, Spec
from infisical_events.api.statuses import ConditionType
from infisical_events.core.ledger.acceptance import ReceivedEvent
from infisical_events.core.ledger.ledger import Ledger
from infisical_events.core.ledger.observation_modes import ReadResult, apply_read, first_ledger
from infisical_events.core.ledger.transitions import AppliedSnapshots
from infisical_events.core.restarts.affected_workloads import MatchedChanges, affected_workloads
from infisical_events.core.restarts.planner import add_pending, add_requested
from infisical_events.core.restarts.user_requests import UserRequests, is_new
from infisical_events.core.restarts.workloads import Workload
from infisical_events.core.snapshots.changes import summarize
from infisical_events.core.snapshots.selectors import Selection, Selector, select, select_in_steps
from infisical_events.core.status.reasons import Reason
from infisical_events.kube.kubernetes_errors import KubernetesError
from infisical_events.runtime.clock import Clock
from infisical_events.runtime.limits.cooperative_scheduler import CooperativeScheduler
from infisical_events.runtime.ports import Cluster
from infisical_events.runtime.reconcile.reconcile_report import ReconcileReporter
from infisical_events.runtime.reconcile.snapshot_reader import SnapshotReader
from infisical_events.runtime.status.reporter import Reporter
from infisical_events.runtime.status.subscription_store import SubscriptionStore
from infisical_events.runtime.sync.sync_coordinator import SyncCoordinator
from infisical_events.runtime.triggers import PendingUserRequests

log = logging.getLogger(__name__)

_EPOCH_BYTES = 6


@dataclass(frozen=True, slots=True)
class ReconcileResult:
    """What a look leaves to be done.

    Events whose change did not show yet, the moment at which a suspect read can be decided, whether an
    import mutation was heard that is still to be looked for, the workloads if they were listed, and
    whether everything was looked at.
    """

    unshown_events: tuple[ReceivedEvent, ...] = ()
    read_again_at: datetime | None = None
    has_open_import_events: bool = False
    workloads: tuple[Workload, ...] | None = None
    is_full: bool = True


@dataclass(frozen=True, slots=True)
class _AppliedRead:
    """A look taken in, and what of its changes the spec selects."""

    read_result: ReadResult
    applied: AppliedSnapshots
    selection: Selection


@dataclass(kw_only=True, slots=True)
class Reconciler:
    """The looks of one subscription under one spec."""

    spec: Spec
    asked: PendingUserRequests
    sync_coordinator: SyncCoordinator
    selectors: tuple[Selector, ...]
    snapshot_reader: SnapshotReader
    cluster: Cluster
    record: SubscriptionStore
    reporter: Reporter
    reconcile_reporter: ReconcileReporter
    clock: Clock
    scheduler: CooperativeScheduler = field(default_factory=CooperativeScheduler)

    async def reconcile(
        self, received: tuple[ReceivedEvent, ...], *, is_whole: bool = True
    ) -> ReconcileResult:
        """Look, take in what changed, and store what is owed for it.

        Unless the look has to be whole, the folders that events named are looked at first, and the rest
        only if something there concerns somebody: changes in several folders are one restart.

        Raises:
            InfisicalError: the state could not be read; nothing happened.
            KubernetesError, LedgerMovedError, SupersededError, GoneError: nothing was stored.
        """
        await self.snapshot_reader.infisical.login()
        ledger = self.record.ledger
        tokens = {} if ledger else await self._tokens()
        named = (
            None
            if is_whole or self._is_asked(ledger)
            else await self.snapshot_reader.read_folders(ledger, received)
        )
        if ledger is not None and named is not None:
            await self.reporter.mark_authenticated()
            found = await self._taken_in(ledger, named, received)
            if not found.selection.selected:
                return await self._settle(ledger, found, received, is_whole=False)
        read_result = await self.snapshot_reader.read_all(ledger, received)
        await self.reporter.mark_authenticated()
        if ledger is None or not ledger.header.is_about_same(read_result.header):
            await self._begin(read_result, tokens, planned_on=ledger)
            return ReconcileResult()
        seen = (*(named.snapshots if named else ()), *read_result.snapshots)
        found = await self._taken_in(ledger, replace(read_result, snapshots=seen), received)
        return await self._settle(ledger, found, received, is_whole=True)

    async def _tokens(self) -> dict[str, str]:
        """What the content of the workloads' Secrets is before anything is known of Infisical."""
        namespace, name = self.record.key.namespace, self.record.key.name
        workloads = await self.cluster.list_workloads(namespace)
        workload_states = [
            await self.cluster.read_workload(namespace, workload.kind.kind, workload.name)
            for workload in workloads
            if workload.is_subscribed_to(name) and workload.action(self.spec.action) is not Action.RESTART
        ]
        return await self.sync_coordinator.content_fingerprints(
            tuple(workload_state for workload_state in workload_states if workload_state)
        )

    async def _begin(
        self, read_result: ReadResult, tokens: dict[str, str], *, planned_on: Ledger | None
    ) -> None:
        unreadable = self.record.unreadable_reason
        if unreadable:
            note = f"{unreadable}: a new baseline is made, changes since the last look are lost."
            await self.reporter.emit_event(Reason.LEDGER_UNREADABLE, note, is_warning=True)
        epoch = secrets.token_urlsafe(_EPOCH_BYTES).replace("-", "x")
        asked = self.asked.current
        ledger = replace(
            first_ledger(read_result, epoch, self.clock()),
            content_fingerprints=tokens,
            restart_at=asked.restart_at,
            resume_at=asked.resume_at,
        )
        await self._store(ledger, planned_on)
        self._tell_handled(asked)
        self.record.unreadable_reason = ""
        await self.reconcile_reporter.sight(read_result, unreadable)
        keys = sum(snapshot.key_count for snapshot in read_result.snapshots)
        note = f"{keys} keys recorded as they stand; changes from now on count."
        log.info("baseline: %s", note, extra=self.reporter.extra)
        await self.reporter.emit_event(Reason.BASELINE_RECORDED, note)

    async def _taken_in(
        self, ledger: Ledger, read_result: ReadResult, received: tuple[ReceivedEvent, ...]
    ) -> _AppliedRead:
        applied = apply_read(ledger, read_result, received, self.clock())
        steps = select_in_steps(self.selectors, applied.changes)
        return _AppliedRead(read_result, applied, await self.scheduler.run(self.record.key.namespace, steps))

    async def _settle(
        self, ledger: Ledger, found: _AppliedRead, received: tuple[ReceivedEvent, ...], *, is_whole: bool
    ) -> ReconcileResult:
        """Write down what is owed for what was found, and tell of it."""
        applied, selection = found.applied, found.selection
        import_events = tuple(
            c for c in applied.expired_import_events if select(self.selectors, (c.change,)).selected
        )
        owed, workloads = applied.ledger, None
        if selected := MatchedChanges(selection.selected, import_events):
            workloads = await self.cluster.list_workloads(self.record.key.namespace)
            owed = await self._owing(owed, selected, workloads)
        elif selection.rejection_reason is not None:
            told = summarize(applied.changes)
            self.reporter.record_skip(
                selection.rejection_reason, f"{told} was found and not selected by spec.events."
            )
        asked = self.asked.current
        if is_whole:
            owed, workloads = await self._taking_up(owed, asked, workloads)
        if owed != ledger:
            await self._store(owed, ledger)
        if is_whole:
            self._tell_handled(asked)
        await self.reconcile_reporter.missed(found.selection.selected, received)
        if workloads is not None:
            await self.reconcile_reporter.mistaken(workloads)
        if is_whole:
            await self.reconcile_reporter.sight(found.read_result)
        self.reconcile_reporter.unseen(received, applied.unshown_events, applied.changes)
        return ReconcileResult(
            applied.unshown_events, applied.read_again_at, bool(owed.unmatched_events), workloads, is_whole
        )

    async def _owing(
        self, ledger: Ledger, selected: MatchedChanges, workloads: tuple[Workload, ...]
    ) -> Ledger:
        """The ledger with what is owed now; a dry run only tells what would be, and owes nothing."""
        key = self.record.key
        all_affected = await self.scheduler.run(
            key.namespace, affected_workloads(key.name, selected, workloads)
        )
        owed = add_pending(ledger, key.name, all_affected, self.clock())
        if owed is ledger:
            self.reconcile_reporter.nobody(selected)
        if self.spec.mode is Mode.ENFORCE:
            return owed
        self.reconcile_reporter.would(owed)
        return ledger

    def _is_asked(self, ledger: Ledger | None) -> bool:
        """Whether a person asked for something that was not taken up yet."""
        asked, handled = self.asked.current, self.reporter.status.status()
        return ledger is not None and (
            is_new(asked.reconcile_at, handled.last_handled_reconcile_at)
            or is_new(asked.restart_at, ledger.restart_at)
            or is_new(asked.resume_at, ledger.resume_at)
        )

    async def _taking_up(
        self, ledger: Ledger, asked: UserRequests, workloads: tuple[Workload, ...] | None
    ) -> tuple[Ledger, tuple[Workload, ...] | None]:
        """What a person asked for, in the ledger, which remembers that it was."""
        if is_new(asked.resume_at, ledger.resume_at):
            rollouts = tuple(rollout for rollout in ledger.rollouts if not rollout.has_failed)
            ledger = replace(ledger, resume_at=asked.resume_at, rollouts=rollouts)
        if is_new(asked.restart_at, ledger.restart_at):
            if workloads is None:
                workloads = await self.cluster.list_workloads(self.record.key.namespace)
            owed = add_requested(ledger, self.record.key.name, workloads, self.clock())
            if self.spec.mode is Mode.DRY_RUN:
                self.reconcile_reporter.would(owed)
                owed = ledger
            ledger = replace(owed, restart_at=asked.restart_at)
        return ledger, workloads

    def _tell_handled(self, asked: UserRequests) -> None:
        """What was asked by now is stored as taken up."""
        values = {
            "last_handled_reconcile_at": asked.reconcile_at,
            "last_handled_restart_at": asked.restart_at,
            "last_handled_resume_at": asked.resume_at,
        }
        self.reporter.status.record_handled(**{name: value for name, value in values.items() if value})

    async def _store(self, ledger: Ledger, planned_on: Ledger | None) -> None:
        """Write down what is known; what cannot be is said, since nothing is acted on before."""
        try:
            await self.record.write_ledger(ledger, planned_on=planned_on)
        except KubernetesError as error:
            message = f"What was seen cannot be stored, so nothing is restarted for it: {error}."
            await self.reporter.set_condition(
                ConditionType.OBSERVED, Reason.LEDGER_NOT_STORED, message, ok=False
            )
            raise
