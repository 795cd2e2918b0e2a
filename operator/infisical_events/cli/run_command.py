"""`infisical-events run`: the operator. The only reader of the variables INFISICAL_EVENTS_*."""

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
from infisical_events.infisical.transport.tls import TrustError, check_trust
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
    default_identity,
)
from infisical_events.runtime.sharding.supervisor import WatchBehindError

_PREFIX = "INFISICAL_EVENTS"
DIGEST_KEY_SECRET = "infisical-events-digest-key"  # noqa: S105 - a name
_LEVELS = ("debug", "info", "warning", "error")


def _option(name: str, *parameter: str, **attributes: Any) -> Callable[[Any], Any]:  # noqa: ANN401 - click's own
    """An option with the variable INFISICAL_EVENTS_<NAME>, in which blanks separate several values."""
    variable = f"{_PREFIX}_{name.removeprefix('--').replace('-', '_').upper()}"
    return click.option(
        name, *parameter, envvar=variable, show_envvar=True, **{"show_default": True, **attributes}
    )


def _validated(check: Callable[[str], object]) -> Callable[[Any, Any, Any], Any]:
    """A callback of click that reports a ValueError of the check as a usage error of the option."""

    def checked(_: click.Context, __: click.Parameter, given: Any) -> Any:  # noqa: ANN401 - click's own
        try:
            return tuple(map(check, given)) if isinstance(given, tuple) else check(given)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return checked


def _digest_key_secret(_: click.Context, __: click.Parameter, given: str | None) -> tuple[str, str]:
    """The Secret of the option, or the default Secret in the namespace of the operator."""
    try:
        return checked_secret(given or f"{own_namespace()}/{DIGEST_KEY_SECRET}")
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _checked_default(context: click.Context, address: str, allowed_addresses: tuple[str, ...]) -> None:
    """Check a given address; the built-in default need not be allowed: subscriptions may set their own."""
    if context.get_parameter_source("default_address") is ParameterSource.DEFAULT:
        return
    try:
        checked_default(address, allowed_addresses)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--default-address") from None


def _check_trust() -> None:
    """Report an invalid SSL_CERT_FILE or SSL_CERT_DIR, which httpx reads, as a usage error."""
    try:
        check_trust(os.environ.get("SSL_CERT_FILE", ""), os.environ.get("SSL_CERT_DIR", ""))
    except TrustError as error:
        raise click.UsageError(str(error)) from None


@click.command()
@_option(
    "--kubeconfig",
    type=click.Path(dir_okay=False),
    help="Kubeconfig file. Default: in-cluster configuration, else $KUBECONFIG or ~/.kube/config.",
)
@_option("--context", help="Context of the kubeconfig. Default: its current context.")
@_option(
    "--namespace",
    "namespaces",
    multiple=True,
    callback=_validated(checked_namespace),
    help="Namespace to watch; repeatable. Default: all namespaces.",
)
@_option(
    "--allowed-address",
    "allowed_addresses",
    multiple=True,
    default=DEFAULT_ALLOWED,
    callback=_validated(checked_pattern),
    help="Address to which credentials may be sent, as a glob on scheme://host[:port]; repeatable. Plain "
    "http requires a pattern with http://.",
)
@_option(
    "--allowed-network",
    "allowed_networks",
    multiple=True,
    callback=_validated(parse_network),
    help="Network to which hosts may resolve in addition to public addresses, such as 10.96.0.0/12; "
    "repeatable. Not required for a host that --allowed-address names without a glob.",
)
@_option(
    "--default-address",
    default=DEFAULT_ALLOWED[0],
    help="Address of Infisical for subscriptions without spec.address.",
)
@_option(
    "--http-address",
    default="127.0.0.1:8080",
    callback=_validated(checked_endpoint),
    help="Listen address (host:port) of /healthz, /readyz and /metrics; :port listens on all addresses.",
)
@_option(
    "--digest-key-secret",
    callback=_digest_key_secret,
    help="Secret (namespace/name) with the key of the value digests and content fingerprints. The operator "
    "creates it on demand. Default: infisical-events-digest-key in the operator's namespace.",
)
@_option(
    "--max-restarts-per-minute",
    type=click.IntRange(0),
    default=120,
    help="Maximum number of restarts per minute, over all subscriptions; further restarts wait. 0: no limit.",
)
@_option(
    "--max-concurrent-rollouts",
    type=click.IntRange(0),
    default=100,
    help="Maximum number of concurrent rollouts, over all subscriptions; further restarts wait. 0: no limit.",
)
@_option(
    "--max-subscriptions-per-namespace",
    type=click.IntRange(0),
    default=1000,
    help="Maximum number of served subscriptions per namespace; further subscriptions wait. 0: no limit.",
)
@_option(
    "--shards",
    type=click.IntRange(1, 64),
    default=1,
    help="Number of shards, which is the maximum number of active replicas; further replicas stand by. "
    "Must be equal on all replicas.",
)
@_option(
    "--lease-namespace",
    default=own_namespace,
    show_default="the operator's own namespace",
    callback=_validated(checked_namespace),
    help="Namespace of the Leases of shards and replicas.",
)
@_option(
    "--lease-name",
    default="infisical-events",
    callback=_validated(checked_name),
    help="Name prefix of the Leases. Must be unique per installation in the Lease namespace.",
)
@_option(
    "--lease-duration",
    type=click.IntRange(3, 600),
    default=15,
    help="Lease duration in seconds, after which the shards of a dead replica are taken over. A replica that "
    "cannot renew its Leases stops after two thirds of it.",
)
@_option(
    "--identity",
    default=lambda: default_identity(socket.gethostname(), secrets.token_hex(3)),
    show_default="host name and a random suffix",
    callback=_validated(checked_identity),
    help="Unique replica identity, for example the pod name. A replica restarted with the same identity "
    "re-acquires its Leases immediately.",
)
@_option(
    "--log-format",
    type=click.Choice([f.value for f in logging_setup.LogFormat]),
    default="text",
    help="Format of log lines.",
)
@_option(
    "--log-level",
    type=click.Choice(_LEVELS, case_sensitive=False),
    default="info",
    help="Minimum level of log lines.",
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
    """Run the operator until SIGTERM or Ctrl-C."""
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
