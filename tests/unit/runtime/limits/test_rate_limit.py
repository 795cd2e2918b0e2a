"""Few starts are at once, and many are spread."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_events.runtime.limits.fair_scheduling import RateLimit, reserve


def waits(moments: list[float]) -> list[float]:
    """How long each of these starts waits."""
    pace, found = RateLimit(step=0.02, burst=10), []
    for now in moments:
        pace, wait = reserve(pace, now)
        found.append(wait)
    return found


@given(now=st.floats(0, 1e6))
def test_few(now: float) -> None:
    """Ten starts at one moment need not wait."""
    assert waits([now] * 10) == pytest.approx([0.0] * 10, abs=1e-6)


def test_many() -> None:
    """A thousand at one moment begin one after the other, 20 ms apart: the last after 20 seconds."""
    found = waits([5.0] * 1000)
    assert [later - earlier for earlier, later in pairwise(found[9:])] == pytest.approx([0.02] * 990)
    assert found[-1] == pytest.approx(19.8)


def test_later() -> None:
    """A start that comes when all before it have begun does not wait."""
    assert waits([0.0] * 1000 + [30.0])[-1] == 0.0


@given(moments=st.lists(st.floats(0, 100), max_size=5000).map(sorted))
def test_bounds(moments: list[float]) -> None:
    """No start waits for more than those before it."""
    assert all(0.0 <= wait <= 0.02 * place + 1e-6 for place, wait in enumerate(waits(moments)))
