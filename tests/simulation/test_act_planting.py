"""The simulation of the act can fail: each bug planted into it is found."""

import pytest

from simulation.act_planting import ACT_PLANTS
from simulation.acts import act_of
from simulation.playing import play
from simulation.verdicts import violations

_FOUND_BY = {
    "Skip restarts as Restart does": (14, "repeated"),
    "a Secret is written once and not kept": (4, "mismanaged"),
    "a Skip clears the debt": (19, "lost"),
    "a failed rollout halts nobody": (35, "not halted"),
    "a wave begins before the earlier one is done": (3, "out of order"),
    "any rollout of somebody else covers": (9, "lost"),
    "content that the pods have is restarted for all the same": (49, "repeated"),
    "covered by a restart that came before the Secrets were fresh": (91, "lost"),
    "one fresh source is enough for all": (19, "unfresh"),
    "one more rolls out than maxConcurrent": (5, "crowded"),
    "restarting before the source has synced": (8, "unfresh"),
    "rollouts are followed in memory only": (0, "out of order"),
    "the budget is never spent": (0, "overspent"),
    "the cooldown is only in memory": (27, "hurried"),
    "what a source had acknowledged before it was asked counts": (82, "lost"),
}
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
