"""`infisical-events doctor`: what stands between a subscription and its restarts, check by check."""

from collections.abc import Sequence

import click

from infisical_events.cli.cluster_access import ClusterOptions, cluster_options, run_async
from infisical_events.cli.doctor.checklist import Checklist
from infisical_events.cli.doctor.cluster_checks import API_SERVER, ClusterChecks
from infisical_events.cli.doctor.infisical_checks import InfisicalChecks
from infisical_events.cli.exit_codes import ExitCode
from infisical_events.cli.infisical_access import (
    InfisicalOptions,
    Subject,
    infisical_options,
    subject_of_options,
)
from infisical_events.cli.output import OutputFormat, output_option, print_data, print_table
from infisical_events.core.diagnosis.check_results import CheckResult, has_failure, is_unanswered
from infisical_events.core.status.text import counted, escaped


@click.command()
@click.argument("subscription", required=False)
@infisical_options
@cluster_options
@output_option
@run_async
async def doctor(
    *,
    subscription: str | None,
    infisical: InfisicalOptions,
    cluster: ClusterOptions,
    output: OutputFormat,
) -> ExitCode:
    r"""Check step by step whether SUBSCRIPTION can work, and say what to do where it cannot.

    With --file or --project-id only Infisical is checked, without a cluster. One short stream is opened at
    most; while it is open it counts against the project's limit of 100. No value of a secret is read.

    \b
    Examples:
      infisical-events doctor payments -n shop
      infisical-events doctor --file subscription.yaml -o json
      infisical-events doctor --address https://infisical.example --project-id 7f4d1c2b --env prod
    """
    checks = Checklist()
    if subscription is None:
        await InfisicalChecks(checks, subject_of_options(infisical)).run()
    elif infisical.is_given:
        raise click.UsageError("give a subscription, or --file or --project-id, not both")
    else:
        await _check_in_cluster(checks, cluster, subscription, infisical)
    _print(checks.results, output)
    if is_unanswered(checks.results) or checks.blocked_by == API_SERVER:
        return ExitCode.UNANSWERED
    return ExitCode.FOUND if has_failure(checks.results) else ExitCode.OK


async def _check_in_cluster(
    checks: Checklist, cluster: ClusterOptions, name: str, options: InfisicalOptions
) -> None:
    """Raises KubernetesError if there is no usable kubeconfig."""
    async with cluster.open() as kube:
        in_cluster = ClusterChecks(checks, cluster, kube)
        subject: Subject | None = await in_cluster.find(name, options)
        if subject is not None:
            await in_cluster.inspect(subject)
            await InfisicalChecks(checks, subject).run()


def _print(results: Sequence[CheckResult], output: OutputFormat) -> None:
    if output is not OutputFormat.TABLE:
        print_data([result.as_data() for result in results], output)
        return
    rows = [(result.outcome.symbol, result.name, result.reason, result.found) for result in results]
    print_table(("", "CHECK", "REASON", "FOUND"), rows)
    faults = [result for result in results if result.is_failed]
    if not faults:
        click.echo("\nNo fault found.")
        return
    click.echo(f"\n{counted(len(faults), 'fault')}:")
    for fault in faults:
        click.echo(f"  {escaped(fault.name)}: {escaped(fault.remedy)}")
