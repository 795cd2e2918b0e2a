"""Classification of IP addresses: users choose host names, and a host name may resolve to any address.

`infisical.guarded_transport` classifies the same address that it then connects to. So the operator sends no
request into the cluster, neither by a name that resolves there nor by one that changes between two lookups.
"""

from collections.abc import Callable, Iterable
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_GLOBAL_UNICAST = IPv6Network("2000::/3")
_SIX_TO_FOUR = IPv6Network("2002::/16")
_NAT64 = IPv6Network("64:ff9b::/96")
_THIS_NETWORK = IPv4Network("0.0.0.0/8")
"""RFC 1122. Linux connects 0.0.0.0 to the host itself."""

_METADATA = frozenset(
    map(
        ip_address,
        (
            "169.254.169.254",  # nearly every cloud
            "100.100.100.200",  # Alibaba Cloud
            "168.63.129.16",  # Azure's platform, a public address
            "192.0.0.192",  # Oracle Cloud, formerly
            "fd00:ec2::254",  # AWS
            "fd20:ce::254",  # Google Cloud
        ),
    )
)
"""Services that give credentials of the machine to any client on it."""


class AddressKind(StrEnum):
    """The kind of an IP address, as a noun phrase for messages."""

    PUBLIC = "a public address"
    PRIVATE = "a private address"
    LOOPBACK = "a loopback address"
    LINK_LOCAL = "a link-local address"
    UNSPECIFIED = "an unspecified address"
    MULTICAST = "a multicast address"
    METADATA = "a metadata service of the cloud"

    @property
    def is_internal(self) -> bool:
        """Whether an Infisical may have such an address; so may other services of the cluster or host."""
        return self in {AddressKind.PRIVATE, AddressKind.LOOPBACK}


def kind_of(address: Address) -> AddressKind:
    """The kind of an address; IPv4-mapped, NAT64 and 6to4 addresses count as the embedded IPv4 address."""
    plain = _plain(address)
    return next((kind for kind, is_one in _TESTS if is_one(plain)), AddressKind.PUBLIC)


def lies_in(address: Address, networks: Iterable[Network]) -> bool:
    """Whether the address, or the IPv4 address embedded in it, is in one of these networks."""
    return any(each in network for each in (address, _plain(address)) for network in networks)


def parse_network(text: str) -> Network:
    """Parse a network such as `10.96.0.0/12`, or one address; raises ValueError."""
    try:
        return ip_network(text)
    except ValueError:
        raise ValueError(f"{text!r} is no network: write 10.96.0.0/12, fd00::/8 or one IP address") from None


def _plain(address: Address) -> Address:
    """The IPv4 address that is embedded in an IPv6 address, or else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or (address.sixtofour if address in _SIX_TO_FOUR else None) or address


def _is_unspecified(address: Address) -> bool:
    return address.is_unspecified or address in _THIS_NETWORK


def _is_private(address: Address) -> bool:
    is_elsewhere = isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST
    return is_elsewhere or not address.is_global


_TESTS: Final[tuple[tuple[AddressKind, Callable[[Address], bool]], ...]] = (
    (AddressKind.METADATA, lambda address: address in _METADATA),
    (AddressKind.LINK_LOCAL, lambda address: address.is_link_local),
    (AddressKind.UNSPECIFIED, _is_unspecified),
    (AddressKind.MULTICAST, lambda address: address.is_multicast),
    (AddressKind.LOOPBACK, lambda address: address.is_loopback),
    (AddressKind.PRIVATE, _is_private),
)
"""In order of precedence: the first test that is true counts."""
