"""Histories: what people, networks and machines do to a running operator, as a list that can be replayed."""

import random
from dataclasses import dataclass
from typing import Any

from infisical_events.core.folders import Folder

TROUBLE_SECONDS = 150.0
"""How long things happen; afterwards there is quiet."""

PAYMENTS, CARDS, SHARED, OTHER = (
    Folder("prod", "/payments"),
    Folder("prod", "/payments/cards"),
    Folder("dev", "/shared"),
    Folder("prod", "/other"),
)
KEYS = ("A", "B", "C")
WORKLOADS = ("api", "web")

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


@dataclass(frozen=True, slots=True)
class Step:
    """At a time, a verb of `playing.Play` with its arguments."""

    at: float
    verb: str
    arguments: tuple[Any, ...] = ()

    def __str__(self) -> str:
        """`12.3 write(prod:/payments, A)`."""
        return f"{self.at:7.2f} {self.verb}({', '.join(map(str, self.arguments))})"


@dataclass(frozen=True, slots=True)
class History:
    """All that happens, in order, and the seed of what is drawn on the way."""

    seed: int
    steps: tuple[Step, ...]


def history_of(seed: int) -> History:
    """The history of a seed: about a dozen changes among changing faults, crashes and edits."""
    rng = random.Random(seed)  # noqa: S311 - a simulation
    steps = [_change(rng) for _ in range(rng.randint(2, 14))]
    steps += [_trouble(rng) for _ in range(rng.randint(0, 6))]
    steps += [
        Step(rng.uniform(0, TROUBLE_SECONDS), "set_faults", (_rates(rng),)) for _ in range(rng.randint(0, 4))
    ]
    steps += [Step(rng.uniform(0, 60), "start_operator") for _ in range(rng.choice((0, 0, 0, 1, 1, 2)))]
    return History(seed, tuple(sorted(steps, key=lambda step: step.at)))


def _rates(rng: random.Random) -> tuple[tuple[str, float], ...]:
    chosen = rng.sample(sorted(_RATES), rng.randint(0, 5))
    return tuple((name, _RATES[name]) for name in chosen)


def _change(rng: random.Random) -> Step:
    folder = rng.choice((PAYMENTS, PAYMENTS, CARDS, SHARED, OTHER))
    key, at = rng.choice(KEYS), rng.uniform(0, TROUBLE_SECONDS)
    verb = rng.choices(("write", "remove", "rotate", "toggle_import", "touch_reference"), (6, 3, 1, 1, 0.4))[
        0
    ]
    if verb == "toggle_import":
        return Step(at, verb, (PAYMENTS, SHARED))
    if verb == "touch_reference":
        return Step(at, verb, (PAYMENTS,))
    return Step(at, verb, (folder, key))


def _trouble(rng: random.Random) -> Step:
    at, name = rng.uniform(0, TROUBLE_SECONDS), rng.choice(WORKLOADS)
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
        ("edit_spec", (rng.randint(0, 2),)),
        ("recreate_subscription", ()),
    )
    return Step(at, *rng.choice(choices))
