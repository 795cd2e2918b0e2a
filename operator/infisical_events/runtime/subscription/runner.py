"""The life of one subscription: load it, serve its spec until that changes, never give up.

The only broad `except` of the program is here: a defect met while serving one subscription is
logged, told on its status, waited out and met again, while all others go on.
"""

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import timedelta

from infisical_events.api.specs import Mode, Spec, parse_spec
from infisical_events.api.statuses import ConditionType
from infisical_events.core.egress.address_allowlist import EgressPolicy, ip_of, origin_of
from infisical_events.core.restarts.planner import RestartPolicy
from infisical_events.core.restarts.user_requests import UserRequests
from infisical_events.core.snapshots.selectors import selectors_of
from infisical_events.core.status.reasons import Reason
from infisical_events.core.sync.managed_secret_content import check_secrets
from infisical_events.core.sync.value_digests import DigestKeySource
from infisical_events.kube.kubernetes_errors import KubernetesError
from infisical_events.kube.subscription_client import StoredSubscription, SubscriptionKey
from infisical_events.runtime.asking import PendingUserRequests
from infisical_events.runtime.backoff import Backoff
from infisical_events.runtime.clock import Clock
from infisical_events.runtime.limits.cooperative_scheduler import CooperativeScheduler
from infisical_events.runtime.limits.namespace_slots import NamespaceSlots
from infisical_events.runtime.limits.reconnect_limiter import ReconnectLimiters
from infisical_events.runtime.limits.restart_budget import RestartBudget
from infisical_events.runtime.metrics import Metrics
from infisical_events.runtime.ports import Cluster, Infisical, InfisicalOpener
from infisical_events.runtime.reconcile.reconcile_loop import ReconcileLoop
from infisical_events.runtime.reconcile.reconcile_report import ReconcileReporter
from infisical_events.runtime.reconcile.reconciler import Reconciler
from infisical_events.runtime.reconcile.snapshot_reader import SnapshotReader
from infisical_events.runtime.restarts.gatherer import Gatherer
from infisical_events.runtime.restarts.restart_controller import RestartController
from infisical_events.runtime.restarts.restart_report import RestartReporter
from infisical_events.runtime.restarts.rollout_tracker import RolloutTracker
from infisical_events.runtime.restarts.workload_patcher import WorkloadPatcher
from infisical_events.runtime.status.reporter import Reporter
from infisical_events.runtime.status.status_builder import StatusBuilder
from infisical_events.runtime.status.subscription_store import (
    LedgerConflictError,
    SpecChangedError,
    SubscriptionDeletedError,
    SubscriptionStore,
    keep_written,
)
from infisical_events.runtime.stream.stream_controller import StreamController
from infisical_events.runtime.subscription.login_credentials import credentials_source
from infisical_events.runtime.sync.managed_secret_writer import ManagedSecretWriter
from infisical_events.runtime.sync.sync_coordinator import SyncCoordinator
from infisical_events.runtime.tasks import race
from infisical_events.runtime.triggers import TriggerQueue

_EDIT_PAUSE = 0.2
"""Seconds between two specs: edits in a loop must not become logins in a loop."""

