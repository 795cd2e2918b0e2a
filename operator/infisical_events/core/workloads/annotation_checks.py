"""What is wrong with the annotations of a workload, as one sentence for each mistake.

`runtime.inspection` reports all of them soon after the workload appears or changes; `runtime.reconcile`
reports `annotation_mistakes` when a change is found.
"""

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from infisical_events.api import annotations
from infisical_events.api.resources import GROUP, KIND
from infisical_events.api.specs import Action, EventType, Spec
from infisical_events.core.interruptible import Interruptible
from infisical_events.core.ledger.ledger import Ledger
from infisical_events.core.paths.path_globs import KeyFilter
from infisical_events.core.paths.scopes import scopes_of
from infisical_events.core.snapshots.changes import ANY_KEY, Change
from infisical_events.core.snapshots.selectors import ALL_TYPES, Selector, selectors_of
from infisical_events.core.status.text import counted, object_name, preview
from infisical_events.core.workloads.workloads import Workload, listed, switch_of, workload_filter_of

_SWITCHES = {
    annotations.AUTO_RELOAD: "the annotation opts in to nothing",
    annotations.PAUSED: "restarts of the workload are held",
    annotations.IGNORE_OTHERS: "the annotation has no effect",
}
"""What a boolean that is not understood does."""

_MAX_NAMED = 5
"""Names that one message shows."""
_MAX_QUOTED = 64
"""Characters of a user's text that one message shows."""


@dataclass(frozen=True, slots=True)
class AnnotatedWorkload:
    """A workload with everything that may have an annotation of this operator, in its place or not."""

    namespace: str
    workload: Workload
    labels: Mapping[str, str] = field(default_factory=dict)
    template_annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def own_texts(self) -> frozenset[tuple[str, str, str]]:
        """What users wrote for this operator, so that a change of anything else is no change."""
        places = {
            "annotation": self.workload.annotations,
            "label": self.labels,
            "template": self.template_annotations,
        }
        return frozenset(
            (place, key, text)
            for place, texts in places.items()
            for key, text in texts.items()
            if _is_for_us(key)
            and key.partition("/")[2] not in annotations.WRITTEN
            and not key.startswith(annotations.WRITTEN_PREFIXES)
        )


@dataclass(frozen=True, slots=True)
class WorkloadEvent:
    """One event of a watch of workloads: the version to go on from, and the workload if there is one."""

    version: str
    found: AnnotatedWorkload | None = None
    is_deleted: bool = False


@dataclass(frozen=True, slots=True)
class WatchedSecrets:
    """What a subscription watches: a change for each key that exists, or `ANY_KEY` where keys are unknown."""

    subscription: str
    changes: tuple[Change, ...]
    is_observed: bool = True
    """Whether its folders were read already."""


def is_opted_in(workload: Workload) -> bool:
    """Whether some subscription may restart it."""
    switch = switch_of(workload.annotations, annotations.AUTO_RELOAD)
    return switch is True or (switch is None and bool(workload.subscriptions))


# -- mistakes that the annotations alone show ---------------------------------------------------------


def annotation_mistakes(workload: Workload) -> tuple[str, ...]:
    """The mistakes in the workload's own annotations."""
    return (
        *workload_filter_of(workload).mistakes,
        *_switch_mistakes(workload),
        *_value_mistakes(workload),
        *_unknown_keys(workload),
    )


def placement_mistakes(found: AnnotatedWorkload) -> Iterator[str]:
    """Annotations of this operator that are in a place where it does not read them."""
    name = object_name(found.workload.kind.kind, found.workload.name)
    for key in found.template_annotations:
        if _is_ours(key) and not key.startswith(annotations.WRITTEN_PREFIXES):
            yield f"annotation {_quoted(key)} has no effect on the pod template: write it on {name} itself"
    for key in found.labels:
        if _is_ours(key):
            yield f"label {_quoted(key)} has no effect: write it as an annotation of {name}"
    opt_ins = {annotations.AUTO_RELOAD, annotations.SUBSCRIPTION}
    if found.workload.has_filters and not opt_ins & found.workload.annotations.keys():
        yield f'the annotations of {name} have no effect without {annotations.AUTO_RELOAD}: "true"'


