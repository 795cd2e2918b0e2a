"""Thousands of random histories, and every small one with every fault: no invariant breaks."""

import random
from dataclasses import replace

import pytest

from simulation.field_scenarios import history_of
from simulation.histories import TROUBLE_SECONDS, VARIANTS, History, Step, plain_of
from simulation.invariants import final_accepted_state, violations
from simulation.run import run_history
from simulation.small_scope import Case, Script, cases, scripts

_HISTORIES = 600
_CHUNK = 50
_SINGLES_APART = 2
_PAIRS_APART = 25


@pytest.mark.timeout(900)
@pytest.mark.parametrize("first", range(0, _HISTORIES, _CHUNK))
def test_no_history_loses_or_repeats_a_restart(first: int) -> None:
    """In each history every invariant holds; a failing seed is printed with all its steps."""
    for seed in range(first, first + _CHUNK):
        history = history_of(seed)
        broken = violations(run_history(history))
        assert not broken, f"seed {seed}: {broken}\n{history}"


@pytest.mark.timeout(900)
@pytest.mark.parametrize("script", scripts(2), ids=str)
def test_every_short_script_survives_a_fault(script: Script) -> None:
    """Two steps, and one fault: at each second place here, at all of them by `make simulate-small`."""
    assert not Case(script, frozenset()).broken()
    for case in cases(script, 1, _SINGLES_APART):
        assert not case.broken(), case


@pytest.mark.timeout(900)
@pytest.mark.parametrize("script", scripts(1), ids=str)
def test_every_step_survives_two_faults(script: Script) -> None:
    """One step, and two faults: each 25th pair of places here, all of them by `make simulate-small`."""
    for case in cases(script, 2, _PAIRS_APART):
        assert not case.broken(), case


@pytest.mark.parametrize("seed", range(12))
def test_the_end_depends_on_the_last_spec_alone(seed: int) -> None:
    """The accepted state in the end does not depend on the specs before the last one.

    This is the property that Acto (SOSP 2023) holds operators to.
    """
    rng = random.Random(seed)  # noqa: S311 - a simulation
    edits = [Step(rng.uniform(0, TROUBLE_SECONDS), "edit_spec", (rng.randrange(VARIANTS),)) for _ in range(5)]
    history = plain_of(seed + 50_000)
    others = [step for step in history.steps if step.verb not in {"edit_spec", "recreate_subscription"}]
    edited = replace(history, steps=tuple(sorted((*others, *edits), key=lambda step: step.at)))
    last = max(edits, key=lambda step: step.at).arguments[0]

    many = run_history(edited)
    one = run_history(History(history.seed, tuple(others)), variant=last)

    assert (violations(many), violations(one)) == ([], [])
    assert _versions(final_accepted_state(many)) == _versions(final_accepted_state(one))


def _versions(accepted: dict[str, str]) -> set[str]:
    """The accepted partitions; the invariants compare their contents with the true state."""
    return set(accepted)
