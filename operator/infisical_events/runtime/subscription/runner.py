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
from infisical_events.core.egress.address_allowlist import Boundary, ip_of, origin_of
from infisical_events.core.restarts.planner import Rules
from infisical_events.core.restarts.user_requests import Requests
from infisical_events.core.snapshots.selectors import selectors_of
from infisical_events.core.status.reasons import Reason
from infisical_events.core.sync.managed_secret_content import check_secrets
from infisical_events.core.sync.value_digests import DigestKeySource
from infisical_events.kube.kubernetes_errors import KubernetesError
from infisical_events.kube.subscription_client import StoredSubscription, SubscriptionKey
from infisical_events.runtime.asking import Asked
from infisical_events.runtime.backoff import Backoff
from infisical_events.runtime.clock import Clock
from infisical_events.runtime.limits.cooperative_scheduler import Slices
from infisical_events.runtime.limits.namespace_slots import Seats
from infisical_events.runtime.limits.reconnect_limiter import Gates
from infisical_events.runtime.limits.restart_budget import Budget
from infisical_events.runtime.metrics import Metrics
from infisical_events.runtime.ports import Cluster, Infisical, InfisicalOpener
from infisical_events.runtime.reconcile.reconcile_loop import Passing
from infisical_events.runtime.reconcile.reconcile_report import Explainer
from infisical_events.runtime.reconcile.reconciler import Reconciler
from infisical_events.runtime.reconcile.snapshot_reader import Looker
from infisical_events.runtime.restarts.restart_controller import Settler
from infisical_events.runtime.restarts.restart_decider import Decider
from infisical_events.runtime.restarts.restart_report import Recounter
from infisical_events.runtime.restarts.rollout_tracker import Roller
from infisical_events.runtime.restarts.workload_patcher import Restarter
from infisical_events.runtime.status.reporter import Reporter
from infisical_events.runtime.status.status_builder import Board
from infisical_events.runtime.status.subscription_store import (
    GoneError,
    LedgerMovedError,
    Record,
    SupersededError,
    keep_written,
)
from infisical_events.runtime.stream.stream_controller import Listener
from infisical_events.runtime.subscription.login_credentials import credentials_source
from infisical_events.runtime.sync.managed_secret_writer import Keeper
from infisical_events.runtime.sync.sync_coordinator import Freshener
from infisical_events.runtime.tasks import race
from infisical_events.runtime.triggers import Wakes

_EDIT_PAUSE = 0.2
"""Seconds between two specs: edits in a loop must not become logins in a loop."""

