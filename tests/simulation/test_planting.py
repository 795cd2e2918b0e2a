"""The simulation can fail: each bug planted into the operator is found."""

import pytest

from simulation.histories import PAYMENTS, SHARED, History, Step, history_of
from simulation.planting import PLANTS
from simulation.playing import Played, play
from simulation.verdicts import violations

_SEARCH = 1500

_FOUND_BEFORE = {
    "no judging of reads": 18,
    "judging versions but not existence": 25,
    "what left is not remembered": 910,
    "workloads are listed from a cache": 55,
    "the subscription is read from a cache": 10,
    "no epoch": 7,
    "a widened scope is read as creates": 495,
    "a new baseline on every edit": 176,
    "a merged debt keeps its old number": 313,
    "acting before it is written down": 293,
    "status without compare-and-swap": 18,
}
"""Seeds that found a plant once: tried first, since some show once in a thousand histories."""

_SCENES = {
    "claims are not stored": (
        1,
        (Step(10, "touch_reference", (PAYMENTS,)), Step(17, "kill_operators", (5.0,))),
    ),
    "an import mutation seen first is not set off": (
        2,
        (
            Step(70, "toggle_import", (PAYMENTS, SHARED)),
            Step(140, "write", (SHARED, "A")),
            Step(140.1, "cut_streams"),
        ),
    ),
    "no last look at the scopes before an edit": (
        1,
        (
            Step(5, "edit_spec", (0,)),
            Step(80, "set_faults", ((("lost_event", 1.0),),)),
            Step(81, "toggle_import", (PAYMENTS, SHARED)),
            Step(82, "set_faults", ((),)),
            Step(90, "edit_spec", (1,)),
        ),
    ),
}
"""For bugs that hide among what cannot be avoided: a scene, and how many restarts each workload gets."""


def _restarts(played: Played) -> list[int]:
    uids = [standings[-1].uid for standings in played.standings.values()]
    return [sum(rollout.uid == uid for rollout in played.cluster.rollouts) for uid in uids]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", sorted(PLANTS.keys() - _SCENES.keys()))
def test_a_planted_bug_breaks_an_invariant(name: str) -> None:
    """With the bug some history is broken; the same history is well without it."""
    seeds = (_FOUND_BEFORE.get(name, 0), *range(_SEARCH))
    with PLANTS[name]():
        found = next((seed for seed in seeds if violations(play(history_of(seed)))), None)

    assert found is not None, f"{name} was not found in {_SEARCH} histories"
    assert violations(play(history_of(found))) == []


@pytest.mark.parametrize("name", sorted(_SCENES))
def test_a_planted_bug_changes_the_number_of_restarts(name: str) -> None:
    """The scene has exactly the restarts that it should have, and with the bug it has others."""
    expected, steps = _SCENES[name]
    history = History(0, steps)

    assert _restarts(play(history)) == [expected, expected]
    with PLANTS[name]():
        assert _restarts(play(history)) != [expected, expected]
