"""Upgrades and rollbacks of Infisical: which of them a history has, drawn apart from everything else."""

import random
from dataclasses import replace

from simulation.environment import Environment
from simulation.histories import TROUBLE_SECONDS, Step
from simulation.server_generations import GENERATIONS, OLD, TROUBLES

UPGRADES = "upgrades"

SHARE_WITH_SERVERS = 0.2
"""The share of histories with an adversary that have servers of some generation."""

_BEFORE_BASELINE = 0.2
"""The share of histories in which the first upgrade is under way when the operator starts."""

_NO_TROUBLE = 0.4
"""The share of upgrades in which nothing goes wrong."""


def with_servers(rng: random.Random, environment: Environment) -> Environment:
    """The environment with servers of some generation, seldom from before the Events API."""
    return replace(environment, servers=rng.choice((OLD, *GENERATIONS, *GENERATIONS)))


def upgrades(rng: random.Random, environment: Environment) -> list[Step]:
    """One to three upgrades or rollbacks; some at once, some replica by replica, some in trouble.

    All servers are whole again when the other faults end.
    """
    steps, current = [], environment.servers
    moments = sorted(rng.uniform(0, TROUBLE_SECONDS) for _ in range(rng.choice((1, 1, 2, 3))))
    begun = 0.0 if rng.random() < _BEFORE_BASELINE else moments[0]
    for at in (begun, *moments[1:]):
        current = rng.choice([name for name in GENERATIONS if name != current])
        left = TROUBLE_SECONDS - at
        mixed = rng.choice((0.0, rng.uniform(1, 60)))
        trouble = "" if rng.random() < _NO_TROUBLE else rng.choice(TROUBLES)
        steps.append(Step(at, "upgrade", (current, min(mixed, left), trouble, min(rng.uniform(2, 90), left))))
    return steps
