"""The composition root: builds every part once, ties them together and runs them."""

import asyncio
import logging
import signal
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

import kopf

from infisical_events.api.resources import FIELD_MANAGER
from infisical_events.api.specs import Spec
from infisical_events.infisical.attempts import Attempts
from infisical_events.infisical.logins import CredentialsSource
from infisical_events.infisical.sessions import Session, Shared
from infisical_events.kube.connections import opened_kube
from infisical_events.kube.errors import KubernetesError, NotFoundError
from infisical_events.kube.keeping import KeySecret
from infisical_events.runtime.budgets import Budget
from infisical_events.runtime.clocks import utc_now
from infisical_events.runtime.clusters import KubeCluster
from infisical_events.runtime.following import World
from infisical_events.runtime.handlers import WATCH_ERRORS, kopf_settings, quiet_kopf, registry_for
from infisical_events.runtime.keys import DigestKeys
from infisical_events.runtime.metrics import Metrics
from infisical_events.runtime.ports import Cluster, Infisical, InfisicalOpener
from infisical_events.runtime.racing import race
from infisical_events.runtime.serving import http_server
from infisical_events.runtime.settings import Settings
from infisical_events.runtime.supervising import Supervisor
from infisical_events.runtime.trimming import trim_forever, trimmer

_CRD_PAUSE = 5.0
"""Seconds between looks for the custom resource while it cannot be listed."""
_LONGEST_QUOTE = 500
"""Characters of the API server's own sentence that are repeated."""

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
        BindError: the HTTP address cannot be had.
    """
    metrics, flags = Metrics(), _Flags()
    quiet_kopf()
    _stop_by_signals(flags.stop)
    async with (
        http_server(*settings.http_endpoint, metrics, flags.ready.is_set, lambda: not flags.gone.is_set()),
        opened_kube(settings.access, FIELD_MANAGER) as kube,
    ):
        cluster = KubeCluster(kube, utc_now)
        keys = DigestKeys(KeySecret(kube, *settings.digest_key_secret).read_or_make)
        world = World(
            cluster=cluster,
            open_infisical=infisical_opener(keys),
            digest_key=keys.current,
            budget=Budget(
                per_minute=settings.max_restarts_per_minute,
                most_rolling=settings.max_concurrent_rollouts,
            ),
            clock=utc_now,
            metrics=metrics,
            default_address=settings.default_address,
            allowed_addresses=settings.allowed_addresses,
        )
        supervisor = Supervisor(world, settings.namespaces)
        await race(
            _stopped(flags.stop), _serve(settings, cluster, supervisor, flags), trim_forever(trimmer())
        )
    log.info("stopped")


def infisical_opener(keys: DigestKeys) -> InfisicalOpener:
    """Opens sessions over the real client, timed by the real clock."""
    shared = Shared(Attempts(), keys.current)

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
            allowed = ", ".join(settings.allowed_addresses)
            log.info("serving subscriptions of %s; addresses allowed: %s", where, allowed)
            if not await _is_cut_off(_watch(settings, supervisor, flags.ready)):
                return  # kopf was told to stop: it takes the signals while it runs
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


async def _watch(settings: Settings, supervisor: Supervisor, ready: asyncio.Event) -> None:
    try:
        await race(
            supervisor.sweep_forever(),
            kopf.operator(
                registry=registry_for(supervisor, settings.access),
                settings=kopf_settings(),
                clusterwide=not settings.namespaces,
                namespaces=settings.namespaces,
                ready_flag=ready,
            ),
        )
    finally:
        await supervisor.close()


async def _wait_for_resource(cluster: Cluster, namespaces: tuple[str, ...]) -> None:
    """An unknown resource leaves kopf idle in silence: say what is missing instead."""
    while True:
        try:
            await cluster.list_uids(namespaces)
        except NotFoundError:
            log.warning("the cluster does not know InfisicalEventSubscription yet: apply the CRD (crds/)")
        except KubernetesError as error:
            log.warning("subscriptions cannot be listed: %s", error)
        else:
            return
        await asyncio.sleep(_CRD_PAUSE)
