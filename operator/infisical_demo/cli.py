"""The command `infisical-sandbox`: a local Infisical and a local Kubernetes control plane."""

import importlib

import click

# Imported when used, so that one command does not pay for what another needs.
_COMMANDS = {
    "cluster": "local_cluster.commands",
    "demo": "infisical_demo.commands",
    "secrets": "infisical_sandbox.server.commands",
    "server": "infisical_sandbox.server.commands",
}


class _Lazy(click.Group):
    """A group whose commands live in other modules, under their own names."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_COMMANDS, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return super().get_command(ctx, cmd_name)
        try:
            module = importlib.import_module(_COMMANDS[cmd_name])
        except ModuleNotFoundError as error:
            raise click.ClickException(f"{error}: install infisical-events[sandbox]") from error
        command = getattr(module, cmd_name)
        return command if isinstance(command, click.Command) else None


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="infisical-events")
def main() -> None:
    """Try infisical-events without an Infisical account and without a cluster."""
