"""The scopes that a spec needs to read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_events.core.paths.path_globs import compile_path_glob
from infisical_events.core.paths.scopes import Folder, Scope, scopes_of
from support.builders import a_folder, a_scope, a_spec, an_entry
from support.strategies import few_folders, few_scopes, scopes

globs = st.sampled_from(
    ["/", "/a", "/a/b", "/ab", "/**", "/a/**", "/a/*", "/a*", "/a/b/**", "/{a,ab}", "/*/b", "/a/b/?"]
)
entries = st.lists(
    st.builds(an_entry, st.just("secret:update"), st.sampled_from(["prod", "dev"]), globs),
    min_size=1,
    max_size=4,
)


def test_a_scope_is_written_as_people_read_it() -> None:
    """A folder with all below it is written as Infisical's glob for that."""
    assert str(Scope(a_folder("/a"))) == "prod:/a"
    assert str(Scope(a_folder("/a"), recursive=True)) == "prod:/a/**"
    assert str(Scope(a_folder("/"), recursive=True)) == "prod:/**"


@given(scopes)
def test_a_scope_survives_storage(scope: Scope) -> None:
    """Every scope is read back as it was, whatever its folder is called."""
    assert Scope.parse(str(scope)) == scope


@pytest.mark.parametrize(
    ("scope", "folder", "expected"),
    [
        (a_scope("/a"), a_folder("/a"), True),
        (a_scope("/a"), a_folder("/a/b"), False),
        (a_scope("/a/**"), a_folder("/a"), True),
        (a_scope("/a/**"), a_folder("/a/b/c"), True),
        (a_scope("/a/**"), a_folder("/ab"), False),
        (a_scope("/a/**"), a_folder("/"), False),
        (a_scope("/**"), a_folder("/"), True),
        (a_scope("/**"), a_folder("/a"), True),
        (a_scope("/**"), Folder("dev", "/a"), False),
        (a_scope("/a"), Folder("dev", "/a"), False),
    ],
)
def test_a_scope_covers_a_folder(scope: Scope, folder: Folder, expected: bool) -> None:  # noqa: FBT001 - a table
    """A scope covers its own folder, and all below it if it is recursive, in one environment."""
    assert scope.covers(folder) is expected


@given(few_scopes, few_scopes)
def test_scopes_overlap_alike(one: Scope, other: Scope) -> None:
    """Two scopes overlap if one begins within the other, whichever is asked."""
    assert one.overlaps(other) == other.overlaps(one)
    assert one.overlaps(other) == (one.covers(other.folder) or other.covers(one.folder))
    assert one.overlaps(one)


@given(few_scopes, few_scopes, few_folders)
def test_scopes_with_a_folder_in_common_overlap(one: Scope, other: Scope, folder: Folder) -> None:
    """No folder is seen by two scopes that do not overlap."""
    if one.covers(folder) and other.covers(folder):
        assert one.overlaps(other)


@given(entries, few_folders)
def test_every_folder_that_matters_is_looked_at(raw: list[dict[str, dict[str, str]]], folder: Folder) -> None:
    """A folder that some entry's glob matches is covered by some scope."""
    wanted = scopes_of(a_spec(*raw))
    matching = [
        conditions
        for conditions in (entry["conditions"] for entry in raw)
        if conditions["environmentSlug"] == folder.environment
        and compile_path_glob(conditions["secretPath"]).matches(folder.path)
    ]

    assert not matching or any(scope.covers(folder) for scope in wanted)


@given(entries)
def test_nothing_is_looked_at_twice(raw: list[dict[str, dict[str, str]]]) -> None:
    """No scope begins within another one, and their order does not depend on that of the entries."""
    wanted = scopes_of(a_spec(*raw))

    assert wanted == scopes_of(a_spec(*reversed(raw)))
    assert not [
        (one, other) for one in wanted for other in wanted if one != other and other.covers(one.folder)
    ]


def test_a_literal_path_is_looked_at_alone() -> None:
    """Only a glob costs a recursive list, and only from the folder on where it begins to vary."""
    spec = a_spec(an_entry(path="/a"), an_entry(path="/b/c*"), an_entry("secret:create", "dev", "/b/**"))

    assert list(map(str, scopes_of(spec))) == ["dev:/b/**", "prod:/a", "prod:/b/**"]
