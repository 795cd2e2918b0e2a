"""Thousands of random histories of the real loop, and every small one with every fault: nothing breaks."""

import itertools

import pytest

from simulation.faults import Placed
from simulation.histories import CARDS, PAYMENTS, SHARED, History, Step, history_of
from simulation.playing import play
from simulation.verdicts import violations

_HISTORIES = 2400
_CHUNK = 300
_FAULTS_UNTIL = 12.0

_WORDS = (
    ("write", (PAYMENTS, "A")),
    ("write", (CARDS, "C")),
    ("remove", (PAYMENTS, "A")),
    ("toggle_import", (PAYMENTS, SHARED)),
    ("cut_streams", ()),
)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(0, _HISTORIES, _CHUNK))
def test_no_history_loses_or_repeats_a_restart(first: int) -> None:
    """In each history every invariant holds; a failing seed is printed with all its steps."""
    for seed in range(first, first + _CHUNK):
        history = history_of(seed)
        broken = violations(play(history))
        assert not broken, f"seed {seed}: {broken}\n" + "\n".join(map(str, history.steps))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("script", [*itertools.product(range(len(_WORDS)), repeat=2)], ids=str)
def test_every_short_script_bears_every_single_fault(script: tuple[int, ...]) -> None:
    """Two steps, and one fault of every kind at every place where it can happen."""
    steps = tuple(Step(2.0 + 3.0 * n, *_WORDS[word]) for n, word in enumerate(script))
    history = History(0, steps)
    without = Placed(frozenset(), _FAULTS_UNTIL)
    assert not violations(play(history, without))
    for place in range(without.asked):
        broken = violations(play(history, Placed(frozenset({place}), _FAULTS_UNTIL)))
        assert not broken, f"fault at place {place}: {broken}"
