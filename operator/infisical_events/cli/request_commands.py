"""`infisical-events reconcile | restart | suspend | resume`: what users request of a subscription.

Requests are annotations with a new value, which the operator acknowledges in the status.
"""

import asyncio
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import click

from infisical_events.api import annotations
from infisical_events.api.statuses import ConditionStatus, ConditionType, Status
from infisical_events.cli.cluster_access import ClusterOptions, cluster_options, run_async
from infisical_events.cli.exit_codes import ExitCode
from infisical_events.cli.help_texts import examples
from infisical_events.core.explanations.problems import subscription_problem
from infisical_events.core.explanations.subscription_view import SubscriptionView, subscription_view_of
from infisical_events.core.subscriptions import StoredSubscription, SubscriptionKey
from infisical_events.kube.kubernetes_errors import KubernetesError
from infisical_events.kube.subscription_client import SubscriptionClient
from infisical_events.runtime.clock import utc_now

_PAUSE = 0.5
"""Seconds between two reads while an acknowledgement is waited for."""

_IsDone = Callable[[SubscriptionView], bool]


def _request_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The arguments of all requests."""
    for option in (
        click.option(
            "--timeout",
            "seconds",
            type=click.IntRange(1),
            default=60,
            show_default=True,
            help="Seconds to wait.",
        ),
        click.option(
            "--wait", "is_waiting", is_flag=True, help="Wait until the operator has acknowledged it."
        ),
        click.argument("subscription"),
    ):
        command = option(command)
    return cluster_options(command)


@click.command(epilog=examples("reconcile payments -n shop --wait"))
@_request_options
@run_async
async def reconcile(
    *, subscription: str, is_waiting: bool, seconds: int, cluster: ClusterOptions
) -> ExitCode:
    """Request a full read of Infisical now: it finds what was missed, whatever events came."""
    request = _Request(cluster, subscription, is_waiting, seconds)
    return await request.annotate(
        annotations.RECONCILE_AT, attrgetter("last_handled_reconcile_at"), "full read requested"
    )


@click.command(epilog=examples("restart payments -n shop --wait"))
@_request_options
@run_async
async def restart(*, subscription: str, is_waiting: bool, seconds: int, cluster: ClusterOptions) -> ExitCode:
    """Request one restart of all workloads of a subscription, whatever has changed."""
    request = _Request(cluster, subscription, is_waiting, seconds)
    return await request.annotate(
        annotations.RESTART_AT, attrgetter("last_handled_restart_at"), "restart of all workloads requested"
    )


@click.command()
@_request_options
@run_async
async def suspend(*, subscription: str, is_waiting: bool, seconds: int, cluster: ClusterOptions) -> ExitCode:
    """Suspend a subscription: no stream, no restarts. Changes made in the meantime count after `resume`."""

    async def request(client: SubscriptionClient, key: SubscriptionKey) -> str:
        await client.set_suspend(key, is_suspended=True)
        return "suspended"

    return await _Request(cluster, subscription, is_waiting, seconds).make(request, _is_suspended)


@click.command()
@_request_options
@run_async
async def resume(*, subscription: str, is_waiting: bool, seconds: int, cluster: ClusterOptions) -> ExitCode:
    """Resume a suspended subscription, or end the halt after a failed rollout."""
    value = _new_value()

    async def request(client: SubscriptionClient, key: SubscriptionKey) -> str:
        stored = await client.get(key)
        if stored.spec.get("suspend"):
            await client.set_suspend(key, is_suspended=False)
            return "resumed"
        await client.annotate(key, {annotations.RESUME_AT: value})
        return "end of a halt requested"

    def is_done(view: SubscriptionView) -> bool:
        is_resumed = view.status.last_handled_resume_at == value
        return is_resumed or (_is_current(view) and not _is_suspended(view))

    return await _Request(cluster, subscription, is_waiting, seconds).make(request, is_done)


class _Request:
    """One request about one subscription."""

    def __init__(self, cluster: ClusterOptions, subscription: str, is_waiting: bool, timeout: int) -> None:  # noqa: FBT001 - as the options
        self._cluster = cluster
        self._subscription = subscription
        self._timeout = timeout if is_waiting else 0

    async def annotate(self, annotation: str, handled: Callable[[Status], str | None], done: str) -> ExitCode:
        """Write a new value of an annotation, which `handled` finds in the status when it is acknowledged."""
        value = _new_value()

        async def request(client: SubscriptionClient, key: SubscriptionKey) -> str:
            await client.annotate(key, {annotation: value})
            return done

        return await self.make(request, lambda view: handled(view.status) == value)

    async def make(self, request: Callable[..., Any], is_done: _IsDone) -> ExitCode:
        """Send the request, and wait for the acknowledgement if that is asked for."""
        async with self._cluster.open() as kube:
            client, namespace = SubscriptionClient(kube), self._cluster.namespace()
            found = await client.get(SubscriptionKey(namespace, self._subscription, ""))
            key = SubscriptionKey(namespace, self._subscription, found.uid)
            click.echo(f"{self._subscription}: {await request(client, key)}")
            if not self._timeout:
                return ExitCode.OK
            return await self._acknowledged(client, key, is_done)

    async def _acknowledged(
        self, client: SubscriptionClient, key: SubscriptionKey, is_done: _IsDone
    ) -> ExitCode:
        view: SubscriptionView | None = None
        try:
            async with asyncio.timeout(self._timeout):
                while view is None or not is_done(view):
                    if view is not None:
                        await asyncio.sleep(_PAUSE)
                    view = _view(key, await client.get(key))
        except TimeoutError:
            found = subscription_problem(view, utc_now()) if view else None
            hint = f" {found.reason}: {found.message}" if found else " Check that the operator runs."
            click.echo(f"Error: not acknowledged within {self._timeout}s.{hint}", err=True)
            return ExitCode.FOUND
        click.echo(f"{self._subscription}: acknowledged")
        return ExitCode.OK


def _view(key: SubscriptionKey, stored: StoredSubscription) -> SubscriptionView:
    if stored.uid != key.uid:
        raise KubernetesError(f"subscription {key.name} was deleted and created again")
    return subscription_view_of(key, stored)


def _is_current(view: SubscriptionView) -> bool:
    return view.status.observed_generation == view.generation


def _is_suspended(view: SubscriptionView) -> bool:
    suspended = view.condition(ConditionType.SUSPENDED)
    is_true = suspended is not None and suspended.status is ConditionStatus.TRUE
    return is_true and _is_current(view)


def _new_value() -> str:
    return utc_now().isoformat(timespec="milliseconds")
