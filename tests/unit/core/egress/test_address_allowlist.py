"""Where a token may go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_events.core.egress.address_allowlist import DEFAULT_ALLOWED, is_allowed, origin_of

hostile_texts = st.lists(
    st.sampled_from(["https://", "http://", "app.infisical.com", ".", ":", "@", "/", "\\", "#", "?", "443"])
    | st.text(max_size=3),
    max_size=6,
).map("".join)


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        ("https://app.infisical.com", "https://app.infisical.com"),
        ("https://app.infisical.com/", "https://app.infisical.com"),
        ("https://app.infisical.com:443//", "https://app.infisical.com"),
        ("HTTPS://App.Infisical.COM:0443", "https://app.infisical.com"),
        ("http://infisical.infisical.svc:80", "http://infisical.infisical.svc"),
        ("http://infisical:8080", "http://infisical:8080"),
        ("https://10.0.0.1:8443", "https://10.0.0.1:8443"),
        ("http://localhost:443", "http://localhost:443"),
        ("https://[::1]:8080", "https://[::1]:8080"),
        ("https://[0:0:0:0:0:0:0:1]", "https://[::1]"),
        ("https://[2001:DB8::]:443", "https://[2001:db8::]"),
        ("https://" + "a" * 63 + ".example:65535", "https://" + "a" * 63 + ".example:65535"),
    ],
)
def test_an_origin_has_one_spelling(address: str, origin: str) -> None:
    """Lower case, no slash behind, no port that the scheme has anyway."""
    assert origin_of(address) == origin


@pytest.mark.parametrize(
    "address",
    [
        "",
        "https://",
        "https:///",
        "https://:443",
        "app.infisical.com",
        "//app.infisical.com",
        "ftp://app.infisical.com",
        "javascript://app.infisical.com",
        "https:app.infisical.com",
        "https:\\\\app.infisical.com",
        "https://app.infisical.com@evil.example",
        "https://app.infisical.com:443@evil.example",
        "https://user:password@app.infisical.com",
        "https://@app.infisical.com",
        "https://evil.example\\@app.infisical.com",
        "https://evil.example#@app.infisical.com",
        "https://app.infisical.com/api",
        "https://app.infisical.com?",
        "https://app.infisical.com?a=b",
        "https://app.infisical.com#",
        "https://app.infisical.com/../",
        "https://app.infisical.com.",
        "https://.infisical.com",
        "https://app..infisical.com",
        "https://-app.infisical.com",
        "https://app-.infisical.com",
        "https://app_1.infisical.com",
        "https://app.infisical.com:",
        "https://app.infisical.com:0",
        "https://app.infisical.com:65536",
        "https://app.infisical.com:443443",
        "https://app.infisical.com:-1",
        "https://app.infisical.com:44\u0663",  # an Arabic digit
        "https://app.infisical.com:443\n",
        "https://app.infis\tical.com",
        " https://app.infisical.com",
        "https://app.infisical.com\x00",
        "https://app.infisical.com%2eevil.example",
        "https://\u0430pp.infisical.com",  # a Cyrillic letter
        "https://app.infisical\u3002com",  # an ideographic full stop
        "https://app.inf\u0131sical.com",  # a letter whose upper case is I
        "https://\u212aube.example",  # a sign whose lower case is k
        "https://app.infisical.com\uff0fevil",  # a full-width slash
        "https://" + "a" * 64 + ".example",
        "https://[::1",
        "https://[]",
        "https://[1]",
        "https://[::1%25eth0]",
        "https://[::1].evil.example",
        "https://[v1.a]",
    ],
)
def test_what_is_no_origin_is_refused(address: str) -> None:
    """No user, path, query, blank, lookalike or half of an address; the sentence says so."""
    with pytest.raises(ValueError, match=r"^the (port of the )?address (must be|has) "):
        origin_of(address)


@given(hostile_texts)
def test_an_origin_is_plain(address: str) -> None:
    """Whatever is accepted is scheme, host and port in ASCII, and is its own origin."""
    try:
        origin = origin_of(address)
    except ValueError:
        return

    assert origin_of(origin) == origin
    assert origin.isascii()
    assert origin.startswith(("https://", "http://"))
    assert not set(origin.partition("://")[2]) & set("@/\\?# \t\n%")


@pytest.mark.parametrize("origin", DEFAULT_ALLOWED)
def test_the_cloud_is_allowed(origin: str) -> None:
    """Without a setting tokens go to Infisical's own hosts."""
    assert is_allowed(origin_of(origin), DEFAULT_ALLOWED)


@pytest.mark.parametrize(
    "address",
    [
        "http://app.infisical.com",
        "https://app.infisical.com:8443",
        "https://app.infisical.com.evil.example",
        "https://evil-app.infisical.com",
        "https://infisical.com",
        "https://appxinfisical.com",
        "http://169.254.169.254",
        "https://169.254.169.254",
        "http://[fd00:ec2::254]",
        "http://localhost",
        "https://kubernetes.default.svc",
    ],
)
def test_nothing_else_is_allowed(address: str) -> None:
    """Neither plain text, nor another port, nor a name that looks alike, nor the insides of a cloud."""
    assert not is_allowed(origin_of(address), DEFAULT_ALLOWED)


@pytest.mark.parametrize(
    ("pattern", "allowed", "others"),
    [
        ("https://*.example.com", "https://a.example.com https://a.b.example.com", "https://example.com"),
        ("https://*.example.com", "", "http://a.example.com https://a.example.com:8443 https://xexample.com"),
        ("https://infisical.?.example", "https://infisical.a.example", "https://infisical.ab.example"),
        ("https://Infisical.Example", "https://infisical.example", "https://infisical.example:8443"),
        (
            "http://infisical.*:8080",
            "http://infisical.svc:8080",
            "http://infisical.svc https://infisical.svc:8080",
        ),
        ("https://[::1]:8080", "https://[::1]:8080", "https://[::1] https://[::2]:8080"),
        ("https://*", "https://anything https://[::1]:1", "http://anything"),
        ("*", "", "https://anything http://anything"),
        ("*://infisical.example", "", "https://infisical.example"),
        ("", "", "https://anything"),
        ("https://[a-z].example", "", "https://a.example"),
    ],
)
def test_a_pattern_allows_an_origin(pattern: str, allowed: str, others: str) -> None:
    """`*` and `?` stand for characters, anything else for itself; the scheme is never guessed."""
    assert [
        origin for origin in (allowed + " " + others).split() if is_allowed(origin, [pattern])
    ] == allowed.split()


def test_no_pattern_allows_nothing() -> None:
    """An empty list of patterns sends no token anywhere; one of several patterns suffices."""
    assert not is_allowed("https://app.infisical.com", ())
    assert is_allowed("https://b.example", ["https://a.example", "https://b.example"])
