"""The operator's settings, read once by the command line and passed as a value.

Each `checked_` function tells in a ValueError's sentence how the setting is written.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv6Address

from infisical_events.core.egress.address_allowlist import DEFAULT_ALLOWED, EgressPolicy, origin_of
from infisical_events.core.egress.network_policy import Network
from infisical_events.kube.kubeconfig import ClusterAccess

_HIGHEST_PORT = 65_535
_LONGEST_IDENTITY = 170
"""Of the 253 characters of a Lease's name, 63 and some are for its begin."""
_LONGEST_HOST = 63
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
_NAME = re.compile(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?", re.ASCII)
_PATTERN = re.compile(r"https?://[^\s/@]+", re.ASCII | re.IGNORECASE)
_ENDPOINT = re.compile(r"(?P<host>[^\s\[\]:/@]*|\[(?P<v6>[^\s\[\]]+)\]):(?P<port>[0-9]{1,5})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Settings:
    """What `infisical-events run` was told.

    No namespaces means all of them; `http_address` is `host:port` of health, readiness and metrics;
    `digest_key_secret` is the namespace and name of the Secret with the key of the values' digests. Of
    the bounds 0 is none. Subscriptions are divided into `shards`, whose Leases are in `lease_namespace`
    and have names that begin with `lease_name`; `lease_duration` is in seconds; `identity` is the name of
    this replica.
    """

    access: ClusterAccess
    namespaces: tuple[str, ...] = ()
    default_address: str = DEFAULT_ALLOWED[0]
    allowed_addresses: tuple[str, ...] = DEFAULT_ALLOWED
    allowed_networks: tuple[Network, ...] = ()
    http_address: str = "127.0.0.1:8080"
    digest_key_secret: tuple[str, str] = ("default", "infisical-events-digest-key")
    max_restarts_per_minute: int = 120
    max_concurrent_rollouts: int = 100
    max_subscriptions_per_namespace: int = 1000
    shards: int = 1
    lease_namespace: str = "default"
    lease_name: str = "infisical-events"
    lease_duration: int = 15
    identity: str = "replica"

    @property
    def egress(self) -> EgressPolicy:
        """Where subscriptions may have tokens sent."""
        return EgressPolicy(self.allowed_addresses, self.allowed_networks)

    @property
    def http_endpoint(self) -> tuple[str, int]:
        """Host and port; no host means all addresses; raises ValueError for anything but `host:port`."""
        return endpoint_of(self.http_address)


def endpoint_of(address: str) -> tuple[str, int]:
    """Host and port of `host:port`, `[ipv6]:port` or `:port`; raises ValueError."""
    found = _ENDPOINT.fullmatch(address)
    if found is None or int(found["port"]) > _HIGHEST_PORT:
        raise ValueError("write host:port, [IPv6 address]:port or :port for all addresses")
    if found["v6"] is None:
        return found["host"], int(found["port"])
    return str(IPv6Address(found["v6"])), int(found["port"])


def checked_endpoint(address: str) -> str:
    """An address to serve at; raises ValueError."""
    endpoint_of(address)
    return address


def checked_namespace(name: str) -> str:
    """A namespace's name; a glob is one for kopf and none for the API server; raises ValueError."""
    if not _LABEL.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a namespace: lower-case letters, digits and dashes")
    return name


def checked_secret(text: str) -> tuple[str, str]:
    """The namespace and name of a Secret, written as `namespace/name`; raises ValueError."""
    namespace, slash, name = text.partition("/")
    if not (slash and _LABEL.fullmatch(namespace) and _NAME.fullmatch(name)):
        raise ValueError(f"{text!r} names no Secret: write namespace/name")
    return namespace, name


def checked_pattern(pattern: str) -> str:
    """A pattern of origins that can match one; raises ValueError."""
    if not _PATTERN.fullmatch(pattern):
        raise ValueError(f"{pattern!r} allows nothing: write https://host or http://host, nothing behind it")
    return pattern


def checked_default(address: str, allowed_addresses: tuple[str, ...]) -> str:
    """An address that subscriptions may be given; raises ValueError."""
    if not EgressPolicy(allowed_addresses).admits(origin_of(address)):
        raise ValueError(f"{address} is not among the allowed addresses (--allowed-address)")
    return address


def checked_name(name: str) -> str:
    """A part of a Lease's name, and a label's value; raises ValueError."""
    if not _LABEL.fullmatch(name):
        raise ValueError(f"{name!r} is no name: lower-case letters, digits and -, at most 63 characters")
    return name


def checked_identity(name: str) -> str:
    """The end of a Lease's name; raises ValueError."""
    if len(name) > _LONGEST_IDENTITY or not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is no name: lower-case letters, digits, -, ., at most {_LONGEST_IDENTITY} characters"
        )
    return name


def some_identity(hostname: str, token: str) -> str:
    """A name for a replica that was given none; `token` tells apart those of one host."""
    host = re.sub(r"[^a-z0-9]+", "-", hostname.lower()).strip("-")[:_LONGEST_HOST].strip("-")
    return f"{host or 'replica'}-{token}"
