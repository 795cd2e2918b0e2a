"""The commands `server` and `secrets` of `infisical-sandbox`."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from pathlib import Path

import click

from infisical_sandbox.server import running
from infisical_sandbox.server.domain import generations
from infisical_sandbox.server.options import Options
from infisical_sandbox.server.running import Sandbox


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8080, show_default=True, help="0 takes a free one.")
@click.option("--ready-file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--generation", type=click.Choice(sorted(generations.BY_NAME)), default="e4")
@click.option("--db", "database", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--admin", is_flag=True)
def server(
    host: str, port: int, ready_file: Path | None, generation: str, database: Path | None, admin: bool
) -> None:
    """Serve a local Infisical."""
    options = Options(
        host=host,
        port=port,
        generation=generations.BY_NAME[generation],
        database=database,
        admin=admin,
    )
    asyncio.run(_serve(options, ready_file))


@click.group()
def secrets() -> None:
    """Look at and change the secrets of a server."""


async def _serve(options: Options, ready_file: Path | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.set)
    async with Sandbox.running(options) as sandbox:
        if ready_file:
            running.write_ready_file(ready_file, sandbox)
        click.echo(f"Infisical sandbox at {sandbox.url}")
        await stop.wait()
