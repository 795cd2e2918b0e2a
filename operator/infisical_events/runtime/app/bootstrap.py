"""The composition root: builds every part once, connects the parts and runs them."""

import asyncio
import logging
import secrets
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import kopf

from infisical_events.api.resources import FIELD_MANAGER, WORKLOAD_KINDS
from infisical_events.api.specs import Spec
from infisical_events.core.credentials import CredentialsSource
from infisical_events.core.egress.address_allowlist import EgressPolicy
from infisical_events.core.request_metrics import RequestMetrics
from infisical_events.core.sharding.election import Elector, LeaseNames, LeaseTiming, Replica
from infisical_events.core.sync.value_digests import DigestPurpose, derived_source
from infisical_events.infisical.http_client import NamespaceSharing, Permit
from infisical_events.infisical.session import Session, SessionDependencies
from infisical_events.infisical.shared_clients import SharedClients
from infisical_events.infisical.shared_logins import SharedLogins
from infisical_events.infisical.transport.address_backoff import AddressBackoffs
from infisical_events.infisical.transport.fair_reads import ReadPace
from infisical_events.infisical.transport.name_resolver import NameResolver
from infisical_events.kube.digest_key_secret import DigestKeySecret
from infisical_events.kube.discovery import Discovery
from infisical_events.kube.http.api_client import KubeApi
from infisical_events.kube.kubeconfig import open_kube_api
from infisical_events.kube.kubernetes_errors import KubernetesError, NotFoundError
from infisical_events.kube.lease_client import LeaseClient
from infisical_events.kube.workload_client import WorkloadClient
from infisical_events.runtime.app.digest_keys import DigestKeys
from infisical_events.runtime.app.event_loop_watchdog import Heartbeat, abort, watchdog
from infisical_events.runtime.app.http_server import Health, http_server
from infisical_events.runtime.app.kopf_adapter import WATCH_ERRORS, kopf_settings, quiet_kopf, registry_for
from infisical_events.runtime.app.kube_cluster import KubeCluster
from infisical_events.runtime.app.memory_trim import (
    resident_bytes,
    trim_forever,
    trimmer,
    tune_garbage_collector,
)
from infisical_events.runtime.app.settings import Settings
from infisical_events.runtime.clock import utc_now
from infisical_events.runtime.inspection.annotation_inspector import AnnotationInspector
from infisical_events.runtime.limits.fair_scheduling import CooperativeScheduler, FairQueue, MemoryPermits
from infisical_events.runtime.limits.namespace_slots import NamespaceSlots
from infisical_events.runtime.limits.quarantine import Quarantine, subscription_of
from infisical_events.runtime.limits.restart_budget import RestartBudget
from infisical_events.runtime.limits.secret_quota import SecretQuota
from infisical_events.runtime.metrics import Metrics
from infisical_events.runtime.ports import Cluster, Infisical, InfisicalOpener
from infisical_events.runtime.sharding.lease_manager import LeaseManager
from infisical_events.runtime.sharding.supervisor import Supervisor
from infisical_events.runtime.subscription.dependencies import Dependencies
from infisical_events.runtime.tasks import race

