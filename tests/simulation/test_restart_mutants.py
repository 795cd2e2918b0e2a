"""The simulation of the act can fail: each bug planted into it is found."""

import pytest

from infisical_events.api.resources import INFISICAL_SECRET
from simulation.environment import PAYMENTS, ManagedPlan, Stage, WorkloadPlan, WriterPlan
from simulation.histories import History, Step
from simulation.invariants import violations
from simulation.restart_mutants import ACT_PLANTS
from simulation.restart_scenarios import act_of
from simulation.run import play

_FOUND_BY = {
    "Skip restarts as Restart does": (14, "repeated"),
    "a Secret is written once and not kept": (4, "mismanaged"),
    "a Skip clears the debt": (19, "lost"),
    "a failed rollout halts nobody": (35, "not halted"),
    "a wave begins before the earlier one is done": (3, "out of order"),
    "any rollout of somebody else covers": (9, "lost"),
    "content that the pods have is restarted for all the same": (49, "repeated"),
    "covered by a restart that came before the Secrets were fresh": (804, "lost"),
    "one fresh source is enough for all": (19, "unfresh"),
    "one more rolls out than maxConcurrent": (5, "crowded"),
    "restarting before the source has synced": (8, "unfresh"),
    "rollouts are followed in memory only": (0, "out of order"),
    "the budget is never spent": (0, "overspent"),
    "the cooldown is only in memory": (27, "hurried"),
    "what a source had acknowledged before it was asked counts": (82, "lost"),
}
"""By plant: a seed that found it once and is tried first, and how what is said of it begins."""

_SEARCH = 500

_UNJUDGED = "a Secret is written from a read that was not judged"

_GUESSED = "content of a source that never answers has every change"

_AT_WORK = Stage(
    fields={"cooldownSeconds": 0, "resync": {"timeoutSeconds": 30, "onTimeout": "Skip"}},
    writers=(WriterPlan(INFISICAL_SECRET, "old", PAYMENTS, takes=8.0, every=3600.0, is_instant=True),),
    workloads={"api": WorkloadPlan(("old",))},
)
"""An InfisicalSecret that syncs by itself as well, and takes its time."""

_LAGGING = Stage(
    fields={"cooldownSeconds": 0},
    managed=(ManagedPlan("own", PAYMENTS),),
    workloads={"api": WorkloadPlan(("own",))},
)
"""One Secret that the operator writes; every second read is up to 20 s old while it is changed."""


def test_every_plant_is_found() -> None:
    """No plant is without its proof."""
    assert _FOUND_BY.keys() | {_UNJUDGED, _GUESSED} == ACT_PLANTS.keys()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", sorted(_FOUND_BY))
def test_a_bug_planted_into_the_act_breaks_an_invariant(name: str) -> None:
    """With the bug some history is broken in the way that it should be; without it that one is well."""
    first, invariant = _FOUND_BY[name]
    with ACT_PLANTS[name]():
        found = next((seed for seed in (first, *range(_SEARCH)) if invariant in _broken(seed)), None)

    assert found is not None, f"{name} was not found in {_SEARCH} histories"
    assert _broken(found) == set()


def _broken(seed: int) -> set[str]:
    """The invariants that the history breaks, by the words that their sentences begin with."""
    return {sentence.partition(":")[0] for sentence in violations(play(act_of(seed)))}


def test_a_change_while_the_source_is_at_work_for_another_one() -> None:
    """With the bug its older sync passes for the answer; without it the restart is made again."""
    scenes = [
        History(
            seed,
            (Step(20, "write", (PAYMENTS, "A")), Step(20.5 + seed / 50, "write", (PAYMENTS, "B"))),
            _AT_WORK,
        )
        for seed in range(40)
    ]
    with ACT_PLANTS[_GUESSED]():
        found = [scene for scene in scenes if any(s.startswith("lost:") for s in violations(play(scene)))]

    assert found
    assert [violations(play(scene)) for scene in scenes] == [[]] * len(scenes)


def test_a_secret_from_an_unjudged_read() -> None:
    """With the bug a lagging read counts for the state that is believed; without it the scene is well."""
    steps = (
        Step(60, "set_faults", ((("stale_read", 0.5),),)),
        *(Step(70 + 5 * n, "write", (PAYMENTS, "A")) for n in range(14)),
    )
    scene = History(0, steps, _LAGGING)
    with ACT_PLANTS[_UNJUDGED]():
        assert violations(play(scene))

    assert violations(play(scene)) == []
