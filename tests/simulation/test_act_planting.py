"""The simulation of the act can fail: each bug planted into it is found."""

import pytest

from simulation.act_planting import ACT_PLANTS
from simulation.acts import act_of
from simulation.playing import play
from simulation.verdicts import violations

_FOUND_BY: dict[str, tuple[int, str]] = {}
"""By plant: the seed of a history that it breaks, and how what is said of it begins."""


def test_every_plant_is_found() -> None:
    """No plant is without its proof."""
    assert _FOUND_BY.keys() == ACT_PLANTS.keys()


@pytest.mark.parametrize("name", sorted(ACT_PLANTS))
def test_a_bug_planted_into_the_act_breaks_an_invariant(name: str) -> None:
    """With the bug the history is broken in the way that it should be; without it it is well."""
    seed, invariant = _FOUND_BY[name]
    with ACT_PLANTS[name]():
        broken = violations(play(act_of(seed)))

    assert any(sentence.startswith(f"{invariant}:") for sentence in broken), broken
    assert violations(play(act_of(seed))) == []
