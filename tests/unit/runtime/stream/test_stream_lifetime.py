"""How old streams get is learned from two that ended alike, and forgotten."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_events.runtime.stream.stream_lifetime import (
    MIN_STREAM_AGE,
    StreamLifetime,
    learn,
    replace_after,
)

LONGEST = 3000.0


def taught(*ages: float, at: float = 0.0) -> StreamLifetime:
    """What streams teach that ended at these ages, one after the other, at one moment."""
    known = StreamLifetime()
    for age in ages:
        known = learn(known, age, at)
    return known


@pytest.mark.parametrize("ages", [(5.0, 5.0), (5.0, 5.9), (300.0, 280.0), (9.0, 5.0, 5.4)])
def test_two_alike(ages: tuple[float, ...]) -> None:
    """Two ends in a row at alike ages are the rule: the next stream is replaced well before."""
    shortest = min(ages[-2:])
    assert 0.6 * shortest <= replace_after(taught(*ages), 1.0, LONGEST) <= 0.8 * shortest


@pytest.mark.parametrize("ages", [(), (5.0,), (5.0, 7.0), (300.0, 200.0), (5.0, 9.0, 5.0)])
def test_nothing_alike(ages: tuple[float, ...]) -> None:
    """Ends at ages of all kinds are nobody's rule."""
    assert replace_after(taught(*ages), 1.0, LONGEST) == LONGEST


@given(ages=st.lists(st.floats(0.0, MIN_STREAM_AGE, exclude_max=True)))
def test_young(ages: list[float]) -> None:
    """Streams that end at once teach nothing, and spoil nothing that was learned."""
    assert taught(*ages) == StreamLifetime()
    assert taught(5.0, 5.0, *ages) == taught(5.0, 5.0)


def test_forgotten_after_an_hour() -> None:
    """What was learned is forgotten after an hour, and one more end is enough to know it again."""
    known = taught(5.0, 5.0)
    assert replace_after(known, 3600.0, LONGEST) == 4.0
    assert replace_after(known, 3601.0, LONGEST) == LONGEST
    assert replace_after(learn(known, 5.0, 4000.0), 4000.0, LONGEST) == 4.0


def test_refuted() -> None:
    """A stream that got older than the rule allows refutes it; one that ended sooner does not."""
    assert replace_after(taught(5.0, 5.0, 60.0), 1.0, LONGEST) == LONGEST
    assert replace_after(taught(60.0, 60.0, 5.0), 1.0, LONGEST) == 48.0


@given(ages=st.lists(st.floats(0.0, 1e5), max_size=20), now=st.floats(0.0, 1e5))
def test_bounds(ages: list[float], now: float) -> None:
    """Whatever ends when, a life is neither longer than the longest nor hardly any."""
    assert 0.8 * MIN_STREAM_AGE <= replace_after(taught(*ages), now, LONGEST) <= LONGEST
