"""From a history that breaks an invariant to the shortest one that still does."""

from dataclasses import replace

from simulation.histories import History
from simulation.invariants import violations
from simulation.run import run_history


def shrunk(history: History) -> History:
    """Without the steps that are not needed to break the same invariant, tried from the last to the first."""
    broken, shorter = _kinds(history), True
    while shorter:
        shorter = False
        for index in reversed(range(len(history.steps))):
            without = replace(history, steps=history.steps[:index] + history.steps[index + 1 :])
            if broken & _kinds(without):
                history, shorter = without, True
    return history


def _kinds(history: History) -> set[str]:
    """Which invariants it breaks, by the words that their sentences begin with."""
    return {sentence.partition(":")[0] for sentence in violations(run_history(history))}
