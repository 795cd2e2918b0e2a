"""The only writes to workloads: a restart with its receipt, and a note of what another rollout covers."""

from dataclasses import dataclass, replace

from infisical_events.core.restarts.planner import Deferred, Resolved, RestartNow
from infisical_events.core.restarts.restart_records import RestartCause, coverage_patch, restart_patch
from infisical_events.core.status.reasons import Reason
from infisical_events.core.subscriptions import SubscriptionKey
from infisical_events.kube.kubernetes_errors import ConflictError, KubernetesError, UnknownOutcomeError
from infisical_events.runtime.clock import Clock
from infisical_events.runtime.limits.restart_budget import RestartBudget
from infisical_events.runtime.ports import Cluster
from infisical_events.runtime.restarts.restart_decider import RestartDecision
from infisical_events.runtime.restarts.restart_report import RestartOutcome


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkloadPatcher:
    """Carries out decisions for one subscription."""

    cluster: Cluster
    key: SubscriptionKey
    budget: RestartBudget
    clock: Clock

    async def record_coverage(self, decision: RestartDecision) -> RestartOutcome:
        """What needs nothing done, or no more than a note of what somebody else's rollout has started."""
        step, workload_state = decision.action, decision.state
        if (
            workload_state is None
            or not isinstance(step, Resolved)
            or step.reason is not Reason.COVERED_BY_ROLLOUT
        ):
            return RestartOutcome(decision)
        patch = coverage_patch(workload_state.workload, decision.sync.known_fingerprints)
        try:
            await self.cluster.patch_workload(self.key.namespace, workload_state.workload, patch)
        except (ConflictError, UnknownOutcomeError):
            return RestartOutcome(replace(decision, action=Deferred(step.pending, Reason.WORKLOAD_MODIFIED)))
        except KubernetesError as error:
            return RestartOutcome(
                replace(decision, action=Deferred(step.pending, Reason.KUBERNETES_API_ERROR), note=str(error))
            )
        return RestartOutcome(decision)

    async def restart(self, decision: RestartDecision, epoch: str, refusal: Reason | None) -> RestartOutcome:
        """Restart under a stamp of this epoch, unless it is refused or the operator's budget is spent."""
        step, key = decision.action, self.key
        if not isinstance(step, RestartNow):
            return RestartOutcome(decision)
        if refusal is None and not self.budget.try_acquire(str(key), step.pending.uid):
            refusal = Reason.RESTART_BUDGET_EXHAUSTED
        if refusal is not None:
            return RestartOutcome(replace(decision, action=Deferred(step.pending, refusal), note=""))
        sync_state = decision.sync
        cause = RestartCause(
            step.pending, key.name, epoch, sync_state.known_fingerprints, sync_state.unconfirmed
        )
        patch = restart_patch(step.workload, cause, self.clock())
        try:
            await self.cluster.patch_workload(key.namespace, step.workload, patch)
        except ConflictError:  # it was edited since it was listed: listed and planned anew
            return RestartOutcome(decision, Reason.RESTART_FAILED, is_conflict=True)
        except UnknownOutcomeError as error:  # done or not: its receipt will tell
            return RestartOutcome(decision, Reason.RESTART_FAILED, str(error), is_unanswered=True)
        except KubernetesError as error:
            return RestartOutcome(decision, Reason.RESTART_FAILED, str(error))
        obstacle = decision.state.obstacle if decision.state else None
        return RestartOutcome(decision, obstacle or Reason.RESTARTED)
