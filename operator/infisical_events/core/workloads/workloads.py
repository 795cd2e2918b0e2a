"""The metadata of a workload, and what its annotations say."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from infisical_events.api import annotations
from infisical_events.api.resources import GROUP, Restarting, WorkloadKind
from infisical_events.api.specs import Action, EventType
from infisical_events.core.paths.path_globs import KeyFilter, compile_path_glob
from infisical_events.core.snapshots.changes import Change
from infisical_events.core.snapshots.selectors import ALL_TYPES, Selector, select

T = TypeVar("T")

JSONObject = Mapping[str, Any]

_DEPLOYMENT = "Deployment"

_FILTERS = (annotations.EVENTS, annotations.ENVIRONMENT, annotations.SECRET_PATH, annotations.SECRET_KEYS)


_SWITCH_WORDS = dict.fromkeys(("true", "yes", "on", "y", "t", "1"), True) | dict.fromkeys(
    ("false", "no", "off", "n", "f", "0"), False
)
"""Booleans as users of YAML 1.1 write them, in any case."""


def switch_of(annotations: Mapping[str, str], key: str) -> bool | None:
    """The boolean of an annotation; None if there is none, or none that is understood."""
    return _SWITCH_WORDS.get(annotations.get(key, "").strip().lower())


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
        """Whether its owner defers restarts; they are made after release. What is not understood defers."""
        return annotations.PAUSED in self.annotations and self._switch(annotations.PAUSED) is not False

    @property
    def ignores_other_reloaders(self) -> bool:
        """Whether to restart it although another controller is configured to restart it."""
        return self._switch(annotations.IGNORE_OTHERS) is True

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
        """Whether it opted in to this subscription by name, or to all of its namespace.

        An explicit `auto-reload: "false"` opts out, whatever subscriptions are named.
        """
        names, auto_reload = self.subscriptions, self._switch(annotations.AUTO_RELOAD)
        if names and auto_reload is not False:
            return subscription in names
        return auto_reload is True

    @property
    def has_filters(self) -> bool:
        """Whether only some changes of its subscriptions restart it."""
        return any(key in self.annotations for key in _FILTERS)

    @property
    def subscriptions(self) -> tuple[str, ...]:
        """The subscriptions that it names; it opts in to no other one then."""
        return listed(self.annotations, annotations.SUBSCRIPTION)

    def _switch(self, key: str) -> bool | None:
        return switch_of(self.annotations, key)


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
    """Which changes affect one workload, and which of its filter annotations are invalid.

    An invalid filter annotation filters nothing: an unnecessary restart is better than a missing one.
    """

    selector: Selector
    mistakes: tuple[str, ...]


_NO_FILTER = WorkloadFilter(Selector(ALL_TYPES, None, None, KeyFilter()), ())


def workload_filter_of(workload: Workload) -> WorkloadFilter:
    """Read the filter annotations of a workload; most have none."""
    if not workload.has_filters:
        return _NO_FILTER
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
    return WorkloadFilter(selector, tuple(mistakes))


def matching_changes(workload: Workload, changes: Iterable[Change]) -> tuple[Change, ...]:
    """The changes that affect the workload."""
    return select((workload_filter_of(workload).selector,), changes).selected


def _event_types(values: tuple[str, ...]) -> frozenset[EventType]:
    known = ", ".join(EventType)
    try:
        return frozenset(map(EventType, values))
    except ValueError:
        raise ValueError(f"write some of {known}, separated by commas") from None


# -- an Argo Rollout and the Deployment of its pod template --------------------------------------------
#
# With `spec.workloadRef` both are one workload. The Rollout owns the pods, so it is the one that is
# restarted: a change of the Deployment's template would start a canary of it. Annotations may be on either
# of them; those of the Rollout come first.


def template_owner_of(stored: JSONObject) -> str:
    """The name of the Deployment whose pod template a stored workload uses; empty if it has its own."""
    reference = (stored.get("spec") or {}).get("workloadRef") or {}
    return str(reference.get("name") or "") if reference.get("kind") == _DEPLOYMENT else ""


def paired(workloads: Iterable[Workload]) -> tuple[Workload, ...]:
    """The workloads with each pair as its Rollout."""
    workloads = tuple(workloads)
    deployments = {each.name: each for each in workloads if each.kind.kind == _DEPLOYMENT}
    used = {each.template_owner for each in workloads if each.template_owner}
    return tuple(
        with_annotations_of(each, deployments.get(each.template_owner))
        for each in workloads
        if not (each.kind.kind == _DEPLOYMENT and each.name in used)
    )


def with_annotations_of(rollout: Workload, deployment: Workload | None) -> Workload:
    """The Rollout with the annotations of its Deployment, apart from the restart record."""
    if deployment is None:
        return rollout
    others = {key: text for key, text in deployment.annotations.items() if key != annotations.LAST_RESTART}
    return replace(rollout, annotations={**others, **rollout.annotations})
