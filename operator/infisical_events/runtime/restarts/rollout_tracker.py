"""Reads the workloads whose rollouts are tracked; `core.restarts.rollouts` judges them."""

import logging
from dataclasses import dataclass

from infisical_events.api.specs import OnFailure
from infisical_events.core.ledger.ledger import Ledger, Rollout
from infisical_events.core.restarts.rollouts import RolloutUpdate, TrackedRevision, rollout_update
from infisical_events.core.status.text import object_name
from infisical_events.core.subscriptions import SubscriptionKey
from infisical_events.kube.kubernetes_errors import KubernetesError
from infisical_events.runtime.clock import Clock
from infisical_events.runtime.ports import Cluster

log = logging.getLogger(__name__)


@dataclass(kw_only=True, slots=True)
class RolloutTracker:
    """Tracks the rollouts of one subscription."""

    cluster: Cluster
    key: SubscriptionKey
    on_failure: OnFailure
    clock: Clock

    async def follow(self, ledger: Ledger) -> list[RolloutUpdate]:
        """One update per rollout of the ledger; an unreadable workload leaves its rollout as it is."""
        tracked = TrackedRevision(self.key.name, ledger.epoch)
        return [await self._follow(rollout, tracked) for rollout in ledger.rollouts]

    async def _follow(self, rollout: Rollout, tracked: TrackedRevision) -> RolloutUpdate:
        try:
            state = await self.cluster.read_workload(self.key.namespace, rollout.kind, rollout.name)
        except KubernetesError as error:
            workload = object_name(rollout.kind, rollout.name)
            fields = self.key.log_fields(workload=workload, error=str(error))
            log.warning("rollout not read", extra=fields)
            return RolloutUpdate(rollout)
        return rollout_update(rollout, state, tracked, self.on_failure, self.clock())
