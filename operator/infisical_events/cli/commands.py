"""The command line: `infisical-events run`. The only reader of the environment."""

import asyncio
import os
import secrets
import socket
import sys
from collections.abc import Callable
from typing import Any

import click
from click.core import ParameterSource

from infisical_events.core.egress.address_allowlist import DEFAULT_ALLOWED
from infisical_events.core.egress.network_policy import Network, parse_network
from infisical_events.infisical.tls import TrustError, check_trust
from infisical_events.kube.kubeconfig import ClusterAccess, own_namespace
from infisical_events.kube.kubernetes_errors import KubernetesError
from infisical_events.runtime.app import bootstrap, logging_setup
from infisical_events.runtime.app.http_server import BindError
from infisical_events.runtime.app.settings import (
    Settings,
    checked_default,
    checked_endpoint,
    checked_identity,
    checked_name,
    checked_namespace,
    checked_pattern,
    checked_secret,
    some_identity,
)
from infisical_events.runtime.sharding.supervisor import WatchBehindError

_PREFIX = "INFISICAL_EVENTS"
DIGEST_KEY_SECRET = "infisical-events-digest-key"  # noqa: S105 - a name
_LEVELS = ("debug", "info", "warning", "error")


def _option(name: str, *parameter: str, **attributes: Any) -> Callable[[Any], Any]:  # noqa: ANN401 - click's own
    """An option that may also be given as INFISICAL_EVENTS_<NAME>; several values there by blanks."""
    variable = f"{_PREFIX}_{name.removeprefix('--').replace('-', '_').upper()}"
    return click.option(
        name, *parameter, envvar=variable, show_envvar=True, **{"show_default": True, **attributes}
    )


def _each(check: Callable[[str], object]) -> Callable[[Any, Any, Any], Any]:
    """A callback of click that tells a ValueError of the check as a mistake in the option."""

    def checked(_: click.Context, __: click.Parameter, given: Any) -> Any:  # noqa: ANN401 - click's own
        try:
            return tuple(map(check, given)) if isinstance(given, tuple) else check(given)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return checked


def _secret(_: click.Context, __: click.Parameter, given: str | None) -> tuple[str, str]:
    """The Secret that was named, or the usual one in the namespace that the operator runs in."""
    try:
        return checked_secret(given or f"{own_namespace()}/{DIGEST_KEY_SECRET}")
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _checked_default(context: click.Context, address: str, allowed_addresses: tuple[str, ...]) -> None:
    """The built-in default may be forbidden: subscriptions then name their address."""
    if context.get_parameter_source("default_address") is ParameterSource.DEFAULT:
        return
    try:
        checked_default(address, allowed_addresses)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--default-address") from None


