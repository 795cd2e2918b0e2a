"""What becomes of one debt now: its workload is read in full, and its Secrets are made fresh first."""

from dataclasses import dataclass, field, replace
from datetime import timedelta

from infisical_events.api.resources import Restarting
from infisical_events.api.specs import Action, OnTimeout
from infisical_events.core.ledger.ledger import Ledger
from infisical_events.core.restarts.planner import Deferred, PlannedAction, Resolved, RestartNow
from infisical_events.core.restarts.workload_state import RolloutProgress, WorkloadState
from infisical_events.core.restarts.workloads import Workload
from infisical_events.core.status.reasons import Reason
from infisical_events.core.sync.sync_state import SyncState
from infisical_events.core.sync.workload_sync_state import WorkloadSyncState
from infisical_events.kube.kubernetes_errors import KubernetesError
from infisical_events.runtime.clock import Clock
from infisical_events.runtime.ports import Cluster
from infisical_events.runtime.sync.sync_coordinator import SyncCoordinator, SyncRound

_LONGEST_WAIT = timedelta(minutes=5)
"""How long a rollout that somebody else began is waited for: it may be stuck for want of this restart."""

_WATCH = timedelta(minutes=10)
"""How long a source that never answers is watched after a restart: its sync may have read an older state."""

_TICK = timedelta(seconds=2)
"""Times of the API server are whole seconds, and several of them may have clocks of their own."""


@dataclass(frozen=True, slots=True)
class RestartDecision:
    """A step, with what a person should know besides its reason; an `Act` left here is to be restarted."""

    action: PlannedAction
    note: str = ""
    state: WorkloadState | None = None
    sync: WorkloadSyncState = field(default_factory=lambda: WorkloadSyncState(None))


