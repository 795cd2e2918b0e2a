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
    freshener: SyncCoordinator
    on_timeout: OnTimeout
    clock: Clock

    async def decide(self, steps: tuple[PlannedAction, ...], ledger: Ledger) -> list[RestartDecision]:
        """One decision per step, in their order; raises KubernetesError."""
        is_syncing = any(isinstance(step, RestartNow) and step.action is not Action.RESTART for step in steps)
        freshening = await self.freshener.begin(ledger) if is_syncing else None
        return [
            await self._try(step, ledger, freshening)
            if isinstance(step, RestartNow)
            else RestartDecision(step)
            for step in steps
        ]

    async def _try(self, act: RestartNow, ledger: Ledger, freshening: SyncRound | None) -> RestartDecision:
        """What the API server refuses to tell of one workload holds up no other."""
        try:
            return await self._decide(act, ledger, freshening)
        except KubernetesError as error:
            return RestartDecision(
                Deferred(act.pending, Reason.KUBERNETES_API_ERROR, workload=act.workload), str(error)
            )

    async def _decide(self, act: RestartNow, ledger: Ledger, freshening: SyncRound | None) -> RestartDecision:
        namespace, workload = self.freshener.key.namespace, act.workload
        standing = await self.cluster.read_workload(namespace, workload.kind.kind, workload.name)
        if standing is None or not _is_same(standing.workload, workload):
            return RestartDecision(Deferred(act.pending, Reason.WORKLOAD_MODIFIED, workload=workload))
        act = replace(act, workload=standing.workload)
        other = "" if workload.ignores_other_reloaders else standing.other_reloader
        if other and act.action is Action.RESTART:
            return RestartDecision(
                Resolved(act.pending, Reason.MANAGED_BY_OTHER_CONTROLLER, workload), f"by {other}", standing
            )
        if act.action is Action.RESTART or freshening is None:
            return RestartDecision(act, state=standing)
        fresh = await freshening.freshen(standing, act.pending)
        decision = RestartDecision(act, fresh.note, standing, fresh)
        if ended := self._held(act, fresh) or _settled(act, fresh, other):
            return replace(decision, action=ended, note=f"by {other}" if other else fresh.note)
        return await self._with_other_rollout(decision, act, ledger, freshening)

    def _held(self, act: RestartNow, fresh: WorkloadSyncState) -> Deferred | None:
        if fresh.state in {SyncState.NOT_REQUESTED, SyncState.WAITING}:
            return Deferred(act.pending, Reason.RESYNCING, workload=act.workload)
        if fresh.state is not SyncState.TIMED_OUT:
            return None
        hope = min(fresh.max_wait, _WATCH) if act.pending.is_confirmation_only else fresh.max_wait
        is_hopeful = self.clock() - act.pending.since < hope
        if is_hopeful if act.pending.unconfirmed else self.on_timeout is OnTimeout.SKIP:
            return Deferred(act.pending, Reason.RESYNC_TIMED_OUT, workload=act.workload)
        return None

    async def _with_other_rollout(
        self, decision: RestartDecision, act: RestartNow, ledger: Ledger, freshening: SyncRound | None
    ) -> RestartDecision:
        """Somebody's rollout is waited for; pods that it has made since the Secrets are fresh need no other.

        One of our own is not: what it rolls out is already old.
        """
        standing = decision.state
        is_ours = any(rollout.uid == act.workload.uid for rollout in ledger.rollouts)
        if decision.sync.state is not SyncState.CHANGED or standing is None or freshening is None or is_ours:
            return decision
        is_waited_for = self.clock() < act.pending.since + _LONGEST_WAIT
        if standing.progress is RolloutProgress.UNDER_WAY and is_waited_for:
            return replace(
                decision,
                action=Deferred(act.pending, Reason.ROLLOUT_IN_PROGRESS, workload=act.workload),
                note="",
            )
        if not act.pending.is_requested and await self._is_born_fresh(standing, freshening):
            return replace(decision, action=Resolved(act.pending, Reason.COVERED_BY_ROLLOUT), note="")
        return decision

    async def _is_born_fresh(self, standing: WorkloadState, freshening: SyncRound) -> bool:
        """Whether all pods are younger than the newest content of the Secrets."""
        written = freshening.written_at(standing.secrets)
        if written is None or not standing.selector or standing.progress is not RolloutProgress.COMPLETE:
            return False
        births = await self.cluster.pod_creation_times(self.freshener.key.namespace, standing.selector)
        return bool(births) and min(births) > written + _TICK


def _is_same(read: Workload, listed: Workload) -> bool:
    """Whether it is still the one that the debt is of, and its owner has not said something else since."""
    return read.uid == listed.uid and read.own_annotations == listed.own_annotations


def _settled(act: RestartNow, fresh: WorkloadSyncState, other: str) -> Resolved | None:
    """Why nothing is restarted although the Secrets are as fresh as they get."""
    reason = None
    if fresh.state is SyncState.UNCHANGED and not act.pending.is_requested:
        reason = Reason.NO_DATA_CHANGE
    elif other:
        reason = Reason.MANAGED_BY_OTHER_CONTROLLER
    elif act.pending.unconfirmed and fresh.state is not SyncState.CHANGED:
        unmoved = Reason.NO_DATA_CHANGE if act.pending.is_confirmation_only else Reason.RESYNC_TIMED_OUT
        reason = unmoved if fresh.state else Reason.NO_SECRET_PROVIDER
    elif act.action is Action.RESYNC:
        reason = _resynced(act, fresh)
    return Resolved(act.pending, reason, act.workload) if reason else None


def _resynced(act: RestartNow, fresh: WorkloadSyncState) -> Reason:
    if fresh.state is None:
        return Reason.NO_SECRET_PROVIDER
    if fresh.state is SyncState.TIMED_OUT:
        return Reason.RESYNC_TIMED_OUT
    if act.workload.kind.restarting is Restarting.NEVER:
        return Reason.APPLIES_TO_NEXT_RUN
    return Reason.RESYNCED
