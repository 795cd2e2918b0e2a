"""The simulation with an adversary can fail: the mutant of each kind of faults is found."""

from dataclasses import replace

import pytest

from infisical_events.api.resources import EXTERNAL_SECRET, INFISICAL_SECRET
from simulation.environment import (
    CARDS,
    PAYMENTS,
    RELOADER_AUTO,
    SHARED,
    Environment,
    ManagedPlan,
    WorkloadPlan,
    WriterPlan,
)
from simulation.field_mutants import FIELD_MUTATIONS
from simulation.field_scenarios import field_history_of
from simulation.generation_mutants import GENERATION_MUTATIONS
from simulation.histories import History, Step
from simulation.invariants import violations
from simulation.mutants import checked
from simulation.run import run_history
from simulation.wait_mutants import WAIT_MUTATIONS

_MUTATIONS = {**FIELD_MUTATIONS, **GENERATION_MUTATIONS, **WAIT_MUTATIONS}

_FOUND_BY = {
    "a generator is asked": ("odd writers", 0, "asked in vain"),
    "a kind that cannot be listed has no workloads": ("refused", 11, "lost"),
    "a mark of another tool is its deed": ("other tools", 4, "lost"),
    "a removed sync request is made again each time": ("unasked", 33, "fought"),
    "a renamed environment is empty": ("not found", 1, "unobserved"),
    "a restart that is taken back is made again for ever": ("taken back", 1, "unstable"),
    "a restart that was made is done": ("taken back", 37, "lost"),
    "a server without events stays without": ("upgrades", 1, "without stream"),
    "another version is another value": ("same values", 0, "unfounded"),
    "complete is told beside a pending restart": ("words", 0, "unsaid"),
    "every 400 of a subscribe is the plan": ("upgrades", 26, "misnamed"),
    "every error with a name is Infisical's own": ("upgrades", 3, "lost"),
    "every list has its imports": ("upgrades", 0, "lost"),
    "nobody writes a Secret whose provider is not found": ("odd writers", 44, "lost"),
    "only true and false are booleans": ("words", 1, "lost"),
    "own Secrets are not looked at again": ("managed", 20, "not restored"),
    "the Secrets of another subscription are nobody's": ("siblings", 1, "repeated"),
    "the first route of lists is the only one": ("upgrades", 3, "lost"),
    "the time of a restart record is true": ("clocks", 9, "lost"),
    "the wait that a server demands is the time of a source": ("back-off", 16, "unfresh"),
}
"""By mutant: the kind of faults, a seed that found it before, and the invariant that it breaks."""

_SEARCH = 300

_FIELDS = {
    "action": "ResyncThenRestart",
    "cooldownSeconds": 0,
    "resync": {"timeoutSeconds": 30, "onTimeout": "Skip"},
}
_ASKED = Environment(
    fields=_FIELDS,
    writers=(WriterPlan(EXTERNAL_SECRET, "ext", PAYMENTS, takes=8.0, every=3600.0),),
    workloads={name: WorkloadPlan(("ext",), takes=1.0) for name in ("api", "job")},
)
"""An ExternalSecret that takes its time."""

_OWN = Environment(
    fields=_FIELDS,
    managed=(ManagedPlan("own", PAYMENTS),),
    workloads={"api": WorkloadPlan(("own",), takes=1.0)},
)
"""A Secret that the operator writes."""

_SERVED = Environment(fields={"action": "Restart", "cooldownSeconds": 0}, servers="e3")
"""Servers of a generation."""

_SILENT = Environment(
    fields=_FIELDS,
    writers=(WriterPlan(INFISICAL_SECRET, "old", PAYMENTS, every=30.0),),
    managed=(ManagedPlan("own", PAYMENTS),),
    workloads={"api": WorkloadPlan(("old", "own"), takes=1.0)},
)
"""A Secret that the operator writes, beside one whose controller never answers."""

_UNSYNCED = replace(_OWN, fields={**_FIELDS, "action": "Restart"})
"""The same, without a sync before the restart."""

_DEAD = Environment(
    fields=_FIELDS,
    writers=(WriterPlan(INFISICAL_SECRET, "old", CARDS, is_dead=True),),
    workloads={"web": WorkloadPlan(("old",), takes=1.0)},
)
"""A workload whose source never syncs, beside one without a Secret."""

_RELOADED = Environment(
    fields={**_FIELDS, "resync": {"timeoutSeconds": 15, "onTimeout": "Skip"}},
    managed=(ManagedPlan("own", CARDS),),
    workloads={"api": WorkloadPlan(("own",), takes=1.0, marks={RELOADER_AUTO: "true"})},
)
"""A Secret that the operator writes, and for which Reloader restarts."""

_WRITE = ("write", (PAYMENTS, "A"))

