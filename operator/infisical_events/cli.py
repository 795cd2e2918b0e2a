"""The command line: `infisical-events run`. The only reader of the environment."""

import sys
from collections.abc import Callable
from typing import Any

import click
import uvloop

from infisical_events.core.addresses import DEFAULT_ALLOWED
from infisical_events.kube.connections import ClusterAccess
from infisical_events.kube.errors import KubernetesError
from infisical_events.runtime import apps, logs
from infisical_events.runtime.settings import Settings

_PREFIX = "INFISICAL_EVENTS"
_LEVELS = ("debug", "info", "warning", "error")


def _option(name: str, *parameter: str, **attributes: Any) -> Callable[[Any], Any]:  # noqa: ANN401 - click's own
    """An option that may also be given as INFISICAL_EVENTS_<NAME>; several values there by blanks."""
    variable = f"{_PREFIX}_{name.removeprefix('--').replace('-', '_').upper()}"
    return click.option(name, *parameter, envvar=variable, show_envvar=True, show_default=True, **attributes)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="infisical-events")
def main() -> None:
    """Restart Kubernetes workloads when Infisical secrets change."""


@main.command()
@_option(
    "--kubeconfig",
    type=click.Path(dir_okay=False),
    help="Kubeconfig file. Default: in-cluster, else $KUBECONFIG or ~/.kube/config.",
)
@_option("--context", help="Context of the kubeconfig.")
@_option("--namespace", "namespaces", multiple=True, help="Namespace to serve; repeatable. Default: all.")
@_option(
    "--allowed-address",
    "allowed_addresses",
    multiple=True,
    default=DEFAULT_ALLOWED,
    help="Where tokens may be sent: a glob on scheme://host[:port]. http only where a pattern says so.",
)
@_option(
    "--default-address",
    default=DEFAULT_ALLOWED[0],
    help="Infisical's address for subscriptions that name none.",
)
@_option("--http-address", default="127.0.0.1:8080", help="host:port of /healthz, /readyz and /metrics.")
@_option(
    "--log-format",
    type=click.Choice([f.value for f in logs.LogFormat]),
    default="text",
    help="How log lines are written.",
)
@_option(
    "--log-level",
    type=click.Choice(_LEVELS, case_sensitive=False),
    default="info",
    help="The least level that is logged.",
)
def run(  # noqa: PLR0913 - one parameter per flag
    *,
    kubeconfig: str | None,
    context: str | None,
    namespaces: tuple[str, ...],
    allowed_addresses: tuple[str, ...],
    default_address: str,
    http_address: str,
    log_format: str,
    log_level: str,
) -> None:
    """Run the operator until it is told to stop (SIGTERM, Ctrl-C)."""
    logs.configure(logs.LogFormat(log_format), log_level)
    settings = Settings(
        access=ClusterAccess(kubeconfig, context),
        namespaces=namespaces,
        default_address=default_address,
        allowed_addresses=allowed_addresses,
        http_address=http_address,
    )
    try:
        settings.http_endpoint  # noqa: B018 - refused before anything is started
    except ValueError:
        raise click.BadParameter("write host:port", param_hint="--http-address") from None
    try:
        uvloop.run(apps.run(settings))
    except KubernetesError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"{http_address}: {error.strerror or error}") from None
    sys.exit(0)
