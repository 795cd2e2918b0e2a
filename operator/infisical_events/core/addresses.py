"""Where a token may go: the operator's allow-list against the address that a user wrote."""

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

DEFAULT_ALLOWED = (
    "https://app.infisical.com",
    "https://us.infisical.com",
    "https://eu.infisical.com",
)
"""The hosts of Infisical Cloud."""

_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\]")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def origin_of(address: str) -> str:
    """`scheme://host[:port]` in one spelling: lower case, without the scheme's own port.

    Raises:
        ValueError: the address is more or less than an origin; a sentence says what to change.
    """
    parts = urlsplit(address.rstrip("/").lower())
    if parts.scheme not in _DEFAULT_PORTS or parts.path or parts.query or parts.fragment:
        raise ValueError("the address is written as https://host or https://host:port, nothing behind it")
    netloc = parts.netloc
    host, _, port = netloc.rpartition(":") if re.search(r":\d+$", netloc) else (netloc, "", "")
    if not _HOST.fullmatch(host):
        raise ValueError("the address names no valid host")
    is_plain = not port or int(port) == _DEFAULT_PORTS[parts.scheme]
    return f"{parts.scheme}://{host}" if is_plain else f"{parts.scheme}://{host}:{int(port)}"


def is_allowed(origin: str, patterns: Iterable[str]) -> bool:
    """Whether some pattern (`*` and `?` as in file names) matches the whole origin.

    The scheme is matched like the rest, and literally: plain http only where a pattern says so.
    """
    scheme = origin.partition("://")[0]
    return any(
        pattern.partition("://")[0] == scheme and fnmatchcase(origin, pattern)
        for pattern in map(str.lower, patterns)
    )
