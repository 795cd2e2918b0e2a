"""The command line of the demo: `infisical-sandbox demo`.

Exit codes: 0 all checks passed, 1 a check failed or the demo cannot run, 130 interrupted.
"""

import sys
from pathlib import Path

import click
from rich.console import Console

from infisical_demo import runner
from infisical_demo.errors import DemoError
from infisical_demo.report import Report
from infisical_demo.runner import Options
from local_cluster.errors import ClusterError

_INTERRUPTED = 130


@click.command("demo")
@click.option("--keep", is_flag=True, help="Keep everything running at the end, and print commands to try.")
@click.option(
    "--kubeconfig",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Use this cluster instead of a local one. Installs the CRD and creates a namespace.",
)
@click.option(
    "--updates",
    type=click.IntRange(2, 1000),
    default=20,
    show_default=True,
    help="Number of updates per measured latency.",
)
@click.option("--stop", "is_stop", is_flag=True, help="Stop a demo that --keep left running.")
def demo(*, keep: bool, kubeconfig: Path | None, updates: int, is_stop: bool) -> None:
    """Show how a changed secret restarts a workload.

    Runs the operator with a real Kubernetes control plane, checks each step at the API server and measures
    the latency. Takes 1 to 2 minutes.
    """
    report = Report(Console(highlight=False))
    try:
        if is_stop:
            runner.stop(report)
        elif not runner.run_demo(Options(kubeconfig, keep, updates), report):
            sys.exit(1)
    except (ClusterError, DemoError) as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        sys.exit(_INTERRUPTED)
