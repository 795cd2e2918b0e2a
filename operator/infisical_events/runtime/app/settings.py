"""The settings of the operator, read once by the command line and passed as a value.

Each `checked_` function returns a valid setting or raises ValueError with the expected form.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv6Address

from infisical_events.core.egress.address_allowlist import DEFAULT_ALLOWED, EgressPolicy, origin_of
from infisical_events.core.egress.network_policy import Network
from infisical_events.kube.kubeconfig import ClusterAccess

_MAX_PORT = 65_535
_MAX_IDENTITY_LENGTH = 170
"""Characters; the rest of the 253 characters of a Lease name is for its prefix of up to 63 characters."""
_MAX_HOST_LENGTH = 63
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
_NAME = re.compile(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?", re.ASCII)
_PATTERN = re.compile(r"https?://[^\s/@]+", re.ASCII | re.IGNORECASE)
_ENDPOINT = re.compile(r"(?P<host>[^\s\[\]:/@]*|\[(?P<v6>[^\s\[\]]+)\]):(?P<port>[0-9]{1,5})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of `infisical-events run`.

    An empty `namespaces` means all. `http_address` is `host:port` of health, readiness and metrics.
    `digest_key_secret` is the namespace and name of the Secret with the key of the value digests. A bound
    of 0 is no bound. Subscriptions are divided into `shards`, whose Leases are in `lease_namespace` and
    have names with the prefix `lease_name`. `lease_duration` is in seconds. `identity` is the name of this
    replica.
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
        """The addresses and networks to which subscriptions may send credentials."""
        return EgressPolicy(self.allowed_addresses, self.allowed_networks)

    @property
    def http_endpoint(self) -> tuple[str, int]:
        """Host and port; an empty host means all addresses; raises ValueError."""
        return endpoint_of(self.http_address)


def endpoint_of(address: str) -> tuple[str, int]:
    """Host and port of `host:port`, `[ipv6]:port` or `:port`; raises ValueError."""
    found = _ENDPOINT.fullmatch(address)
    if found is None or int(found["port"]) > _MAX_PORT:
        raise ValueError("use host:port, [IPv6 address]:port, or :port for all addresses")
    if found["v6"] is None:
        return found["host"], int(found["port"])
    return str(IPv6Address(found["v6"])), int(found["port"])


def checked_endpoint(address: str) -> str:
    """An address to listen on; raises ValueError."""
    endpoint_of(address)
    return address


def checked_namespace(name: str) -> str:
    """The name of a namespace, no glob: kopf accepts globs, the API server does not; raises ValueError."""
    if not _LABEL.fullmatch(name):
        raise ValueError(f"{name!r} is not a namespace name: use lower-case letters, digits and '-'")
    return name


def checked_secret(text: str) -> tuple[str, str]:
    """The namespace and name of a Secret, written as `namespace/name`; raises ValueError."""
    namespace, slash, name = text.partition("/")
    if not (slash and _LABEL.fullmatch(namespace) and _NAME.fullmatch(name)):
        raise ValueError(f"{text!r} is not the name of a Secret: use namespace/name")
    return namespace, name


def checked_pattern(pattern: str) -> str:
    """A pattern that can match an origin; raises ValueError."""
    if not _PATTERN.fullmatch(pattern):
        raise ValueError(
            f"{pattern!r} matches no address: use https://host[:port] or http://host[:port], without a path"
        )
    return pattern


def checked_default(address: str, allowed_addresses: tuple[str, ...]) -> str:
    """An address that the patterns allow; raises ValueError."""
    if not EgressPolicy(allowed_addresses).admits(origin_of(address)):
        raise ValueError(f"{address} is not an allowed address: add it to --allowed-address")
    return address


def checked_name(name: str) -> str:
    """A prefix of Lease names that is also a valid label value; raises ValueError."""
    if not _LABEL.fullmatch(name):
        raise ValueError(f"{name!r} is not a valid name: use at most 63 lower-case letters, digits and '-'")
    return name


def checked_identity(name: str) -> str:
    """The identity of a replica, a suffix of Lease names; raises ValueError."""
    if len(name) > _MAX_IDENTITY_LENGTH or not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is not a valid name: use at most {_MAX_IDENTITY_LENGTH} lower-case letters, digits, "
            "'-' and '.'"
        )
    return name


def default_identity(hostname: str, suffix: str) -> str:
    """The identity of a replica without `--identity`; `suffix` distinguishes replicas on the same host."""
    host = re.sub(r"[^a-z0-9]+", "-", hostname.lower()).strip("-")[:_MAX_HOST_LENGTH].strip("-")
    return f"{host or 'replica'}-{suffix}"
