"""Leases: what a replica concludes from a look at them. Pure: the moments are given, in seconds.

Every moment is one of this process's own monotonic clock. What Leases say of time is compared with what
they said before and never with a clock: others' clocks, and our own wall clock, may be anywhere.

Two rules keep holders apart. A holder gives up `deadline` seconds after the moment at which its last
successful renewal was *sent*. Others wait `duration` seconds, which is more, since they *saw* the record
change. A replica that is frozen in between is stopped by neither: what it then still tries is refused by
the ledger's compare-and-swap, on which everything rests; Leases save work.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from infisical_events.core.sharding.assignment import fair_assignment
from infisical_events.core.sharding.leases import Lease

_FORGOTTEN = 4
"""A record that stands still for so many durations is nobody's."""


@dataclass(frozen=True, slots=True)
class LeaseTiming:
    """All periods in seconds, by the one that others wait: 15 makes a deadline of 10 and renewals each 2."""

    duration: float = 15.0
    """How long a record has to stand still before others take the Lease."""

    @property
    def deadline(self) -> float:
        """How long a renewal is good for to the holder itself; others wait half as long again."""
        return self.duration * 2 / 3

    @property
    def renewal(self) -> float:
        """How often a Lease is renewed."""
        return self.duration * 2 / 15

    @property
    def presence(self) -> float:
        """How long a replica has a share after it was heard of: wrongly given up, it only gets it later."""
        return self.duration / 3

    @property
    def poll(self) -> float:
        """How often all Leases are looked at: a Lease that is released is taken within this."""
        return self.duration / 15

    @property
    def answer(self) -> float:
        """How long an answer is waited for: there are three tries within a deadline."""
        return self.duration / 5


@dataclass(frozen=True, slots=True)
class LeaseView:
    """A Lease as it was seen last."""

    lease: Lease
    since: float
    """Since when its record is seen to stand still."""
    is_unmoved: bool
    """Whether it still is what the first look has shown."""


LeaseViews = Mapping[str, LeaseView]
"""All Leases of an installation by name."""


def update_view(before: LeaseViews | None, leases: Iterable[Lease], now: float) -> LeaseViews:
    """What is known after a look that was over at `now`; `before` is None at the first one."""

    def sighted(lease: Lease) -> LeaseView:
        known = (before or {}).get(lease.name)
        if known is None or known.lease.record != lease.record:
            return LeaseView(lease, now, before is None)
        return LeaseView(lease, known.since, known.is_unmoved)

    return {lease.name: sighted(lease) for lease in leases}


@dataclass(frozen=True, slots=True)
class Replica:
    """Who looks: one life of a process under a name that no other process has at the same time."""

    name: str
    life: str

    @property
    def holder(self) -> str:
        """As it stands in Leases."""
        return f"{self.name}_{self.life}"

    def has_left(self, secret_version: LeaseView) -> bool:
        """Whether an earlier life of this replica has left it behind: nobody need wait for that one."""
        name, _, life = secret_version.lease.holder.rpartition("_")
        return secret_version.is_unmoved and name == self.name and life != self.life


@dataclass(frozen=True, slots=True)
class LeaseNames:
    """How the Leases of an installation are called."""

    prefix: str
    shards: int

    def shard(self, number: int) -> str:
        """The Lease of a shard."""
        return f"{self.prefix}-shard-{number}"

    def replica(self, name: str) -> str:
        """The Lease by which a replica says that it is there."""
        return f"{self.prefix}-replica-{name}"

    @property
    def of_shards(self) -> dict[str, int]:
        """All Leases of shards, with their numbers."""
        return {self.shard(number): number for number in range(self.shards)}


@dataclass(frozen=True, slots=True)
class LeasePlan:
    """What to do after a look; shards by their numbers."""

    lost: tuple[int, ...] = ()
    """Somebody else has them, or nobody: what runs for them has to end at once."""
    release: tuple[int, ...] = ()
    """More than our share: to be given away when what runs for them has ended."""
    acquire: tuple[int, ...] = ()
    """Of our share, and free."""
    remove: tuple[Lease, ...] = ()
    """What nobody has any use for."""


@dataclass(frozen=True, slots=True)
class Elector:
    """What does not change while a replica lives."""

    replica: Replica
    names: LeaseNames
    timing: LeaseTiming = LeaseTiming()

    def is_free(self, secret_version: LeaseView, now: float) -> bool:
        """Whether a Lease may be taken: released, expired, or of an earlier life."""
        lease = secret_version.lease
        waited = now - secret_version.since
        is_expired = waited >= max(self.timing.duration, lease.duration)
        return not lease.holder or is_expired or self.replica.has_left(secret_version)

    def living(self, view: LeaseViews, now: float) -> frozenset[str]:
        """The replicas that share, oneself among them; others have to be heard of just now."""
        ours = self.names.replica(self.replica.name)
        received = {
            secret_version.lease.holder
            for name, secret_version in view.items()
            if name.startswith(self.names.replica(""))
            and name != ours
            and now - secret_version.since < self.timing.presence
        }
        return frozenset(received - {""} | {self.replica.holder})

    def holders(self, view: LeaseViews, now: float) -> dict[int, str]:
        """Who holds each shard that is not free."""
        numbers = self.names.of_shards
        return {
            numbers[name]: secret_version.lease.holder
            for name, secret_version in view.items()
            if name in numbers and not self.is_free(secret_version, now)
        }

    def plan(self, view: LeaseViews, held: Collection[int], now: float) -> LeasePlan:
        """What to do, given the shards that are held as far as this process knows."""
        me = self.replica.holder
        holders = self.holders(view, now)
        wanted = fair_assignment(holders, self.living(view, now), self.names.shards)
        ours = {shard for shard, holder in wanted.items() if holder == me}
        # What is in our name and not held was given up, or its answer was lost: it is taken again.
        of_others = {shard for shard, holder in holders.items() if holder != me}
        lost = {shard for shard in held if not self._has(view, shard)}
        return LeasePlan(
            lost=tuple(sorted(lost)),
            release=tuple(sorted(set(held) - lost - ours)),
            acquire=tuple(sorted(ours - set(held) - of_others)),
            remove=self._useless(view, now),
        )

    def _has(self, view: LeaseViews, shard: int) -> bool:
        secret_version = view.get(self.names.shard(shard))
        return secret_version is not None and secret_version.lease.holder == self.replica.holder

    def _useless(self, view: LeaseViews, now: float) -> tuple[Lease, ...]:
        """Leases of replicas that died long ago, and of shards that there are no more."""
        kept = {*self.names.of_shards, self.names.replica(self.replica.name)}
        return tuple(
            secret_version.lease
            for name, secret_version in view.items()
            if name not in kept and now - secret_version.since >= _FORGOTTEN * self.timing.duration
        )