_HEALTHY = 60.0
"""Seconds of serving after which earlier failures are forgotten."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Dependencies:
    """What every subscription is served with."""

    cluster: Cluster
    open_infisical: InfisicalOpener
    clock: Clock
    metrics: Metrics
    default_address: str
    egress: EgressPolicy
    digest_key: DigestKeySource
    budget: RestartBudget = field(default_factory=RestartBudget)
    reconnect_limiters: ReconnectLimiters = field(default_factory=ReconnectLimiters)
    namespace_slots: NamespaceSlots = field(default_factory=NamespaceSlots)
    scheduler: CooperativeScheduler = field(default_factory=CooperativeScheduler)


@dataclass(kw_only=True, slots=True)
class SubscriptionRunner:
    """The task of one subscription."""

    dependencies: Dependencies
    key: SubscriptionKey
    spec_changed: asyncio.Event = field(default_factory=asyncio.Event)
    user_requests: PendingUserRequests = field(default_factory=PendingUserRequests)

    async def run(self) -> None:
        """Serve until the object is gone or the task is cancelled."""
        backoff = Backoff(first=1.0, longest=60.0)
        now = asyncio.get_running_loop().time
        begun, defect = now(), None
        while True:
            try:
                await (self._serve_stored() if defect is None else self._report_defect(defect))
            except SubscriptionDeletedError:
                return
            except SpecChangedError:
                begun, defect = now(), None
                await asyncio.sleep(_EDIT_PAUSE)
                continue
            except (KubernetesError, LedgerConflictError) as error:
                log.warning("%s", error, extra={"subscription": str(self.key)})
            except Exception as error:
                log.exception("unexpected", extra={"subscription": str(self.key)})
                if defect is None:
                    defect = error
                    continue  # told before it is waited out
            if now() - begun > _HEALTHY:
                backoff.reset()
            await asyncio.sleep(backoff.pause())
            begun, defect = now(), None

    async def _serve_stored(self) -> None:
        self.spec_changed.clear()
        stored, record, reporter = await self._loaded()
        self.user_requests.put(UserRequests.of(stored.annotations))
        try:
            spec, address = self._understood(stored)
        except _NotServableError as error:
            await self._wait_inactive(record, reporter, error)
        else:
            await race(self._superseded(), self._run_in_slot(spec, address, record, reporter))

    async def _loaded(self) -> tuple[StoredSubscription, SubscriptionStore, Reporter]:
        stored = await self.dependencies.cluster.get(self.key)
        if stored.uid != self.key.uid or stored.is_deleting:
            raise SubscriptionDeletedError
        status = StatusBuilder(stored.status, stored.generation, self.dependencies.clock)
        record = SubscriptionStore(self.dependencies.cluster, self.key, stored, status)
        return stored, record, Reporter(self.dependencies.cluster, self.key, status)

    async def _report_defect(self, defect: Exception) -> None:
        """Tell what nobody foresaw where people and alerts look: its text is foreign, and for the log."""
        self.dependencies.metrics.count_reconcile(self.key, Reason.INTERNAL_ERROR)
        _, record, reporter = await self._loaded()
        sentence = (
            f"The operator failed in a way that it does not know ({type(defect).__name__}) and tries again: "
            "its log has the details; please report them."
        )
        is_news = record.status.set_condition(
            ConditionType.READY, ok=False, reason=Reason.INTERNAL_ERROR, message=sentence
        )
        await record.write_status()
        if is_news:
            await reporter.emit_event(Reason.INTERNAL_ERROR, sentence, is_warning=True)

    async def _run_in_slot(
        self, spec: Spec, address: str, record: SubscriptionStore, reporter: Reporter
    ) -> None:
        """Serve as soon as the namespace has a seat; say so while it has none."""
        slots = self.dependencies.namespace_slots.for_namespace(self.key.namespace)
        if slots.locked():
            await self._tell_rest(record, reporter, _too_many(self.dependencies.namespace_slots.most))
        async with slots:
            record.status.mark_starting()
            try:
                await self._serve(spec, address, record, reporter)
            finally:  # what rolls out is followed by nobody until it is served again
                self.dependencies.budget.set_rolling(str(self.key), frozenset())

    def _understood(self, stored: StoredSubscription) -> tuple[Spec, str]:
        """The parsed spec and the origin that its tokens may go to."""
        try:
            spec = parse_spec(stored.spec)
            selectors_of(spec)
            check_secrets(spec)
            origin = origin_of(spec.address or self.dependencies.default_address)
        except ValueError as error:
            raise _NotServableError(ConditionType.STALLED, Reason.INVALID_SPEC, str(error)) from None
        if denial_reason := _objection(self.dependencies.egress, origin):
            raise _NotServableError(ConditionType.STALLED, Reason.ADDRESS_NOT_ALLOWED, denial_reason)
        if spec.suspend:
            sentence = "spec.suspend is true: nothing is observed and nothing restarted."
            raise _NotServableError(ConditionType.READY, Reason.SUSPENDED, sentence)
        return spec, origin

    async def _wait_inactive(
        self, record: SubscriptionStore, reporter: Reporter, why: "_NotServableError"
    ) -> None:
        """Say why nothing is done, and wait for another spec."""
        await self._tell_rest(record, reporter, why)
        await self._superseded()

    async def _tell_rest(
        self, record: SubscriptionStore, reporter: Reporter, why: "_NotServableError"
    ) -> None:
        record.status.mark_inactive(why.condition)
        if why.reason is Reason.SUSPENDED:  # what is not looked at on purpose is no cause for an alert
            self.dependencies.metrics.forget(self.key)
        await reporter.set_condition(
            why.condition, why.reason, str(why), ok=why.condition is ConditionType.STALLED
        )
        await record.write_status()

    async def _superseded(self) -> None:
        await self.spec_changed.wait()
        raise SpecChangedError

    async def _serve(self, spec: Spec, address: str, record: SubscriptionStore, reporter: Reporter) -> None:
        dependencies = self.dependencies
        credentials = credentials_source(dependencies.cluster, self.key.namespace, spec)
        triggers = TriggerQueue(float(spec.debounce_seconds))
        async with dependencies.open_infisical(address, spec, credentials) as infisical:
            snapshot_reader = SnapshotReader(
                spec=spec, address=address, infisical=infisical, extra=reporter.extra
            )
            selectors = selectors_of(spec)
            sync_coordinator = self._freshener(spec, infisical, reporter, triggers)
            reconciler = Reconciler(
                spec=spec,
                asked=self.user_requests,
                sync_coordinator=sync_coordinator,
                selectors=selectors,
                snapshot_reader=snapshot_reader,
                cluster=dependencies.cluster,
                record=record,
                reporter=reporter,
                reconcile_reporter=ReconcileReporter(
                    record=record, reporter=reporter, metrics=dependencies.metrics, clock=dependencies.clock
                ),
                clock=dependencies.clock,
                scheduler=dependencies.scheduler,
            )
            restart_controller = self._restart_controller(spec, record, reporter, sync_coordinator)
            listener = StreamController(
                infisical=infisical,
                selectors=selectors,
                triggers=triggers,
                reporter=reporter,
                metrics=dependencies.metrics,
                clock=dependencies.clock,
                limiter=dependencies.reconnect_limiters.for_address(address),
                scheduler=dependencies.scheduler,
            )
            interval = float(spec.resync_interval_seconds)
            passing = ReconcileLoop(
                reconciler, restart_controller, triggers, interval, sync_coordinator.writer
            )
            await race(
                self._superseded(),
                listener.run(),
                passing.run(),
                keep_written(record, triggers),
                self.user_requests.wake(triggers),
            )

    def _freshener(
        self, spec: Spec, infisical: Infisical, reporter: Reporter, triggers: TriggerQueue
    ) -> SyncCoordinator:
        dependencies, secret_writer = self.dependencies, None
        if spec.resync.secrets and spec.mode is Mode.ENFORCE:
            secret_writer = ManagedSecretWriter(
                secrets=spec.resync.secrets,
                infisical=infisical,
                cluster=dependencies.cluster,
                reporter=reporter,
                triggers=triggers,
                clock=dependencies.clock,
            )
        return SyncCoordinator(
            cluster=dependencies.cluster,
            key=self.key,
            timeout=timedelta(seconds=spec.resync.timeout_seconds),
            clock=dependencies.clock,
            digest_key=dependencies.digest_key,
            writer=secret_writer,
        )

    def _restart_controller(
        self, spec: Spec, record: SubscriptionStore, reporter: Reporter, sync_coordinator: SyncCoordinator
    ) -> RestartController:
        dependencies = self.dependencies
        cluster, clock, budget = dependencies.cluster, dependencies.clock, dependencies.budget
        cooldown = timedelta(seconds=spec.cooldown_seconds)
        return RestartController(
            store=record,
            gatherer=Gatherer(cluster=cluster, key=self.key, sync_coordinator=sync_coordinator, clock=clock),
            patcher=WorkloadPatcher(cluster=cluster, key=self.key, budget=budget, clock=clock),
            tracker=RolloutTracker(
                cluster=cluster, key=self.key, on_failure=spec.rollout.on_failure, clock=clock
            ),
            reporter=RestartReporter(reporter=reporter, metrics=dependencies.metrics),
            budget=budget,
            clock=clock,
            policy=RestartPolicy(spec.action, cooldown, spec.resync.on_timeout),
            rollout=spec.rollout,
            mode=spec.mode,
        )


def _objection(egress: EgressPolicy, origin: str) -> str:
    """Why nothing may be sent there, as far as the origin itself tells; empty if it may."""
    if not egress.admits(origin):
        return f"{origin} is not among the operator's allowed addresses (--allowed-address)."
    address = ip_of(origin)
    denial_reason = egress.denial_reason(origin, address) if address else ""
    return f"{origin} names {denial_reason}." if denial_reason else ""


def _too_many(most: int) -> "_NotServableError":
    sentence = (
        f"The operator serves {most} subscriptions of a namespace (--max-subscriptions-per-namespace): join "
        "several into one; this one is served as soon as another is deleted."
    )
    return _NotServableError(ConditionType.READY, Reason.TOO_MANY_SUBSCRIPTIONS, sentence)


class _NotServableError(Exception):
    """Nothing can or shall be done for this spec; `condition` is where that is said."""

    def __init__(self, condition: ConditionType, reason: Reason, sentence: str) -> None:
        super().__init__(sentence)
        self.condition = condition
        self.reason = reason
