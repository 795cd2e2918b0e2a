"""The simulation of the restart order can fail: each mutant of it is found."""

import asyncio
import json
from contextlib import nullcontext

import pytest

from infisical_events.api.annotations import LAST_RESTART
from infisical_events.api.resources import EXTERNAL_SECRET, INFISICAL_SECRET
from simulation.environment import PAYMENTS, Environment, ManagedPlan, WorkloadPlan, WriterPlan
from simulation.histories import History, Step
from simulation.invariants import violations
from simulation.mutants import checked
from simulation.restart_mutants import RESTART_MUTATIONS
from simulation.restart_scenarios import restart_history_of
from simulation.run import run_history
from support.harness import NAMESPACE, SubscriptionHarness
from support.virtual_time import in_virtual_time, virtual_now

_FOUND_BY = {
    "Skip restarts as Restart does": (23, "repeated"),
    "a Secret is written once and not kept": (4, "mismanaged"),
    "a Skip clears the pending restart": (19, "lost"),
    "a failed rollout halts nobody": (35, "not halted"),
    "a wave begins before the earlier one is done": (3, "out of order"),
    "any rollout of another client covers": (9, "lost"),
    "content that the pods have is restarted for all the same": (49, "repeated"),
    "one fresh source is enough for all": (19, "unfresh"),
    "one more rolls out than maxConcurrent": (5, "crowded"),
    "restarting before the source has synced": (8, "unfresh"),
    "rollouts are followed in memory only": (282, "out of order"),
    "the budget is never spent": (0, "overspent"),
    "the cooldown is only in memory": (27, "hurried"),
    "what a source had acknowledged before it was asked counts": (82, "lost"),
}
"""By mutant: a seed that found it before and is tried first, and the invariant that it breaks."""

_SEARCH = 500

_UNASSESSED = "a Secret is written from a read that was not assessed"

_COVERED = "covered by a restart that came before the Secrets were fresh"

_GUESSED = "content of a source that never answers has every change"

_AT_WORK = Environment(
    fields={"cooldownSeconds": 0, "resync": {"timeoutSeconds": 30, "onTimeout": "Skip"}},
    writers=(WriterPlan(INFISICAL_SECRET, "old", PAYMENTS, takes=8.0, every=3600.0, is_instant=True),),
    workloads={"api": WorkloadPlan(("old",))},
)
"""An InfisicalSecret that also syncs by itself, slowly."""

_LAGGING = Environment(
    fields={"cooldownSeconds": 0},
    managed=(ManagedPlan("own", PAYMENTS),),
    workloads={"api": WorkloadPlan(("own",))},
)
"""One Secret that the operator writes; every second read is up to 20 s old while it is changed."""


def test_every_mutant_has_a_proof() -> None:
    """No mutant is without its proof."""
    assert _FOUND_BY.keys() | {_UNASSESSED, _COVERED, _GUESSED} == RESTART_MUTATIONS.keys()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", sorted(_FOUND_BY))
def test_a_mutant_breaks_its_invariant(name: str) -> None:
    """Some history breaks that invariant with the mutation, and none without it."""
    first, invariant = _FOUND_BY[name]
    with RESTART_MUTATIONS[name]():
        found = next((seed for seed in (first, *range(_SEARCH)) if invariant in _broken(seed)), None)

    assert found is not None, f"{name} was not found in {_SEARCH} histories"
    assert _broken(found) == set()


def _broken(seed: int) -> set[str]:
    """The invariants that the history breaks, by the words that their sentences begin with."""
    broken = checked(violations(run_history(restart_history_of(seed))))
    return {sentence.partition(":")[0] for sentence in broken}


def test_a_change_during_the_sync_for_another_one() -> None:
    """With the mutation an older sync counts as the answer; without it the workload restarts again."""
    histories = [
        History(
            seed,
            (Step(20, "write", (PAYMENTS, "A")), Step(20.5 + seed / 50, "write", (PAYMENTS, "B"))),
            _AT_WORK,
        )
        for seed in range(40)
    ]
    with RESTART_MUTATIONS[_GUESSED]():
        found = [
            history
            for history in histories
            if any(s.startswith("lost:") for s in checked(violations(run_history(history))))
        ]

    assert found
    assert [violations(run_history(history)) for history in histories] == [[]] * len(histories)


def test_a_secret_from_an_unassessed_read() -> None:
    """With the mutation a stale read is written; without it the history breaks no invariant."""
    steps = (
        Step(60, "set_faults", ((("stale_read", 0.5),),)),
        *(Step(70 + 5 * n, "write", (PAYMENTS, "A")) for n in range(14)),
    )
    history = History(0, steps, _LAGGING)
    with RESTART_MUTATIONS[_UNASSESSED]():
        assert checked(violations(run_history(history)))

    assert violations(run_history(history)) == []


@pytest.mark.parametrize("is_mutated", [False, True])
@in_virtual_time
async def test_a_restart_by_a_sibling_before_the_sync(*, is_mutated: bool) -> None:
    """With the mutation it covers; without it the workload restarts once more with the new Secret.

    Siblings of one operator wait for the same providers, so only another version of it restarts that early.
    """
    harness = SubscriptionHarness(cooldownSeconds=0)
    harness.create("web", uses=["env"])
    _sync(harness, "1")
    with RESTART_MUTATIONS[_COVERED]() if is_mutated else nullcontext():
        async with harness:
            await harness.change()
            record = json.dumps({"time": virtual_now().isoformat(), "stamps": {"sibling": "epoch.1"}})
            harness.cluster.annotate_workload(NAMESPACE, "web", {LAST_RESTART: record})
            await asyncio.sleep(10.0)
            _sync(harness, "2")
            await asyncio.sleep(60.0)
    assert harness.rollouts("web") == [0 if is_mutated else 1]


def _sync(harness: SubscriptionHarness, content: str) -> None:
    """The ExternalSecret of Secret `env` has synced, with this content."""
    harness.cluster.keep_secret(NAMESPACE, "env", {"reconcile.external-secrets.io/data-hash": content})
    status = {"conditions": [{"type": "Ready", "status": "True"}], "syncedResourceVersion": content}
    spec = {"target": {"name": "env"}}
    harness.cluster.put_source(NAMESPACE, EXTERNAL_SECRET, "env", spec=spec, status=status)