def _switch_mistakes(workload: Workload) -> Iterator[str]:
    for key, effect in _SWITCHES.items():
        text = workload.annotations.get(key)
        if text is not None and switch_of(workload.annotations, key) is None:
            yield f'annotation {key}: {_quoted(text)} is no boolean, so {effect}: write "true" or "false"'


def _value_mistakes(workload: Workload) -> Iterator[str]:
    action = workload.annotations.get(annotations.ACTION)
    if action is not None and action not in set(Action):
        yield f"annotation {annotations.ACTION}: write one of {', '.join(Action)}"
    wave = workload.annotations.get(annotations.WAVE)
    if wave is not None and str(workload.wave) != wave.strip():
        yield f"annotation {annotations.WAVE}: write a whole number such as 1"
    if annotations.SUBSCRIPTION in workload.annotations and not workload.subscriptions:
        yield f"annotation {annotations.SUBSCRIPTION} names no subscription: write a name, or remove it"


def _unknown_keys(workload: Workload) -> Iterator[str]:
    for key in workload.annotations:
        group, _, name = key.partition("/")
        if key in annotations.OF_SUBSCRIPTIONS:
            yield f"annotation {key} has no effect on a workload: write it on the subscription"
        elif group == GROUP and not _is_known(name):
            yield f"annotation {_quoted(key)} is unknown{_suggestion(name, annotations.OF_WORKLOADS)}"
        elif group != GROUP and _is_misspelt_group(group) and name in annotations.OF_WORKLOADS:
            yield f"annotation {_quoted(key)} has no effect: write {GROUP}/{name}"


def _is_known(name: str) -> bool:
    is_written = name in annotations.WRITTEN or f"{GROUP}/{name}".startswith(annotations.WRITTEN_PREFIXES)
    return is_written or name in annotations.OF_WORKLOADS


def _is_ours(key: str) -> bool:
    return key.startswith(f"{GROUP}/")


def _is_for_us(key: str) -> bool:
    return _is_ours(key) or _is_misspelt_group(key.partition("/")[0])


def _is_misspelt_group(group: str) -> bool:
    """`event.infisical.com`, but not the group of the Infisical operator."""
    is_similar = (
        difflib.SequenceMatcher(None, group, GROUP).ratio() > _SIMILAR if "infisical" in group else False
    )
    return is_similar and group not in {GROUP, annotations.INFISICAL_GROUP}


_SIMILAR = 0.75
"""How similar a group has to be to be a misspelt one."""


def _suggestion(name: str, known: Iterable[str]) -> str:
    by_lower = {each.lower(): each for each in known}
    close = difflib.get_close_matches(name[:_MAX_QUOTED].lower(), by_lower, n=1)
    return f": did you mean {by_lower[close[0]]}?" if close else ""


def _quoted(text: str) -> str:
    return ascii(text[:_MAX_QUOTED])


# -- mistakes that only the namespace shows -----------------------------------------------------------


_MAX_NAMES = 20
"""Names of one annotation that are compared with the subscriptions; the annotation may have 60,000."""


def missing_subscriptions(found: AnnotatedWorkload, names: Collection[str]) -> Iterator[str]:
    """Why no subscription restarts a workload that opted in; `names` are those of its namespace."""
    if not is_opted_in(found.workload):
        return
    if not names:
        yield f"namespace {found.namespace} has no {KIND}, so nothing restarts this workload: create one"
        return
    for name in found.workload.subscriptions[:_MAX_NAMES]:
        if name not in names:
            hint = _suggestion(name, names) or f": namespace {found.namespace} has {_preview(sorted(names))}"
            yield f"annotation {annotations.SUBSCRIPTION}: there is no subscription {_quoted(name)}{hint}"


def watched_secrets(name: str, spec: Spec, ledger: Ledger | None) -> WatchedSecrets:
    """What a subscription watches, by its spec and by what it has read.

    Raises:
        ValueError: a glob or a pattern of the spec is invalid.
    """
    selectors = selectors_of(spec)
    known = tuple(_known_changes(selectors, ledger)) if ledger else ()
    types = frozenset(entry.event for entry in spec.events)
    anything = tuple(Change(scope, ANY_KEY, types) for scope in scopes_of(spec))
    return WatchedSecrets(name, known or anything, ledger is not None)


