"""`infisical-sandbox secrets …`: look at and change the secrets of a running server from a shell."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infisical_sandbox.server import http_client
from infisical_sandbox.server.http_client import Address, Client, Folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_FACTS = {"url": "url", "client_id": "clientId", "client_secret": "clientSecret", "project_id": "projectId"}
_HIDDEN = "********"

_environment = click.option("--env", "environment", required=True, help="Environment slug.")
_path = click.option("--path", default="/", show_default=True, help="Folder.")


@click.group()
@click.option(
    "--ready-file",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="INFISICAL_SANDBOX_READY_FILE",
    help="What `server --ready-file` wrote; the options below override it.",
)
@click.option("--url", envvar="INFISICAL_SANDBOX_URL")
@click.option("--client-id", envvar="INFISICAL_SANDBOX_CLIENT_ID")
@click.option("--client-secret", envvar="INFISICAL_SANDBOX_CLIENT_SECRET")
@click.option("--project-id", envvar="INFISICAL_SANDBOX_PROJECT_ID")
@click.pass_context
def secrets(context: click.Context, /, ready_file: Path | None, **given: str | None) -> None:
    """Look at and change the secrets of a running server.

    Say which server by --ready-file, by the four options, or by the environment variables
    INFISICAL_SANDBOX_READY_FILE, …_URL, …_CLIENT_ID, …_CLIENT_SECRET and …_PROJECT_ID.
    """
    context.obj = lambda: _address(ready_file, given)


@secrets.command("list")
@_environment
@_path
@click.option("--recursive", is_flag=True, help="Also the folders below.")
@click.option("--imports", is_flag=True, help="Also what the folder imports.")
@click.option("--show-values", is_flag=True, help="Print the values, which are hidden otherwise.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
@click.pass_obj
def list_secrets(
    connect: Callable[[], Address], /, environment: str, path: str, output: str, **wish: bool
) -> None:
    """List secrets, values hidden."""
    values = wish.pop("show_values")
    with _client(connect) as client:
        found = client.list_secrets(Folder(environment, path), values=values, **wish)
    if output == "json":
        click.echo(json.dumps(found, indent=2))
        return
    imported = [row for entry in found["imports"] for row in entry["secrets"]]
    for row in [*found["secrets"], *imported]:
        click.echo(_line(row, values=values))


@secrets.command("set")
@_environment
@_path
@click.option("--create-path", is_flag=True, help="Make the folder if it is missing.")
@click.argument("pairs", metavar="KEY=VALUE...", nargs=-1, required=True)
@click.pass_obj
def set_secrets(
    connect: Callable[[], Address], environment: str, path: str, *, create_path: bool, pairs: tuple[str, ...]
) -> None:
    """Create or update secrets; several at once are one batch, and so one event."""
    folder, values = Folder(environment, path), dict(map(_pair, pairs))
    with _client(connect) as client:
        if create_path:
            client.create_folder(folder)
        created, updated = client.set_secrets(folder, values)
    click.echo(f"{environment}:{path}: {created} created, {updated} updated")


@secrets.command("delete")
@_environment
@_path
@click.argument("keys", nargs=-1, required=True)
@click.pass_obj
def delete_secrets(
    connect: Callable[[], Address], environment: str, path: str, keys: tuple[str, ...]
) -> None:
    """Delete secrets; several at once are one batch, and so one event."""
    with _client(connect) as client:
        client.delete_secrets(Folder(environment, path), keys)
    click.echo(f"{environment}:{path}: {len(keys)} deleted")


@secrets.group("folders")
def folders() -> None:
    """Folders of an environment."""


@folders.command("create")
@_environment
@click.argument("path")
@click.pass_obj
def create_folder(connect: Callable[[], Address], environment: str, path: str) -> None:
    """Make a folder and what is missing above it."""
    with _client(connect) as client:
        client.create_folder(Folder(environment, path))
    click.echo(f"{environment}:{path}: there")


@folders.command("list")
@_environment
@_path
@click.pass_obj
def list_folders(connect: Callable[[], Address], environment: str, path: str) -> None:
    """List the folders below one."""
    with _client(connect) as client:
        rows = client.list_folders(Folder(environment, path), recursive=True)
    for row in rows:
        click.echo(f"{path.rstrip('/')}/{row.get('relativePath') or row['name']}")


@secrets.group("import")
def imports() -> None:
    """Imports of one folder into another."""


@imports.command("add")
@_environment
@_path
@click.argument("source", metavar="ENV:PATH")
@click.pass_obj
def add_import(connect: Callable[[], Address], environment: str, path: str, source: str) -> None:
    """Let the folder --env/--path import the folder ENV:PATH."""
    with _client(connect) as client:
        client.add_import(Folder(environment, path), _folder(source))
    click.echo(f"{environment}:{path} imports {source}")


@imports.command("list")
@_environment
@_path
@click.pass_obj
def list_imports(connect: Callable[[], Address], environment: str, path: str) -> None:
    """List the imports of a folder in their order; later ones win."""
    with _client(connect) as client:
        rows = client.list_imports(Folder(environment, path))
    for row in rows:
        click.echo(f"{row['id']}  {row['importEnv']['slug']}:{row['importPath']}")


@imports.command("remove")
@_environment
@_path
@click.argument("import_id")
@click.pass_obj
def remove_import(connect: Callable[[], Address], environment: str, path: str, import_id: str) -> None:
    """Drop an import by its id."""
    with _client(connect) as client:
        client.remove_import(Folder(environment, path), import_id)
    click.echo(f"{environment}:{path}: import removed")


@contextmanager
def _client(connect: Callable[[], Address]) -> Iterator[Client]:
    """A client whose errors end the command with their sentence."""
    try:
        with Client(connect()) as client:
            yield client
    except http_client.CallError as error:
        raise click.ClickException(str(error)) from error


def _address(ready_file: Path | None, given: dict[str, str | None]) -> Address:
    facts: dict[str, str] = {}
    if ready_file:
        try:
            facts = json.loads(ready_file.read_text())
        except (OSError, ValueError) as error:
            raise click.ClickException(f"the ready file {ready_file} cannot be read: {error}") from error
    found = {name: given.get(name) or facts.get(key) for name, key in _FACTS.items()}
    missing = [f"--{name.replace('_', '-')}" for name, value in found.items() if not value]
    if missing:
        raise click.UsageError(f"say which server: --ready-file, or {', '.join(missing)}")
    return Address(**{name: str(value) for name, value in found.items()})


def _pair(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise click.UsageError(f"expected KEY=VALUE, not an argument beginning with {key[:20]!r}")
    return key, value


def _folder(text: str) -> Folder:
    environment, separator, path = text.partition(":")
    if not separator or not environment:
        raise click.UsageError("the source is ENV:PATH, for example prod:/shared")
    return Folder(environment, path or "/")


def _line(row: dict[str, Any], *, values: bool) -> str:
    value = row["secretValue"] if values and not row["secretValueHidden"] else _HIDDEN
    path = str(row.get("secretPath") or "/").rstrip("/")
    return f"{row['environment']}:{path}/{row['secretKey']}={value}  (version {row['version']})"
