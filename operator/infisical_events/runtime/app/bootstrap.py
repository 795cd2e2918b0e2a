"""The composition root: builds every part once, ties them together and runs them."""

import asyncio
import logging
import secrets
import signal
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

import kopf

from infisical_events.api.resources import FIELD_MANAGER
from infisical_events.api.specs import Spec
from infisical_events.core.credentials import CredentialsSource
from infisical_events.core.egress.address_allowlist import EgressPolicy
from infisical_events.core.sharding.election import Elector, LeaseNames, LeaseTiming, Replica
from infisical_events.infisical.login_guard import LoginGuard
from infisical_events.infisical.session import Session, SessionDependencies
from infisical_events.kube.api_client import KubeApi
from infisical_events.kube.digest_key_secret import DigestKeySecret
from infisical_events.kube.kubeconfig import open_kube_api
from infisical_events.kube.kubernetes_errors import KubernetesError, NotFoundError
from infisical_events.kube.lease_client import LeaseClient
from infisical_events.runtime.app.digest_keys import DigestKeys
from infisical_events.runtime.app.event_loop_watchdog import Heartbeat, watched
from infisical_events.runtime.app.http_server import Health, http_server
from infisical_events.runtime.app.kopf_adapter import WATCH_ERRORS, kopf_settings, quiet_kopf, registry_for
from infisical_events.runtime.app.kube_cluster import KubeCluster
from infisical_events.runtime.app.memory_trim import trim_forever, trimmer
from infisical_events.runtime.app.settings import Settings
from infisical_events.runtime.clock import utc_now
from infisical_events.runtime.limits.namespace_slots import NamespaceSlots
from infisical_events.runtime.limits.restart_budget import RestartBudget
from infisical_events.runtime.metrics import Metrics
from infisical_events.runtime.ports import Cluster, Infisical, InfisicalOpener
from infisical_events.runtime.sharding.lease_manager import LeaseManager
from infisical_events.runtime.sharding.supervisor import Supervisor
from infisical_events.runtime.subscription.dependencies import Dependencies
from infisical_events.runtime.tasks import race

_CRD_PAUSE = 5.0
"""Seconds between looks for the custom resource while it cannot be listed."""
_LONGEST_QUOTE = 500
"""Characters of the API server's own sentence that are repeated."""
_IDENTITY: Any = "infisical-events"
"""Who kopf would be among its peers, of which there are none: left to itself it asks for the user's name,
and the user of a pod has none, so that the operator would end before it begins."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Flags:
    """What the parts tell each other about the life of the whole."""

    ready: asyncio.Event = field(default_factory=asyncio.Event)
    """The watch has begun."""
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    """Somebody wants the operator to end."""
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Nobody watches any more, nor ever will: a process that goes on without is to be killed."""


async def run(settings: Settings) -> None:
    """Run the operator until SIGTERM or SIGINT.

    Raises:
        KubernetesError: there is no cluster to talk to.
        WatchBehindError: the watch tells nothing any more.
        BindError: the HTTP address cannot be had.
    """
    metrics, flags = Metrics(), _Flags()
    quiet_kopf()
    _stop_by_signals(flags.stop)
    timing = LeaseTiming(settings.lease_duration)
    async with (
        open_kube_api(settings.access, FIELD_MANAGER) as kube,
        # Of its own: a renewal must not queue behind the requests of hundreds of subscriptions.
        open_kube_api(settings.access, FIELD_MANAGER, timing.answer) as kube_of_leases,
    ):
        dependencies = _dependencies(settings, kube, metrics)
        supervisor = Supervisor(dependencies, settings.namespaces, settings.shards, held=())
        holder = _holder(settings, timing, kube_of_leases, supervisor, metrics)
        dependencies.budget.share = lambda: holder.share
        health = Health(
            is_alive=lambda: not flags.gone.is_set(),
            is_ready=lambda: flags.ready.is_set() and holder.has_looked,
            summary=lambda: holder.summary,
        )
        pulse = Heartbeat(metrics)
        async with http_server(*settings.http_endpoint, metrics, health):
            with watched(pulse):
                await race(
                    _stopped(flags.stop),
                    pulse.beat_forever(),
                    holder.run(),
                    trim_forever(trimmer()),
                    # The last one: kopf ends all tasks that were begun after it.
                    _serve(settings, dependencies.cluster, supervisor, flags),
                )
    log.info("stopped")


