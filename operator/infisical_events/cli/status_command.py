"""`infisical-events status`: subscriptions as they are, and what is done with their workloads."""

from collections.abc import Sequence
from contextlib import aclosing

import click

from infisical_events.api.resources import GROUP, PLURAL, VERSION
from infisical_events.api.statuses import ConditionStatus, ConditionType
from infisical_events.cli.cluster_access import ClusterOptions, cluster_options, run_async
from infisical_events.cli.exit_codes import ExitCode
from infisical_events.cli.help_texts import examples
from infisical_events.cli.namespace_reader import NamespaceReader
from infisical_events.cli.output import (
    OutputFormat,
    age,
    aligned,
    output_option,
    plain,
    print_data,
    print_facts,
    print_table,
)
from infisical_events.core.explanations.problems import subscription_problem
from infisical_events.core.explanations.subscription_view import SubscriptionView, subscription_view_of
from infisical_events.core.status.text import escaped, object_name
from infisical_events.kube.http.api_client import KubeApi
from infisical_events.kube.http.api_requests import path_of
from infisical_events.kube.subscription_client import keyed
from infisical_events.runtime.clock import utc_now

_HEADER = (
    *("NAMESPACE", "NAME", "READY", "REASON", "STREAMING", "KEYS", "WORKLOADS", "PENDING"),
    *("LAST EVENT", "LAST RESTART"),
)


@click.command(epilog=examples("status -A", "status payments -n shop --watch"))
@click.argument("subscription", default="")
@click.option("-A", "--all-namespaces", is_flag=True, help="All namespaces.")
@click.option("-w", "--watch", "is_watching", is_flag=True, help="Print each change until Ctrl-C.")
@cluster_options
@output_option
@run_async
async def status(
    *,
    subscription: str,
    all_namespaces: bool,
    is_watching: bool,
    cluster: ClusterOptions,
    output: OutputFormat,
) -> ExitCode:
    """Show subscriptions, or one with its conditions and workloads.

    Exit code 1: a subscription restarts nothing, or something of it failed.
    """
    namespace = "" if all_namespaces else cluster.namespace()
    async with cluster.open() as kube:
        views = await NamespaceReader(kube, namespace).subscriptions()
        chosen = [view for view in views if subscription in {"", view.name}]
        if subscription and not chosen:
            click.echo(f"Error: there is no subscription {subscription} in namespace {namespace}", err=True)
            return ExitCode.FOUND
        _print(chosen, output, is_single=bool(subscription))
        if is_watching:
            await _watch(kube, namespace, subscription, chosen)
    return ExitCode.FOUND if any(not _is_well(view) for view in chosen) else ExitCode.OK


def _is_well(view: SubscriptionView) -> bool:
    return subscription_problem(view, utc_now()) is None


def _print(views: Sequence[SubscriptionView], output: OutputFormat, *, is_single: bool) -> None:
    if output is not OutputFormat.TABLE:
        print_data([_data(view) for view in views], output)
    elif not views:
        click.echo("No InfisicalEventSubscription found.")
    elif is_single:
        _print_details(views[0])
    else:
        print_table(_HEADER, [_row(view) for view in views])


def _data(view: SubscriptionView) -> dict[str, object]:
    found = subscription_problem(view, utc_now())
    return {
        "namespace": view.key.namespace,
        "name": view.name,
        "problem": plain(found),
        "status": plain(view.status),
    }


def _row(view: SubscriptionView) -> tuple[str, ...]:
    now, found = utc_now(), view.status
    ready, streaming = view.condition(ConditionType.READY), view.condition(ConditionType.STREAMING)
    return (
        view.key.namespace,
        view.name,
        ready.status if ready else ConditionStatus.UNKNOWN,
        ready.reason if ready else "-",
        streaming.status if streaming else "-",
        str(found.observation.keys),
        str(found.workload_count),
        str(found.pending_restarts),
        age(found.stream.last_event_time, now),
        age(found.last_restart_time, now),
    )


def _print_details(view: SubscriptionView) -> None:
    now, found = utc_now(), subscription_problem(view, utc_now())
    facts = [("Subscription", f"{view.name} in namespace {view.key.namespace}")]
    facts += [
        (
            each.type.value,
            f"{each.status} {each.reason} ({age(each.last_transition_time, now)}): {each.message}",
        )
        for each in view.status.conditions
    ]
    if found is not None:
        facts += [("Problem", f"{found.reason}: {found.message}")]
        facts += [("Remedy", found.remedy)] if found.remedy else []
    print_facts(facts)
    rows = [
        (
            object_name(each.kind, each.name),
            each.state,
            each.reason,
            age(each.since, now),
            age(each.last_restart.time if each.last_restart else None, now),
            each.message or "",
        )
        for each in view.status.workloads
    ]
    if rows:
        click.echo()
        print_table(("WORKLOAD", "STATE", "REASON", "SINCE", "RESTARTED", "MESSAGE"), rows)
    hidden = view.status.workload_count - len(rows)
    if hidden > 0:
        click.echo(f"and {hidden} more")


async def _watch(kube: KubeApi, namespace: str, subscription: str, shown: Sequence[SubscriptionView]) -> None:
    """Print a line for each subscription whose row changes."""
    place = ("namespaces", namespace) if namespace else ()
    path = path_of("apis", GROUP, VERSION, *place, PLURAL)
    rows = {view.key.uid: _stable(_row(view)) for view in shown}
    while True:
        async with aclosing(kube.watch(path, "", b"")) as events:
            async for event in events:
                if event["type"] not in {"ADDED", "MODIFIED"}:
                    continue
                view = subscription_view_of(*keyed(event["object"]))
                row = _row(view)
                if subscription in {"", view.name} and rows.get(view.key.uid) != _stable(row):
                    rows[view.key.uid] = _stable(row)
                    click.echo(aligned([_HEADER, tuple(escaped(cell) for cell in row)])[1])


def _stable(row: tuple[str, ...]) -> tuple[str, ...]:
    """Without the ages, which change by themselves."""
    return row[:-2]
