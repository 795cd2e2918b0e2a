"""`infisical-events explain KIND/NAME` and `infisical-events explain event TYPE`."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from difflib import get_close_matches
from typing import Any

import click

from infisical_events.api.resources import WORKLOAD_KINDS, WorkloadKind
from infisical_events.api.specs import EventType
from infisical_events.api.statuses import LastSkip, WorkloadPhase
from infisical_events.cli.cluster_access import ClusterOptions, cluster_options, run_async
from infisical_events.cli.exit_codes import ExitCode
from infisical_events.cli.help_texts import examples
from infisical_events.cli.namespace_reader import NamespaceReader, workload_kind_of
from infisical_events.cli.output import (
    OutputFormat,
    output_option,
    plain,
    print_data,
    print_facts,
    print_table,
)
from infisical_events.core.explanations.event_explanation import (
    EventExplanation,
    NamespaceView,
    WorkloadEffect,
    explain_event,
)
from infisical_events.core.explanations.problems import Problem
from infisical_events.core.explanations.workload_explanation import (
    SubscriptionPart,
    WorkloadExplanation,
    explain_workload,
)
from infisical_events.core.paths.scopes import Folder, Scope, canonical
from infisical_events.core.snapshots.changes import ANY_KEY, Change, summarize
from infisical_events.core.status.remedies import remedy_for
from infisical_events.core.status.text import counted, object_name, preview
from infisical_events.runtime.clock import utc_now

_MOST_PARTS = 2
"""Subscriptions of a workload that one answer shows: it has at most 15 lines."""
_MAX_NAMED = 4

_WORKLOAD = "workload"


class _ExplainGroup(click.Group):
    """`explain event` is a command of its own; anything else names a workload."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The subcommand and its arguments."""
        if args and args[0] not in self.commands:
            return _WORKLOAD, self.commands[_WORKLOAD], args
        return super().resolve_command(ctx, args)


@click.group(
    cls=_ExplainGroup,
    subcommand_metavar="KIND/NAME | event TYPE [OPTIONS]",
    epilog=examples(
        "explain deployment/web -n shop",
        "explain event secret:update --env prod --path /payments --key DB_PASSWORD",
    ),
)
def explain() -> None:
    """Say why a workload was restarted or not, and what an event would do."""


@explain.command(_WORKLOAD, hidden=True)
@click.argument("workload", metavar="KIND/NAME")
@click.argument("name", required=False, default="")
@cluster_options
@output_option
@run_async
async def workload_command(
    *, workload: str, name: str, cluster: ClusterOptions, output: OutputFormat
) -> ExitCode:
    """Say what concerns a workload: subscriptions, Secrets, restarts, and what prevents the next one.

    Exit code 1: the next change would not restart it, as the output says.
    """
    kind, name = _parsed(workload, name)
    async with cluster.open() as kube:
        reader = NamespaceReader(kube, cluster.namespace())
        view = await reader.view()
        found = await reader.workload(kind, name, view)
    if found is None:
        click.echo(_not_found(kind, name, view), err=True)
        return ExitCode.FOUND
    asked, other = found
    if other is not None:
        view = replace(view, other_reloaders={asked.workload.uid: other})
    answer = explain_workload(view, asked, utc_now())
    if output is OutputFormat.TABLE:
        print_facts(list(_lines(answer)))
        _print_gaps(reader.gaps)
    else:
        print_data(plain(answer) | {"gaps": reader.gaps}, output)
    return ExitCode.FOUND if answer.problem else ExitCode.OK


@explain.command(
    "event", epilog=examples("explain event secret:update --env prod --path /payments --key DB_PASSWORD")
)
@click.argument("event_type", metavar="TYPE", type=click.Choice([each.value for each in EventType]))
@click.option("--env", "environment", required=True, help="Slug of the environment.")
@click.option("--path", "folder", default="/", show_default=True, help="Folder of the secret.")
@click.option("--key", default=ANY_KEY, help="Name of the secret. Default: any.")
@cluster_options
@output_option
@run_async
async def event_command(  # noqa: PLR0913 - one parameter per option
    *,
    event_type: str,
    environment: str,
    folder: str,
    key: str,
    cluster: ClusterOptions,
    output: OutputFormat,
) -> ExitCode:
    """Say what an event would do, workload by workload, with the reason for each that would not act.

    Nothing is sent to Infisical, and nothing is restarted. Exit code 1: no workload would be restarted.
    """
    types = frozenset({EventType(event_type)})
    change = Change(Scope(Folder(environment, canonical(folder))), key, types)
    async with cluster.open() as kube:
        reader = NamespaceReader(kube, cluster.namespace())
        view = await reader.view()
        affected = _affected(view, change)
        view = replace(view, other_reloaders=await reader.other_reloaders(affected))
    answer = explain_event(view, change, utc_now())
    if output is OutputFormat.TABLE:
        _print_event(answer, view)
        _print_gaps(reader.gaps)
    else:
        print_data(plain(answer) | {"gaps": reader.gaps}, output)
    return ExitCode.OK if answer.restarts else ExitCode.FOUND


def _affected(view: NamespaceView, change: Change) -> list[Any]:
    """The workloads that would be restarted unless another tool does it."""
    tried = explain_event(view, change, utc_now())
    names = {(each.kind, each.name) for each in tried.restarts}
    return [each for each in view.workloads if (each.kind.kind, each.name) in names]