_SCRIPTED = {
    "a Secret that is not written is not said": (
        "without a word",
        History(0, (Step(60, "refuse_calls", ("apply_secret", "403", 60.0)), Step(70, *_WRITE)), _UNSYNCED),
    ),
    "a failed list of workloads is not said": (
        "without a word",
        History(0, (Step(0, "refuse_calls", ("list_workloads", "403", 60.0)), Step(100, *_WRITE)), _OWN),
    ),
    "a restart that was taken back waits until something else is due": (
        "without a word",
        History(0, (Step(20, "strip_templates", (60.0,)), Step(60, *_WRITE)), _DEAD),
    ),
    "another tool is all that is waited for": (
        "without a word",
        History(0, (Step(60, "toggle_import", (PAYMENTS, SHARED)),), _RELOADED),
    ),
    "the API server is not quoted": (
        "without a word",
        History(
            0,
            (
                Step(20, "refuse_calls", ("patch_workload", "500", 50.0)),
                Step(30, *_WRITE),
                Step(40, "refuse_calls", ("list_workloads", "500", 60.0)),
            ),
            _OWN,
        ),
    ),
    "a rejected Secret restarts its workloads": (
        "repeated",
        History(
            0,
            (
                Step(30, *_WRITE),
                Step(60, "refuse_calls", ("apply_secret", "rejected", 40.0)),
                Step(61, *_WRITE),
            ),
            _OWN,
        ),
    ),
    "a watched restart that is taken back has unknown pods": (
        "fought",
        History(0, (Step(20, "strip_templates", (90.0,)), Step(30, *_WRITE)), _SILENT),
    ),
    "pods that are not available are a rollout of others": (
        "held up",
        History(0, (Step(20, "break_pods", ("api",)), Step(60, *_WRITE)), _ASKED),
    ),
    "who is no member may read events alone": (
        "blinded",
        History(0, (Step(0, "upgrade", ("go", 0.0, "membership", 40.0)), Step(100, *_WRITE)), _SERVED),
    ),
    "who reads events alone never reads lists again": (
        "not final",
        History(0, (Step(0, "upgrade", ("e4", 5.0, "describe", 40.0)), Step(100, *_WRITE)), _SERVED),
    ),
    "who starts between the change and the sync is fresh": (
        "lost",
        History(1, (Step(60, *_WRITE), Step(61.6, "create", ("job",))), _ASKED),
    ),
}
"""For mutants that need several steps at once: the invariant, and a history."""

_BLIND_BASELINE = "a new baseline compares nothing"


def test_every_mutant_has_a_proof() -> None:
    """No mutant is without its proof."""
    assert _FOUND_BY.keys() | _SCRIPTED.keys() | {_BLIND_BASELINE} == _MUTATIONS.keys()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", sorted(_FOUND_BY))
def test_a_mutant_breaks_its_invariant(name: str) -> None:
    """Some history with that kind of faults breaks the invariant with the mutation, and none without it."""
    kind, first, invariant = _FOUND_BY[name]
    with _MUTATIONS[name]():
        seeds = (first, *range(_SEARCH))
        found = next((s for s in seeds if invariant in _broken(field_history_of(s, kind))), None)

    assert found is not None, f"{name} was not found in {_SEARCH} histories"
    assert _broken(field_history_of(found, kind)) == set()


@pytest.mark.parametrize("name", sorted(_SCRIPTED))
def test_a_mutant_breaks_its_invariant_in_a_scripted_history(name: str) -> None:
    """With the mutation the scripted history breaks the invariant for some seed, and without it none."""
    invariant, scripted = _SCRIPTED[name]
    histories = [replace(scripted, seed=seed) for seed in (scripted.seed, *range(_SEARCH))]
    with _MUTATIONS[name]():
        found = next((each for each in histories if invariant in _broken(each)), None)

    assert found is not None, f"{name} was not found with {_SEARCH} seeds"
    assert _broken(found) == set()


def test_a_baseline_compares_what_restart_records_say() -> None:
    """The subscription is made anew while a restart is held: the record says that the pods are old."""
    steps = (
        Step(20, *_WRITE),
        Step(40, "pause", ("api",)),
        Step(60, *_WRITE),
        Step(80, "recreate_subscription"),
    )
    history = History(0, steps, _OWN)

    assert _broken(history) == set()
    assert _restarts_of_api(history) == 2
    with _MUTATIONS[_BLIND_BASELINE]():
        assert _restarts_of_api(history) == 1


def _restarts_of_api(history: History) -> int:
    return sum(rollout.name == "api" for rollout in run_history(history).cluster.rollouts)


def _broken(history: History) -> set[str]:
    """The invariants that the history breaks, by the words that their sentences begin with."""
    return {text.partition(":")[0] for text in checked(violations(run_history(history)))}
