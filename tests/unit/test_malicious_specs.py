"""What an attacker writes is refused before anything is done for it, in a sentence that hurts nobody."""

import time

import pytest

from infisical_events.api.specs import Spec, parse_spec
from infisical_events.core.egress.address_allowlist import EgressPolicy, ip_of, origin_of
from infisical_events.core.snapshots.selectors import selectors_of
from infisical_events.core.status.text import MAX_MESSAGE_LENGTH, escaped
from infisical_events.core.sync.managed_secret_content import check_secrets
from support.malicious_specs import ATTACKS, BIDI, CRLF, NUL, Attack, End

GENEROUS = EgressPolicy(("https://*",))
"""The administrator who makes it hardest: any host, as long as it speaks TLS."""


def understood(attack: Attack) -> Spec:
    """The spec, as `following` understands it; raises ValueError."""
    spec = parse_spec(attack.spec)
    selectors_of(spec)
    check_secrets(spec)
    origin_of(spec.address or "https://app.infisical.com")
    return spec


def test_there_are_enough() -> None:
    """Every way into a spec is tried, and none twice."""
    assert len(ATTACKS) >= 60
    assert len({(attack.field, repr(attack.value)) for attack in ATTACKS}) == len(ATTACKS)


@pytest.mark.parametrize(
    "attack", [a for a in ATTACKS if a.end in {End.SCHEMA, End.PRUNED, End.MODELS}], ids=str
)
def test_it_is_refused(attack: Attack) -> None:
    """Quickly, and with a sentence that carries nothing of what was written on to a terminal."""
    begun = time.process_time()
    with pytest.raises(ValueError, match=r"\w") as refusal:
        understood(attack)
    told = escaped(str(refusal.value))

    assert time.process_time() - begun < 1.0
    assert told.isprintable()
    assert len(str(refusal.value)) < MAX_MESSAGE_LENGTH
    assert not {BIDI, NUL, *CRLF, "\x1b"} & set(str(refusal.value))


@pytest.mark.parametrize("attack", [a for a in ATTACKS if a.end is End.ADDRESS], ids=str)
def test_nothing_is_sent_there(attack: Attack) -> None:
    """An IP address in the place of a name is judged before anything is done, behind a proxy as well."""
    origin = origin_of(str(understood(attack).address))
    address = ip_of(origin)

    assert not GENEROUS.admits(origin) or (address and GENEROUS.denial_reason(origin, address))


@pytest.mark.parametrize("attack", [a for a in ATTACKS if a.end in {End.NETWORK, End.HARMLESS}], ids=str)
def test_the_rest_is_understood(attack: Attack) -> None:
    """It is quick to understand and to apply; that it hurts nobody is for the whole operator to show."""
    begun = time.process_time()
    selectors = selectors_of(understood(attack))
    for selector in selectors:
        assert selector.path is not None
        selector.path.matches("/" + "a" * 500)
        selector.keys.matches("a" * 500)

    assert time.process_time() - begun < 1.0
