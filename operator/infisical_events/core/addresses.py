"""Where a token may go: the operator's allow-list against the address that a user wrote."""

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from ipaddress import IPv6Address

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

_DEFAULT_PORTS = {"http": 80, "https": 443}
_HIGHEST_PORT = 65535


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
        return host
    try:
        return f"[{IPv6Address(host.strip('[]')).compressed}]"
    except ValueError:
        raise ValueError("the address names no valid IPv6 address between its brackets") from None


def is_allowed(origin: str, patterns: Iterable[str]) -> bool:
    """Whether some pattern (`*` and `?` as in file names) matches the whole origin.

    The scheme is matched literally: plain http only where a pattern says so. Brackets are those of an
    IPv6 address.
    """
    scheme = origin.partition("://")[0]
    return any(
        pattern.partition("://")[0] == scheme and fnmatchcase(origin, pattern.replace("[", "[[]"))
        for pattern in map(str.lower, patterns)
    )
