"""Histories: what people, networks and machines do to a running operator, as a list that can be replayed.

Among it are the three patterns of Sieve (OSDI 2022): a crash in an intermediate state (`crash` at every
call, `kill_operators`), a stale view (`stale_read`, a watch that delivers an edit late, an operator that
overlaps with one that remembers less), and unobserved states (`flip` between two reads).
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from simulation.environment import CARDS, KEYS, OTHER, PAYMENTS, PLAIN, SHARED, WORKLOADS, Environment

TROUBLE_SECONDS = 150.0
"""Seconds in which steps and faults happen; a quiet time follows."""

VARIANTS = 5
"""How many specs `run.spec_of` knows."""

_RATES = {
    "lost_event": 0.5,
    "duplicate_event": 0.3,
    "late_event": 0.4,
    "stale_read": 0.5,
    "infisical_error": 0.1,
    "slow_call": 0.1,
    "api_error": 0.1,
    "stranger_edit": 0.15,
    "lost_request": 0.1,
    "lost_answer": 0.15,
    "late_write": 0.1,
    "crash": 0.03,
}


_SHARE_WITH_ODD_SERVERS = 0.1
"""The share of histories in which Infisical does not find a folder for a while."""

_SHARE_WITH_TWO = 0.4
"""The share of histories with a second subscription."""


@dataclass(frozen=True, slots=True)
class Step:
    """At a time, a verb of `run.SimulationRun` with its arguments."""

    at: float
    verb: str
    arguments: tuple[Any, ...] = ()

    def __str__(self) -> str:
        """`12.3 write(prod:/payments, A)`."""
        return f"{self.at:7.2f} {self.verb}({', '.join(map(str, self.arguments))})"


@dataclass(frozen=True, slots=True)
class History:
    """All steps in order, the seed of the random numbers on the way, and the environment."""

    seed: int
    steps: tuple[Step, ...]
    environment: Environment = PLAIN

    def __str__(self) -> str:
        """The environment, if it is not the plain one, and a line per step."""
        environment = () if self.environment.is_plain else (str(self.environment),)
        return "\n".join((*environment, *map(str, self.steps)))


def plain_of(seed: int) -> History:
    """The history of a seed: about a dozen changes among changing faults, crashes and edits."""
    rng = random.Random(seed)  # noqa: S311 - a simulation
    steps = [changed(rng) for _ in range(rng.randint(2, 14))]
    steps += [_trouble(rng) for _ in range(rng.randint(0, 6))]
    steps += [
        Step(rng.uniform(0, TROUBLE_SECONDS), "set_faults", (chosen_rates(rng),))
        for _ in range(rng.randint(0, 4))
    ]
    steps += [Step(rng.uniform(0, 60), "start_operator") for _ in range(rng.choice((0, 0, 0, 1, 1, 2)))]
    if rng.random() < _SHARE_WITH_TWO:
        steps.append(Step(rng.uniform(0, 60), "add_subscription", (rng.randint(0, 1),)))
    steps += _odd_servers(random.Random(f"odd-{seed}"))  # noqa: S311 - a simulation
    return History(seed, tuple(sorted(steps, key=lambda step: step.at)))


def _odd_servers(rng: random.Random) -> list[Step]:
    """Folders that are not found for a while, in some histories; drawn apart, so that the others stay."""
    if rng.random() >= _SHARE_WITH_ODD_SERVERS:
        return []
    at = [rng.uniform(0, TROUBLE_SECONDS) for _ in range(rng.randint(1, 2))]
    folders = (PAYMENTS, PAYMENTS, CARDS)
    return [Step(each, "lose", (rng.choice(folders), rng.uniform(0, TROUBLE_SECONDS - each))) for each in at]


def chosen_rates(
    rng: random.Random, more: Mapping[str, float] = MappingProxyType({})
) -> tuple[tuple[str, float], ...]:
    """Some faults with their rates: of those that any history has, and more."""
    known = {**_RATES, **more}
    chosen = rng.sample(sorted(known), rng.randint(0, 5))
    return tuple((name, known[name]) for name in chosen)


def changed(rng: random.Random) -> Step:
    """A change in Infisical, somewhere and sometime."""
    folder = rng.choice((PAYMENTS, PAYMENTS, CARDS, SHARED, OTHER))
    key, at = rng.choice(KEYS), rng.uniform(0, TROUBLE_SECONDS)
    verbs = ("write", "remove", "rotate", "flip", "toggle_import", "touch_reference")
    verb = rng.choices(verbs, (6, 3, 1, 1, 1, 0.6))[0]
    if verb == "toggle_import":
        return Step(at, verb, (PAYMENTS, SHARED))
    if verb == "touch_reference":
        return Step(at, verb, (PAYMENTS,))
    return Step(at, verb, (folder, key))


def _trouble(rng: random.Random) -> Step:
    at, name = rng.uniform(0, TROUBLE_SECONDS), rng.choice(WORKLOADS[:2])
    choices: tuple[tuple[str, tuple[Any, ...]], ...] = (
        ("cut_streams", ()),
        ("cut_streams", ()),
        ("kill_operators", (rng.uniform(0.5, 40),)),
        ("pause", (name,)),
        ("release", (name,)),
        ("opt_out", (name,)),
        ("opt_in", (name,)),
        ("recreate", (name,)),
        ("touch", (name,)),
        ("undo", (name,)),
        ("edit_spec", (rng.randint(0, 2),)),
        ("edit_spec", (rng.randint(0, VARIANTS - 1),)),
        ("recreate_subscription", ()),
        ("create", (WORKLOADS[-1],)),
        ("bind", (name,)),
    )
    return Step(at, *rng.choice(choices))
