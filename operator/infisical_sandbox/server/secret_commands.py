"""The commands `infisical-sandbox secrets …`: list and change the secrets of a running server."""

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
    help="File from `server --ready-file`; the options below override it.",
)
@click.option("--url", envvar="INFISICAL_SANDBOX_URL", help="Url of the server.")
@click.option("--client-id", envvar="INFISICAL_SANDBOX_CLIENT_ID", help="Client id of the machine identity.")
@click.option(
    "--client-secret", envvar="INFISICAL_SANDBOX_CLIENT_SECRET", help="Client secret of the machine identity."
)
@click.option("--project-id", envvar="INFISICAL_SANDBOX_PROJECT_ID", help="Id of the project.")
@click.pass_context
def secrets(context: click.Context, /, ready_file: Path | None, **given: str | None) -> None:
    """List and change the secrets of a running server.

    Set the server by --ready-file, by the other four options, or by the environment variables
    INFISICAL_SANDBOX_READY_FILE, …_URL, …_CLIENT_ID, …_CLIENT_SECRET and …_PROJECT_ID.
    """
    context.obj = lambda: _address(ready_file, given)


@secrets.command("list")
@_environment
@_path
@click.option("--recursive", is_flag=True, help="Include subfolders.")
@click.option("--imports", is_flag=True, help="Include imported secrets.")
@click.option("--show-values", is_flag=True, help="Print the values instead of asterisks.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Output format.",
)
@click.pass_obj
def list_secrets(
    connect: Callable[[], Address], /, environment: str, path: str, output: str, **switches: bool
) -> None:
    """List secrets. Values are hidden without --show-values."""
    values = switches.pop("show_values")
    with _client(connect) as client:
        found = client.list_secrets(Folder(environment, path), values=values, **switches)
    if output == "json":
        click.echo(json.dumps(found, indent=2))
        return
    imported = [row for entry in found["imports"] for row in entry["secrets"]]
    for row in [*found["secrets"], *imported]:
        click.echo(_line(row, values=values))


@secrets.command("set")
@_environment
@_path
@click.option("--create-path", is_flag=True, help="Create the folder if it is missing.")
@click.argument("pairs", metavar="KEY=VALUE...", nargs=-1, required=True)
@click.pass_obj
def set_secrets(
    connect: Callable[[], Address], environment: str, path: str, *, create_path: bool, pairs: tuple[str, ...]
) -> None:
    """Create or update secrets.

    All new keys are one request and one event. All existing keys are one request and one event.
    """
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
    """Delete secrets, in one request with one event."""
    with _client(connect) as client:
        client.delete_secrets(Folder(environment, path), keys)
    click.echo(f"{environment}:{path}: {len(keys)} deleted")


@secrets.group("folders")
def folders() -> None:
    """List and create folders of an environment."""


@folders.command("create")
@_environment
@click.argument("path")
@click.pass_obj
def create_folder(connect: Callable[[], Address], environment: str, path: str) -> None:
    """Create a folder and its missing parents."""
    with _client(connect) as client:
        client.create_folder(Folder(environment, path))
    click.echo(f"{environment}:{path}: exists")


@folders.command("list")
@_environment
@_path
@click.pass_obj
def list_folders(connect: Callable[[], Address], environment: str, path: str) -> None:
    """List all subfolders of a folder."""
    with _client(connect) as client:
        rows = client.list_folders(Folder(environment, path), recursive=True)
    for row in rows:
        click.echo(f"{path.rstrip('/')}/{row.get('relativePath') or row['name']}")


@secrets.group("import")
def imports() -> None:
    """List, add and remove imports of a folder."""


@imports.command("add")
@_environment
@_path
@click.argument("source", metavar="ENV:PATH")
@click.pass_obj
def add_import(connect: Callable[[], Address], environment: str, path: str, source: str) -> None:
    """Import the folder ENV:PATH into the folder --env, --path."""
    with _client(connect) as client:
        client.add_import(Folder(environment, path), _folder(source))
    click.echo(f"{environment}:{path} imports {source}")


@imports.command("list")
@_environment
@_path
@click.pass_obj
def list_imports(connect: Callable[[], Address], environment: str, path: str) -> None:
    """List the imports of a folder in order. A later import has precedence."""
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
    """Remove an import by its id (see `import list`)."""
    with _client(connect) as client:
        client.remove_import(Folder(environment, path), import_id)
    click.echo(f"{environment}:{path}: import removed")


@contextmanager
def _client(connect: Callable[[], Address]) -> Iterator[Client]:
    """Open a client; its errors end the command with a message."""
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
            raise click.ClickException(f"cannot read the ready file {ready_file}: {error}") from error
    found = {name: given.get(name) or facts.get(key) for name, key in _FACTS.items()}
    missing = [f"--{name.replace('_', '-')}" for name, value in found.items() if not value]
    if missing:
        raise click.UsageError(f"no server given: set --ready-file, or {', '.join(missing)}")
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
