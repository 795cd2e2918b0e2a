"""The composition root of one subscription: builds all parts that serve one spec, and runs them."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from infisical_events.api.specs import Mode
from infisical_events.core.restarts.planner import RestartPolicy
from infisical_events.core.restarts.workload_statuses import reported_reasons
from infisical_events.core.subscriptions import StoredSubscription, SubscriptionKey
from infisical_events.core.sync.value_digests import DigestKeySource, DigestPurpose, derived_source
from infisical_events.core.validation.serving_spec import ServingSpec
from infisical_events.runtime.ports import Infisical
from infisical_events.runtime.reconcile.reconcile_loop import ReconcileLoop
from infisical_events.runtime.reconcile.reconcile_report import ReconcileReporter
from infisical_events.runtime.reconcile.reconciler import Reconciler
from infisical_events.runtime.reconcile.snapshot_reader import SnapshotReader
from infisical_events.runtime.restarts.gatherer import Gatherer, WorkloadLister
from infisical_events.runtime.restarts.restart_controller import RestartController
from infisical_events.runtime.restarts.restart_report import RestartReporter
from infisical_events.runtime.restarts.rollout_tracker import RolloutTracker
from infisical_events.runtime.restarts.workload_patcher import WorkloadPatcher
from infisical_events.runtime.status.reporter import EventBudget, Reporter
from infisical_events.runtime.status.status_builder import StatusBuilder
from infisical_events.runtime.status.status_flusher import StatusFlusher
from infisical_events.runtime.status.subscription_store import SubscriptionDeletedError, SubscriptionStore
from infisical_events.runtime.stream.stream_controller import StreamController
from infisical_events.runtime.subscription.dependencies import Dependencies
from infisical_events.runtime.subscription.login_credentials import credentials_source
from infisical_events.runtime.subscription_context import SubscriptionContext
from infisical_events.runtime.sync.drift_corrector import DriftCorrector
from infisical_events.runtime.sync.managed_secret_writer import ManagedSecretWriter
from infisical_events.runtime.sync.sync_coordinator import SyncCoordinator
from infisical_events.runtime.tasks import race
from infisical_events.runtime.triggers import PendingUserRequests, TriggerQueue


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadedSubscription:
    """What writes and reports the status of one subscription, as of the read of its object."""

    context: SubscriptionContext
    status: StatusBuilder
    store: SubscriptionStore
    reporter: Reporter


async def read_stored(dependencies: Dependencies, key: SubscriptionKey) -> StoredSubscription:
    """Read a subscription, which may have a megabyte.

    Raises:
        SubscriptionDeletedError: it is being deleted, or another one has its name now.
        KubernetesError: it cannot be read.
    """
    stored = await dependencies.cluster.get(key)
    if stored.uid != key.uid or stored.is_deleting:
        raise SubscriptionDeletedError
    return stored


def loaded_from(
    stored: StoredSubscription, dependencies: Dependencies, key: SubscriptionKey, event_budget: EventBudget
) -> LoadedSubscription:
    """What continues from the stored status and ledger."""
    context = dependencies.context_of(key)
    status = StatusBuilder(stored.status, stored.generation, context.clock)
    context.metrics.watch_conditions(key, lambda: status.conditions)
    return LoadedSubscription(
        context=context,
        status=status,
        store=SubscriptionStore(context, stored, status),
        reporter=Reporter(context, status, event_budget),
    )


async def serve(
    loaded: LoadedSubscription,
    serving: ServingSpec,
    dependencies: Dependencies,
    user_requests: PendingUserRequests,
    started: asyncio.Event,
) -> None:
    """Serve one spec until cancelled; raises what ends one of its tasks.

    `started` is set when Infisical was read for the first time, or when that failed.
    """
    spec, context = serving.spec, loaded.context
    namespace = context.key.namespace
    credentials = credentials_source(context.cluster, namespace, spec, serving.address)
    async with dependencies.open_infisical(namespace, serving.address, spec, credentials) as infisical:
        assembly = _Assembly(
            loaded=loaded,
            serving=serving,
            dependencies=dependencies,
            user_requests=user_requests,
            infisical=infisical,
            triggers=TriggerQueue(float(spec.debounce_seconds), loaded.store.is_stateless),
            stream_attempted=asyncio.Event(),
        )
        await race(
            assembly.stream_controller().run(),
            assembly.reconcile_loop(started).run(),
            assembly.status_flusher(started).run(),
            user_requests.forward(assembly.triggers),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Assembly:
    """What the parts of one subscription are built from."""

    loaded: LoadedSubscription
    serving: ServingSpec
    dependencies: Dependencies
    user_requests: PendingUserRequests
    infisical: Infisical
    triggers: TriggerQueue
    stream_attempted: asyncio.Event

    def stream_controller(self) -> StreamController:
        return StreamController(
            context=self.loaded.context,
            infisical=self.infisical,
            selectors=self.serving.selectors,
            triggers=self.triggers,
            reporter=self.loaded.reporter,
            limiter=self.dependencies.reconnect_limiters.for_address(self.serving.address),
            attempted=self.stream_attempted,
            project=(self.serving.address, self.serving.project),
        )

    def status_flusher(self, started: asyncio.Event) -> StatusFlusher:
        loaded = self.loaded
        return StatusFlusher(loaded.context, loaded.store, loaded.status, self.triggers, started)

    def reconcile_loop(self, started: asyncio.Event) -> ReconcileLoop:
        loaded, sync_coordinator = self.loaded, self._sync_coordinator()
        lister = WorkloadLister(cluster=loaded.context.cluster, reporter=loaded.reporter)
        reconcile_reporter = ReconcileReporter(context=loaded.context, reporter=loaded.reporter)
        return ReconcileLoop(
            context=loaded.context,
            reconciler=self._reconciler(lister, sync_coordinator, reconcile_reporter),
            reconcile_reporter=reconcile_reporter,
            restart_controller=self._restart_controller(lister, sync_coordinator),
            store=loaded.store,
            triggers=self.triggers,
            started=started,
            stream_attempted=self.stream_attempted,
            interval=float(self.serving.spec.resync_interval_seconds),
            drift_corrector=sync_coordinator.drift_corrector,
        )

    def _reconciler(
        self,
        lister: WorkloadLister,
        sync_coordinator: SyncCoordinator,
        reconcile_reporter: ReconcileReporter,
    ) -> Reconciler:
        context, serving = self.loaded.context, self.serving
        return Reconciler(
            context=context,
            spec=serving.spec,
            selectors=serving.selectors,
            user_requests=self.user_requests,
            snapshot_reader=SnapshotReader(
                context=context, spec=serving.spec, address=serving.address, infisical=self.infisical
            ),
            lister=lister,
            sync_coordinator=sync_coordinator,
            store=self.loaded.store,
            reconcile_reporter=reconcile_reporter,
        )

    def _sync_coordinator(self) -> SyncCoordinator:
        spec, context = self.serving.spec, self.loaded.context
        secret_writer = None
        if spec.resync.secrets and spec.mode is Mode.ENFORCE:
            secret_writer = ManagedSecretWriter(
                secrets=spec.resync.secrets,
                infisical=self.infisical,
                cluster=context.cluster,
                reporter=self.loaded.reporter,
                triggers=self.triggers,
                clock=context.clock,
                digest_key=self._digest_key(DigestPurpose.MANAGED_SECRET),
            )
        else:
            self.loaded.reporter.mark_no_secrets()
        return SyncCoordinator(
            cluster=context.cluster,
            key=context.key,
            timeout=timedelta(seconds=spec.resync.timeout_seconds),
            clock=context.clock,
            reporter=self.loaded.reporter,
            digest_key=self._digest_key(DigestPurpose.SECRET_CONTENT),
            writer=secret_writer,
            drift_corrector=self._drift_corrector(secret_writer),
        )

    def _digest_key(self, purpose: DigestPurpose) -> DigestKeySource:
        return derived_source(self.dependencies.digest_key, self.loaded.context.key.namespace, purpose)

    def _drift_corrector(self, secret_writer: ManagedSecretWriter | None) -> DriftCorrector | None:
        if secret_writer is None:
            return None
        context, reporter = self.loaded.context, self.loaded.reporter
        return DriftCorrector(
            writer=secret_writer,
            cluster=context.cluster,
            reporter=reporter,
            store=self.loaded.store,
            clock=context.clock,
        )

    def _restart_reporter(self) -> RestartReporter:
        """What an earlier process reported is not reported again."""
        loaded, ledger = self.loaded, self.loaded.store.ledger
        pending = ledger.pending if ledger else ()
        return RestartReporter(
            reporter=loaded.reporter,
            metrics=loaded.context.metrics,
            clock=loaded.context.clock,
            last_reported=reported_reasons(loaded.status.render().workloads, pending),
        )

    def _restart_controller(
        self, lister: WorkloadLister, sync_coordinator: SyncCoordinator
    ) -> RestartController:
        spec, context, budget = self.serving.spec, self.loaded.context, self.dependencies.budget
        cluster, key, clock = context.cluster, context.key, context.clock
        cooldown = timedelta(seconds=spec.cooldown_seconds)
        return RestartController(
            store=self.loaded.store,
            lister=lister,
            gatherer=Gatherer(cluster=cluster, key=key, sync_coordinator=sync_coordinator, clock=clock),
            patcher=WorkloadPatcher(
                cluster=cluster, key=key, budget=budget, clock=clock, metrics=context.metrics
            ),
            tracker=RolloutTracker(
                cluster=cluster, key=key, clock=clock, on_reverted=spec.rollout.on_reverted
            ),
            reporter=self._restart_reporter(),
            budget=budget,
            clock=clock,
            policy=RestartPolicy(spec.action, cooldown, spec.resync.on_timeout),
            rollout=spec.rollout,
            mode=spec.mode,
        )
