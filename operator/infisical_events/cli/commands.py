"""The group `infisical-events`. A command is imported when it is called: the others cost it no time."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

from infisical_events.cli.exit_codes import ExitCode
from infisical_events.cli.help_texts import examples


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """Where a command is, and what the list of commands says about it."""

    module: str
    attribute: str
    summary: str

    def load(self) -> click.Command:
        """Import the command.

        Raises:
            click.ClickException: a package is missing that only this command needs.
        """
        try:
            return _command_of(self)
        except ModuleNotFoundError as error:
            extra = "operator" if self.attribute == "run" else "cli"
            raise click.ClickException(
                f"the Python package {error.name} is missing: pip install 'infisical-events[{extra}]'"
            ) from None


def _command_of(lazy: LazyCommand) -> click.Command:
    found: click.Command = getattr(
        importlib.import_module(f"infisical_events.cli.{lazy.module}"), lazy.attribute
    )
    return found


COMMANDS: Mapping[str, LazyCommand] = {
    "validate": LazyCommand("validate_command", "validate", "Check manifests without a cluster."),
    "status": LazyCommand("status_command", "status", "Show subscriptions and their workloads."),
    "explain": LazyCommand("explain_command", "explain", "Say why a workload was restarted or not."),
    "history": LazyCommand("history_command", "history", "Show the restarts that the status remembers."),
    "reconcile": LazyCommand("request_commands", "reconcile", "Request a full read of Infisical now."),
    "restart": LazyCommand(
        "request_commands", "restart", "Request a restart of all workloads of a subscription."
    ),
    "suspend": LazyCommand("request_commands", "suspend", "Suspend a subscription."),
    "resume": LazyCommand("request_commands", "resume", "Resume a suspended or halted subscription."),
    "run": LazyCommand("run_command", "run", "Run the operator until SIGTERM or Ctrl-C."),
    "listen": LazyCommand("listen_command", "listen", "Print the events of Infisical as they arrive."),
    "doctor": LazyCommand("doctor.doctor_command", "doctor", "Check step by step what a subscription lacks."),
}
"""By name, in the order of the help."""


class LazyGroup(click.Group):
    """Commands that are imported when they are called; their summaries are known before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the help."""
        return [*COMMANDS, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command; None if there is none of this name."""
        lazy = COMMANDS.get(cmd_name)
        return lazy.load() if lazy else super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """The list of commands, without importing them."""
        rows = [(name, lazy.summary) for name, lazy in COMMANDS.items()]
        rows += [(name, command.get_short_help_str()) for name, command in sorted(self.commands.items())]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


_EPILOG = f"""\b
Exit codes: {"; ".join(f"{code.value}: {code.meaning}" for code in ExitCode)}."""


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EPILOG)
@click.version_option(package_name="infisical-events")
def main() -> None:
    """Restart Kubernetes workloads when Infisical secrets change, and ask why they were or were not.

    All commands but `run` use the rights of your kubeconfig; the cluster needs nothing but the CRD.
    """


@main.command(
    epilog=examples(
        "completion bash > /etc/bash_completion.d/infisical-events",
        "completion fish > ~/.config/fish/completions/infisical-events.fish",
    )
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script of a shell."""
    from click.shell_completion import get_completion_class  # noqa: PLC0415 - used here alone

    name = context.find_root().info_name or "infisical-events"
    kind: Any = get_completion_class(shell)
    variable = f"_{name.replace('-', '_').upper()}_COMPLETE"
    click.echo(kind(main, {}, name, variable).source())
