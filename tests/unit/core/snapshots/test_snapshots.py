"""Snapshots, and the stored form of partitions and their states."""

import dataclasses
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_events.core.paths.scopes import Folder, Scope
from infisical_events.core.snapshots.snapshots import Partition, PartitionState, is_covered, short_id
from support.builders import a_folder, a_partition, a_partition_state, a_scope, a_snapshot
from support.strategies import partitions, states, wide_states


def test_a_partition_is_written_readably() -> None:
    """Own secrets are named by their folder, an import by its scope and its source."""
    assert str(a_partition("/a")) == "prod:/a"
    assert str(a_partition("/a/**", source="/shared")) == "prod:/a/**<-prod:/shared"


@given(partitions)
def test_a_part_survives_storage(partition: Partition) -> None:
    """Every part is read back as it was, whatever its folders are called."""
    assert Partition.parse(str(partition)) == partition


@pytest.mark.parametrize("text", ["", "prod", "prod:/a<-", "prod:/a<-dev"])
def test_what_is_no_part_is_refused(text: str) -> None:
    """A text without an environment is no part."""
    with pytest.raises(ValueError, match="environment:/path"):
        Partition.parse(text)


@given(wide_states)
def test_a_body_survives_storage(state: PartitionState) -> None:
    """Every body is read back as it was, in one string of ASCII."""
    assert PartitionState.decode(state.encode()) == state
    assert state.encode().isascii()


@given(st.permutations(["A", "B", "C"]))
def test_a_body_is_written_in_one_way(keys: list[str]) -> None:
    """Two bodies that are equal are stored alike, in whatever order their keys came."""
    assert (
        a_partition_state(**dict.fromkeys(keys, ("id", 1))).encode()
        == '[0,{"A":["id",1],"B":["id",1],"C":["id",1]}]'
    )


def test_a_state_cannot_be_changed() -> None:
    """Neither the state nor the mapping that it was made of gives write access to its content."""
    secret_versions = dict(a_partition_state(A=1).versions)
    state = PartitionState.of(secret_versions)
    secret_versions.clear()

    assert state == a_partition_state(A=1)
    with pytest.raises(TypeError):
        state.versions["B"] = state.versions["A"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        state.rank = 2


@given(st.text() | st.builds(json.dumps, st.lists(st.integers() | st.none(), max_size=3)))
def test_an_invalid_state_is_rejected(text: str) -> None:
    """Any text that is not a stored state raises one of the documented errors."""
    with pytest.raises((ValueError, TypeError, AttributeError)):
        PartitionState.decode(text)


@given(st.text(), st.text())
def test_short_ids_tell_secrets_apart(one: str, other: str) -> None:
    """Two ids have one short form only if they are one; it is ten characters of URL-safe base64."""
    assert (short_id(one) == short_id(other)) == (one == other)
    assert re.fullmatch(r"[\w-]{10}", short_id(one), re.ASCII)


def test_a_look_counts_its_keys() -> None:
    """Own and imported keys count."""
    read_result = a_snapshot(
        {a_partition(): a_partition_state(A=1, B=1), a_partition(source="/shared"): a_partition_state(C=1)}
    )

    assert read_result.key_count == 3
    assert a_snapshot().key_count == 0


@pytest.mark.parametrize(
    ("partition", "scope", "expected"),
    [
        (a_partition("/a"), a_scope("/a"), True),
        (a_partition("/a/b"), a_scope("/a/**"), True),
        (a_partition("/a/b"), a_scope("/a"), False),
        (Partition.own(Folder("dev", "/a")), a_scope("/a/**"), False),
        (a_partition("/a", source="/shared"), a_scope("/a"), True),
        (a_partition("/a", source="/shared"), a_scope("/a/**"), False),
        (a_partition("/a/**", source="/shared"), a_scope("/a/**"), True),
    ],
)
def test_a_snapshot_covers_a_partition(partition: Partition, scope: Scope, expected: bool) -> None:  # noqa: FBT001 - a table
    """Own secrets are covered by a read of their folder, imports by a read of the same scope."""
    assert is_covered(partition, [a_scope("/elsewhere"), scope]) is expected


def test_an_own_part_is_of_its_folder() -> None:
    """Changes of own secrets belong to the folder that holds them."""
    assert Partition.own(a_folder()) == a_partition()
    assert a_partition().folder == a_folder()


# -- knowing less than all ------------------------------------------------------------------------


@given(states)
def test_a_folded_body_agrees_with_what_it_was_made_of(state: PartitionState) -> None:
    """Keys, ids and versions are in the fold, digests of values are not; an empty body needs none."""
    assert state.compacted().agrees(state)
    assert state.compacted().agrees(state.without_digests())
    assert state.compacted() == state.compacted().compacted()
    assert bool(state.compacted().fingerprint) == bool(state.versions)


@given(states, states)
def test_a_compacted_state_agrees_with_no_other(state: PartitionState, other: PartitionState) -> None:
    """A different key, id, version or rank gives a different fingerprint."""
    assert state.compacted().agrees(other) == (state.without_digests() == other.without_digests())


@given(states, states)
def test_what_agrees_is_completed_by_what_is_known(state: PartitionState, other: PartitionState) -> None:
    """Completing adds digests of secrets that are the same, and never takes one or changes a version."""
    completed = other.completed_from(state)

    assert completed.without_digests() == other.without_digests()
    assert other.agrees(completed)
    assert not state.agrees(other) or all(
        completed.versions[key].digest for key, seen in state.versions.items() if seen.digest
    )


def test_a_read_of_some_folders_leaves_the_others_unverified() -> None:
    """Other folders, and imports of recursive scopes, keep their accepted state."""
    wide = a_scope("/a/**")
    sight = a_snapshot({a_partition("/a/b"): a_partition_state(B=2)}, scopes=[a_scope("/a/b")])
    current = (a_partition("/a"), a_partition("/a/b"), Partition(wide, a_folder("/shared")))

    within = sight.within((wide,), current)

    assert within.scopes == (wide,)
    assert within.partitions == {a_partition("/a/b"): a_partition_state(B=2)}
    assert within.unverified == {a_partition("/a"), Partition(wide, a_folder("/shared"))}