def _parsed(workload: str, name: str) -> tuple[WorkloadKind, str]:
    """`deployment/web` or `deployment web`; raises click.UsageError."""
    kind_text, slash, own_name = workload.partition("/")
    own_name = own_name if slash else name
    kind = workload_kind_of(kind_text)
    if kind is None:
        kinds = ", ".join(each.kind for each in WORKLOAD_KINDS)
        raise click.UsageError(f"{kind_text!r} is no kind of workload: write KIND/NAME with one of {kinds}")
    if not own_name:
        raise click.UsageError(f"which {kind.kind}? Write {kind_text.lower()}/NAME")
    return kind, own_name


def _not_found(kind: WorkloadKind, name: str, view: NamespaceView) -> str:
    names = [each.name for each in view.workloads if each.kind == kind]
    near = get_close_matches(name, names, n=1)
    hint = f": did you mean {near[0]}?" if near else f"; it has {counted(len(names), kind.kind)}"
    return f"Error: {object_name(kind.kind, name)} is not in namespace {view.namespace}{hint}"


# -- the answer about a workload ----------------------------------------------------------------------


def _lines(answer: WorkloadExplanation) -> Iterator[tuple[str, str]]:
    """At most 15 lines."""
    yield "Workload", f"{answer.title} in namespace {answer.namespace}"
    if answer.parts:
        yield "Subscriptions", "; ".join(_part_texts(answer.parts))
    if answer.uses:
        yield "Uses", preview([f"{use.name} (writer: {use.writer})" for use in answer.uses], _MAX_NAMED, "; ")
    yield from _state_lines(answer.parts[:_MOST_PARTS])
    for restart in answer.restarts:
        trigger = f" ({restart.trigger})" if restart.trigger else ""
        text = f"{_time(restart.time)} by {restart.subscription}: {restart.cause}{trigger}: {restart.result}"
        yield "Restarted", text
    skip = _newest_skip(answer.parts)
    if skip is not None:
        yield "Not restarted", f"{_time(skip.time)} {skip.reason}: {skip.message}"
    yield from _verdict(answer, skip)
    if answer.notes:
        yield "Mistakes", "; ".join(answer.notes[:2])


def _part_texts(parts: Iterable[SubscriptionPart]) -> Iterator[str]:
    shown = list(parts)
    for part in shown[:_MOST_PARTS]:
        yield f"{part.name}: {part.problem.reason if part.problem else 'restarts on changes'}"
    if len(shown) > _MOST_PARTS:
        yield f"{len(shown) - _MOST_PARTS} more"


def _state_lines(parts: Iterable[SubscriptionPart]) -> Iterator[tuple[str, str]]:
    for part in parts:
        status, pending = part.status, part.pending
        if status is not None and status.state is not WorkloadPhase.IDLE:
            details = ", ".join(filter(None, (status.message, status.cause and f"for {status.cause}")))
            since = _time(status.since)
            yield "State", f"{status.state}: {status.reason} since {since} by {part.name}: {details}"
        elif pending is not None:
            cause = summarize(pending.changes) or "requested"
            yield "State", f"Pending since {_time(pending.since)} by {part.name}, for {cause}"


def _newest_skip(parts: Iterable[SubscriptionPart]) -> LastSkip | None:
    skips = [part.status.last_skip for part in parts if part.status and part.status.last_skip]
    skips += [part.last_skip for part in parts if part.last_skip]
    return max(skips, key=lambda skip: skip.time, default=None)


def _verdict(answer: WorkloadExplanation, skip: LastSkip | None) -> Iterator[tuple[str, str]]:
    if answer.problem is not None:
        yield "Next change", f"does not restart it: {answer.problem.reason}{_until(answer.effect)}"
        yield from _problem_lines(answer.problem)
        return
    effect = f" ({answer.effect.note})" if answer.effect and answer.effect.note else ""
    example = f", for example {answer.example}" if answer.example else ""
    yield "Next change", f"restarts it{effect}{example}"
    remedy = remedy_for(skip.reason) if skip else ""
    if remedy:
        yield "Remedy", f"(for the change that led to no restart) {remedy}"


def _problem_lines(problem: Problem) -> Iterator[tuple[str, str]]:
    yield "Cause", f"{problem.about}: {problem.message}" if problem.message else problem.about
    if problem.remedy:
        yield "Remedy", problem.remedy


def _until(effect: WorkloadEffect | None) -> str:
    return f", until {_time(effect.until)}" if effect and effect.until else ""


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}Z"


def _print_gaps(gaps: Iterable[str]) -> None:
    for gap in gaps:
        click.echo(f"Could not read {gap}", err=True)


# -- the answer about an event ------------------------------------------------------------------------


def _print_event(answer: EventExplanation, view: NamespaceView) -> None:
    click.echo(f"{answer.change} in namespace {view.namespace}")
    if not answer.subscriptions:
        click.echo("The namespace has no InfisicalEventSubscription, so nothing happens: create one.")
        return
    rows = [
        (
            each.subscription,
            "yes" if each.is_selected else "no",
            each.problem.reason if each.problem else "-",
            _text_of(each.problem),
        )
        for each in answer.subscriptions
    ]
    print_table(("SUBSCRIPTION", "SELECTED", "REASON", "MESSAGE"), rows)
    if answer.workloads:
        click.echo()
        print_table(
            ("WORKLOAD", "SUBSCRIPTION", "EFFECT", "REASON", "MESSAGE"),
            [
                (
                    object_name(each.kind, each.name),
                    each.subscription,
                    each.effect,
                    each.problem.reason if each.problem else "-",
                    each.note or f"{_text_of(each.problem)}{_until(each)}",
                )
                for each in answer.workloads
            ],
        )
    elif any(each.is_selected for each in answer.subscriptions):
        click.echo('No workload opted in: annotate one with events.infisical.com/auto-reload: "true".')


def _text_of(problem: Problem | None) -> str:
    if problem is None:
        return ""
    return " ".join(filter(None, (problem.message, problem.remedy)))
