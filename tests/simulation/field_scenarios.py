"""Histories with an adversary: on top of another history, some kinds of faults from the field.

What the adversary does is drawn apart from the rest, so that the history below it stays as it is.
"""

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from infisical_events.api.resources import EXTERNAL_SECRET
from simulation.adversary import ERRORS, FOR_EVER, LISTED_KINDS
from simulation.environment import (
    CARDS,
    KEYS,
    OTHER,
    PAYMENTS,
    RELOADER_AUTO,
    WORKLOADS,
    Environment,
    ManagedPlan,
    WorkloadPlan,
    WriterPlan,
)
from simulation.generation_scenarios import SHARE_WITH_SERVERS, UPGRADES, upgrades, with_servers
from simulation.histories import TROUBLE_SECONDS, History, Step, plain_of
from simulation.restart_scenarios import restart_history_of

_PATIENCE = 420.0
"""Seconds until a restart that was taken back twice is made again, with room."""

_TRUE_TEXTS = ("True", "yes", "on", "1", "TRUE", "y")
"""Booleans as users of YAML write them."""

_UNREADABLE = ("maybe", "2026-01-01", "ja")
"""What is no boolean; as `paused` it holds the workload."""

_METHODS = (
    "list_workloads",
    "list_providers",
    "list_pods",
    "pod_creation_times",
    "secret_metadata",
    "read_workload",
    "patch_workload",
    "request_sync",
    "apply_secret",
    "claim_secret",
    "emit_event",
)

_Rng = random.Random
_Steps = list[Step]


@dataclass(frozen=True, slots=True)
class Theme:
    """One kind of fault: what it changes in the environment, and its steps.

    Both get random numbers, the environment and the steps of the history below.
    """

    steps: Callable[[_Rng, Environment, _Steps], _Steps]
    environment: Callable[[_Rng, Environment], Environment] = lambda _, environment: environment


def field_history_of(seed: int, *kinds: str) -> History:
    """The history of a seed with an adversary: of one or two kinds of faults, or of the given ones.

    Some histories have servers of generations as well: `UPGRADES` is drawn apart from all other kinds.
    """
    rng = random.Random(f"{seed} field")  # noqa: S311 - a simulation
    chosen = kinds or tuple(rng.sample(sorted(THEMES), rng.choice((1, 1, 2))))
    chosen = tuple(kind for kind in chosen if kind != UPGRADES)
    below = restart_history_of(seed)
    environment = replace(below.environment, more_patience=_PATIENCE)
    steps = list(below.steps)
    for kind in chosen:
        environment = THEMES[kind].environment(rng, environment)
    for kind in chosen:
        steps += THEMES[kind].steps(rng, environment, steps)
    steps += [] if any(step.verb == "write" for step in steps) else [Step(_moment(rng), *_write(rng))]
    apart = random.Random(f"{seed} {UPGRADES}")  # noqa: S311 - a simulation
    is_upgraded = apart.random() < SHARE_WITH_SERVERS
    if UPGRADES in kinds or (is_upgraded and not kinds):
        environment = with_servers(apart, environment)
        steps += upgrades(apart, environment)
    return History(seed, tuple(sorted(steps, key=lambda step: step.at)), environment)


def _moment(rng: _Rng) -> float:
    return rng.uniform(0, TROUBLE_SECONDS)


def _write(rng: _Rng) -> tuple[str, tuple[object, ...]]:
    return "write", (rng.choice((PAYMENTS, PAYMENTS, CARDS)), rng.choice(KEYS))


def _while(rng: _Rng, share_for_ever: float = 0.15) -> float:
    """Seconds for which something lasts: a while, or to the end of the history."""
    return math.inf if rng.random() < share_for_ever else rng.uniform(2, 90)


def _times(rng: _Rng) -> int:
    return rng.choice((1, 1, 2, FOR_EVER))


# -- kind by kind --------------------------------------------------------------------------------------


def _taken_back(rng: _Rng, _: Environment, __: _Steps) -> _Steps:
    name, delay = rng.choice(WORKLOADS[:2]), rng.uniform(0.1, 6)
    choices = (
        Step(_moment(rng), "own", (name, _times(rng), delay)),
        Step(_moment(rng), "own", (name, 1, delay)),
        Step(_moment(rng), "strip_templates", (_while(rng),)),
        Step(_moment(rng), "roll_back", (name,)),
    )
    return rng.sample(choices, rng.choice((1, 1, 2)))


