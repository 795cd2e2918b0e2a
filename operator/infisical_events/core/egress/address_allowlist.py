"""Where a token may go: the operator's allow-list against the address that a user wrote.

`following` asks before anything is done for a spec, and `infisical.reaching` at each connection.
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
"""An origin and nothing else: no user, no path, no query, no character that looks like another one."""

_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
"""A last label by which a host counts as an IPv4 address in some spelling, as the URL standard has it."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
_HIGHEST_PORT = 65535


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """What the administrator allows: origins by patterns, and networks besides the public ones."""

    addresses: tuple[str, ...] = DEFAULT_ALLOWED
    networks: tuple[Network, ...] = ()

    def admits(self, origin: str) -> bool:
        """Whether tokens may go to this origin, if it leads to where connections may go."""
        return is_allowed(origin, self.addresses)

    def denial_reason(self, origin: str, address: Address) -> str:
        """What speaks against a connection to this IP address of the origin; empty if nothing does.

        To public addresses tokens may go, and to the administrator's own networks. Internal ones may be
        connected to if the administrator vouches for the host by its name. For what no Infisical ever has,
        such as a link-local address, no name is good enough.
        """
        kind = kind_of(address)
        if kind is AddressKind.PUBLIC or lies_in(address, self.networks):
            return ""
        if not kind.is_internal:
            return f"{kind}, which only --allowed-network of the operator allows"
        if is_named_in_full(origin, self.addresses):
            return ""
        return (
            f"{kind}, which the operator allows if --allowed-address names the host in full, or "
            "--allowed-network its network"
        )


def origin_of(address: str) -> str:
    """`scheme://host[:port]` in one spelling: lower case, without the scheme's own port.

    Raises:
        ValueError: the address is more or less than an origin; a sentence says what to change.
    """
    found = _ORIGIN.fullmatch(address)
    if found is None:
        raise ValueError("the address is written as https://host or https://host:port, nothing behind it")
    scheme, host = found["scheme"].lower(), _host(found["host"].lower())
    port = int(found["port"] or _DEFAULT_PORTS[scheme])
    if not 0 < port <= _HIGHEST_PORT:
        raise ValueError(f"the port of the address is a number from 1 to {_HIGHEST_PORT}")
    return f"{scheme}://{host}" if port == _DEFAULT_PORTS[scheme] else f"{scheme}://{host}:{port}"


def _host(host: str) -> str:
    if not host.startswith("["):
        return _name_or_ipv4(host)
    try:
        return f"[{IPv6Address(host.strip('[]')).compressed}]"
    except ValueError:
        raise ValueError("the address names no valid IPv6 address between its brackets") from None


def _name_or_ipv4(host: str) -> str:
    """Resolvers read 2130706433, 0177.1 and 0x7f.1 as addresses, and so would nobody who reads a spec."""
    if not _NUMBER.fullmatch(host.rpartition(".")[2]):
        return host
    try:
        return str(IPv4Address(host))
    except ValueError:
        raise ValueError("an IPv4 address is written as four decimal numbers, without zeros ahead") from None


def ip_of(origin: str) -> Address | None:
    """The IP address that an origin of `origin_of` has in place of a name."""
    host = _host_part(origin).strip("[]")
    try:
        return ip_address(host)
    except ValueError:
        return None


def _host_part(origin: str) -> str:
    """The host of an origin or of a pattern of such, with the brackets of IPv6."""
    return re.sub(r":[^\]:]*$", "", origin.partition("://")[2])


def is_allowed(origin: str, patterns: Iterable[str]) -> bool:
    """Whether some pattern (`*` and `?` as in file names) matches the whole origin.

    The scheme is matched literally: plain http only where a pattern says so. Brackets are those of an
    IPv6 address.
    """
    return any(_matches(pattern, origin) for pattern in map(str.lower, patterns))


def is_named_in_full(origin: str, patterns: Iterable[str]) -> bool:
    """Whether some pattern that matches has no wildcard in its host: the administrator means this very host.

    Of `https://*.example.com` it is the owner of the domain who decides where its names lead.
    """
    vouching = (pattern for pattern in map(str.lower, patterns) if not set(_host_part(pattern)) & set("*?"))
    return any(_matches(pattern, origin) for pattern in vouching)


def _matches(pattern: str, origin: str) -> bool:
    scheme = origin.partition("://")[0]
    return pattern.partition("://")[0] == scheme and fnmatchcase(origin, pattern.replace("[", "[[]"))