_CRD_PAUSE = 5.0
"""Seconds between two attempts to list the custom resource."""
_MAX_ERROR_LENGTH = 500
"""Characters of the API server's own message that are logged."""
_IDENTITY: Any = "infisical-events"
"""The identity of kopf among its peers, of which there are none. Without one kopf asks for the name of the
user; the user of a pod has none, and the operator would fail to start."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Flags:
    """The life cycle of the process, shared by its parts."""

    ready: asyncio.Event = field(default_factory=asyncio.Event)
    """The watch has started."""
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    """A signal has asked the operator to stop."""
    unwatched: asyncio.Event = field(default_factory=asyncio.Event)
    """The watch has ended and does not start again: the liveness probe must end such a process."""


async def run(settings: Settings) -> None:
    """Run the operator until SIGTERM or SIGINT.

    Raises:
        KubernetesError: no cluster can be reached.
        WatchBehindError: the watch delivers nothing any more.
        BindError: the HTTP address cannot be bound.
    """
    metrics, flags = Metrics(), _Flags()
    metrics.add_process_collectors()
    requests = metrics.kubernetes_requests
    tune_garbage_collector()
    quiet_kopf()
    _stop_by_signals(flags.stop)
    timing = LeaseTiming(settings.lease_duration)
    async with (
        open_kube_api(settings.access, FIELD_MANAGER, metrics=requests) as kube,
        # A separate client: a renewal must not queue behind the requests of hundreds of subscriptions.
        open_kube_api(settings.access, FIELD_MANAGER, timing.answer, metrics=requests) as lease_api,
        # And another one, whose connections are all in use for as long as the watches are open.
        open_kube_api(
            settings.access, FIELD_MANAGER, connections=_watches(settings), metrics=requests
        ) as watch_api,
    ):
        dependencies = _dependencies(settings, kube, metrics)
        supervisor = Supervisor(dependencies, settings.namespaces, settings.shards, held=())
        inspector = AnnotationInspector(
            cluster=dependencies.cluster,
            watch=WorkloadClient(watch_api, Discovery(watch_api)).watch,
            namespaces=settings.namespaces,
            is_active=lambda: supervisor.holds(0),
            scheduler=dependencies.scheduler,
        )
        lease_manager = _lease_manager(settings, timing, lease_api, supervisor, metrics)
        dependencies.budget.share = lambda: lease_manager.share
        metrics.add_sampler(partial(_sample_budget, metrics, dependencies.budget))
        health = Health(
            is_alive=lambda: not flags.unwatched.is_set(),
            is_ready=lambda: flags.ready.is_set() and lease_manager.has_read_leases,
            summary=lambda: lease_manager.summary,
        )
        heartbeat, loop = Heartbeat(metrics), asyncio.get_running_loop()
        async with http_server(*settings.http_endpoint, metrics, health):
            with watchdog(heartbeat, partial(_accuse_and_abort, dependencies.quarantine, loop)):
                await race(
                    _wait_for(flags.stop),
                    heartbeat.run(),
                    lease_manager.run(),
                    inspector.run(),
                    trim_forever(trimmer()),
                    # The last one: kopf cancels all tasks that were started after it.
                    _watch_forever(settings, dependencies.cluster, supervisor, flags),
                )
    log.info("operator stopped")


def _sample_budget(metrics: Metrics, budget: RestartBudget) -> None:
    for name, usage in (("restarts", budget.restarts), ("rollouts", budget.rollouts)):
        metrics.set_budget(name, usage.used, usage.limit)


def _watches(settings: Settings) -> int:
    """How many watches of workloads are open at once."""
    return len(WORKLOAD_KINDS) * max(1, len(settings.namespaces))


def _dependencies(settings: Settings, kube: KubeApi, metrics: Metrics) -> Dependencies:
    keys = DigestKeys(DigestKeySecret(kube, *settings.digest_key_secret).read_or_make)
    scheduler, quarantine = CooperativeScheduler(), Quarantine(_quarantine_file(settings))
    return Dependencies(
        cluster=KubeCluster(kube, utc_now, settings.digest_key_secret),
        open_infisical=infisical_opener(
            keys, settings.egress, scheduler, quarantine, metrics.infisical_requests
        ),
        scheduler=scheduler,
        quarantine=quarantine,
        digest_key=keys.current,
        # Replicas of one installation share its Leases.
        installation=f"{settings.lease_namespace}/{settings.lease_name}",
        budget=RestartBudget(
            per_minute=settings.max_restarts_per_minute,
            most_rolling=settings.max_concurrent_rollouts,
            is_shared=len(settings.namespaces) != 1,
        ),
        namespace_slots=NamespaceSlots(settings.max_subscriptions_per_namespace),
        clock=utc_now,
        metrics=metrics,
        default_address=settings.default_address,
        egress=settings.egress,
    )


def _accuse_and_abort(quarantine: Quarantine, loop: asyncio.AbstractEventLoop) -> None:
    """End the process, whose event loop is blocked, and record whose task blocks it."""
    quarantine.accuse(subscription_of(asyncio.current_task(loop)))
    abort()


def _quarantine_file(settings: Settings) -> Path:
    """In a pod, a directory that outlives the container."""
    return Path(gettempdir()) / f"infisical-events-{settings.identity}.json"


def _lease_manager(
    settings: Settings, timing: LeaseTiming, kube: KubeApi, supervisor: Supervisor, metrics: Metrics
) -> LeaseManager:
    replica = Replica(settings.identity, secrets.token_hex(4))
    elector = Elector(replica, LeaseNames(settings.lease_name, settings.shards), timing)
    leases = LeaseClient(kube, settings.lease_namespace, settings.lease_name)
    return LeaseManager(elector, leases, supervisor, utc_now, metrics)


def infisical_opener(
    keys: DigestKeys,
    egress: EgressPolicy,
    scheduler: CooperativeScheduler,
    quarantine: Quarantine | None = None,
    metrics: RequestMetrics | None = None,
) -> InfisicalOpener:
    """A function that opens sessions with the real HTTP client and the real clock."""
    quarantine = quarantine or Quarantine()
    memory, quota, clients = MemoryPermits(resident_bytes), SecretQuota(), SharedClients()
    guard, backoffs, resolver, turns = SharedLogins(), AddressBackoffs(), NameResolver(), FairQueue(0, 0)
    paces: defaultdict[str, ReadPace] = defaultdict(ReadPace)

    def open_infisical(
        namespace: str, address: str, spec: Spec, credentials: CredentialsSource
    ) -> AbstractAsyncContextManager[Infisical]:
        sharing = NamespaceSharing(
            request_client=partial(clients.opened, namespace),
            resolve=resolver.for_namespace(namespace),
            take_turn=partial(turns.acquire, namespace),
            backoffs=backoffs,
            pace=paces[namespace],
            permit=partial(_recorded_permit, quarantine, partial(memory.body, namespace)),
            event_permit=partial(memory.event, namespace),
            run_large=partial(scheduler.run_large, namespace),
            keep=partial(quota.keep, namespace),
            metrics=metrics,
        )
        digest_key = derived_source(keys.current, namespace, DigestPurpose.LISTED_VALUE)
        shared = SessionDependencies(guard, digest_key, egress, sharing)
        return Session.opened(address, spec, credentials, utc_now, shared)

    return open_infisical


@asynccontextmanager
async def _recorded_permit(quarantine: Quarantine, permit: Permit, *, is_large: bool) -> AsyncIterator[None]:
    """Hold a permit; with that of a large body, be recorded as what may end the process."""
    async with permit(is_large=is_large):
        with quarantine.busy() if is_large else nullcontext():
            yield


async def _wait_for(event: asyncio.Event) -> None:
    await event.wait()


def _stop_by_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


async def _watch_forever(settings: Settings, cluster: Cluster, supervisor: Supervisor, flags: _Flags) -> None:
    """Watch until the operator is stopped; watch again when the cluster ends it, as by deleting the CRD."""
    try:
        while not flags.stop.is_set():
            await _wait_for_resource(cluster, settings.namespaces)
            log.info(
                "watching subscriptions",
                extra={
                    "namespaces": ", ".join(settings.namespaces) or "all",
                    "allowed_addresses": ", ".join(settings.allowed_addresses),
                    "allowed_networks": ", ".join(map(str, settings.allowed_networks)) or "public",
                },
            )
            if not await _is_cut_off(_watch(settings, supervisor, flags)):
                return  # kopf was stopped: it handles the signals while it starts
            flags.ready.clear()
            _stop_by_signals(flags.stop)
            await asyncio.sleep(_CRD_PAUSE)
    finally:
        flags.unwatched.set()


async def _is_cut_off(watch: Coroutine[Any, Any, None]) -> bool:
    """Whether the cluster ended the watch, and not a signal; a defect is raised."""
    try:
        await watch
    except WATCH_ERRORS as error:
        text = str(error.args[0] if error.args else type(error).__name__)
        log.warning("watch of subscriptions ended; restarting it", extra={"error": text[:_MAX_ERROR_LENGTH]})
        return True
    return False


async def _watch(settings: Settings, supervisor: Supervisor, flags: _Flags) -> None:
    try:
        await race(
            supervisor.relist_forever(),
            kopf.operator(
                registry=registry_for(supervisor, settings.access),
                settings=kopf_settings(),
                clusterwide=not settings.namespaces,
                namespaces=settings.namespaces,
                ready_flag=flags.ready,
                identity=_IDENTITY,
            ),
            _keep_signals(flags),
        )
    finally:
        await supervisor.close()


async def _keep_signals(flags: _Flags) -> None:
    """Take the signals back from kopf, which on a signal waits seconds for the connections to /metrics."""
    await flags.ready.wait()
    _stop_by_signals(flags.stop)
    await asyncio.Event().wait()


async def _wait_for_resource(cluster: Cluster, namespaces: tuple[str, ...]) -> None:
    """Wait until subscriptions can be listed, and log what is missing: kopf would wait without a message."""
    while True:
        try:
            await cluster.list_subscriptions(namespaces)
        except NotFoundError:
            log.warning("InfisicalEventSubscription CRD is not installed; apply it from crds/")
        except KubernetesError as error:
            log.warning("cannot list subscriptions", extra={"error": str(error)})
        else:
            return
        await asyncio.sleep(_CRD_PAUSE)
