"""The command `infisical-sandbox server`."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from pathlib import Path
from typing import Any

import click

from infisical_sandbox.server import app_runner, clock
from infisical_sandbox.server.app_runner import Sandbox
from infisical_sandbox.server.domain import generations, permissions
from infisical_sandbox.server.domain.records import (
    KubernetesSettings,
    LockoutSettings,
    TokenSettings,
)
from infisical_sandbox.server.options import Certificate, Options

_FILE = click.Path(dir_okay=False, path_type=Path)
_EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)

_WELCOME = """\
A local Infisical ({generation}) is ready at {url}

  project        {project} ({slug}), environments {environments}
  client id      {client_id}
  client secret  {client_secret}
{admin}
Next, in another shell:

  export INFISICAL_SANDBOX_URL={url} INFISICAL_SANDBOX_PROJECT_ID={project}
  export INFISICAL_SANDBOX_CLIENT_ID={client_id} INFISICAL_SANDBOX_CLIENT_SECRET={client_secret}
  infisical-sandbox secrets set --env {environment} --path /payments --create-path DB_PASSWORD=hunter2
  infisical-sandbox secrets list --env {environment} --recursive

Press Ctrl-C to stop it. {memory}
"""


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8080, show_default=True, help="Port to listen on; 0 takes a free port.")
@click.option(
    "--tls-certificate",
    type=_EXISTING,
    help="File with a certificate in PEM format, to serve https; needs --tls-key.",
)
@click.option("--tls-key", type=_EXISTING, help="File with the private key of the certificate.")
@click.option(
    "--ready-file",
    type=_FILE,
    help="File for url, project and credentials, written when the server is ready.",
)
@click.option(
    "--generation",
    type=click.Choice(sorted(generations.BY_NAME)),
    default="e4",
    show_default=True,
    help="Server version to behave like: the newest (e4), the one before (e3), or e4 with Go reads (go).",
)
@click.option("--db", "database", type=_FILE, help="SQLite file for the state (default: in memory).")
@click.option(
    "--env",
    "environments",
    multiple=True,
    default=("dev", "staging", "prod"),
    show_default=True,
    help="Environments of the project.",
)
@click.option(
    "--role",
    type=click.Choice(permissions.ROLES),
    default="admin",
    show_default=True,
    help="Role of the machine identity in the project.",
)
@click.option(
    "--fan-out-delay",
    default=4.0,
    show_default=True,
    help="Seconds from a change to the event of an importing folder.",
)
@click.option("--ping-interval", default=15.0, show_default=True, help="Seconds between pings on a stream.")
@click.option(
    "--stream-lifetime",
    type=float,
    help="Seconds until the server closes a stream; 0 for no limit (default: e4 3600, e3 no limit).",
)
@click.option(
    "--connection-limit",
    type=int,
    help="Maximum number of streams per project (default: e4 100, e3 no limit).",
)
@click.option(
    "--token-ttl",
    default=2_592_000,
    show_default=True,
    help="Lifetime of an access token in seconds; 0 for no limit.",
)
@click.option(
    "--token-max-ttl",
    default=2_592_000,
    show_default=True,
    help="Lifetime of an access token with all renewals in seconds; 0 for no limit.",
)
@click.option(
    "--token-uses", default=0, show_default=True, help="Maximum requests per access token; 0 for no limit."
)
@click.option(
    "--token-period",
    default=0,
    show_default=True,
    help="Issue periodic tokens, with this many seconds between renewals; 0 for other tokens.",
)
@click.option(
    "--lockout/--no-lockout",
    default=True,
    show_default=True,
    help="Lock the login for 5 min after 3 failures.",
)
@click.option("--kubernetes-api", help="Url of the API server that reviews service account tokens.")
@click.option("--kubernetes-ca", type=_EXISTING, help="File with the CA certificate of that API server.")
@click.option(
    "--kubernetes-reviewer-token",
    type=_EXISTING,
    help="File with the token for the review (default: the client's token).",
)
@click.option(
    "--kubernetes-namespace",
    "kubernetes_namespaces",
    multiple=True,
    help="Allowed namespace, repeatable (default: all).",
)
@click.option(
    "--kubernetes-name",
    "kubernetes_names",
    multiple=True,
    help="Allowed service account name, repeatable (default: all).",
)
@click.option("--kubernetes-audience", default="", help="Required audience (default: none).")
@click.option("--admin", is_flag=True, help="Serve the fault switches under /__admin__.")
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Format of the log on standard error.",
)
@click.option("--quiet", is_flag=True, help="Do not log requests.")
def server(ready_file: Path | None, log_format: str, *, quiet: bool, **given: Any) -> None:  # noqa: ANN401 - click passes the options
    """Run a local Infisical with one project and one machine identity."""
    _configure_logging(log_format, quiet=quiet)
    options = _options(given)
    try:
        asyncio.run(_serve(options, ready_file))
    except OSError as error:
        raise click.ClickException(f"the server cannot start: {error}") from error


def _options(given: dict[str, Any]) -> Options:
    return Options(
        host=given["host"],
        port=given["port"],
        tls=_certificate(given["tls_certificate"], given["tls_key"]),
        generation=generations.BY_NAME[given["generation"]],
        database=given["database"],
        admin=given["admin"],
        environments=given["environments"],
        role=given["role"],
        fan_out_delay=given["fan_out_delay"],
        ping_interval=given["ping_interval"],
        stream_lifetime=given["stream_lifetime"],
        connection_limit=given["connection_limit"],
        tokens=_tokens(given),
        lockout=LockoutSettings(enabled=given["lockout"]),
        kubernetes=_kubernetes(given),
    )


def _certificate(certificate: Path | None, key: Path | None) -> Certificate | None:
    if certificate and key:
        return Certificate(certificate, key)
    if certificate or key:
        raise click.UsageError("--tls-certificate and --tls-key need each other")
    return None


def _tokens(given: dict[str, Any]) -> TokenSettings:
    return TokenSettings(
        given["token_ttl"], given["token_max_ttl"], given["token_uses"], given["token_period"]
    )


def _kubernetes(given: dict[str, Any]) -> KubernetesSettings | None:
    if not given["kubernetes_api"]:
        return None
    ca, reviewer = given["kubernetes_ca"], given["kubernetes_reviewer_token"]
    return KubernetesSettings(
        given["kubernetes_api"],
        ca.read_text() if ca else "",
        reviewer.read_text().strip() if reviewer else "",
        given["kubernetes_namespaces"],
        given["kubernetes_names"],
        given["kubernetes_audience"],
        _tokens(given),
    )


async def _serve(options: Options, ready_file: Path | None) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Sandbox.running(options) as sandbox:
        if ready_file:
            app_runner.write_ready_file(ready_file, sandbox)
        click.echo(_welcome(sandbox, options))
        await stop.wait()


def _welcome(sandbox: Sandbox, options: Options) -> str:
    kept = f"The state is in {options.database}." if options.database else "Then its state is lost."
    admin = f"  admin token    {sandbox.admin_token} (for /__admin__)\n" if options.admin else ""
    return _WELCOME.format(
        generation=options.generation.name,
        url=sandbox.url,
        project=sandbox.project_id,
        slug=sandbox.project_slug,
        environments=", ".join(options.environments),
        environment=options.environments[-1],
        client_id=sandbox.client_id,
        client_secret=sandbox.client_secret,
        admin=admin,
        memory=kept,
    )


class _JsonFormatter(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        facts = {
            "time": clock.iso(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            facts["error"] = self.formatException(record.exc_info)
        return json.dumps(facts)


def _configure_logging(log_format: str, *, quiet: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    handler.setFormatter(_JsonFormatter() if log_format == "json" else text)
    logging.basicConfig(handlers=[handler], level=logging.WARNING if quiet else logging.INFO)