def _unasked(rng: _Rng, environment: Environment, __: _Steps) -> _Steps:
    names = [writer.name for writer in environment.writers if not writer.is_hidden]
    return [
        Step(rng.uniform(0, 60), "unask", (name, _times(rng), rng.choice((0.01, rng.uniform(0.1, 4)))))
        for name in names[:2]
    ]


def _refused(rng: _Rng, _: Environment, __: _Steps) -> _Steps:
    steps = []
    for _n in range(rng.choice((1, 2, 3))):
        error = rng.choice(sorted(ERRORS))
        if rng.random() < 0.5:
            kind = rng.choice(("Deployment", *LISTED_KINDS))
            steps.append(Step(_moment(rng), "refuse_kind", (kind, error, _while(rng))))
        else:
            steps.append(
                Step(_moment(rng), "refuse_calls", (rng.choice(_METHODS), error, rng.uniform(2, 90)))
            )
    return steps


def _not_found(rng: _Rng, _: Environment, __: _Steps) -> _Steps:
    at = _moment(rng)
    seconds = rng.uniform(0, TROUBLE_SECONDS - at)
    if rng.random() < 0.5:
        return [Step(at, "rename_environment", ("prod", seconds))]
    return [Step(at, "lose", (rng.choice((PAYMENTS, CARDS)), seconds))]


def _clocks(rng: _Rng, _: Environment, __: _Steps) -> _Steps:
    steps = [
        Step(
            _moment(rng),
            "jump_clock",
            (rng.choice((-1, 1)) * rng.choice((5, 30, 600, 7200)), rng.uniform(0.5, 10)),
        )
        for _n in range(rng.choice((0, 1, 1, 2)))
    ]
    stamp = Step(_moment(rng), "stamp", (rng.choice(WORKLOADS[:2]), rng.choice((20, 60, 600, 86400))))
    return [*steps, stamp] if not steps or rng.random() < 0.5 else steps


def _newcomers(rng: _Rng, _: Environment, steps: _Steps) -> _Steps:
    """Right after a change, while its Secrets are synced."""
    writes = [step for step in steps if step.verb == "write"]
    begun = rng.choice(writes).at if writes else _moment(rng)
    at, name = begun + rng.uniform(0.2, 8), rng.choice(WORKLOADS[:2])
    choices: tuple[_Steps, ...] = (
        [Step(at, "recreate", (name,))],
        [Step(at, "create", (WORKLOADS[-1],))],
        [Step(max(0.0, begun - 1), "opt_out", (name,)), Step(at, "opt_in", (name,))],
    )
    return rng.choice(choices)


def _same_values(rng: _Rng, _: Environment, __: _Steps) -> _Steps:
    return [
        Step(_moment(rng), "write_same", (rng.choice((PAYMENTS, PAYMENTS, CARDS)), rng.choice(KEYS[:2])))
        for _n in range(rng.randint(1, 5))
    ]


def _by_values(rng: _Rng, environment: Environment) -> Environment:
    if rng.random() < 0.5:
        return environment
    return replace(environment, fields={**environment.fields, "observe": "Values"})


def _managed(rng: _Rng, environment: Environment) -> Environment:
    """With a Secret that the operator writes, used by some workload, and rare reads in some histories."""
    if rng.random() < 0.5:
        fields = {**environment.fields, "resyncIntervalSeconds": 300}
        environment = replace(environment, fields=fields)
    if environment.managed:
        return environment
    plan = ManagedPlan("own0", rng.choice((PAYMENTS, CARDS)), rng.choice(("Owner", "Orphan")))
    return replace(environment, managed=(plan,), workloads=_using(rng, environment.workloads, plan.name))


def _using(rng: _Rng, workloads: Mapping[str, WorkloadPlan], secret: str) -> dict[str, WorkloadPlan]:
    """The workloads, of which some use one more Secret."""
    users = rng.sample(WORKLOADS, rng.choice((1, 2)))
    return {
        name: replace(plan, secrets=tuple(sorted({*plan.secrets, secret}))) if name in users else plan
        for name, plan in workloads.items()
    }


