"""The allow-list for addresses of specs: the origins and networks to which the operator sends tokens.

`runtime.subscription` checks it before it does anything for a spec, `infisical.guarded_transport` at each
connection.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, IPv6Address, ip_address

from infisical_events.core.egress.network_policy import Address, AddressKind, Network, kind_of, lies_in

DEFAULT_ALLOWED = (
    "https://app.infisical.com",
    "https://us.infisical.com",
    "https://eu.infisical.com",
)
"""The hosts of Infisical Cloud."""

_LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_ORIGIN = re.compile(
    rf"(?P<scheme>https?)://(?P<host>{_LABEL}(\.{_LABEL})*|\[[0-9a-f:.]+\])(:(?P<port>[0-9]{{1,5}}))?/*",
    re.ASCII | re.IGNORECASE,
)
"""An origin only: no user, no path, no query, and no character that imitates another one."""

_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
"""A last label that makes a host an IPv4 address in some notation, by the URL standard."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
_HIGHEST_PORT = 65535


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """What the administrator allows: origins by patterns, and networks in addition to public ones."""

    addresses: tuple[str, ...] = DEFAULT_ALLOWED
    networks: tuple[Network, ...] = ()

    def admits(self, origin: str) -> bool:
        """Whether tokens may be sent to this origin, provided that its IP addresses are allowed as well."""
        return is_allowed(origin, self.addresses)

    def denial_reason(self, origin: str, address: Address) -> str:
        """Why a connection to this IP address of the origin is denied, a noun phrase; empty if allowed.

        Public addresses and the administrator's networks are allowed. Internal addresses are allowed if a
        pattern has the full host name. Addresses that no Infisical can have, such as link-local ones, are
        allowed only as part of an allowed network.
        """
        kind = kind_of(address)
        if kind is AddressKind.PUBLIC or lies_in(address, self.networks):
            return ""
        if not kind.is_internal:
            return f"{kind}, which only the operator's --allowed-network can allow"
        if is_named_in_full(origin, self.addresses):
            return ""
        return (
            f"{kind}, which is allowed only if the operator's --allowed-address has the host without a "
            "wildcard, or --allowed-network its network"
        )


def origin_of(address: str) -> str:
    """`scheme://host[:port]` in canonical form: lower case, without the default port of the scheme.

    Raises:
        ValueError: the address is not an origin; the message says what to change.
    """
    found = _ORIGIN.fullmatch(address)
    if found is None:
        raise ValueError("the address must be https://host or https://host:port, without a path")
    scheme, host = found["scheme"].lower(), _host(found["host"].lower())
    port = int(found["port"] or _DEFAULT_PORTS[scheme])
    if not 0 < port <= _HIGHEST_PORT:
        raise ValueError(f"the port of the address must be a number from 1 to {_HIGHEST_PORT}")
    return f"{scheme}://{host}" if port == _DEFAULT_PORTS[scheme] else f"{scheme}://{host}:{port}"


def _host(host: str) -> str:
    if not host.startswith("["):
        return _name_or_ipv4(host)
    try:
        return f"[{IPv6Address(host.strip('[]')).compressed}]"
    except ValueError:
        raise ValueError("the address has no valid IPv6 address between its brackets") from None


def _name_or_ipv4(host: str) -> str:
    """Reject 2130706433, 0177.1 and 0x7f.1: resolvers accept them as addresses, readers do not see that."""
    if not _NUMBER.fullmatch(host.rpartition(".")[2]):
        return host
    try:
        return str(IPv4Address(host))
    except ValueError:
        raise ValueError("an IPv4 address must be four decimal numbers without leading zeros") from None


def ip_of(origin: str) -> Address | None:
    """The IP address in an origin of `origin_of`; None if the origin has a host name."""
    host = _host_part(origin).strip("[]")
    try:
        return ip_address(host)
    except ValueError:
        return None


def _host_part(origin: str) -> str:
    """The host of an origin or of a pattern, with the brackets of IPv6."""
    return re.sub(r":[^\]:]*$", "", origin.partition("://")[2])


def is_allowed(origin: str, patterns: Iterable[str]) -> bool:
    """Whether some pattern (`*` and `?` as in file names) matches the whole origin.

    The scheme is matched literally: a pattern has to allow plain http explicitly. Brackets are those of an
    IPv6 address.
    """
    return any(_matches(pattern, origin) for pattern in map(str.lower, patterns))


def is_named_in_full(origin: str, patterns: Iterable[str]) -> bool:
    """Whether a matching pattern has no wildcard in its host, so that the administrator chose this host.

    With `https://*.example.com`, the owner of the domain decides which addresses its names resolve to.
    """
    candidates = (pattern for pattern in map(str.lower, patterns) if not set(_host_part(pattern)) & set("*?"))
    return any(_matches(pattern, origin) for pattern in candidates)


def _matches(pattern: str, origin: str) -> bool:
    scheme = origin.partition("://")[0]
    return pattern.partition("://")[0] == scheme and fnmatchcase(origin, pattern.replace("[", "[[]"))
