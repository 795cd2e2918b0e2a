"""Where connections may lead, whatever a host is called."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_events.core.egress.address_allowlist import EgressPolicy, ip_of, is_named_in_full, origin_of
from infisical_events.core.egress.network_policy import AddressKind, kind_of, lies_in, parse_network

NAMED = EgressPolicy(("https://infisical.example",))
ANYBODY = EgressPolicy(("https://*.example",))
ORIGIN = "https://infisical.example"


@pytest.mark.parametrize(
    ("kind", "addresses"),
    [
        (AddressKind.PUBLIC, "1.1.1.1 2606:4700::1111 ::ffff:1.1.1.1 64:ff9b::1.1.1.1 2002:101:101::1"),
        (
            AddressKind.PRIVATE,
            "10.0.0.1 172.16.0.1 192.168.0.1 100.64.0.1 198.18.0.1 240.0.0.1 255.255.255.255",
        ),
        (AddressKind.PRIVATE, "fc00::1 fd12::1 fec0::1 100::1 2001:db8::1 ::ffff:10.0.0.1 64:ff9b::10.0.0.1"),
        (AddressKind.PRIVATE, "64:ff9b:1::1 ::7f00:1 2002:a00:1::1"),
        (
            AddressKind.LOOPBACK,
            "127.0.0.1 127.255.255.254 ::1 ::ffff:127.0.0.1 64:ff9b::7f00:1 2002:7f00:1::1",
        ),
        (AddressKind.LINK_LOCAL, "169.254.0.1 169.254.170.2 fe80::1 fe80::1%eth0 ::ffff:169.254.1.1"),
        (AddressKind.METADATA, "169.254.169.254 ::ffff:169.254.169.254 64:ff9b::a9fe:a9fe 2002:a9fe:a9fe::"),
        (AddressKind.METADATA, "100.100.100.200 168.63.129.16 192.0.0.192 fd00:ec2::254 fd20:ce::254"),
        (AddressKind.UNSPECIFIED, "0.0.0.0 0.1.2.3 :: ::ffff:0.0.0.0"),
        (AddressKind.MULTICAST, "224.0.0.1 239.255.255.255 ff02::1 ::ffff:224.0.0.1"),
    ],
)
def test_an_address_is_what_it_leads_to(kind: AddressKind, addresses: str) -> None:
    """Also where it is an IPv4 address in the dress of an IPv6 one."""
    assert {address: kind_of(ip_address(address)) for address in addresses.split()} == dict.fromkeys(
        addresses.split(), kind
    )


@pytest.mark.parametrize(
    ("address", "admitting"),
    [
        ("1.1.1.1", [ANYBODY, NAMED]),
        ("10.96.0.12", [NAMED]),
        ("127.0.0.1", [NAMED]),
        ("fd12::1", [NAMED]),
        ("169.254.169.254", []),
        ("fe80::1", []),
        ("0.0.0.0", []),  # noqa: S104 - nothing is bound
        ("ff02::1", []),
    ],
)
def test_a_host_that_is_named_in_full_may_be_an_internal_one(
    address: str, admitting: list[EgressPolicy]
) -> None:
    """A wildcard lets the domain's owner choose hosts, and addresses of no Infisical are always denied."""
    told = {egress: egress.denial_reason(ORIGIN, ip_address(address)) for egress in (ANYBODY, NAMED)}

    assert [egress for egress, denial_reason in told.items() if not denial_reason] == admitting
    assert all("--allowed-network" in denial_reason for denial_reason in told.values() if denial_reason)


@pytest.mark.parametrize(
    ("network", "inside", "outside"),
    [
        ("10.96.0.0/12", "10.96.0.1 ::ffff:10.96.0.1", "10.0.0.1"),
        ("169.254.169.254", "169.254.169.254", "169.254.169.253"),
        ("fd00::/8", "fd12::1", "fe80::1"),
    ],
)
def test_a_network_of_the_administrators_is_allowed(network: str, inside: str, outside: str) -> None:
    """It opens that network for every name, and nothing beside it."""
    egress = EgressPolicy(ANYBODY.addresses, (parse_network(network),))

    assert not any(egress.denial_reason(ORIGIN, ip_address(address)) for address in inside.split())
    assert egress.denial_reason(ORIGIN, ip_address(outside))


@pytest.mark.parametrize("text", ["", "infisical", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/8 ", "10.0.0"])
def test_what_is_no_network_is_refused(text: str) -> None:
    """With how one is written."""
    with pytest.raises(ValueError, match=r"is no network: write 10\.96"):
        parse_network(text)


@given(st.ip_addresses(), st.ip_addresses())
def test_every_address_is_judged(address: object, other: object) -> None:
    """Whatever resolvers answer; a network of one address is that address alone."""
    one, two = ip_address(str(address)), ip_address(str(other))

    assert kind_of(one) in AddressKind
    assert lies_in(one, [parse_network(str(one))])
    assert one == two or not lies_in(two, [parse_network(str(one))]) or kind_of(two) == kind_of(one)


@pytest.mark.parametrize(
    ("pattern", "vouched", "others"),
    [
        ("https://infisical.example", "https://infisical.example", "http://infisical.example"),
        ("http://127.0.0.1:*", "http://127.0.0.1:8080", "http://127.0.0.2:8080"),
        ("http://[::1]:8080", "http://[::1]:8080", "http://[::2]:8080"),
        ("https://*", "", "https://infisical.example"),
        ("https://*.example", "", "https://infisical.example"),
        ("https://10.0.0.?", "", "https://10.0.0.1"),
        ("https://infisical*", "", "https://infisical.evil.example"),
    ],
)
def test_a_pattern_vouches_for_the_host_that_it_names(pattern: str, vouched: str, others: str) -> None:
    """A wildcard for the port is one for the port alone."""
    assert [
        origin for origin in f"{vouched} {others}".split() if is_named_in_full(origin, [pattern])
    ] == vouched.split()


@pytest.mark.parametrize(
    "address",
    [
        "https://2130706433",
        "https://0x7f000001",
        "https://0x7f.1",
        "https://017700000001",
        "https://0177.0.0.1",
        "https://127.1",
        "https://127.0.1",
        "https://127.0.0.1.2",
        "https://256.0.0.1",
        "https://127.0.0.01",
        "https://1.example.0x",
    ],
)
def test_an_ipv4_address_has_one_spelling(address: str) -> None:
    """Numbers that a resolver would take for an address are refused, for people read a name there."""
    with pytest.raises(ValueError, match="four decimal numbers"):
        origin_of(address)


def test_a_name_is_no_ip_address() -> None:
    """Of an origin it is known at once whether its host is one."""
    assert [
        ip_of(origin) for origin in ("https://a.example:1", "https://10.0.0.1:1", "http://[fd00::1]")
    ] == [
        None,
        ip_address("10.0.0.1"),
        ip_address("fd00::1"),
    ]