@dataclass(kw_only=True, slots=True)
class RestartDecider:
    """Decides for one subscription."""

    cluster: Cluster
    sync_coordinator: SyncCoordinator
    on_timeout: OnTimeout
    clock: Clock

    async def decide(self, steps: tuple[PlannedAction, ...], ledger: Ledger) -> list[RestartDecision]:
        """One decision per step, in their order; raises KubernetesError."""
        is_syncing = any(isinstance(step, RestartNow) and step.action is not Action.RESTART for step in steps)
        sync_round = await self.sync_coordinator.begin(ledger) if is_syncing else None
        return [
            await self._try(step, ledger, sync_round)
            if isinstance(step, RestartNow)
            else RestartDecision(step)
            for step in steps
        ]

    async def _try(
        self, planned: RestartNow, ledger: Ledger, sync_round: SyncRound | None
    ) -> RestartDecision:
        """What the API server refuses to tell of one workload holds up no other."""
        try:
            return await self._decide(planned, ledger, sync_round)
        except KubernetesError as error:
            return RestartDecision(
                Deferred(planned.pending, Reason.KUBERNETES_API_ERROR, workload=planned.workload), str(error)
            )

    async def _decide(
        self, planned: RestartNow, ledger: Ledger, sync_round: SyncRound | None
    ) -> RestartDecision:
        namespace, workload = self.sync_coordinator.key.namespace, planned.workload
        workload_state = await self.cluster.read_workload(namespace, workload.kind.kind, workload.name)
        if workload_state is None or not _is_same(workload_state.workload, workload):
            return RestartDecision(Deferred(planned.pending, Reason.WORKLOAD_MODIFIED, workload=workload))
        planned = replace(planned, workload=workload_state.workload)
        other = "" if workload.ignores_other_reloaders else workload_state.other_reloader
        if other and planned.action is Action.RESTART:
            return RestartDecision(
                Resolved(planned.pending, Reason.MANAGED_BY_OTHER_CONTROLLER, workload),
                f"by {other}",
                workload_state,
            )
        if planned.action is Action.RESTART or sync_round is None:
            return RestartDecision(planned, state=workload_state)
        sync_state = await sync_round.freshen(workload_state, planned.pending)
        decision = RestartDecision(planned, sync_state.note, workload_state, sync_state)
        if ended := self._held(planned, sync_state) or _settled(planned, sync_state, other):
            return replace(decision, action=ended, note=f"by {other}" if other else sync_state.note)
        return await self._with_other_rollout(decision, planned, ledger, sync_round)

    def _held(self, planned: RestartNow, sync_state: WorkloadSyncState) -> Deferred | None:
        if sync_state.state in {SyncState.NOT_REQUESTED, SyncState.WAITING}:
            return Deferred(planned.pending, Reason.RESYNCING, workload=planned.workload)
        if sync_state.state is not SyncState.TIMED_OUT:
            return None
        hope = (
            min(sync_state.max_wait, _WATCH) if planned.pending.is_confirmation_only else sync_state.max_wait
        )
        is_hopeful = self.clock() - planned.pending.since < hope
        if is_hopeful if planned.pending.unconfirmed else self.on_timeout is OnTimeout.SKIP:
            return Deferred(planned.pending, Reason.RESYNC_TIMED_OUT, workload=planned.workload)
        return None

    async def _with_other_rollout(
        self, decision: RestartDecision, planned: RestartNow, ledger: Ledger, sync_round: SyncRound | None
    ) -> RestartDecision:
        """Somebody's rollout is waited for; pods that it has made since the Secrets are fresh need no other.

        One of our own is not: what it rolls out is already old.
        """
        workload_state = decision.state
        is_ours = any(rollout.uid == planned.workload.uid for rollout in ledger.rollouts)
        if (
            decision.sync.state is not SyncState.CHANGED
            or workload_state is None
            or sync_round is None
            or is_ours
        ):
            return decision
        is_waited_for = self.clock() < planned.pending.since + _LONGEST_WAIT
        if workload_state.progress is RolloutProgress.UNDER_WAY and is_waited_for:
            return replace(
                decision,
                action=Deferred(planned.pending, Reason.ROLLOUT_IN_PROGRESS, workload=planned.workload),
                note="",
            )
        if not planned.pending.is_requested and await self._is_born_fresh(workload_state, sync_round):
            return replace(decision, action=Resolved(planned.pending, Reason.COVERED_BY_ROLLOUT), note="")
        return decision

    async def _is_born_fresh(self, workload_state: WorkloadState, sync_round: SyncRound) -> bool:
        """Whether all pods are younger than the newest content of the Secrets."""
        written = sync_round.written_at(workload_state.secrets)
        if (
            written is None
            or not workload_state.selector
            or workload_state.progress is not RolloutProgress.COMPLETE
        ):
            return False
        births = await self.cluster.pod_creation_times(
            self.sync_coordinator.key.namespace, workload_state.selector
        )
        return bool(births) and min(births) > written + _TICK


def _is_same(read: Workload, listed: Workload) -> bool:
    """Whether it is still the one that the debt is of, and its owner has not said something else since."""
    return read.uid == listed.uid and read.own_annotations == listed.own_annotations


def _settled(planned: RestartNow, sync_state: WorkloadSyncState, other: str) -> Resolved | None:
    """Why nothing is restarted although the Secrets are as fresh as they get."""
    reason = None
    if sync_state.state is SyncState.UNCHANGED and not planned.pending.is_requested:
        reason = Reason.NO_DATA_CHANGE
    elif other:
        reason = Reason.MANAGED_BY_OTHER_CONTROLLER
    elif planned.pending.unconfirmed and sync_state.state is not SyncState.CHANGED:
        unmoved = Reason.NO_DATA_CHANGE if planned.pending.is_confirmation_only else Reason.RESYNC_TIMED_OUT
        reason = unmoved if sync_state.state else Reason.NO_SECRET_PROVIDER
    elif planned.action is Action.RESYNC:
        reason = _resynced(planned, sync_state)
    return Resolved(planned.pending, reason, planned.workload) if reason else None


def _resynced(planned: RestartNow, sync_state: WorkloadSyncState) -> Reason:
    if sync_state.state is None:
        return Reason.NO_SECRET_PROVIDER
    if sync_state.state is SyncState.TIMED_OUT:
        return Reason.RESYNC_TIMED_OUT
    if planned.workload.kind.restarting is Restarting.NEVER:
        return Reason.APPLIES_TO_NEXT_RUN
    return Reason.RESYNCED
