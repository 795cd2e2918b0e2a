"""Selectors of changes: the conditions of a spec, and the filter annotations of a workload.

A received event is converted to changes first. So changes from the stream and changes found by a later read
pass through the same selectors and cannot be treated differently.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from infisical_events.api.specs import EventType, Spec
from infisical_events.core.interruptible import Interruptible
from infisical_events.core.paths.path_globs import KeyFilter, PathGlob, compile_path_glob
from infisical_events.core.paths.scopes import Folder, Scope
from infisical_events.core.snapshots.changes import ANY_KEY, Change
from infisical_events.core.snapshots.events import SecretEvent
from infisical_events.core.status.reasons import Reason

ALL_TYPES = frozenset(EventType)

_Tested = tuple[Change, list[Reason | None]]
"""A change, and per selector why it does not select it; None where it does."""

_BY_CLOSENESS = (
    Reason.EVENT_TYPE_NOT_SELECTED,
    Reason.ENVIRONMENT_NOT_SELECTED,
    Reason.PATH_NOT_SELECTED,
    Reason.KEYS_NOT_SELECTED,
)
"""Reasons by how close a change came to being selected; the last one is the closest."""


@dataclass(frozen=True, slots=True)
class Selector:
    """A predicate on changes; `None` stands for "any"."""

    types: frozenset[EventType]
    environments: frozenset[str] | None
    path: PathGlob | None
    keys: KeyFilter

    def rejection_reason(self, change: Change) -> Reason | None:
        """Why this selector does not select the change; None when it does."""
        if not self.types & change.types:
            return Reason.EVENT_TYPE_NOT_SELECTED
        if self.environments is not None and change.scope.folder.environment not in self.environments:
            return Reason.ENVIRONMENT_NOT_SELECTED
        if self.path is not None and not _reaches(self.path, change.scope):
            return Reason.PATH_NOT_SELECTED
        if change.key != ANY_KEY and not self.keys.matches(change.key):
            return Reason.KEYS_NOT_SELECTED
        return None


@dataclass(frozen=True, slots=True)
class Selection:
    """The selected changes, and the closest reason for those that were not selected."""

    selected: tuple[Change, ...]
    rejection_reason: Reason | None


def selectors_of(spec: Spec) -> tuple[Selector, ...]:
    """One selector per entry of `spec.events`.

    Raises:
        ValueError: a glob or a key pattern is invalid; the message says what to change.
    """
    return tuple(
        Selector(
            types=frozenset({entry.event}),
            environments=frozenset({entry.conditions.environment_slug}),
            path=compile_path_glob(entry.conditions.secret_path),
            keys=KeyFilter(entry.conditions.secret_keys),
        )
        for entry in spec.events
    )


def select(selectors: Iterable[Selector], changes: Iterable[Change]) -> Selection:
    """The changes that at least one selector selects."""
    tests = tuple(selectors)
    tested = [(change, [test.rejection_reason(change) for test in tests]) for change in changes]
    return _selection(tested)


def select_in_steps(selectors: Iterable[Selector], changes: Iterable[Change]) -> Interruptible[Selection]:
    """As `select`, but interruptible: 10,000 changes and 1,000 expensive patterns take half a minute."""
    tests = tuple(selectors)
    tested: list[_Tested] = []
    for change in changes:
        reasons = []
        for test in tests:
            reasons.append(test.rejection_reason(change))
            yield
        tested.append((change, reasons))
    return _selection(tested)


def _selection(tested: Iterable[_Tested]) -> Selection:
    selected: list[Change] = []
    closest: Reason | None = None
    for change, reasons in tested:
        if None in reasons:
            selected.append(change)
        else:
            closest = max(filter(None, [closest, *reasons]), key=_BY_CLOSENESS.index)
    return Selection(tuple(selected), closest)


def changes_of(event: SecretEvent) -> tuple[Change, ...]:
    """The changes that a received event reports."""
    types = frozenset({event.type})
    keys = sorted(event.keys) or [ANY_KEY]
    return tuple(Change(Scope(event.folder), key, types) for key in keys)


def _reaches(glob: PathGlob, scope: Scope) -> bool:
    """Whether the glob matches the folder or, for a recursive scope, may match a folder in it."""
    if not scope.recursive:
        return glob.matches(scope.folder.path)
    reach = Scope(Folder(scope.folder.environment, glob.base), recursive=not glob.is_literal)
    return reach.overlaps(scope)
