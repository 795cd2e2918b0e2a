"""Changes: their stored form, and how many of them are kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_events.core.paths.path_globs import KeyFilter, compile_path_glob
from infisical_events.core.snapshots.changes import ANY_KEY, Change, compacted, merged
from infisical_events.core.snapshots.selectors import Selector, select
from support.builders import CREATE, DELETE, UPDATE, a_change
from support.strategies import changes, event_types, few_changes, few_keys

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