def _edited(rng: _Rng, environment: Environment, __: _Steps) -> _Steps:
    names = [plan.name for plan in environment.managed if plan.policy != "Merge"]
    steps = []
    for name in names:
        verb, *more = rng.choice((("edit_managed", rng.choice(KEYS[:2])), ("delete_managed",)))
        steps.append(Step(_moment(rng), verb, (name, *more)))
    if rng.random() < 0.3:
        step = ("apply_secret", rng.choice(("rejected", *sorted(ERRORS))), rng.uniform(2, 60))
        steps.append(Step(_moment(rng), "refuse_calls", step))
    return steps


def _siblings(rng: _Rng, _: Environment, steps: _Steps) -> _Steps:
    if any(step.verb == "add_subscription" for step in steps):
        return []
    return [Step(rng.uniform(0, 40), "add_subscription", (rng.randint(0, 1),))]


def _backing_off(rng: _Rng, _: Environment, steps: _Steps) -> _Steps:
    """Right after the read of a change, before its Secrets are written, or at any time."""
    writes = [step for step in steps if step.verb == "write"]
    begun = rng.choice(writes).at + rng.uniform(1.2, 1.4) if writes else _moment(rng)
    return [Step(rng.choice((begun, begun, _moment(rng))), "back_off", (rng.uniform(5, 90),))]


def _odd_writers(rng: _Rng, environment: Environment) -> Environment:
    """With a source that must not be asked, or one whose object is in another namespace."""
    odd = WriterPlan(EXTERNAL_SECRET, "odd", OTHER, takes=1.0, every=3600.0, is_foreign=True)
    if rng.random() < 0.4:
        folder = rng.choice((PAYMENTS, CARDS))
        odd = replace(
            odd, folder=folder, every=60.0, is_instant=rng.random() < 0.5, is_foreign=False, is_hidden=True
        )
    writers = (*environment.writers, odd)
    return replace(environment, writers=writers, workloads=_using(rng, environment.workloads, odd.name))


def _nothing(_: _Rng, __: Environment, ___: _Steps) -> _Steps:
    return []


def _other_tools(rng: _Rng, environment: Environment) -> Environment:
    """With Reloader on some workload: it acts on its Secrets, or is only mentioned."""
    marks = rng.choice(
        (
            {RELOADER_AUTO: "true"},
            {"reloader.stakater.com/search": "true"},
            {"secret.reloader.stakater.com/reload": "another"},
        )
    )
    name = rng.choice(WORKLOADS[:2])
    marked = replace(environment.workload(name), marks=marks)
    return replace(environment, workloads={**environment.workloads, name: marked})


def _words(rng: _Rng, _: Environment, __: _Steps) -> _Steps:
    name = rng.choice(WORKLOADS[:2])
    steps = [Step(rng.uniform(0, 60), "opt_in", (name, rng.choice(_TRUE_TEXTS)))]
    if rng.random() < 0.5:
        steps.append(Step(_moment(rng), "pause", (name, rng.choice((*_TRUE_TEXTS, *_UNREADABLE)))))
    return steps


THEMES: Mapping[str, Theme] = {
    "back-off": Theme(_backing_off, _managed),
    "clocks": Theme(_clocks),
    "managed": Theme(_edited, _managed),
    "newcomers": Theme(_newcomers),
    "not found": Theme(_not_found),
    "odd writers": Theme(_nothing, _odd_writers),
    "other tools": Theme(_nothing, _other_tools),
    "refused": Theme(_refused),
    "same values": Theme(_same_values, _by_values),
    "siblings": Theme(_siblings, _managed),
    "taken back": Theme(_taken_back),
    "unasked": Theme(_unasked),
    "words": Theme(_words),
}
"""By the kind of fault."""

SHARE = 5
"""Of so many seeds one is of the whole restart order, and every other one of these has an adversary."""


def history_of(seed: int) -> History:
    """The history of a seed: of restarts alone, of the whole restart order, or with an adversary as well."""
    if seed % SHARE != SHARE - 1:
        return plain_of(seed)
    return field_history_of(seed) if seed % (2 * SHARE) == SHARE - 1 else restart_history_of(seed)
