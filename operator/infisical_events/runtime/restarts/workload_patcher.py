"""The only writes to workloads: a restart with its record, and a record of what another rollout covers."""

from dataclasses import dataclass, replace

from infisical_events.api.annotations import revision_key
from infisical_events.api.resources import Restarting
from infisical_events.core.restarts.decision_kinds import Defer, RecordCoverage, Restart, RestartDecision
from infisical_events.core.restarts.outcomes import RestartOutcome
from infisical_events.core.restarts.restart_records import RestartCause, coverage_patch, restart_patch
from infisical_events.core.status.reasons import Reason
from infisical_events.core.subscriptions import SubscriptionKey
from infisical_events.core.workloads.workload_state import WorkloadState
from infisical_events.kube.kubernetes_errors import ConflictError, KubernetesError, UnknownOutcomeError
from infisical_events.runtime.clock import Clock
from infisical_events.runtime.limits.restart_budget import RestartBudget
from infisical_events.runtime.metrics import Metrics
from infisical_events.runtime.ports import Cluster

_STRIPPED = (
    "the API server accepted it without the annotation of the pod template: let the admission webhook or "
    "policy that removes it keep annotations of events.infisical.com"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkloadPatcher:
    """Carries out the decisions of one subscription."""

    cluster: Cluster
    key: SubscriptionKey
    budget: RestartBudget
    clock: Clock
    metrics: Metrics

    async def record(self, decision: RestartDecision) -> RestartOutcome:
        """The outcome of a decision that restarts nothing; a covered restart is recorded on its workload."""
        if not isinstance(decision, RecordCoverage):
            return RestartOutcome(decision)
        workload = decision.state.workload
        patch = coverage_patch(workload, decision.sync.known_fingerprints)
        try:
            await self.cluster.patch_workload(self.key.namespace, workload, patch)
        except (ConflictError, UnknownOutcomeError):
            return RestartOutcome(_deferred(decision, Reason.WORKLOAD_MODIFIED))
        except KubernetesError as error:
            deferred = replace(_deferred(decision, Reason.KUBERNETES_API_ERROR), note=str(error))
            return RestartOutcome(deferred)
        return RestartOutcome(decision)

    async def restart(self, decision: Restart, epoch: str, refusal: Reason | None) -> RestartOutcome:
        """Restart under a revision of this epoch, unless admission or the operator's budget refuses it."""
        key, workload, pending = self.key, decision.workload, decision.pending
        if refusal is None and not self.budget.try_acquire(key, pending.uid):
            refusal = Reason.RESTART_BUDGET_EXHAUSTED
        if refusal is not None:
            return RestartOutcome(_deferred(decision, refusal))
        sync = decision.sync
        cause = RestartCause(pending, key.name, epoch, sync.known_fingerprints, sync.unconfirmed)
        patch = restart_patch(workload, cause, self.clock())
        try:
            template_annotations = await self.cluster.patch_workload(key.namespace, workload, patch)
        except ConflictError:  # modified since it was read: the next round reads it again
            return RestartOutcome(decision, Reason.RESTART_FAILED, is_conflict=True)
        except UnknownOutcomeError as error:  # applied or not: its restart record will show
            return RestartOutcome(decision, Reason.RESTART_FAILED, str(error), is_unanswered=True)
        except KubernetesError as error:
            return RestartOutcome(decision, Reason.RESTART_FAILED, str(error))
        if pending.unconfirmed is None:  # another one may have waited for its Secret since the first restart
            self.metrics.observe_restart((self.clock() - pending.since).total_seconds())
        if workload.kind.restarting is Restarting.BY_TEMPLATE:
            revision = template_annotations.get(revision_key(key.name), "")
            if revision != cause.revision:
                return RestartOutcome(decision, Reason.RESTART_REVERTED, _STRIPPED)
        return RestartOutcome(decision, _result(decision.state))


def _result(state: WorkloadState | None) -> Reason:
    """What a patch that was applied does: a partition lets some pods roll out, other obstacles none."""
    if state is None or state.obstacle is None or state.rollout.rolls_partly:
        return Reason.RESTARTED
    return state.obstacle


def _deferred(decision: RestartDecision, reason: Reason) -> Defer:
    return Defer(
        pending=decision.pending,
        workload=decision.workload,
        reason=reason,
        state=decision.state,
        sync=decision.sync,
    )
