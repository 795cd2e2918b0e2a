"""The simulation can fail: each bug planted into the operator is found."""

import pytest

from simulation.environment import PAYMENTS, SHARED
from simulation.histories import History, Step, plain_of
from simulation.invariants import violations
from simulation.mutants import PLANTS
from simulation.run import Played, play

_SEARCH = 1500

_HOLES = {
    "no judging of reads": "no judging of reads",
    "judging versions but not existence": "judging versions but not existence",
    "a 304 as unchanged": "a 304 is taken for unchanged",
    "the belief waits for the workloads": "the belief is held back until the workloads are done",
    "a digest as stamp": "a digest of the changes as stamp",
    "listing before observing": "workloads are listed before the look",
    "a list from a cache": "workloads are listed from a cache",
    "the subscription from a cache": "the subscription is read from a cache",
    "no epoch": "no epoch",
    "a debt by name": "debts are kept by the workload's name",
    "a widened scope read as creates": "a widened scope is read as creates",
    "a baseline on every edit": "a new baseline on every edit",
    "a claim that is not stored": "claims are not stored",
    "a merged debt keeps its number": "a merged debt keeps its old number",
    "acting before the write-ahead": "acting before it is written down",
    "debts in memory": "debts only in memory",
    "a PATCH without resourceVersion, by a deposed leader": "restart without a resourceVersion",
    "a PATCH without resourceVersion, in a race with a pause": (
        "a restart goes through although its workload was held meanwhile"
    ),
    "a status without compare-and-swap": "status without compare-and-swap",
    "clearing a newer debt": "a newer debt is cleared with an older one",
    "no coverage by a neighbour's restart": "no coverage by a neighbour's restart",
    "debts of a left scope": "debts of a left scope are kept",
    "covered by different instead of later": "covered by a different restart instead of a later one",
    "merging a debt already paid": "a debt that was paid is merged into the next one",
}
"""The holes of simpler designs, as `docs/ledger.md` lists them, and the plant that stands for each."""

_FOUND_BEFORE = {
    "no judging of reads": 10,
    "judging versions but not existence": 25,
    "workloads are listed from a cache": 29,
    "the subscription is read from a cache": 17,
    "no epoch": 34,
    "a widened scope is read as creates": 20,
    "a new baseline on every edit": 136,
    "no coverage by a neighbour's restart": 6,
    "restart without a resourceVersion": 6,
    "a restart goes through although its workload was held meanwhile": 4,
    "status without compare-and-swap": 32,
}
"""Seeds that found a plant once: tried first, since some show once in a thousand histories."""


def _faults(at: float, **rates: float) -> Step:
    return Step(at, "set_faults", (tuple(rates.items()),))


_STAGED: dict[str, tuple[int, tuple[Step, ...]]] = {
    "workloads are listed before the look": (
        4,
        (
            _faults(79, slow_call=1.0),
            Step(80, "write", (PAYMENTS, "A")),
            Step(82, "create", ("job",)),
            Step(82.5, "rotate", (PAYMENTS, "B")),
            _faults(100),
        ),
    ),
    "debts are kept by the workload's name": (
        0,
        (
            Step(70, "pause", ("api",)),
            Step(80, "write", (PAYMENTS, "A")),
            Step(90, "recreate", ("api",)),
        ),
    ),
    "a debt that was paid is merged into the next one": (
        54,
        (
            _faults(69, crash=0.15),
            Step(70, "write", (PAYMENTS, "A")),
            Step(72, "rotate", (PAYMENTS, "B")),
            _faults(74),
        ),
    ),
    "a merged debt keeps its old number": (
        1,
        (
            _faults(69, lost_answer=0.7, slow_call=0.3),
            Step(70, "write", (PAYMENTS, "A")),
            Step(71, "write", (PAYMENTS, "B")),
            Step(72, "write", (PAYMENTS, "C")),
            Step(73, "write", (PAYMENTS, "A")),
            _faults(80),
        ),
    ),
    "what left is not remembered": (
        1,
        (
            Step(100, "remove", (PAYMENTS, "A")),
            _faults(103, stale_read=1.0),
            Step(104, "write", (PAYMENTS, "A")),
            _faults(106),
        ),
    ),
    "a newer debt is cleared with an older one": (
        1340,
        (
            Step(5, "start_operator"),
            Step(10, "start_operator"),
            Step(60, "pause", ("api",)),
            Step(70, "write", (PAYMENTS, "A")),
            _faults(79.9, slow_call=0.3, crash=0.05),
            Step(80, "release", ("api",)),
            *(
                Step(
                    80.5 + 3.0 * n + 0.1 * is_cut,
                    *(("cut_streams",) if is_cut else ("rotate", (PAYMENTS, key))),
                )
                for n, key in enumerate("ABCABC")
                for is_cut in (False, True)
            ),
            _faults(107.9),
        ),
    ),
}
"""For bugs that need several things at once: a scene, and the seed with which it shows."""

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
    uids = [standings[-1].uid for standings in played.standings.values() if standings]
    return [sum(rollout.uid == uid for rollout in played.cluster.rollouts) for uid in uids]


def test_every_hole_is_planted() -> None:
    """No hole of a simpler design is without its plant, and no plant without a proof that it is found."""
    assert set(_HOLES.values()) <= PLANTS.keys()
    assert _SCENES.keys() | _STAGED.keys() | _FOUND_BEFORE.keys() <= PLANTS.keys()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", sorted(PLANTS.keys() - _SCENES.keys() - _STAGED.keys()))
def test_a_planted_bug_breaks_an_invariant(name: str) -> None:
    """With the bug some history is broken; the same history is well without it."""
    seeds = (_FOUND_BEFORE.get(name, 0), *range(_SEARCH))
    with PLANTS[name]():
        found = next((seed for seed in seeds if violations(play(plain_of(seed)))), None)

    assert found is not None, f"{name} was not found in {_SEARCH} histories"
    assert violations(play(plain_of(found))) == []


@pytest.mark.parametrize("name", sorted(_STAGED))
def test_a_planted_bug_breaks_an_invariant_in_its_scene(name: str) -> None:
    """With the bug the scene is broken, and without it it is well."""
    seed, steps = _STAGED[name]
    with PLANTS[name]():
        assert violations(play(History(seed, steps)))
    assert violations(play(History(seed, steps))) == []


@pytest.mark.parametrize("name", sorted(_SCENES))
def test_a_planted_bug_changes_the_number_of_restarts(name: str) -> None:
    """The scene has exactly the restarts that it should have, and with the bug it has others."""
    expected, steps = _SCENES[name]
    history = History(0, steps)

    assert _restarts(play(history)) == [expected, expected]
    with PLANTS[name]():
        assert _restarts(play(history)) != [expected, expected]
