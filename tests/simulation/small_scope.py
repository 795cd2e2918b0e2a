"""The small scope: every short script, with every placement of up to two faults.

One subscription, two workloads. Random histories may miss what two steps and two faults can do; this search
is complete.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from simulation.environment import CARDS, PAYMENTS, SHARED
from simulation.faults import Placed
from simulation.histories import History, Step
from simulation.invariants import violations
from simulation.run import run_history

FAULTS_UNTIL = 12.0
"""Seconds: by then both steps have long been acted on."""

_WORDS = (
    ("write", (PAYMENTS, "A")),
    ("write", (CARDS, "C")),
    ("remove", (PAYMENTS, "A")),
    ("toggle_import", (PAYMENTS, SHARED)),
    ("cut_streams", ()),
)

Script = tuple[int, ...]
Places = frozenset[int]


@dataclass(frozen=True, slots=True)
class Case:
    """A script, and the places of the questions "does it go wrong here?" that are answered by yes."""

    script: Script
    places: Places

    def broken(self) -> list[str]:
        """The invariants that it breaks."""
        return violations(run_history(_history(self.script), Placed(self.places, FAULTS_UNTIL)))


def scripts(steps: int) -> list[Script]:
    """Every script of so many steps."""
    return [*itertools.product(range(len(_WORDS)), repeat=steps)]


def cases(script: Script, faults: int, apart: int = 1) -> Iterator[Case]:
    """The script with so many faults at every combination of places, or at each so many-th of them."""
    for places in itertools.islice(_placements(script, (), faults), 0, None, apart):
        yield Case(script, frozenset(places))


def _placements(script: Script, before: tuple[int, ...], faults: int) -> Iterator[tuple[int, ...]]:
    """All ways to go on after these faults: each gives another run with other places after it."""
    if not faults:
        yield before
        return
    placed = Placed(frozenset(before), FAULTS_UNTIL)
    run_history(_history(script), placed)
    for place in range(before[-1] + 1 if before else 0, placed.asked):
        yield from _placements(script, (*before, place), faults - 1)


def _history(script: Script) -> History:
    return History(0, tuple(Step(2.0 + 3.0 * n, *_WORDS[word]) for n, word in enumerate(script)))
