"""Lists the workloads of one subscription's namespace, and reads what the decisions of a round depend on."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

from infisical_events.core.ledger.ledger import Ledger
from infisical_events.core.restarts.decisions import (
    GatheredWorkload,
    needs_pod_times,
    needs_pods,
    needs_read_secrets,
    needs_secrets,
)
from infisical_events.core.restarts.planner import PlannedAction, RestartNow
from infisical_events.core.status.reasons import Reason
from infisical_events.core.subscriptions import SubscriptionKey
from infisical_events.core.sync.sync_requests import PodContent
from infisical_events.core.sync.workload_sync_state import WorkloadSecrets
from infisical_events.core.workloads.workloads import WorkloadList
from infisical_events.kube.kubernetes_errors import KubernetesError
from infisical_events.runtime.clock import Clock
from infisical_events.runtime.ports import Cluster
from infisical_events.runtime.status.reporter import Reporter
from infisical_events.runtime.sync.sync_coordinator import SyncCoordinator, SyncRound

log = logging.getLogger(__name__)


@dataclass(kw_only=True, slots=True)
class WorkloadLister:
    """Lists for one subscription.

    Attributes:
        failures: The API server's message for each kind that could not be listed the last time.
    """

    cluster: Cluster
    reporter: Reporter
    failures: Mapping[str, str] = field(default_factory=dict)

    async def list(self) -> WorkloadList:
        """The metadata of all workloads of the namespace, without a cache; raises KubernetesError.

        A kind that cannot be listed is reported once for each message.
        """
        listed = await self.cluster.list_workloads(self.reporter.key.namespace)
        news = {kind: why for kind, why in listed.failures.items() if self.failures.get(kind) != why}
        self.failures = listed.failures
        for kind, why in news.items():
            log.warning("workloads not listed", extra=self.reporter.key.log_fields(kind=kind, error=why))
            message = (
                f"Cannot list workloads of kind {kind}: {why}. Changes for them stay pending until then."
            )
            await self.reporter.emit_event(Reason.WORKLOADS_NOT_LISTED, message, is_warning=True)
        return listed


@dataclass(frozen=True, slots=True)
class GatheredRound:
    """What was read for one round, by the uid of the workload; `sync_round` requests what has to sync."""

    workloads: Mapping[str, GatheredWorkload] = field(default_factory=dict)
    sync_round: SyncRound | None = None


@dataclass(kw_only=True, slots=True)
class Gatherer:
    """Gathers for one subscription."""

    cluster: Cluster
    key: SubscriptionKey
    sync_coordinator: SyncCoordinator
    clock: Clock

    async def gather(self, actions: tuple[PlannedAction, ...], ledger: Ledger) -> GatheredRound:
        """Read what is behind every `RestartNow`; an error of one workload concerns that workload alone.

        Raises:
            KubernetesError: the secret providers of the namespace cannot be listed.
        """
        planned = [action for action in actions if isinstance(action, RestartNow)]
        read = [await self._read(each, ledger) for each in planned]
        needs_sync = any(each.state and each.state.references and needs_secrets(each) for each in read)
        sync_round = await self.sync_coordinator.begin(ledger) if needs_sync else None
        gathered = {each.planned.pending.uid: await self._try(each, sync_round) for each in read}
        return GatheredRound(gathered, sync_round)

    async def _read(self, planned: RestartNow, ledger: Ledger) -> GatheredWorkload:
        workload = planned.workload
        is_rolling_out = any(rollout.uid == workload.uid for rollout in ledger.rollouts)
        try:
            state = await self.cluster.read_workload(self.key.namespace, workload.kind.kind, workload.name)
        except KubernetesError as error:
            return GatheredWorkload(planned, error_message=str(error))
        return GatheredWorkload(planned, state, is_rolling_out=is_rolling_out)

    async def _try(self, gathered: GatheredWorkload, sync_round: SyncRound | None) -> GatheredWorkload:
        try:
            return await self._gather(gathered, sync_round)
        except KubernetesError as error:
            return GatheredWorkload(gathered.planned, error_message=str(error))

    async def _gather(self, gathered: GatheredWorkload, sync_round: SyncRound | None) -> GatheredWorkload:
        namespace, pending, state = self.key.namespace, gathered.planned.pending, gathered.state
        if state is None:
            return gathered
        if needs_secrets(gathered):
            if sync_round is not None and state.references:
                secrets = await sync_round.gather(state, pending)
            else:
                secrets = WorkloadSecrets(
                    pending, PodContent({}), timedelta(), untracked_volumes=state.untracked_volumes
                )
            gathered = replace(gathered, secrets=secrets)
        if needs_read_secrets(gathered):
            read_secrets = await self.sync_coordinator.read_secrets(state, sync_round)
            gathered = replace(gathered, read_secrets=read_secrets)
        if needs_pods(gathered, self.clock()):
            state = state.with_pods(await self.cluster.list_pods(namespace, state.selector))
            gathered = replace(gathered, state=state)
        if needs_pod_times(gathered, self.clock()):
            times = await self.cluster.pod_creation_times(namespace, state.selector)
            return replace(gathered, pod_creation_times=times)
        return gathered
