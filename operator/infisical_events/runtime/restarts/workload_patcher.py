"""The only writes to workloads: a restart with its receipt, and a note of what another rollout covers."""

from dataclasses import dataclass, replace

from infisical_events.core.restarts.planner import Act, Hold, Settle
from infisical_events.core.restarts.restart_records import Cause, coverage_patch, restart_patch
from infisical_events.core.status.reasons import Reason
from infisical_events.kube.kubernetes_errors import ConflictError, KubernetesError, UnknownOutcomeError
from infisical_events.kube.subscription_client import SubscriptionKey
from infisical_events.runtime.clock import Clock
from infisical_events.runtime.limits.restart_budget import Budget
from infisical_events.runtime.ports import Cluster
from infisical_events.runtime.restarts.restart_decider import Decision
from infisical_events.runtime.restarts.restart_report import Done


@dataclass(frozen=True, kw_only=True, slots=True)
class Restarter:
    """Carries out decisions for one subscription."""

    cluster: Cluster
    key: SubscriptionKey
    budget: Budget
    clock: Clock

    async def note(self, decision: Decision) -> Done:
        """What needs nothing done, or no more than a note of what somebody else's rollout has started."""
        step, standing = decision.step, decision.standing
        if standing is None or not isinstance(step, Settle) or step.reason is not Reason.COVERED_BY_ROLLOUT:
            return Done(decision)
        patch = coverage_patch(standing.workload, decision.fresh.known_tokens)
        try:
            await self.cluster.patch_workload(self.key.namespace, standing.workload, patch)
        except (ConflictError, UnknownOutcomeError):
            return Done(replace(decision, step=Hold(step.debt, Reason.JUST_EDITED)))
        except KubernetesError as error:
            return Done(replace(decision, step=Hold(step.debt, Reason.KUBERNETES_REFUSED), note=str(error)))
        return Done(decision)

    async def restart(self, decision: Decision, epoch: str, refusal: Reason | None) -> Done:
        """Restart under a stamp of this epoch, unless it is refused or the operator's budget is spent."""
        step, key = decision.step, self.key
        if not isinstance(step, Act):
            return Done(decision)
        if refusal is None and not self.budget.take(str(key), step.debt.uid):
            refusal = Reason.BUDGET_SPENT
        if refusal is not None:
            return Done(replace(decision, step=Hold(step.debt, refusal), note=""))
        fresh = decision.fresh
        cause = Cause(step.debt, key.name, epoch, fresh.known_tokens, fresh.doubt)
        patch = restart_patch(step.workload, cause, self.clock())
        try:
            await self.cluster.patch_workload(key.namespace, step.workload, patch)
        except ConflictError:  # it was edited since it was listed: listed and planned anew
            return Done(decision, Reason.RESTART_FAILED, is_conflict=True)
        except UnknownOutcomeError as error:  # done or not: its receipt will tell
            return Done(decision, Reason.RESTART_FAILED, str(error), is_unanswered=True)
        except KubernetesError as error:
            return Done(decision, Reason.RESTART_FAILED, str(error))
        obstacle = decision.standing.obstacle if decision.standing else None
        return Done(decision, obstacle or Reason.RESTARTED)
