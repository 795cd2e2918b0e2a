"""Regular expressions of other tools: they match as in Go, and in bounded time."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_events.core.paths.name_patterns import matches_anchored


@pytest.mark.parametrize(
    ("value", "name", "is_match"),
    [
        ("app-env", "app-env", True),
        ("app-env", "app-env2", False),
        ("app-env", "my-app-env", False),
        ("app-.*", "app-env", True),
        ("app-.*", "web-env", False),
        ("app-(env|tls)", "app-tls", True),
        ("app-(?:env|tls)", "app-key", False),
        ("app-[0-9]+", "app-17", True),
        ("app-[^0-9]", "app-x", True),
        (r"app-\d{2}", "app-17", True),
        (r"app-\d{2}", "app-1", False),
        (r"a\.b", "a.b", True),
        (r"a\.b", "a-b", False),
        ("a.b", "a-b", True),
        ("apps?", "app", True),
        ("^app$", "app", True),
        ("", "app", False),
    ],
)
def test_a_value_is_anchored_on_both_sides(value: str, name: str, is_match: bool) -> None:  # noqa: FBT001 - a row
    """The whole name has to match."""
    assert matches_anchored(value, name) is is_match


@pytest.mark.parametrize(
    ("name", "is_match"), [("app-1", True), ("my-tls", True), ("my-app", False), ("tls-1", False)]
)
def test_an_alternative_without_a_group_is_anchored_on_one_side(name: str, is_match: bool) -> None:  # noqa: FBT001 - a row
    """`^app|tls$`: begins with the first, or ends with the last."""
    assert matches_anchored("app|tls", name) is is_match


@pytest.mark.parametrize("value", ["app(", "app)", "*app", "[z-a]", r"\bapp", "a{99}", "(((a)))", "x" * 300])
def test_what_is_not_understood_matches_nothing(value: str) -> None:
    """A restart too many is better than a missing one."""
    assert not matches_anchored(value, "app")


_ATOMS = st.sampled_from(["a", "b", "-", ".", "[ab]", "[^a]", "(a|b)", "(ab)", "|", r"\.", r"\d"])
_VALUES = st.lists(st.tuples(_ATOMS, st.sampled_from(["", "", "*", "+", "?", "{2}", "{1,2}"])), max_size=6)


@given(parts=_VALUES, name=st.text(alphabet="ab-.1", max_size=8))
def test_it_matches_as_a_backtracking_engine(parts: list[tuple[str, str]], name: str) -> None:
    """Both find a match in the same names."""
    value = "".join(atom + (quantifier if atom != "|" else "") for atom, quantifier in parts)

    assert matches_anchored(value, name) is (re.search(f"^{value}$", name) is not None)


def test_no_value_takes_long() -> None:
    """A value on which a backtracking engine takes years takes a fraction of a second."""
    begun = time.perf_counter()
    for value in ("(a+)+x", "(a|a)*x", "(.*)(.*)(.*)(.*)x", "((a{16}){16}){16}x", "a?" * 100 + "a" * 50):
        assert not matches_anchored(value, "a" * 253)

    assert time.perf_counter() - begun < 5.0