def _known_changes(selectors: Iterable[Selector], ledger: Ledger) -> Iterator[Change]:
    for selector in selectors:
        for partition, accepted in ledger.accepted.items():
            change = Change(partition.scope, ANY_KEY, selector.types)
            if selector.rejection_reason(change) is not None:
                continue
            keys = [ANY_KEY] if accepted.state.fingerprint else accepted.state.versions
            for key in keys:
                if key == ANY_KEY or selector.keys.matches(key):
                    yield Change(partition.scope, key, selector.types)


def unmatched_names(workload: Workload, watched: Iterable[WatchedSecrets]) -> Interruptible[tuple[str, ...]]:
    """Names in the filter annotations that match nothing of what the workload's subscriptions watch."""
    mine = [each for each in watched if workload.is_subscribed_to(each.subscription)]
    changes = [change for each in mine for change in each.changes]
    if not changes:
        return ()
    by = _preview([each.subscription for each in mine])
    selector = workload_filter_of(workload).selector
    found = [
        *_unmatched_types(workload, selector, changes, by),
        *_unmatched_environments(workload, changes, by),
    ]
    in_environment = [change for change in changes if _is_in_environment(selector, change)]
    in_folder = [change for change in in_environment if _is_in_folder(selector, change)]
    if in_environment and not in_folder and selector.path is not None:
        path = _quoted(selector.path.pattern)
        found.append(f"annotation {annotations.SECRET_PATH}: {path} is no folder that {by} watches")
    if in_folder:
        keys = frozenset(change.key for change in in_folder)
        found += yield from _unmatched_keys(workload, keys, by)
    return tuple(found)


def _is_in_environment(selector: Selector, change: Change) -> bool:
    return selector.environments is None or change.scope.folder.environment in selector.environments


def _is_in_folder(selector: Selector, change: Change) -> bool:
    probe = Selector(ALL_TYPES, None, selector.path, KeyFilter(()))
    return probe.rejection_reason(change) is None


def _unmatched_types(
    workload: Workload, selector: Selector, changes: Iterable[Change], by: str
) -> Iterator[str]:
    selected = frozenset[EventType]().union(*(change.types for change in changes))
    if annotations.EVENTS in workload.annotations and not selector.types & selected:
        types = ", ".join(sorted(selected))
        yield f"annotation {annotations.EVENTS}: {by} selects other events ({types})"


def _unmatched_environments(workload: Workload, changes: Iterable[Change], by: str) -> Iterator[str]:
    environments = sorted({change.scope.folder.environment for change in changes})
    for name in listed(workload.annotations, annotations.ENVIRONMENT):
        if name not in environments:
            hint = _suggestion(name, environments) or f" ({_preview(environments)})"
            key, quoted = annotations.ENVIRONMENT, _quoted(name)
            yield f"annotation {key}: {quoted} is no environment that {by} watches{hint}"


def _unmatched_keys(workload: Workload, keys: Collection[str], by: str) -> Interruptible[list[str]]:
    """Patterns of keys that match no key of today; a key that is created later may still match."""
    found: list[str] = []
    if ANY_KEY in keys or not workload_filter_of(workload).selector.keys.patterns:
        return found
    for pattern in listed(workload.annotations, annotations.SECRET_KEYS):
        is_excluding = pattern.startswith("!")
        if not (is_excluding or (yield from _any_matches(KeyFilter((pattern,)), keys))):
            hint = _glob_hint(pattern)
            found.append(
                f"annotation {annotations.SECRET_KEYS}: {_quoted(pattern)} matches none of "
                f"{counted(len(keys), 'key')} that {by} watches{hint}"
            )
    return found


def _any_matches(key_filter: KeyFilter, keys: Iterable[str]) -> Interruptible[bool]:
    for key in keys:
        if key_filter.matches(key):
            return True
        yield
    return False


def _glob_hint(pattern: str) -> str:
    """A regular expression is taken for a glob, which it rarely is."""
    is_regular = pattern.startswith("^") or pattern.endswith("$") or ".*" in pattern or "\\" in pattern
    return ": write a glob such as DB_*, not a regular expression" if is_regular else ""


def _preview(names: Iterable[str]) -> str:
    return preview([name[:_MAX_QUOTED] for name in names], _MAX_NAMED)
