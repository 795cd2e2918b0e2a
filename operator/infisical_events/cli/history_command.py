"""`infisical-events history`: the restarts that the status of the subscriptions remembers."""

import click

from infisical_events.api.statuses import Acted, WorkloadResult, rfc3339
from infisical_events.cli.cluster_access import ClusterOptions, cluster_options, run_async
from infisical_events.cli.exit_codes import ExitCode
from infisical_events.cli.help_texts import examples
from infisical_events.cli.namespace_reader import NamespaceReader, workload_kind_of
from infisical_events.cli.output import OutputFormat, output_option, plain, print_data, print_table
from infisical_events.core.explanations.subscription_view import SubscriptionView
from infisical_events.core.status.text import object_name, preview

_MAX_KEYS = 5


@click.command(
    epilog=examples("history -n shop", "history deployment/web -n shop", "history payments -n shop -o json")
)
@click.argument("target", metavar="[SUBSCRIPTION | KIND/NAME]", default="")
@cluster_options
@output_option
@run_async
async def history(*, target: str, cluster: ClusterOptions, output: OutputFormat) -> ExitCode:
    """Show the last actions of each subscription: what was restarted, why, and how it ended.

    The status of a subscription has its last ten actions; they outlive Events and restarts of the operator.
    """
    async with cluster.open() as kube:
        views = await NamespaceReader(kube, cluster.namespace()).subscriptions()
    found = sorted(
        ((action, view) for view in _chosen(views, target) for action in view.status.history),
        key=lambda entry: entry[0].time,
        reverse=True,
    )
    entries = [
        (action, view)
        for action, view in found
        if "/" not in target or any(_names(target, each) for each in action.workloads)
    ]
    if output is OutputFormat.TABLE:
        _print(entries, target)
    else:
        print_data([plain(action) | {"subscription": view.name} for action, view in entries], output)
    return ExitCode.OK


def _chosen(views: tuple[SubscriptionView, ...], target: str) -> tuple[SubscriptionView, ...]:
    if not target or "/" in target:
        return views
    chosen = tuple(view for view in views if view.name == target)
    if not chosen:
        names = preview([view.name for view in views], _MAX_KEYS) or "none"
        raise click.UsageError(f"there is no subscription {target!r} in the namespace; it has: {names}")
    return chosen


def _print(entries: list[tuple[Acted, SubscriptionView]], target: str) -> None:
    rows = [row for action, view in entries for row in _rows(action, view, target)]
    if rows:
        print_table(("TIME", "SUBSCRIPTION", "WORKLOAD", "RESULT", "EVENT", "FOLDER", "KEYS"), rows)
    else:
        click.echo("No actions are remembered.")


def _rows(action: Acted, view: SubscriptionView, target: str) -> list[tuple[str, ...]]:
    place = f"{action.environment_slug}:{action.secret_path}" if action.environment_slug else "-"
    keys, event = preview(action.keys, _MAX_KEYS) or "-", action.event or "requested"
    return [
        (rfc3339(action.time), view.name, object_name(each.kind, each.name), each.result, event, place, keys)
        for each in action.workloads
        if _names(target, each)
    ]


def _names(target: str, workload: WorkloadResult) -> bool:
    """Whether the target is this workload, or no workload at all."""
    kind_text, slash, name = target.partition("/")
    kind = workload_kind_of(kind_text)
    return not slash or (kind is not None and (workload.kind, workload.name) == (kind.kind, name))