def _check_trust() -> None:
    """A mistake in these variables, which httpx reads, is told like one in an option."""
    try:
        check_trust(os.environ.get("SSL_CERT_FILE", ""), os.environ.get("SSL_CERT_DIR", ""))
    except TrustError as error:
        raise click.UsageError(str(error)) from None


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
@_option(
    "--namespace",
    "namespaces",
    multiple=True,
    callback=_each(checked_namespace),
    help="Namespace to serve; repeatable. Default: all.",
)
@_option(
    "--allowed-address",
    "allowed_addresses",
    multiple=True,
    default=DEFAULT_ALLOWED,
    callback=_each(checked_pattern),
    help="Where tokens may be sent: a glob on scheme://host[:port]. http only where a pattern says so.",
)
@_option(
    "--allowed-network",
    "allowed_networks",
    multiple=True,
    callback=_each(parse_network),
    help="Network that hosts may lead to besides public addresses, such as 10.96.0.0/12; repeatable. Not "
    "needed for private addresses of hosts that --allowed-address names in full.",
)
@_option(
    "--default-address",
    default=DEFAULT_ALLOWED[0],
    help="Infisical's address for subscriptions that name none.",
)
@_option(
    "--http-address",
    default="127.0.0.1:8080",
    callback=_each(checked_endpoint),
    help="host:port of /healthz, /readyz and /metrics; :port for all addresses.",
)
@_option(
    "--digest-key-secret",
    callback=_secret,
    help="Where the key of values' digests is kept for subscriptions with observe: Values, as "
    "namespace/name. Made when needed. Default: infisical-events-digest-key in the operator's namespace.",
)
@_option(
    "--max-restarts-per-minute",
    type=click.IntRange(0),
    default=120,
    help="Workloads restarted within a minute, over all subscriptions; more wait. 0: no bound.",
)
@_option(
    "--max-concurrent-rollouts",
    type=click.IntRange(0),
    default=100,
    help="Workloads rolling out at the same time, over all subscriptions; more wait. 0: no bound.",
)
@_option(
    "--max-subscriptions-per-namespace",
    type=click.IntRange(0),
    default=1000,
    help="Subscriptions of one namespace that are served at a time; more wait. 0: no bound.",
)
@_option(
    "--shards",
    type=click.IntRange(1, 64),
    default=1,
    help="Parts that subscriptions are divided into, for so many replicas at work; more stand by. "
    "The same in all replicas.",
)
@_option(
    "--lease-namespace",
    default=own_namespace,
    show_default="the operator's own namespace",
    callback=_each(checked_namespace),
    help="Where the Leases of shards and replicas are.",
)
@_option(
    "--lease-name",
    default="infisical-events",
    callback=_each(checked_name),
    help="What the Leases' names begin with: another one for each installation in a namespace.",
)
@_option(
    "--lease-duration",
    type=click.IntRange(3, 600),
    default=15,
    help="Seconds after which a replica that has died is replaced. A replica that cannot renew stops "
    "after two thirds of it.",
)
@_option(
    "--identity",
    default=lambda: some_identity(socket.gethostname(), secrets.token_hex(3)),
    show_default="the host's name and something random",
    callback=_each(checked_identity),
    help="Name of this replica, such as its pod's; no two have it at the same time. One that begins anew "
    "under it takes at once what it held before.",
)
@_option(
    "--log-format",
    type=click.Choice([f.value for f in logging_setup.LogFormat]),
    default="text",
    help="How log lines are written.",
)
@_option(
    "--log-level",
    type=click.Choice(_LEVELS, case_sensitive=False),
    default="info",
    help="The least level that is logged.",
)
@click.pass_context
def run(  # noqa: PLR0913 - one parameter per flag
    click_context: click.Context,
    *,
    kubeconfig: str | None,
    context: str | None,
    namespaces: tuple[str, ...],
    allowed_addresses: tuple[str, ...],
    allowed_networks: tuple[Network, ...],
    default_address: str,
    http_address: str,
    digest_key_secret: tuple[str, str],
    max_restarts_per_minute: int,
    max_concurrent_rollouts: int,
    max_subscriptions_per_namespace: int,
    shards: int,
    lease_namespace: str,
    lease_name: str,
    lease_duration: int,
    identity: str,
    log_format: str,
    log_level: str,
) -> None:
    """Run the operator until it is told to stop (SIGTERM, Ctrl-C)."""
    _checked_default(click_context, default_address, allowed_addresses)
    _check_trust()
    logging_setup.configure(logging_setup.LogFormat(log_format), log_level)
    settings = Settings(
        access=ClusterAccess(kubeconfig, context),
        namespaces=namespaces,
        default_address=default_address,
        allowed_addresses=allowed_addresses,
        allowed_networks=allowed_networks,
        http_address=http_address,
        digest_key_secret=digest_key_secret,
        max_restarts_per_minute=max_restarts_per_minute,
        max_concurrent_rollouts=max_concurrent_rollouts,
        max_subscriptions_per_namespace=max_subscriptions_per_namespace,
        shards=shards,
        lease_namespace=lease_namespace,
        lease_name=lease_name,
        lease_duration=lease_duration,
        identity=identity,
    )
    try:
        asyncio.run(bootstrap.run(settings))
    except (KubernetesError, BindError, WatchBehindError) as error:
        raise click.ClickException(str(error)) from None
    sys.exit(0)
