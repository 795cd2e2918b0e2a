"""What became of folders that a read did not find, by plain values."""

import pytest

from infisical_events.core.ledger.acceptance import AcceptedState
from infisical_events.core.ledger.missing_scopes import (
    MissingScope,
    known_states,
    moved_folder,
    removal_of,
    under_old_name,
)
from infisical_events.core.paths.scopes import Folder, Scope
from infisical_events.core.snapshots.snapshots import Partition, PartitionState, SecretVersion
from support.builders import DELETE, a_folder, a_ledger, a_partition, a_scope, an_event, at, received

SHOP = a_scope("/shop/**")


def a_state(*ids: str) -> PartitionState:
    """A state with a key for each id."""
    return PartitionState.of({name.upper(): SecretVersion(name, 1) for name in ids})


def test_an_environment_is_recognised_by_the_ids_of_its_secrets() -> None:
    """The same path in another environment, with one secret of the old ones."""
    seen = {Partition.own(Folder("production", "/shop/pay")): a_state("b", "c")}
    known = {a_partition("/shop/pay"): a_state("a", "b")}
    assert moved_folder(SHOP, known, seen) == Folder("production", "/shop")


@pytest.mark.parametrize(
    ("known_path", "seen_path", "base"),
    [
        ("/shop", "/store", "/store"),
        ("/shop/pay", "/store/pay", "/store"),
        ("/shop/pay", "/old/shop/pay", "/old/shop"),
        ("/shop/pay", "/store/cards", None),
    ],
)
def test_a_folder_is_recognised_below_its_new_parent(
    known_path: str, seen_path: str, base: str | None
) -> None:
    """What is below the folder has to be below it still."""
    found = moved_folder(
        SHOP, {a_partition(known_path): a_state("a")}, {a_partition(seen_path): a_state("a")}
    )
    assert found == (a_folder(base) if base else None)


def test_other_secrets_with_the_same_keys_are_another_folder() -> None:
    """A copy has ids of its own."""
    seen = {a_partition("/copy"): PartitionState.of({"A": SecretVersion("other", 1)})}
    assert moved_folder(SHOP, {a_partition("/shop"): a_state("a")}, seen) is None


def test_a_compacted_state_is_recognised_when_it_is_equal() -> None:
    """It has no ids, and a digest of all of them."""
    known = {a_partition("/shop"): a_state("a", "b").compacted()}
    assert moved_folder(SHOP, known, {a_partition("/x"): a_state("a", "b")}) == a_folder("/x")
    assert moved_folder(SHOP, known, {a_partition("/x"): a_state("a", "c")}) is None


def test_what_was_found_has_the_names_of_the_spec() -> None:
    """Own secrets by their path below the folder, imports by the scope."""
    moved = Scope(Folder("production", "/store"), recursive=True)
    source = Folder("dev", "/shared")
    seen = {
        Partition.own(Folder("production", "/store")): a_state("a"),
        Partition.own(Folder("production", "/store/pay")): a_state("b"),
        Partition(moved, source): a_state("c"),
    }
    assert under_old_name(SHOP, moved, seen) == {
        a_partition("/shop"): a_state("a"),
        a_partition("/shop/pay"): a_state("b"),
        Partition(SHOP, source): a_state("c"),
    }


def test_keys_that_events_reported_as_deleted_are_not_kept() -> None:
    """A partition is known until every key of it was reported."""
    held = {
        a_partition("/shop"): AcceptedState(a_state("a"), at(0)),
        a_partition("/shop/pay"): AcceptedState(a_state("b", "c"), at(0)),
    }
    told = (
        received(an_event(DELETE, "/shop", "A"), 1),
        received(an_event(DELETE, "/shop/pay", "B"), 1),
    )
    known = known_states(a_ledger(held, scopes=[SHOP]), SHOP, told)
    assert known.keys() == {a_partition("/shop/pay")}
    assert [change.key for change in removal_of(known)] == ["B", "C"]


@pytest.mark.parametrize(
    ("missing", "is_problem", "text"),
    [
        (MissingScope(SHOP), False, "Folder prod:/shop does not exist."),
        (MissingScope(SHOP, is_environment=True), True, "Environment prod does not exist."),
        (MissingScope(SHOP, kept_keys=1), True, "its 1 known key stays as last read"),
        (MissingScope(SHOP, kept_keys=2), True, "its 2 known keys stay as last read"),
        (MissingScope(SHOP, moved_to=a_folder("/new")), True, "its secrets are in prod:/new now"),
    ],
)
def test_what_users_read(missing: MissingScope, is_problem: bool, text: str) -> None:  # noqa: FBT001
    """A folder that may just not exist yet is no problem."""
    assert missing.is_problem is is_problem
    assert text in str(missing)