def _dependencies(settings: Settings, kube: KubeApi, metrics: Metrics) -> Dependencies:
    keys = DigestKeys(DigestKeySecret(kube, *settings.digest_key_secret).read_or_make)
    return Dependencies(
        cluster=KubeCluster(kube, utc_now, settings.digest_key_secret),
        open_infisical=infisical_opener(keys, settings.egress),
        digest_key=keys.current,
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


def _holder(
    settings: Settings, timing: LeaseTiming, kube: KubeApi, supervisor: Supervisor, metrics: Metrics
) -> LeaseManager:
    replica = Replica(settings.identity, secrets.token_hex(4))
    candidacy = Elector(replica, LeaseNames(settings.lease_name, settings.shards), timing)
    leases = LeaseClient(kube, settings.lease_namespace, settings.lease_name)
    return LeaseManager(candidacy, leases, supervisor, utc_now, metrics)


def infisical_opener(keys: DigestKeys, egress: EgressPolicy) -> InfisicalOpener:
    """Opens sessions over the real client, timed by the real clock."""
    shared = SessionDependencies(LoginGuard(), keys.current, egress)

    def open_infisical(
        address: str, spec: Spec, credentials: CredentialsSource
    ) -> AbstractAsyncContextManager[Infisical]:
        return Session.opened(address, spec, credentials, utc_now, shared)

    return open_infisical


async def _stopped(stop: asyncio.Event) -> None:
    await stop.wait()


def _stop_by_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


async def _serve(settings: Settings, cluster: Cluster, supervisor: Supervisor, flags: _Flags) -> None:
    """Watch until told to stop; begin again when the cluster has ended it, as by deleting the CRD."""
    try:
        while not flags.stop.is_set():
            await _wait_for_resource(cluster, settings.namespaces)
            where = ", ".join(settings.namespaces) or "all namespaces"
            allowed = ", ".join(map(str, (*settings.allowed_addresses, *settings.allowed_networks)))
            log.info("serving subscriptions of %s; addresses allowed: %s", where, allowed)
            if not await _is_cut_off(_watch(settings, supervisor, flags)):
                return  # kopf was told to stop: it takes the signals while it begins
            flags.ready.clear()
            _stop_by_signals(flags.stop)
            await asyncio.sleep(_CRD_PAUSE)
    finally:
        flags.gone.set()


async def _is_cut_off(watch: Coroutine[Any, Any, None]) -> bool:
    """Whether the cluster has ended the watch, and not who runs the operator; raises what is a defect."""
    try:
        await watch
    except WATCH_ERRORS as error:
        told = str(error.args[0] if error.args else type(error).__name__)
        log.warning("the watch of subscriptions has ended and begins again: %s", told[:_LONGEST_QUOTE])
        return True
    return False


async def _watch(settings: Settings, supervisor: Supervisor, flags: _Flags) -> None:
    try:
        await race(
            supervisor.sweep_forever(),
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
    """Take the signals back from kopf: told to stop by one, it waits seconds for connections to /metrics."""
    await flags.ready.wait()
    _stop_by_signals(flags.stop)
    await asyncio.Event().wait()


async def _wait_for_resource(cluster: Cluster, namespaces: tuple[str, ...]) -> None:
    """An unknown resource leaves kopf idle in silence: say what is missing instead."""
    while True:
        try:
            await cluster.list_subscriptions(namespaces)
        except NotFoundError:
            log.warning("the cluster does not know InfisicalEventSubscription yet: apply the CRD (crds/)")
        except KubernetesError as error:
            log.warning("subscriptions cannot be listed: %s", error)
        else:
            return
        await asyncio.sleep(_CRD_PAUSE)
