"""Following rollouts to their end: available, failed, or overtaken by another one."""

import logging
from dataclasses import dataclass, replace
from datetime import timedelta

from infisical_events.api import annotations
from infisical_events.api.resources import Restarting
from infisical_events.api.specs import OnFailure
from infisical_events.core.ledger.ledger import Ledger, Rollout
from infisical_events.core.ledger.revisions import is_revision_at_least
from infisical_events.core.restarts.restart_records import is_restarted
from infisical_events.core.restarts.workload_state import RolloutProgress, WorkloadState
from infisical_events.core.status.reasons import Reason
from infisical_events.core.subscriptions import SubscriptionKey
from infisical_events.kube.kubernetes_errors import KubernetesError
from infisical_events.runtime.clock import Clock
from infisical_events.runtime.ports import Cluster

log = logging.getLogger(__name__)

DEADLINE = timedelta(minutes=10)
"""After this a rollout has failed, as a Deployment's own default has it; other kinds have no deadline."""


@dataclass(frozen=True, slots=True)
class RolloutUpdate:
    """A rollout as it stands now; a `result` is its end, `is_kept` that it has failed and halts others."""

    rollout: Rollout
    result: Reason | None = None
    is_kept: bool = True


@dataclass(kw_only=True, slots=True)
class RolloutTracker:
    """Follows the rollouts of one subscription."""

    cluster: Cluster
    key: SubscriptionKey
    on_failure: OnFailure
    clock: Clock

    async def follow(self, ledger: Ledger) -> list[RolloutUpdate]:
        """How each stands; raises KubernetesError."""
        return [await self._follow(rollout, ledger.epoch) for rollout in ledger.rollouts]

    async def _follow(self, rollout: Rollout, epoch: str) -> RolloutUpdate:
        try:
            workload_state = await self.cluster.read_workload(self.key.namespace, rollout.kind, rollout.name)
        except KubernetesError as error:
            log.warning("rollout of %s %s: %s", rollout.kind, rollout.name, error)
            return RolloutUpdate(rollout)
        end = self._end(workload_state, rollout, epoch)
        if end is not None or workload_state is None:
            return RolloutUpdate(rollout, end, is_kept=False)
        has_failed = (
            workload_state.progress is RolloutProgress.FAILED or self.clock() > rollout.begun_at + DEADLINE
        )
        if rollout.has_failed:
            return RolloutUpdate(rollout, is_kept=self.on_failure is OnFailure.HALT)
        if has_failed:
            failed = replace(rollout, has_failed=True)
            return RolloutUpdate(failed, Reason.ROLLOUT_FAILED, is_kept=self.on_failure is OnFailure.HALT)
        return RolloutUpdate(rollout)

    def _end(self, workload_state: WorkloadState | None, rollout: Rollout, epoch: str) -> Reason | None:
        """How it ended, if it did; one that has failed may still come to a good end."""
        if workload_state is None or workload_state.workload.uid != rollout.uid:
            return Reason.WORKLOAD_GONE
        if not self._is_stamped(workload_state, rollout, epoch):
            return Reason.ROLLOUT_SUPERSEDED
        if workload_state.obstacle is not None or workload_state.progress is not RolloutProgress.COMPLETE:
            return workload_state.obstacle
        return Reason.ROLLOUT_RESUMED if rollout.has_failed else Reason.ROLLED_OUT

    def _is_stamped(self, workload_state: WorkloadState, rollout: Rollout, epoch: str) -> bool:
        """Whether what rolls out is still what was restarted here."""
        if workload_state.workload.kind.restarting is not Restarting.BY_TEMPLATE:
            return is_restarted(workload_state.workload, self.key.name, epoch, rollout.seq)
        revision = workload_state.template_annotations.get(annotations.revision_key(self.key.name), "")
        return is_revision_at_least(revision, epoch, rollout.seq)
