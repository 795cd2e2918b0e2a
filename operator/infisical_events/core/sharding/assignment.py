"""The shard of a subscription, and the fair assignment of shards to replicas."""

from collections.abc import Collection, Mapping
from hashlib import sha256
from itertools import chain

_PREFIX_BYTES = 8
"""Bytes of a digest; enough to make all shards equally likely."""


def shard_of(uid: str, shards: int) -> int:
    """The shard of an object, from 0 to `shards` - 1; the same in every process and release."""
    return int.from_bytes(sha256(uid.encode()).digest()[:_PREFIX_BYTES], "big") % shards


def fair_assignment(holders: Mapping[int, str], replicas: Collection[str], shards: int) -> dict[int, str]:
    """The replica that should hold each shard, given the current holders; equal inputs give equal results.

    The numbers of shards of two replicas differ by 1 at most, and as few shards as possible move: the
    replicas with the most shards keep the extra ones. Holders that are not in `replicas` are ignored. The
    result is empty without replicas.
    """
    if not replicas:
        return {}
    held = {name: sorted(shard for shard in range(shards) if holders.get(shard) == name) for name in replicas}
    ranked = sorted(held, key=lambda name: (-len(held[name]), name))
    least, odd = divmod(shards, len(ranked))
    quota = {name: least + (rank < odd) for rank, name in enumerate(ranked)}
    kept = {shard: name for name in ranked for shard in held[name][: quota[name]]}
    missing = chain.from_iterable([name] * (quota[name] - len(held[name])) for name in ranked)
    free = (shard for shard in range(shards) if shard not in kept)
    return kept | dict(zip(free, missing, strict=True))
