"""From a history that breaks something to the shortest one that still does: what a person can read."""

from dataclasses import replace

from simulation.histories import History
from simulation.playing import play
from simulation.verdicts import violations


def shrunk(history: History) -> History:
    """Without the steps that are not needed to break an invariant, tried from the last to the first."""
    shorter = True
    while shorter:
        shorter = False
        for index in reversed(range(len(history.steps))):
            without = replace(history, steps=history.steps[:index] + history.steps[index + 1 :])
            if violations(play(without)):
                history, shorter = without, True
    return history
