"""Shard assignment: balanced, equal for all replicas, and with as few moves as possible."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from infisical_events.core.sharding.assignment import fair_assignment, shard_of

NAMES = st.sets(st.sampled_from("abcdef"), min_size=1)
SHARDS = st.integers(1, 16)


def test_shard_is_stable() -> None:
    """Another process or release finds an object in the same shard."""
    assert [shard_of(uid, 4) for uid in ("a", "b", "c", "d", "e")] == [2, 2, 2, 1, 2]


def test_shards_are_even() -> None:
    """Of many objects each shard has about its part."""
    counts = Counter(shard_of(str(number), 4) for number in range(4000))
    assert counts.keys() == {0, 1, 2, 3}
    assert max(counts.values()) - min(counts.values()) < 150


@given(st.dictionaries(st.integers(0, 15), st.sampled_from("abcdefgh")), NAMES, SHARDS)
def test_fair(holders: dict[int, str], replicas: set[str], shards: int) -> None:
    """Every shard has a living holder, and no replica has two more than another."""
    wanted = fair_assignment(holders, replicas, shards)
    loads = Counter(wanted.values())
    assert sorted(wanted) == list(range(shards))
    assert loads.keys() <= replicas
    counts = [loads[name] for name in replicas]
    assert max(counts) - min(counts) <= 1


@given(st.dictionaries(st.integers(0, 15), st.sampled_from("abcdefgh")), NAMES, SHARDS)
def test_a_balanced_assignment_stays(holders: dict[int, str], replicas: set[str], shards: int) -> None:
    """A balanced assignment does not change."""
    wanted = fair_assignment(holders, replicas, shards)
    assert fair_assignment(wanted, replicas, shards) == wanted


@given(st.dictionaries(st.integers(0, 15), st.sampled_from("abcdef")), NAMES, SHARDS)
def test_few_moves(holders: dict[int, str], replicas: set[str], shards: int) -> None:
    """Only surplus and unassigned shards move."""
    wanted = fair_assignment(holders, replicas, shards)
    loads = Counter(holder for shard, holder in holders.items() if shard < shards and holder in replicas)
    least, odd = divmod(shards, len(replicas))
    surplus = sorted((max(0, count - least) for count in loads.values()), reverse=True)
    moved = [shard for shard in wanted if holders.get(shard) in replicas and holders[shard] != wanted[shard]]
    assert len(moved) == sum(surplus) - sum(1 for each in surplus[:odd] if each)


def test_a_leader_stays() -> None:
    """With one shard its holder keeps it when replicas join."""
    assert fair_assignment({0: "z"}, {"a", "b", "z"}, 1) == {0: "z"}


def test_no_replica() -> None:
    """Without replicas no shard is assigned."""
    assert fair_assignment({0: "a"}, (), 2) == {}
