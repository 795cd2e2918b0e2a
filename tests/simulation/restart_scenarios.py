"""Histories of the whole restart order: sync, verify, restart once, track the rollout, with faults."""

import random
from typing import Any

from infisical_events.api.resources import EXTERNAL_SECRET, INFISICAL_SECRET, STATIC_SECRET
from simulation.environment import (
    CARDS,
    KEYS,
    OTHER,
    PAYMENTS,
    WORKLOADS,
    Environment,
    ManagedPlan,
    WorkloadPlan,
    WriterPlan,
)
from simulation.histories import TROUBLE_SECONDS, History, Step, changed, chosen_rates

_KINDS = {"ext": EXTERNAL_SECRET, "static": STATIC_SECRET, "old": INFISICAL_SECRET}

_RATES = {"stale_sync": 0.3}
"""Besides those of all histories."""


def restart_history_of(seed: int) -> History:
    """The history of a seed in an environment with providers, rules and budgets of its own."""
    rng = random.Random(-1 - seed)  # noqa: S311 - a simulation
    environment = _environment(rng)
    steps = [changed(rng) for _ in range(rng.randint(1, 8))]
    steps += [_trouble(rng, environment) for _ in range(rng.randint(0, 7))]
    for _ in range(rng.choice((0, 0, 1, 2, 3))):
        rates = chosen_rates(rng, _RATES)
        steps.append(Step(rng.uniform(0, TROUBLE_SECONDS), "set_faults", (rates,)))
    if rng.random() < 0.15:
        steps.append(Step(rng.uniform(0, 60), "start_operator"))
    if rng.random() < 0.25:
        steps.append(Step(rng.uniform(0, 60), "add_subscription", (rng.randint(0, 1),)))
    steps += _followed(random.Random(f"{seed} followed"), steps)  # noqa: S311 - a simulation
    return History(seed, tuple(sorted(steps, key=lambda step: step.at)), environment)


def _followed(rng: random.Random, steps: list[Step]) -> list[Step]:
    """A change right after another one, while the writer of the Secret is busy with the first."""
    writes = [step for step in steps if step.verb == "write"]
    if not writes or rng.random() < 0.7:
        return []
    first = rng.choice(writes)
    return [Step(first.at + rng.uniform(0.2, 6.0), "write", (first.arguments[0], rng.choice(KEYS)))]


def _environment(rng: random.Random) -> Environment:
    writers = tuple(_writer(rng, name) for name in rng.sample(sorted(_KINDS), rng.choice((0, 1, 1, 2, 3))))
    managed = tuple(
        ManagedPlan(f"own{n}", folder, rng.choice(("Owner", "Owner", "Orphan", "Merge")))
        for n, folder in enumerate(rng.sample((PAYMENTS, CARDS), rng.choice((0, 0, 1, 2))))
    )
    secrets = [*(plan.name for plan in writers), *(plan.name for plan in managed)]
    return Environment(
        fields=_fields(rng),
        writers=writers,
        managed=managed,
        workloads={name: _workload(rng, secrets) for name in WORKLOADS},
        per_minute=rng.choice((0, 0, 0, 3)),
        most_rolling=rng.choice((0, 0, 0, 1, 2)),
        stays_failing=rng.random() < 0.2,
    )


def _fields(rng: random.Random) -> dict[str, Any]:
    rollout: dict[str, Any] = {
        "order": rng.choice(("Parallel", "ByWave")),
        "onFailure": rng.choice(("Continue", "Halt")),
    }
    if concurrency := rng.choice((0, 0, 1, 2)):
        rollout["maxConcurrent"] = concurrency
    return {
        "action": rng.choice(("ResyncThenRestart",) * 6 + ("Restart",)),
        "cooldownSeconds": rng.choice((0, 0, 20, 40)),
        "resync": {"timeoutSeconds": rng.choice((15, 30)), "onTimeout": rng.choice(("Restart", "Skip"))},
        "rollout": rollout,
    }


def _writer(rng: random.Random, name: str) -> WriterPlan:
    kind = _KINDS[name]
    return WriterPlan(
        kind,
        name,
        rng.choice((PAYMENTS, PAYMENTS, PAYMENTS, CARDS, OTHER)),
        takes=rng.choice((0.5, 2.0, 8.0)),
        every=rng.choice((30.0, 60.0, 3600.0)),
        is_instant=rng.random() < 0.3,
        is_dead=rng.random() < 0.08,
        is_unable=kind is EXTERNAL_SECRET and rng.random() < 0.08,
    )


def _workload(rng: random.Random, secrets: list[str]) -> WorkloadPlan:
    used = tuple(sorted(rng.sample(secrets, min(len(secrets), rng.choice((0, 1, 1, 2))))))
    return WorkloadPlan(used, wave=rng.randint(0, 2), takes=rng.choice((0.5, 4.0, 12.0)))


def _trouble(rng: random.Random, environment: Environment) -> Step:
    at, name = rng.uniform(0, TROUBLE_SECONDS), rng.choice(WORKLOADS[:2])
    choices: list[tuple[str, tuple[Any, ...]]] = [
        ("cut_streams", ()),
        ("kill_operators", (rng.uniform(0.5, 20),)),
        ("kill_operators", (rng.uniform(0.5, 5),)),
        ("pause", (name,)),
        ("release", (name,)),
        ("opt_out", (name,)),
        ("opt_in", (name,)),
        ("recreate", (name,)),
        ("touch", (name,)),
        ("undo", (name,)),
        ("deploy", (name,)),
        ("deploy", (name,)),
        ("break_pods", (name,)),
        ("break_pods", (name,)),
        ("repair_pods", (name,)),
        ("resume", ()),
        ("create", (WORKLOADS[-1],)),
        ("edit_spec", (rng.randint(0, 2),)),
        ("recreate_subscription", ()),
    ]
    for writer in environment.writers:
        choices += [
            (verb, (writer.name,))
            for verb in ("stop_writer", "start_writer", "break_writer", "repair_writer")
        ]
    return Step(at, *rng.choice(choices))
