"""What a run begins with: folders, keys, workloads, who writes their Secrets, and the rules of the spec.

`PLAIN` is the environment of most histories: two workloads that fetch their secrets themselves and are
restarted at once. `simulation.restart_scenarios` makes environments with all that `docs/resync.md` describes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from infisical_events.api.resources import ResourceKind
from infisical_events.core.paths.scopes import Folder

PAYMENTS, CARDS, SHARED, OTHER = (
    Folder("prod", "/payments"),
    Folder("prod", "/payments/cards"),
    Folder("dev", "/shared"),
    Folder("prod", "/other"),
)
RESTART_PATIENCE = 120.0
"""Seconds beyond those that a plain history needs to come to rest."""

RELOADER_AUTO = "reloader.stakater.com/auto"

KEYS = ("A", "B", "C")
WORKLOADS = ("api", "web", "job")
"""The first two are there from the beginning; the last one is created in some histories."""


@dataclass(frozen=True, slots=True)
class WriterPlan:
    """An object of another operator that writes the Secret of its own name from one folder.

    `takes` is the longest time of a sync and `every` its own interval, in seconds; an instant one receives
    changes by itself; a dead one never syncs again; an unable one says so in its spec. A foreign one has its
    data from a generator; the object of a hidden one is in another namespace.
    """

    kind: ResourceKind
    name: str
    folder: Folder
    takes: float = 1.0
    every: float = 3600.0
    is_instant: bool = False
    is_dead: bool = False
    is_unable: bool = False
    is_foreign: bool = False
    is_hidden: bool = False

    def __str__(self) -> str:
        """`ExternalSecret ext of prod:/payments (dead)`."""
        marks = [
            mark for mark in ("instant", "dead", "unable", "foreign", "hidden") if getattr(self, f"is_{mark}")
        ]
        suffix = f" ({', '.join(marks)})" if marks else ""
        timing = f"{self.takes:.1f} s each {self.every:.0f} s"
        return f"{self.kind.kind} {self.name} of {self.folder}, {timing}{suffix}"


@dataclass(frozen=True, slots=True)
class ManagedPlan:
    """A Secret that the operator itself writes from one folder."""

    name: str
    folder: Folder
    policy: str = "Owner"

    def as_spec(self) -> dict[str, Any]:
        """As an entry of `spec.resync.secrets`."""
        place = {"environmentSlug": self.folder.environment, "secretPath": self.folder.path}
        return {"name": self.name, **place, "creationPolicy": self.policy}


@dataclass(frozen=True, slots=True)
class WorkloadPlan:
    """Which Secrets the pods of a workload use, its wave, and how many seconds its rollouts take.

    `marks` are annotations of Stakater Reloader, which is installed as well.
    """

    secrets: tuple[str, ...] = ()
    wave: int = 0
    takes: float = 0.0
    marks: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_reloaded(self) -> bool:
        """Whether Reloader restarts it: by `search`, or for other Secrets, it does not."""
        return RELOADER_AUTO in self.marks


@dataclass(frozen=True, slots=True)
class Environment:
    """How a run begins.

    `fields` are those of the spec that stay as they are; `per_minute` and `most_rolling` are the budget of
    each process; with `stays_failing` a workload whose pods failed once never becomes available again;
    `more_patience` are seconds that the work of an adversary takes longer; `servers` is the generation of
    Infisical at the begin, or empty if only its data matter.
    """

    fields: Mapping[str, Any] = field(default_factory=lambda: {"action": "Restart", "cooldownSeconds": 0})
    writers: tuple[WriterPlan, ...] = ()
    managed: tuple[ManagedPlan, ...] = ()
    workloads: Mapping[str, WorkloadPlan] = field(default_factory=dict)
    per_minute: int = 0
    most_rolling: int = 0
    stays_failing: bool = False
    more_patience: float = 0.0
    servers: str = ""

    def workload(self, name: str) -> WorkloadPlan:
        """Its plan."""
        return self.workloads.get(name, WorkloadPlan())

    def spec_fields(self, *, is_first: bool) -> dict[str, Any]:
        """Of a subscription's spec; the first one alone writes Secrets."""
        resync = dict(self.fields.get("resync") or {})
        if self.managed and is_first:
            resync["secrets"] = [plan.as_spec() for plan in self.managed]
        return {**self.fields, **({"resync": resync} if resync else {})}

    @property
    def patience(self) -> float:
        """Seconds that all of it takes longer than restarts alone: waves, budgets, cooldowns, timeouts."""
        return 0.0 if self.is_plain else RESTART_PATIENCE + self.more_patience

    @property
    def is_plain(self) -> bool:
        """Whether it consists of restarts alone."""
        return self == PLAIN

    def __str__(self) -> str:
        """One line per object, for a person who replays it."""
        lines = [f"spec: {dict(self.fields)}", *(f"writer: {writer}" for writer in self.writers)]
        lines += [f"managed: {plan.name} of {plan.folder} ({plan.policy})" for plan in self.managed]
        lines += [
            f"workload: {name} {', '.join(plan.secrets) or 'no Secret'}, wave {plan.wave}, {plan.takes:.1f} s"
            f"{''.join(f', {mark}' for mark in plan.marks)}"
            for name, plan in self.workloads.items()
        ]
        lines += [f"servers: {self.servers}"] if self.servers else []
        budget = f"budget: {self.per_minute} a minute, {self.most_rolling} at a time (0: no bound)"
        return "\n".join((*lines, budget))


PLAIN = Environment()