_HEALTHY = 60.0
"""Seconds of serving after which earlier failures are forgotten."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """What every subscription is served with."""

    cluster: Cluster
    open_infisical: InfisicalOpener
    clock: Clock
    metrics: Metrics
    default_address: str
    boundary: Boundary
    digest_key: DigestKeySource
    budget: Budget = field(default_factory=Budget)
    gates: Gates = field(default_factory=Gates)
    seats: Seats = field(default_factory=Seats)
    slices: Slices = field(default_factory=Slices)


@dataclass(kw_only=True, slots=True)
class Follower:
    """The task of one subscription."""

    world: World
    key: SubscriptionKey
    respecced: asyncio.Event = field(default_factory=asyncio.Event)
    asked: Asked = field(default_factory=Asked)

    async def run(self) -> None:
        """Serve until the object is gone or the task is cancelled."""
        backoff = Backoff(first=1.0, longest=60.0)
        now = asyncio.get_running_loop().time
        begun, defect = now(), None
        while True:
            try:
                await (self._serve_stored() if defect is None else self._confess(defect))
            except GoneError:
                return
            except SupersededError:
                begun, defect = now(), None
                await asyncio.sleep(_EDIT_PAUSE)
                continue
            except (KubernetesError, LedgerMovedError) as error:
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
        self.respecced.clear()
        stored, record, reporter = await self._loaded()
        self.asked.put(Requests.of(stored.annotations))
        try:
            spec, address = self._understood(stored)
        except _NotServableError as error:
            await self._rest(record, reporter, error)
        else:
            await race(self._superseded(), self._seated(spec, address, record, reporter))

    async def _loaded(self) -> tuple[StoredSubscription, Record, Reporter]:
        stored = await self.world.cluster.get(self.key)
        if stored.uid != self.key.uid or stored.is_deleting:
            raise GoneError
        board = Board(stored.status, stored.generation, self.world.clock)
        record = Record(self.world.cluster, self.key, stored, board)
        return stored, record, Reporter(self.world.cluster, self.key, board)

    async def _confess(self, defect: Exception) -> None:
        """Tell what nobody foresaw where people and alerts look: its text is foreign, and for the log."""
        self.world.metrics.passed(self.key, Reason.INTERNAL_ERROR)
        _, record, reporter = await self._loaded()
        sentence = (
            f"The operator failed in a way that it does not know ({type(defect).__name__}) and tries again: "
            "its log has the details; please report them."
        )
        is_news = record.board.find(
            ConditionType.READY, ok=False, reason=Reason.INTERNAL_ERROR, message=sentence
        )
        await record.write_status()
        if is_news:
            await reporter.notify(Reason.INTERNAL_ERROR, sentence, is_warning=True)

    async def _seated(self, spec: Spec, address: str, record: Record, reporter: Reporter) -> None:
        """Serve as soon as the namespace has a seat; say so while it has none."""
        seats = self.world.seats.of(self.key.namespace)
        if seats.locked():
            await self._tell_rest(record, reporter, _too_many(self.world.seats.most))
        async with seats:
            record.board.proceed()
            try:
                await self._serve(spec, address, record, reporter)
            finally:  # what rolls out is followed by nobody until it is served again
                self.world.budget.rolls(str(self.key), frozenset())

    def _understood(self, stored: StoredSubscription) -> tuple[Spec, str]:
        """The parsed spec and the origin that its tokens may go to."""
        try:
            spec = parse_spec(stored.spec)
            selectors_of(spec)
            check_secrets(spec)
            origin = origin_of(spec.address or self.world.default_address)
        except ValueError as error:
            raise _NotServableError(ConditionType.STALLED, Reason.INVALID_SPEC, str(error)) from None
        if objection := _objection(self.world.boundary, origin):
            raise _NotServableError(ConditionType.STALLED, Reason.ADDRESS_NOT_ALLOWED, objection)
        if spec.suspend:
            sentence = "spec.suspend is true: nothing is observed and nothing restarted."
            raise _NotServableError(ConditionType.READY, Reason.SUSPENDED, sentence)
        return spec, origin

    async def _rest(self, record: Record, reporter: Reporter, why: "_NotServableError") -> None:
        """Say why nothing is done, and wait for another spec."""
        await self._tell_rest(record, reporter, why)
        await self._superseded()

    async def _tell_rest(self, record: Record, reporter: Reporter, why: "_NotServableError") -> None:
        record.board.rest(why.condition)
        if why.reason is Reason.SUSPENDED:  # what is not looked at on purpose is no cause for an alert
            self.world.metrics.forget(self.key)
        await reporter.find(why.condition, why.reason, str(why), ok=why.condition is ConditionType.STALLED)
        await record.write_status()

    async def _superseded(self) -> None:
        await self.respecced.wait()
        raise SupersededError

    async def _serve(self, spec: Spec, address: str, record: Record, reporter: Reporter) -> None:
        world = self.world
        credentials = credentials_source(world.cluster, self.key.namespace, spec)
        wakes = Wakes(float(spec.debounce_seconds))
        async with world.open_infisical(address, spec, credentials) as infisical:
            looker = Looker(spec=spec, address=address, infisical=infisical, extra=reporter.extra)
            selectors = selectors_of(spec)
            freshener = self._freshener(spec, infisical, reporter, wakes)
            reconciler = Reconciler(
                spec=spec,
                asked=self.asked,
                freshener=freshener,
                selectors=selectors,
                looker=looker,
                cluster=world.cluster,
                record=record,
                reporter=reporter,
                explainer=Explainer(
                    record=record, reporter=reporter, metrics=world.metrics, clock=world.clock
                ),
                clock=world.clock,
                slices=world.slices,
            )
            settler = self._settler(spec, record, reporter, freshener)
            listener = Listener(
                infisical=infisical,
                selectors=selectors,
                wakes=wakes,
                reporter=reporter,
                metrics=world.metrics,
                clock=world.clock,
                gate=world.gates.to(address),
                slices=world.slices,
            )
            interval = float(spec.resync_interval_seconds)
            passing = Passing(reconciler, settler, wakes, interval, freshener.keeper)
            await race(
                self._superseded(),
                listener.run(),
                passing.run(),
                keep_written(record, wakes),
                self.asked.wake(wakes),
            )

    def _freshener(self, spec: Spec, infisical: Infisical, reporter: Reporter, wakes: Wakes) -> Freshener:
        world, keeper = self.world, None
        if spec.resync.secrets and spec.mode is Mode.ENFORCE:
            keeper = Keeper(
                secrets=spec.resync.secrets,
                infisical=infisical,
                cluster=world.cluster,
                reporter=reporter,
                wakes=wakes,
                clock=world.clock,
            )
        return Freshener(
            cluster=world.cluster,
            key=self.key,
            timeout=timedelta(seconds=spec.resync.timeout_seconds),
            clock=world.clock,
            digest_key=world.digest_key,
            keeper=keeper,
        )

    def _settler(self, spec: Spec, record: Record, reporter: Reporter, freshener: Freshener) -> Settler:
        world = self.world
        decider = Decider(
            cluster=world.cluster,
            freshener=freshener,
            on_timeout=spec.resync.on_timeout,
            clock=world.clock,
        )
        roller = Roller(
            cluster=world.cluster, key=self.key, on_failure=spec.rollout.on_failure, clock=world.clock
        )
        return Settler(
            cluster=world.cluster,
            record=record,
            decider=decider,
            restarter=Restarter(cluster=world.cluster, key=self.key, budget=world.budget, clock=world.clock),
            roller=roller,
            recounter=Recounter(reporter=reporter, metrics=world.metrics),
            budget=world.budget,
            clock=world.clock,
            rules=Rules(spec.action, timedelta(seconds=spec.cooldown_seconds)),
            rollout=spec.rollout,
            mode=spec.mode,
        )


def _objection(boundary: Boundary, origin: str) -> str:
    """Why nothing may be sent there, as far as the origin itself tells; empty if it may."""
    if not boundary.admits(origin):
        return f"{origin} is not among the operator's allowed addresses (--allowed-address)."
    address = ip_of(origin)
    objection = boundary.objection(origin, address) if address else ""
    return f"{origin} names {objection}." if objection else ""


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
