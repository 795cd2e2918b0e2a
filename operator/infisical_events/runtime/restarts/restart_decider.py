"""What becomes of one debt now: its workload is read in full, and its Secrets are made fresh first."""

from dataclasses import dataclass, field, replace
from datetime import timedelta

from infisical_events.api.resources import Restarting
from infisical_events.api.specs import Action, OnTimeout
from infisical_events.core.ledger.ledger import Ledger
from infisical_events.core.restarts.planner import Act, Hold, Settle, Step
from infisical_events.core.restarts.workload_state import Progress, Standing
from infisical_events.core.restarts.workloads import Workload
from infisical_events.core.status.reasons import Reason
from infisical_events.core.sync.sync_state import Freshness
from infisical_events.core.sync.workload_sync_state import Fresh
from infisical_events.kube.kubernetes_errors import KubernetesError
from infisical_events.runtime.clock import Clock
from infisical_events.runtime.ports import Cluster
from infisical_events.runtime.sync.sync_coordinator import Freshener, Round

_LONGEST_WAIT = timedelta(minutes=5)
"""How long a rollout that somebody else began is waited for: it may be stuck for want of this restart."""

_WATCH = timedelta(minutes=10)
"""How long a source that never answers is watched after a restart: its sync may have read an older state."""

_TICK = timedelta(seconds=2)
"""Times of the API server are whole seconds, and several of them may have clocks of their own."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A step, with what a person should know besides its reason; an `Act` left here is to be restarted."""

    step: Step
    note: str = ""
    standing: Standing | None = None
    fresh: Fresh = field(default_factory=lambda: Fresh(None))


@dataclass(kw_only=True, slots=True)
class Decider:
    """Decides for one subscription."""

    cluster: Cluster
    freshener: Freshener
    on_timeout: OnTimeout
    clock: Clock

    async def decide(self, steps: tuple[Step, ...], ledger: Ledger) -> list[Decision]:
        """One decision per step, in their order; raises KubernetesError."""
        is_syncing = any(isinstance(step, Act) and step.action is not Action.RESTART for step in steps)
        freshening = await self.freshener.begin(ledger) if is_syncing else None
        return [
            await self._try(step, ledger, freshening) if isinstance(step, Act) else Decision(step)
            for step in steps
        ]

    async def _try(self, act: Act, ledger: Ledger, freshening: Round | None) -> Decision:
        """What the API server refuses to tell of one workload holds up no other."""
        try:
            return await self._decide(act, ledger, freshening)
        except KubernetesError as error:
            return Decision(Hold(act.debt, Reason.KUBERNETES_REFUSED, workload=act.workload), str(error))

    async def _decide(self, act: Act, ledger: Ledger, freshening: Round | None) -> Decision:
        namespace, workload = self.freshener.key.namespace, act.workload
        standing = await self.cluster.read_workload(namespace, workload.kind.kind, workload.name)
        if standing is None or not _is_same(standing.workload, workload):
            return Decision(Hold(act.debt, Reason.JUST_EDITED, workload=workload))
        act = replace(act, workload=standing.workload)
        other = "" if workload.ignores_others else standing.restarted_by
        if other and act.action is Action.RESTART:
            return Decision(
                Settle(act.debt, Reason.RESTARTED_BY_SOMEONE_ELSE, workload), f"by {other}", standing
            )
        if act.action is Action.RESTART or freshening is None:
            return Decision(act, standing=standing)
        fresh = await freshening.freshen(standing, act.debt)
        decision = Decision(act, fresh.note, standing, fresh)
        if ended := self._held(act, fresh) or _settled(act, fresh, other):
            return replace(decision, step=ended, note=f"by {other}" if other else fresh.note)
        return await self._with_other_rollout(decision, act, ledger, freshening)

    def _held(self, act: Act, fresh: Fresh) -> Hold | None:
        if fresh.state in {Freshness.UNASKED, Freshness.WAITING}:
            return Hold(act.debt, Reason.RESYNCING, workload=act.workload)
        if fresh.state is not Freshness.OVERDUE:
            return None
        hope = min(fresh.hope, _WATCH) if act.debt.is_watched else fresh.hope
        is_hopeful = self.clock() - act.debt.since < hope
        if is_hopeful if act.debt.doubt else self.on_timeout is OnTimeout.SKIP:
            return Hold(act.debt, Reason.RESYNC_TIMED_OUT, workload=act.workload)
        return None

    async def _with_other_rollout(
        self, decision: Decision, act: Act, ledger: Ledger, freshening: Round | None
    ) -> Decision:
        """Somebody's rollout is waited for; pods that it has made since the Secrets are fresh need no other.

        One of our own is not: what it rolls out is already old.
        """
        standing = decision.standing
        is_ours = any(rollout.uid == act.workload.uid for rollout in ledger.rollouts)
        if decision.fresh.state is not Freshness.CHANGED or standing is None or freshening is None or is_ours:
            return decision
        is_waited_for = self.clock() < act.debt.since + _LONGEST_WAIT
        if standing.progress is Progress.UNDER_WAY and is_waited_for:
            return replace(
                decision, step=Hold(act.debt, Reason.OTHER_ROLLOUT, workload=act.workload), note=""
            )
        if not act.debt.is_requested and await self._is_born_fresh(standing, freshening):
            return replace(decision, step=Settle(act.debt, Reason.COVERED_BY_ROLLOUT), note="")
        return decision

    async def _is_born_fresh(self, standing: Standing, freshening: Round) -> bool:
        """Whether all pods are younger than the newest content of the Secrets."""
        written = freshening.written_at(standing.secrets)
        if written is None or not standing.selector or standing.progress is not Progress.COMPLETE:
            return False
        births = await self.cluster.births_of_pods(self.freshener.key.namespace, standing.selector)
        return bool(births) and min(births) > written + _TICK


def _is_same(read: Workload, listed: Workload) -> bool:
    """Whether it is still the one that the debt is of, and its owner has not said something else since."""
    return read.uid == listed.uid and read.words == listed.words


def _settled(act: Act, fresh: Fresh, other: str) -> Settle | None:
    """Why nothing is restarted although the Secrets are as fresh as they get."""
    reason = None
    if fresh.state is Freshness.SAME and not act.debt.is_requested:
        reason = Reason.NO_DATA_CHANGE
    elif other:
        reason = Reason.RESTARTED_BY_SOMEONE_ELSE
    elif act.debt.doubt and fresh.state is not Freshness.CHANGED:
        unmoved = Reason.NO_DATA_CHANGE if act.debt.is_watched else Reason.RESYNC_TIMED_OUT
        reason = unmoved if fresh.state else Reason.NO_SOURCE
    elif act.action is Action.RESYNC:
        reason = _resynced(act, fresh)
    return Settle(act.debt, reason, act.workload) if reason else None


def _resynced(act: Act, fresh: Fresh) -> Reason:
    if fresh.state is None:
        return Reason.NO_SOURCE
    if fresh.state is Freshness.OVERDUE:
        return Reason.RESYNC_TIMED_OUT
    if act.workload.kind.restarting is Restarting.NEVER:
        return Reason.NEXT_RUN_IS_FRESH
    return Reason.RESYNCED
