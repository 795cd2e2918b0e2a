"""Changes: their stored form, how many of them are kept, and which ones two states differ by."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_events.core.paths.path_globs import KeyFilter, compile_path_glob
from infisical_events.core.snapshots.changes import ANY_KEY, Change, compacted, diff, diff_by_content, merged
from infisical_events.core.snapshots.selectors import Selector, select
from infisical_events.core.snapshots.snapshots import Partition, PartitionState, SecretVersion
from support.builders import CREATE, DELETE, IMPORT, UPDATE, a_change, a_partition, a_partition_state
from support.strategies import changes, event_types, few_changes, few_keys, own_states, states

OWN, IMPORTED = a_partition("/a"), a_partition("/a", source="/shared")

selectors = st.builds(
    Selector,
    types=event_types,
    environments=st.none() | st.frozensets(st.sampled_from(["prod", "dev"]), min_size=1),
    path=st.none() | st.sampled_from(["/", "/a", "/a/*", "/a/**", "/folder-7"]).map(compile_path_glob),
    keys=st.builds(KeyFilter, st.lists(few_keys, max_size=1).map(tuple)),
)


def test_a_change_is_written_as_people_read_it() -> None:
    """Types, folder and key, as in the words of Infisical."""
    assert str(a_change("KEY", UPDATE, CREATE)) == "secret:create,secret:update prod:/a KEY"


@given(changes)
def test_a_change_survives_storage(change: Change) -> None:
    """Every change is read back as it was, whatever folders and keys are called."""
    assert Change.parse(str(change)) == change


@pytest.mark.parametrize(
    "text", ["", "secret:update", "secret:update prod:/a", "secret:rename prod:/a A", " prod:/a A"]
)
def test_what_is_no_change_is_refused(text: str) -> None:
    """A text that no change was written as is no change."""
    with pytest.raises(ValueError, match=r"values to unpack|EventType"):
        Change.parse(text)


def test_one_key_is_one_change() -> None:
    """Several changes of a key are one with all their types."""
    assert merged([a_change("B"), a_change("A", DELETE), a_change("A", CREATE)]) == (
        a_change("A", DELETE, CREATE),
        a_change("B"),
    )


@given(st.lists(few_changes))
def test_merging_again_changes_nothing(several: list[Change]) -> None:
    """Merged changes are sorted, have every key once, and do not depend on the order."""
    once = merged(several)

    assert merged(once) == merged(reversed(several)) == once
    assert len({(change.scope, change.key) for change in once}) == len(once)


def test_fifty_changes_are_kept() -> None:
    """50 changes are kept one by one."""
    several = [a_change(f"KEY_{number:02}") for number in range(50)]

    assert list(compacted(several)) == several


def test_more_changes_are_one_of_their_folder() -> None:
    """With one change more the keys are dropped; types and folders are kept."""
    several = [a_change(f"KEY_{number}") for number in range(50)]

    assert compacted([*several, a_change("X", CREATE), a_change("X", DELETE, path="/b")]) == (
        a_change(ANY_KEY, CREATE, UPDATE),
        a_change(ANY_KEY, DELETE, path="/b"),
    )


def test_too_many_folders_are_one_environment() -> None:
    """The changes of a pending restart do not grow with the number of folders either."""
    several = [
        a_change(path=f"/folder-{number}", environment=env) for number in range(60) for env in ("dev", "prod")
    ]

    assert compacted(several) == (
        a_change(ANY_KEY, path="/**", environment="dev"),
        a_change(ANY_KEY, path="/**"),
    )


@given(selectors, st.lists(few_changes, max_size=4), st.integers(0, 60), st.integers(0, 60))
def test_folding_loses_nobody(selector: Selector, few: list[Change], keys: int, others: int) -> None:
    """Whom some change concerns, some folded change concerns; folding again changes nothing."""
    many = [a_change(f"KEY_{number}") for number in range(keys)]
    wide = [a_change("A", CREATE, path=f"/folder-{number}", environment="dev") for number in range(others)]
    several = [*few, *many, *wide]

    assert bool(select([selector], several).selected) <= bool(select([selector], compacted(several)).selected)
    assert compacted(compacted(several)) == compacted(several)
    assert len(compacted(several)) <= 50


# -- the difference of two states, as the events that Infisical would send -----------------------------


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (a_partition_state(), a_partition_state(A=1), [a_change("A", CREATE)]),
        (a_partition_state(), a_partition_state(A=3), [a_change("A", CREATE, UPDATE)]),
        (a_partition_state(A=1), a_partition_state(A=2), [a_change("A", UPDATE)]),
        (a_partition_state(A=2), a_partition_state(A=1), [a_change("A", UPDATE)]),
        (a_partition_state(A=1), a_partition_state(), [a_change("A", DELETE)]),
        (a_partition_state(A=("x", 1)), a_partition_state(A=("y", 1)), [a_change("A", DELETE, CREATE)]),
        (
            a_partition_state(A=("x", 1)),
            a_partition_state(A=("y", 2)),
            [a_change("A", DELETE, CREATE, UPDATE)],
        ),
        (
            a_partition_state(A=1, B=1),
            a_partition_state(A=1, C=1),
            [a_change("B", DELETE), a_change("C", CREATE)],
        ),
    ],
    ids=["create", "create-update", "update", "roll-back", "delete", "replace", "replace-update", "two"],
)
def test_a_change_is_attributed(
    before: PartitionState, after: PartitionState, expected: list[Change]
) -> None:
    """A key that comes is a create, one that goes a delete, another version an update."""
    assert list(diff(OWN, before, after)) == expected


def test_a_rename_is_an_update_of_both_names() -> None:
    """The server reports one secret under another key as `secret:update`."""
    before, after = a_partition_state(OLD=("x", 1)), a_partition_state(NEW=("x", 2))

    assert diff(OWN, before, after) == (a_change("NEW", UPDATE), a_change("OLD", UPDATE))


def test_renames_in_a_circle_are_updates() -> None:
    """Two secrets that swap their names were renamed; none was created or deleted."""
    before, after = a_partition_state(A=("x", 1), B=("y", 1)), a_partition_state(A=("y", 1), B=("x", 1))

    assert diff(OWN, before, after) == (a_change("A", UPDATE), a_change("B", UPDATE))


def test_a_rename_onto_a_deleted_name_is_both() -> None:
    """Entries for deletes and entries for updates both match it."""
    before, after = a_partition_state(A=("x", 1), B=("y", 1)), a_partition_state(B=("x", 2))

    assert diff(OWN, before, after) == (a_change("A", UPDATE), a_change("B", DELETE, UPDATE))


@pytest.mark.parametrize(
    ("before", "after", "keys"),
    [
        (a_partition_state(A=1, B=1), a_partition_state(A=2, B=1), ["A"]),
        (a_partition_state(A=1), a_partition_state(), ["A"]),
        (a_partition_state(0, A=1, B=1), a_partition_state(1, A=1, B=1), ["A", "B"]),
        (a_partition_state(0, A=1), a_partition_state(1, B=1), ["A", "B"]),
        (a_partition_state(0), a_partition_state(1), ["*"]),
    ],
    ids=["an imported key", "an import gone", "another rank", "rank and keys", "rank of nothing"],
)
def test_an_import_is_mutated(before: PartitionState, after: PartitionState, keys: list[str]) -> None:
    """Whatever changes in an import mutates the importing folder; its rank concerns all of its keys."""
    assert list(diff(IMPORTED, before, after)) == [a_change(key, IMPORT) for key in keys]


def test_an_import_of_a_recursive_read_belongs_to_its_whole_scope() -> None:
    """The list does not name the importing folder, so the change may be of any of them."""
    partition = a_partition("/a/**", source="/shared")

    assert diff(partition, a_partition_state(), a_partition_state(A=1)) == (
        a_change("A", IMPORT, path="/a/**"),
    )


@given(own_states, own_states)
def test_own_bodies_differ_if_they_do_not_agree(before: PartitionState, after: PartitionState) -> None:
    """There is a change if and only if the bodies do not agree, one for each key that differs."""
    changes = diff(OWN, before, after)

    assert (not changes) == before.agrees(after)
    assert [change.key for change in changes] == sorted(
        key
        for key in before.versions.keys() | after.versions.keys()
        if not _agree(before.versions.get(key), after.versions.get(key))
    )


def _agree(old: SecretVersion | None, new: SecretVersion | None) -> bool:
    return old is not None and new is not None and old.agrees(new)


@given(states, states)
def test_imports_differ_if_they_do_not_agree(before: PartitionState, after: PartitionState) -> None:
    """There is a mutation if and only if the bodies do not agree."""
    changes = diff(IMPORTED, before, after)

    assert (not changes) == before.agrees(after)
    assert all(change.types == {IMPORT} for change in changes)


@given(own_states, own_states)
def test_what_comes_one_way_goes_the_other(before: PartitionState, after: PartitionState) -> None:
    """A key created in one direction is deleted in the other one, and a rename stays a rename."""
    there = {change.key: change.types for change in diff(OWN, before, after)}
    back = {change.key: change.types for change in diff(OWN, after, before)}

    assert there.keys() == back.keys()
    assert {key for key in there if CREATE in there[key]} == {key for key in back if DELETE in back[key]}


# -- a version is not content -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("partition", "before", "after", "keys"),
    [
        (OWN, {"A": ("a", 1, "x")}, {"A": ("a", 2, "x")}, []),
        (OWN, {"A": ("a", 1, "x")}, {"A": ("a", 2, "y")}, ["A"]),
        (OWN, {"A": ("a", 1, "x")}, {"A": ("a", 2)}, ["A"]),
        (OWN, {"A": ("a", 1)}, {"A": ("a", 2, "x")}, ["A"]),
        (OWN, {"A": ("a", 1, "x")}, {"A": ("b", 1, "x")}, ["A"]),
        (OWN, {"A": ("a", 1, "x")}, {"B": ("a", 2, "x")}, ["A", "B"]),
        (OWN, {"A": ("a", 1, "x"), "B": 1}, {"A": ("a", 2, "x"), "B": 2}, ["B"]),
        (IMPORTED, {"A": ("a", 1, "x")}, {"A": ("a", 2, "x")}, []),
        (IMPORTED, {"A": ("a", 1, "x"), "B": 1}, {"A": ("a", 2, "x"), "B": 2}, ["B"]),
        (IMPORTED, {"A": ("a", 1, "x")}, {"rank": 1, "A": ("a", 2, "x")}, ["A"]),
    ],
)
def test_a_new_version_with_the_same_value_is_no_change(
    partition: Partition, before: dict[str, Any], after: dict[str, Any], keys: list[str]
) -> None:
    """As far as digests show it; a renamed secret or another place in the list of imports is a change."""
    changes, _ = diff_by_content(partition, a_partition_state(**before), a_partition_state(**after))

    assert [change.key for change in changes] == keys
