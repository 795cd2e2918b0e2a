"""The simulation can fail: each mutant of the operator is found."""

import pytest

from simulation.environment import CARDS, PAYMENTS, SHARED
from simulation.histories import History, Step, plain_of
from simulation.invariants import violations
from simulation.mutants import MUTATIONS, checked
from simulation.run import RunRecord, run_history

_SEARCH = 1500

_HOLES = {
    "no assessment of reads": "no assessment of reads",
    "versions are assessed and existence is not": "versions are assessed and existence is not",
    "a 304 as unchanged": "a 304 is taken for unchanged",
    "the accepted state waits for workloads": "the accepted state is held back until the workloads are done",
    "a digest as revision": "a digest of the changes as revision",
    "listing before observing": "workloads are listed before the look",
    "a list from a cache": "workloads are listed from a cache",
    "the subscription from a cache": "the subscription is read from a cache",
    "no epoch": "no epoch",
    "a pending restart by name": "pending restarts are kept by the workload's name",
    "a widened scope read as creates": "a widened scope is read as creates",
    "a baseline on every edit": "a new baseline on every edit",
    "an unmatched event that is not stored": "unmatched events are not stored",
    "a merged pending restart keeps its number": "a merged pending restart keeps its old number",
    "acting before the write-ahead": "acting before it is written down",
    "pending restarts in memory": "pending restarts only in memory",
    "a PATCH without resourceVersion, by a deposed leader": "restart without a resourceVersion",
    "a PATCH without resourceVersion, in a race with a pause": (
        "a restart goes through although its workload was held meanwhile"
    ),
    "a status without compare-and-swap": "status without compare-and-swap",
    "clearing a newer pending restart": "a newer pending restart is cleared with an older one",
    "no coverage by another subscription's restart": "no coverage by another subscription's restart",
    "pending restarts of a left scope": "pending restarts of a left scope are kept",
    "covered by different instead of later": "covered by a different restart instead of a later one",
    "merging a pending restart already made": "a pending restart that was made is merged into the next one",
}
"""The holes of simpler designs that `docs/ledger.md` lists, and the mutant of each."""

_FOUND_BEFORE = {
    "no assessment of reads": 12,
    "versions are assessed and existence is not": 25,
    "workloads are listed from a cache": 39,
    "the subscription is read from a cache": 8,
    "no epoch": 34,
    "a new baseline on every edit": 136,
    "no coverage by another subscription's restart": 6,
    "restart without a resourceVersion": 6,
    "a restart goes through although its workload was held meanwhile": 6,
    "status without compare-and-swap": 53,
}
"""Seeds that found a mutant before: tried first, because some need a thousand histories."""


def _faults(at: float, **rates: float) -> Step:
    return Step(at, "set_faults", (tuple(rates.items()),))


_SCRIPTED: dict[str, tuple[int, tuple[Step, ...]]] = {
    "a missing folder is empty": (0, (Step(70, "lose", (PAYMENTS, 70.0)),)),
    "an odd response is a lost permission": (
        0,
        (
            _faults(0, odd_response=1.0),
            Step(20, "rotate", (PAYMENTS, "A")),
            _faults(40),
        ),
    ),
    "a widened scope is read as creates": (
        0,
        (
            Step(5, "edit_spec", (0,)),
            Step(80, "write", (CARDS, "A")),
            Step(100, "edit_spec", (1,)),
        ),
    ),
    "workloads are listed before the look": (
        2,
        (
            _faults(79, slow_call=1.0),
            Step(80, "write", (PAYMENTS, "A")),
            Step(82, "create", ("job",)),
            Step(82.5, "rotate", (PAYMENTS, "B")),
            _faults(100),
        ),
    ),
    "pending restarts are kept by the workload's name": (
        0,
        (
            Step(70, "pause", ("api",)),
            Step(80, "write", (PAYMENTS, "A")),
            Step(90, "recreate", ("api",)),
        ),
    ),
    "a pending restart that was made is merged into the next one": (
        16,
        (
            _faults(69, crash=0.15),
            Step(70, "write", (PAYMENTS, "A")),
            Step(72, "rotate", (PAYMENTS, "B")),
            _faults(74),
        ),
    ),
    "a merged pending restart keeps its old number": (
        30,
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
    "a newer pending restart is cleared with an older one": (
        26,
        (
            Step(5, "start_operator"),
            Step(10, "start_operator"),
            Step(60, "pause", ("api",)),
            Step(70, "write", (PAYMENTS, "A")),
            _faults(79.9, slow_call=0.5, crash=0.05),
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
"""For mutants that need several steps at once: a scripted history and its seed."""

_COUNTED = {
    "unmatched events are not stored": (
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
"""For mutants that no invariant finds: a scripted history, and its restarts per workload."""


def _restarts(record: RunRecord) -> list[int]:
    uids = [workloads[-1].uid for workloads in record.workloads.values() if workloads]
    return [sum(rollout.uid == uid for rollout in record.cluster.rollouts) for uid in uids]


def test_every_hole_has_a_mutant() -> None:
    """No hole of a simpler design is without its mutant, and no mutant without a proof that it is found."""
    assert set(_HOLES.values()) <= MUTATIONS.keys()
    assert _COUNTED.keys() | _SCRIPTED.keys() | _FOUND_BEFORE.keys() <= MUTATIONS.keys()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", sorted(MUTATIONS.keys() - _COUNTED.keys() - _SCRIPTED.keys()))
def test_a_mutant_breaks_an_invariant(name: str) -> None:
    """Some history breaks an invariant with the mutation, and none without it."""
    seeds = (_FOUND_BEFORE.get(name, 0), *range(_SEARCH))
    with MUTATIONS[name]():
        found = next((seed for seed in seeds if checked(violations(run_history(plain_of(seed))))), None)

    assert found is not None, f"{name} was not found in {_SEARCH} histories"
    assert violations(run_history(plain_of(found))) == []


@pytest.mark.parametrize("name", sorted(_SCRIPTED))
def test_a_mutant_breaks_an_invariant_in_its_scripted_history(name: str) -> None:
    """With the mutation the scripted history breaks an invariant for some seed, and without it none."""
    first, steps = _SCRIPTED[name]
    histories = [History(seed, steps) for seed in (first, *range(_SEARCH))]
    with MUTATIONS[name]():
        found = next((each for each in histories if checked(violations(run_history(each)))), None)

    assert found is not None, f"{name} was not found with {_SEARCH} seeds"
    assert violations(run_history(found)) == []


@pytest.mark.parametrize("name", sorted(_COUNTED))
def test_a_mutant_changes_the_number_of_restarts(name: str) -> None:
    """The history has the expected number of restarts, and with the mutation another one."""
    expected, steps = _COUNTED[name]
    history = History(0, steps)

    assert _restarts(run_history(history)) == [expected, expected]
    with MUTATIONS[name]():
        record = run_history(history)
    assert checked(record.errors) == []
    assert _restarts(record) != [expected, expected]
