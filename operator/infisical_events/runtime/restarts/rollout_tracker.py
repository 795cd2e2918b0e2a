"""Reads the workloads whose rollouts are tracked, and their pods if these say more.

`core.restarts.rollouts` judges the rollouts.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from infisical_events.api.specs import OnReverted
from infisical_events.core.ledger.ledger import Ledger, Rollout
from infisical_events.core.restarts.rollouts import (
    RolloutUpdate,
    TrackedRevision,
    needs_pods,
    rollout_update,
)
from infisical_events.core.status.text import object_name
from infisical_events.core.subscriptions import SubscriptionKey
from infisical_events.core.workloads.pod_states import PodState
from infisical_events.core.workloads.workload_state import WorkloadState
from infisical_events.kube.kubernetes_errors import KubernetesError
from infisical_events.runtime.clock import Clock
from infisical_events.runtime.ports import Cluster

log = logging.getLogger(__name__)

_POD_PAUSE = timedelta(seconds=10)
"""Between two lists of the pods of one workload."""


@dataclass(frozen=True, slots=True)
class _ListedPods:
    at: datetime
    pods: Sequence[PodState] | None = ()


@dataclass(kw_only=True, slots=True)
class RolloutTracker:
    """Tracks the rollouts of one subscription; `listed` are the pods listed last, by the workload's uid."""

    cluster: Cluster
    key: SubscriptionKey
    clock: Clock
    on_reverted: OnReverted = OnReverted.WARN
    listed: dict[str, _ListedPods] = field(default_factory=dict)

    async def follow(self, ledger: Ledger) -> list[RolloutUpdate]:
        """One update per rollout of the ledger; an unreadable workload leaves its rollout as it is."""
        tracked = TrackedRevision(self.key.name, ledger.epoch, self.on_reverted)
        updates = [await self._follow(rollout, tracked) for rollout in ledger.rollouts]
        left = {update.rollout.uid for update in updates if update.is_kept}
        self.listed = {uid: listed for uid, listed in self.listed.items() if uid in left}
        return updates

    async def _follow(self, rollout: Rollout, tracked: TrackedRevision) -> RolloutUpdate:
        try:
            state = await self.cluster.read_workload(self.key.namespace, rollout.kind, rollout.name)
        except KubernetesError as error:
            self._warn("rollout not read", rollout, error)
            return RolloutUpdate(rollout)
        pods = await self._pods(rollout, state, tracked)
        update = rollout_update(rollout, state, tracked, self.clock(), pods)
        if self.on_reverted is OnReverted.DELETE_PODS and update.old_pods:
            return await self._evict(update, pods or ())
        return update

    async def _evict(self, update: RolloutUpdate, pods: Sequence[PodState]) -> RolloutUpdate:
        """Evict one pod that kept the old template, as soon as all others are ready."""
        oldest = min(update.old_pods, key=lambda pod: pod.created_at)
        if not all(pod.is_serving for pod in pods if pod != oldest):
            return update
        try:
            await self.cluster.evict_pod(self.key.namespace, oldest.name)
        except KubernetesError as error:
            self._warn("pod not evicted", update.rollout, error)
            return replace(
                update, cause=f"{update.cause}; {object_name('Pod', oldest.name)} is not evicted: {error}"
            )
        self.listed.pop(update.rollout.uid, None)
        return update

    async def _pods(
        self, rollout: Rollout, state: WorkloadState | None, tracked: TrackedRevision
    ) -> Sequence[PodState] | None:
        """The pods if they are needed, listed shortly before or now; None if they cannot be listed."""
        now = self.clock()
        if state is not None and not state.selector:
            return None
        if state is None or not needs_pods(rollout, state, tracked, now):
            self.listed.pop(rollout.uid, None)
            return ()
        last = self.listed.get(rollout.uid)
        if last is None or not last.at <= now < last.at + _POD_PAUSE:
            last = _ListedPods(now, await self._list(rollout, state))
            self.listed[rollout.uid] = last
        return last.pods

    async def _list(self, rollout: Rollout, state: WorkloadState) -> Sequence[PodState] | None:
        """None if the pods cannot be listed: the workload alone says less, and nothing wrong."""
        try:
            return await self.cluster.list_pods(self.key.namespace, state.selector)
        except KubernetesError as error:
            self._warn("pods of rollout not listed", rollout, error)
            return None

    def _warn(self, message: str, rollout: Rollout, error: KubernetesError) -> None:
        workload = object_name(rollout.kind, rollout.name)
        fields = self.key.log_fields(workload=workload, error=str(error))
        log.warning(message, extra=fields)
