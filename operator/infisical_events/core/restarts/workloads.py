"""The metadata of a workload, and what its annotations say."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from infisical_events.api import annotations
from infisical_events.api.resources import GROUP, Restarting, WorkloadKind
from infisical_events.api.specs import Action, EventType
from infisical_events.core.paths.path_globs import KeyFilter, compile_path_glob
from infisical_events.core.snapshots.changes import Change
from infisical_events.core.snapshots.selectors import ALL_TYPES, Selector, select

T = TypeVar("T")


def is_true(annotations: Mapping[str, str], key: str) -> bool:
    """Whether the annotation is `"true"`, the only spelling that switches something on."""
    return annotations.get(key) == "true"


def listed(annotations: Mapping[str, str], key: str) -> tuple[str, ...]:
    """The comma-separated values of an annotation, without blanks."""
    return tuple(part for raw in annotations.get(key, "").split(",") if (part := raw.strip()))


@dataclass(frozen=True, slots=True)
class Workload:
    """Identity, version and annotations of a Deployment, StatefulSet or the like.

    `template_owner` is the name of the Deployment whose pod template a Rollout uses; empty otherwise.
    """

    uid: str
    kind: WorkloadKind
    name: str
    resource_version: str
    annotations: Mapping[str, str]
    created_at: datetime | None = None
    template_owner: str = ""

    @property
    def own_annotations(self) -> dict[str, str]:
        """The annotations that decide; others differ between a list and a read of a DaemonSet."""
        return {key: text for key, text in self.annotations.items() if key.startswith(f"{GROUP}/")}

    @property
    def is_paused(self) -> bool:
        """Whether its owner defers restarts; they are made after release."""
        return is_true(self.annotations, annotations.PAUSED)

    @property
    def ignores_other_reloaders(self) -> bool:
        """Whether to restart it although another controller is configured to restart it."""
        return is_true(self.annotations, annotations.IGNORE_OTHERS)

    @property
    def wave(self) -> int:
        """Its place in the order of rollouts: lower waves first, 0 without an annotation."""
        try:
            return int(self.annotations.get(annotations.WAVE, "0")[:9])
        except ValueError:
            return 0

    def action(self, otherwise: Action) -> Action:
        """The action for this workload; a workload that runs once is never restarted."""
        if self.kind.restarting is Restarting.NEVER:
            return Action.RESYNC
        try:
            return Action(self.annotations.get(annotations.ACTION, otherwise))
        except ValueError:
            return otherwise

    def is_subscribed_to(self, subscription: str) -> bool:
        """Whether it opted in to this subscription by name, or to all of its namespace."""
        names = listed(self.annotations, annotations.SUBSCRIPTION)
        if names:
            return subscription in names
        return is_true(self.annotations, annotations.AUTO_RELOAD)


@dataclass(frozen=True, slots=True)
class WorkloadList:
    """The workloads of a namespace at one moment.

    `failures` has the API server's message for each kind that could not be listed: nothing is known of its
    workloads then, neither that they exist nor that they do not.
    """

    workloads: tuple[Workload, ...] = ()
    failures: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WorkloadFilter:
    """Which changes affect one workload, and which of its annotations are invalid.

    An invalid filter annotation filters nothing: an unnecessary restart is better than a missing one.
    """

    selector: Selector
    mistakes: tuple[str, ...]


def workload_filter_of(workload: Workload) -> WorkloadFilter:
    """Read the filter annotations of a workload."""
    mistakes: list[str] = []

    def read(key: str, parse: Callable[[tuple[str, ...]], T], otherwise: T) -> T:
        values = listed(workload.annotations, key)
        try:
            return parse(values) if values else otherwise
        except ValueError as error:
            mistakes.append(f"annotation {key}: {error}")
            return otherwise

    selector = Selector(
        types=read(annotations.EVENTS, _event_types, ALL_TYPES),
        environments=read(annotations.ENVIRONMENT, frozenset, None),
        path=read(annotations.SECRET_PATH, lambda values: compile_path_glob(",".join(values)), None),
        keys=read(annotations.SECRET_KEYS, KeyFilter, KeyFilter(())),
    )
    mistakes += _other_mistakes(workload)
    return WorkloadFilter(selector, tuple(mistakes))


def _other_mistakes(workload: Workload) -> Iterable[str]:
    action = workload.annotations.get(annotations.ACTION)
    if action is not None and action not in set(Action):
        yield f"annotation {annotations.ACTION}: write one of {', '.join(Action)}"
    wave = workload.annotations.get(annotations.WAVE)
    if wave is not None and str(workload.wave) != wave.strip():
        yield f"annotation {annotations.WAVE}: write a whole number such as 1"


def matching_changes(workload: Workload, changes: Iterable[Change]) -> tuple[Change, ...]:
    """The changes that affect the workload."""
    return select((workload_filter_of(workload).selector,), changes).selected


def _event_types(values: tuple[str, ...]) -> frozenset[EventType]:
    known = ", ".join(EventType)
    try:
        return frozenset(map(EventType, values))
    except ValueError:
        raise ValueError(f"write some of {known}, separated by commas") from None
