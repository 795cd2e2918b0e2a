"""The command line of the local control plane: `infisical-sandbox cluster ...`.

Progress goes to standard error, results to standard output. Exit codes: 0 success, 1 an error or a
component that is not running, 3 (status only) no cluster is up.
"""

import contextlib
import functools
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn, ParamSpec

import click
from rich.console import Console
from rich.table import Table

from local_cluster import program_provider, programs, state_layout
from local_cluster.cluster import Cluster, ComponentStatus
from local_cluster.errors import ClusterError

_NOT_UP = 3
_FOLDER = click.Path(file_okay=False, path_type=Path)

P = ParamSpec("P")


def _say(line: str) -> None:
    click.echo(line, err=True)


def _stop(number: int, _: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into an exception, unless they are ignored (nohup)."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, _stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _with_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Print a ClusterError as one message, and clean up after a signal."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with _stoppable():
            try:
                command(*args, **kwargs)
            except ClusterError as error:
                raise click.ClickException(str(error)) from error

    return run


_state = click.option(
    "--state",
    type=_FOLDER,
    envvar="INFISICAL_SANDBOX_STATE",
    default=lambda: state_layout.default_state(os.environ),
    show_default="~/.local/state/infisical-sandbox/cluster",
    help="Folder for all files of the cluster.",
)
_binaries = click.option(
    "--binaries",
    type=_FOLDER,
    help="Folder with programs, used before all other sources (default: KUBEBUILDER_ASSETS).",
)
_mirror = click.option(
    "--mirror",
    envvar="INFISICAL_SANDBOX_MIRROR",
    help="Base url to download from instead of the publishers: MIRROR/<host>/<path>.",
)


@click.group("cluster")
def cluster() -> None:
    """Run a Kubernetes control plane on this machine.

    etcd, the API server, the controller manager and the scheduler are real; kwok simulates nodes and pods.
    """


@cluster.command()
@_state
@_binaries
@_mirror
@click.option(
    "--kubeconfig",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File for the administrator's kubeconfig (default: in the state folder).",
)
@click.option("--nodes", type=click.IntRange(1, 100), default=2, show_default=True, help="Number of nodes.")
@click.option("--audit-log", is_flag=True, help="Write an audit log of all API requests (metadata only).")
@click.option("--while-pid", type=int, help="Stop the cluster when this process ends.")
@_with_errors
def up(  # noqa: PLR0913, PLR0917 - one parameter per option
    state: Path,
    binaries: Path | None,
    mirror: str | None,
    kubeconfig: Path | None,
    nodes: int,
    audit_log: bool,  # noqa: FBT001 - click passes it by name
    while_pid: int | None,
) -> None:
    """Start the control plane, or its missing components. Takes about 4 s.

    The first start downloads the programs, or builds them from source in about 10 minutes.
    """
    started = Cluster(
        state,
        nodes=nodes,
        kubeconfig=kubeconfig,
        audit_log=audit_log,
        sources=program_provider.sources(os.environ, given=binaries, mirror=mirror),
        say=_say,
    ).up(while_pid=while_pid)
    count = len(started.status())
    _say(f"ready: {count} components, {nodes} {'node' if nodes == 1 else 'nodes'}")
    click.echo(f"export KUBECONFIG={shlex.quote(str(started.kubeconfig))}")


@cluster.command()
@_state
@_with_errors
def down(state: Path) -> None:
    """Stop the control plane and remove all its files."""
    _say(f"{state}: down" if Cluster(state).down() else f"{state}: no cluster was up")


@cluster.command()
@_state
@_with_errors
def status(state: Path) -> None:
    """Show the components. Exit code 0: all running, 1: some not running, 3: no cluster is up."""
    found = Cluster(state).status()
    if not found:
        _say(f"{state}: no cluster is up")
        sys.exit(_NOT_UP)
    Console().print(_table(found))
    sys.exit(0 if all(component.state == "running" for component in found) else 1)


@cluster.command()
@_state
@_with_errors
def env(state: Path) -> None:
    """Print shell commands that set KUBECONFIG and PATH.

    To use kubectl and helm: eval "$(infisical-sandbox cluster env)"
    """
    here = Cluster(state)
    click.echo(f"export KUBECONFIG={shlex.quote(str(here.kubeconfig))}")
    click.echo(f'export PATH={shlex.quote(str(here.binaries))}:"$PATH"')


@cluster.command()
@_binaries
@_mirror
@_with_errors
def binaries(binaries: Path | None, mirror: str | None) -> None:
    """Download or build the programs and print their folder. Starts no process."""
    origin = program_provider.sources(os.environ, given=binaries, mirror=mirror)
    click.echo(program_provider.provide(origin, _say, programs.PROGRAMS))


def _table(found: tuple[ComponentStatus, ...]) -> Table:
    table = Table("COMPONENT", "STATE", "PID", "PORT", "MEMORY", "CPU", box=None, pad_edge=False)
    for component in found:
        used = component.usage
        table.add_row(
            component.name,
            component.state,
            str(component.pid or "-"),
            str(component.port or "-"),
            f"{used.resident:.0f} MiB" if used else "-",
            f"{used.processor:.1f} s" if used else "-",
        )
    return table
