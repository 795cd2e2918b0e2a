"""Whom a change concerns: the conditions of a spec."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_events.core.paths.path_globs import compile_path_glob
from infisical_events.core.paths.scopes import Scope
from infisical_events.core.snapshots.changes import ANY_KEY, Change
from infisical_events.core.snapshots.events import SecretEvent
from infisical_events.core.snapshots.selectors import changes_of, select, selectors_of
from infisical_events.core.status.reasons import Reason
from support.builders import CREATE, DELETE, IMPORT, UPDATE, a_change, a_folder, a_spec, an_entry, an_event
from support.strategies import events, few_changes, few_folders

SPEC = a_spec(
    an_entry(UPDATE, "prod", "/a/**", "DB_*", "!DB_OLD"),
    an_entry(DELETE, "dev", "/b"),
    an_entry(IMPORT, "prod", "/a/**", "DB_*"),
)
GLOBS = ["/", "/a", "/a/b", "/ab", "/*", "/a/*", "/a/**", "/**", "/a*", "/{a,ab}/b"]


def refusal_of(change: Change) -> Reason | None:
    """Why the spec does not select the change."""
    return select(selectors_of(SPEC), [change]).rejection_reason


@pytest.mark.parametrize(
    "change",
    [
        a_change("DB_URL"),
        a_change("DB_URL", path="/a/b/c"),
        a_change("DB_URL", CREATE, UPDATE),
        a_change("ANYTHING", DELETE, path="/b", environment="dev"),
        a_change("DB_URL", IMPORT, path="/a/**"),
        a_change(ANY_KEY, IMPORT, path="/a/b"),
    ],
)
def test_a_change_is_selected_by_one_entry(change: Change) -> None:
    """Type, environment, path and key of one and the same entry have to fit."""
    assert select(selectors_of(SPEC), [change]).selected == (change,)
    assert refusal_of(change) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (a_change("DB_URL", CREATE), Reason.EVENT_TYPE_NOT_SELECTED),
        (a_change("DB_URL", environment="dev"), Reason.ENVIRONMENT_NOT_SELECTED),
        (a_change("DB_URL", path="/ab"), Reason.PATH_NOT_SELECTED),
        (a_change("DB_URL", DELETE, environment="dev"), Reason.PATH_NOT_SELECTED),
        (a_change("API_KEY"), Reason.KEYS_NOT_SELECTED),
        (a_change("DB_OLD"), Reason.KEYS_NOT_SELECTED),
    ],
)
def test_a_skip_names_the_closest_mismatch(change: Change, reason: Reason) -> None:
    """With several entries the closest one gives the reason."""
    assert refusal_of(change) is reason


def test_the_closest_of_all_changes_is_told() -> None:
    """Among the changes that were not selected, too."""
    selection = select(selectors_of(SPEC), [a_change("X"), a_change("DB_A"), a_change("X", CREATE)])

    assert selection.selected == (a_change("DB_A"),)
    assert selection.rejection_reason is Reason.KEYS_NOT_SELECTED


def test_nothing_is_refused_where_nothing_changed() -> None:
    """No change, no reason."""
    assert (select(selectors_of(SPEC), []).selected, select(selectors_of(SPEC), []).rejection_reason) == (
        (),
        None,
    )


@given(st.lists(few_changes, max_size=4))
def test_every_change_is_selected_or_refused(changes: list[Change]) -> None:
    """A reason is given if and only if some change is left out."""
    selection = select(selectors_of(SPEC), changes)

    assert set(selection.selected) <= set(changes)
    assert (selection.rejection_reason is None) == (len(selection.selected) == len(changes))


@given(st.sampled_from(GLOBS), few_folders, few_folders, st.booleans())
def test_a_change_anywhere_below_concerns_every_folder_there(
    glob: str,
    folder: object,
    top: object,
    recursive: bool,  # noqa: FBT001 - drawn
) -> None:
    """An entry that matches a folder is concerned by a change of which only a scope around it is known."""
    scope = Scope(top, recursive)
    matches = folder.environment == "prod" and compile_path_glob(glob).matches(folder.path)

    if matches and scope.covers(folder):
        change = Change(scope, "A", frozenset({UPDATE}))
        assert select(selectors_of(a_spec(an_entry(path=glob))), [change]).selected == (change,)


@pytest.mark.parametrize(
    ("glob", "path", "expected"),
    [("/a/b", "/a/**", True), ("/a/*", "/**", True), ("/c", "/a/**", False), ("/", "/a/**", False)],
)
def test_a_change_below_a_folder_concerns_no_other_one(glob: str, path: str, expected: bool) -> None:  # noqa: FBT001
    """An entry that can match no folder of the scope is not concerned."""
    change = a_change("A", path=path)

    assert bool(select(selectors_of(a_spec(an_entry(path=glob))), [change]).selected) is expected


@pytest.mark.parametrize(
    "entry", [an_entry(path="/a{b"), an_entry(path="/a/**b"), an_entry(UPDATE, "prod", "/a", "[z-a]")]
)
def test_a_glob_that_is_not_acceptable_is_refused(entry: dict[str, object]) -> None:
    """Invalid patterns of a spec are rejected before it is served."""
    with pytest.raises(ValueError, match=r"^the (path glob|key pattern) "):
        selectors_of(a_spec(entry))


def test_an_event_is_a_change_of_each_key() -> None:
    """Received events and found changes pass the same selectors."""
    assert changes_of(an_event(CREATE, "/a", "B", "A")) == (a_change("A", CREATE), a_change("B", CREATE))
    assert changes_of(an_event(IMPORT, "/a")) == (a_change(ANY_KEY, IMPORT),)


@given(events)
def test_an_event_claims_its_own_type_and_folder_only(event: SecretEvent) -> None:
    """Every change of an event is of its folder and type; there is at least one."""
    changes = changes_of(event)

    assert {(change.scope, change.types) for change in changes} == {
        (Scope(event.folder), frozenset({event.type}))
    }
    assert {change.key for change in changes} == (set(event.keys) or {ANY_KEY})


def test_a_folder_beside_is_another_folder() -> None:
    """A name that begins alike is no folder below."""
    assert not Scope(a_folder("/a"), recursive=True).covers(a_folder("/ab"))
