"""The command `infisical-sandbox`: a local Infisical, a local Kubernetes control plane and the demo."""

import importlib

import click

# Imported on use, so that a command loads the dependencies of no other command.
_COMMANDS = {
    "cluster": "local_cluster.commands",
    "demo": "infisical_demo.commands",
    "secrets": "infisical_sandbox.server.secret_commands",
    "server": "infisical_sandbox.server.server_command",
}


class _Lazy(click.Group):
    """A group whose commands are attributes of other modules."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_COMMANDS, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return super().get_command(ctx, cmd_name)
        try:
            module = importlib.import_module(_COMMANDS[cmd_name])
        except ModuleNotFoundError as error:
            raise click.ClickException(
                f"the Python module {str(error.name).partition('.')[0]} is missing. "
                "In a checkout of the project, run: pip install -e '.[sandbox]'"
            ) from error
        command = getattr(module, cmd_name)
        return command if isinstance(command, click.Command) else None


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="infisical-events")
def main() -> None:
    """Run infisical-events on this machine, with a local Infisical and a local Kubernetes."""
