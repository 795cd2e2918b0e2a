"""The annotations on workloads."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_events.api.annotations import revision_key
from infisical_events.core.workloads.workloads import listed, switch_of

KEY = re.compile(r"events\.infisical\.com/(?=.{1,63}\Z)[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
"""What Kubernetes accepts as the key of an annotation: at most 63 characters behind the slash."""

labels = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)
names = st.lists(labels, min_size=1, max_size=6).map(".".join).filter(lambda name: len(name) <= 253)


def test_a_short_name_is_written_as_it_is() -> None:
    """The key says of which subscription it is the receipt."""
    assert revision_key("payments") == "events.infisical.com/revision-payments"
    assert revision_key("a" * 54) == f"events.infisical.com/revision-{'a' * 54}"


def test_a_long_name_is_cut() -> None:
    """It is closed with a digest of the whole name; no dash or dot is left before that."""
    assert revision_key("a" * 55) == f"events.infisical.com/revision-{'a' * 45}-9f4390f8"
    assert ".-" not in revision_key("a" * 44 + "." + "b" * 60)
    assert "--" not in revision_key("a" * 44 + "-" + "b" * 60)


@given(names)
def test_every_subscription_has_a_key(name: str) -> None:
    """Kubernetes accepts it, whatever the subscription is called."""
    assert KEY.fullmatch(revision_key(name))


@given(names, names)
def test_two_subscriptions_have_two_keys(one: str, other: str) -> None:
    """Long names that begin alike stay apart."""
    long_one, long_other = "x" * 60 + one, "x" * 60 + other

    assert (revision_key(one) == revision_key(other)) == (one == other)
    assert (revision_key(long_one) == revision_key(long_other)) == (one == other)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("true", True), ("True", True), ("1", True), (" oN ", True), ("no", False), ("", None), ("truth", None)],
)
def test_a_boolean_as_users_of_yaml_write_it(value: str, expected: bool | None) -> None:  # noqa: FBT001 - a table
    """In any case, with blanks around it; everything else is no boolean."""
    assert switch_of({"key": value}, "key") is expected
    assert switch_of({"another": value}, "key") is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [("", ()), (" , ,", ()), ("a", ("a",)), (" a ,b,, c d ", ("a", "b", "c d")), ("a\n,b", ("a", "b"))],
)
def test_a_list_is_separated_by_commas(value: str, expected: tuple[str, ...]) -> None:
    """Blanks around the values and empty values are nothing; a missing annotation is an empty list."""
    assert listed({"key": value}, "key") == expected
    assert listed({}, "key") == ()
