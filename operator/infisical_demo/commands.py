"""The command line of the demo: `infisical-sandbox demo`.

Exit codes: 0 everything that was shown was true, 1 something was not or the demo could not be shown,
130 it was interrupted.
"""

import sys
from pathlib import Path

import click
from rich.console import Console

from infisical_demo import runner
from infisical_demo.errors import DemoError
from infisical_demo.report import Story
from infisical_demo.runner import Options
from local_cluster.errors import ClusterError

_INTERRUPTED = 130


@click.command("demo")
@click.option("--keep", is_flag=True, help="Leave everything running in the end and say how to play with it.")
@click.option(
    "--kubeconfig",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Use this cluster instead of a local one: it gets the CRD and a namespace.",
)
@click.option(
    "--updates",
    type=click.IntRange(2, 1000),
    default=20,
    show_default=True,
    help="Updates measured per figure.",
)
@click.option("--stop", "is_stop", is_flag=True, help="Stop what `--keep` left running.")
def demo(*, keep: bool, kubeconfig: Path | None, updates: int, is_stop: bool) -> None:
    """Show how a change in Infisical rolls out a workload, in a real control plane, and measure it."""
    story = Story(Console(highlight=False))
    try:
        if is_stop:
            runner.stop(story)
        elif not runner.perform(Options(kubeconfig, keep, updates), story):
            sys.exit(1)
    except (ClusterError, DemoError) as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        sys.exit(_INTERRUPTED)
