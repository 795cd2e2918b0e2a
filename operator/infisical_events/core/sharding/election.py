"""Leader election per shard: what a replica does after it has listed all Leases.

All times are seconds of this process's own monotonic clock. Times in Leases are only compared with earlier
ones of the same Lease, never with a clock: the clocks of other replicas and our own wall clock may be wrong.

Two rules keep two replicas from holding one Lease. A holder stops `deadline` seconds after it *sent* its last
successful renewal. Others wait `duration` seconds, which is longer, from when they *saw* the record change. A
replica that is frozen in between is stopped by neither rule: the ledger's compare-and-swap then rejects its
writes. Correctness depends on that alone; Leases avoid duplicate work.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from infisical_events.core.sharding.assignment import fair_assignment
from infisical_events.core.sharding.leases import Lease

_OBSOLETE_AFTER = 4
"""A Lease without renewals for this many durations is obsolete."""


@dataclass(frozen=True, slots=True)
class LeaseTiming:
    """All periods in seconds, derived from `duration`: for 15, the deadline is 10 and the renewal 2."""

    duration: float = 15.0
    """How long a record has to be unchanged before another replica acquires the Lease."""

    @property
    def deadline(self) -> float:
        """How long a renewal is valid for the holder itself; others wait half as long again."""
        return self.duration * 2 / 3

    @property
    def renewal(self) -> float:
        """Period of renewals."""
        return self.duration * 2 / 15

    @property
    def presence(self) -> float:
        """How long a replica gets shards after its own Lease changed; too short only delays them."""
        return self.duration / 3

    @property
    def poll(self) -> float:
        """Period of listing all Leases: a released Lease is acquired within this time."""
        return self.duration / 15

    @property
    def answer(self) -> float:
        """Time-out of one request: three attempts fit into the deadline."""
        return self.duration / 5


@dataclass(frozen=True, slots=True)
class LeaseView:
    """A Lease as it was listed last."""

    lease: Lease
    since: float
    """When its current record was listed first."""
    is_unchanged: bool
    """Whether its record is the one of the first list since this process started."""


LeaseViews = Mapping[str, LeaseView]
"""All Leases of an installation by name."""


def update_view(before: LeaseViews | None, leases: Iterable[Lease], now: float) -> LeaseViews:
    """The views after a list that ended at `now`; `before` is None for the first list."""

    def updated(lease: Lease) -> LeaseView:
        previous = (before or {}).get(lease.name)
        if previous is None or previous.lease.record != lease.record:
            return LeaseView(lease, now, before is None)
        return LeaseView(lease, previous.since, previous.is_unchanged)

    return {lease.name: updated(lease) for lease in leases}


@dataclass(frozen=True, slots=True)
class Replica:
    """This replica: one life of a process, under a name that no other process has at the same time."""

    name: str
    life: str

    @property
    def holder(self) -> str:
        """The holder identity in Leases."""
        return f"{self.name}_{self.life}"

    def is_of_earlier_life(self, view: LeaseView) -> bool:
        """Whether an earlier life of this replica holds the Lease: that has ended, so there is no wait."""
        name, _, life = view.lease.holder.rpartition("_")
        return view.is_unchanged and name == self.name and life != self.life


@dataclass(frozen=True, slots=True)
class LeaseNames:
    """Names of the Leases of an installation."""

    prefix: str
    shards: int

    def shard(self, number: int) -> str:
        """The name of a shard's Lease."""
        return f"{self.prefix}-shard-{number}"

    def replica(self, name: str) -> str:
        """The name of the Lease by which a replica shows that it is alive."""
        return f"{self.prefix}-replica-{name}"

    @property
    def shard_numbers(self) -> dict[str, int]:
        """The numbers of all shards, by the names of their Leases."""
        return {self.shard(number): number for number in range(self.shards)}


@dataclass(frozen=True, slots=True)
class LeasePlan:
    """What to do after a list; shards by their numbers."""

    lost: tuple[int, ...] = ()
    """Held by another replica, or by none: stop their subscriptions immediately."""
    release: tuple[int, ...] = ()
    """More than the fair share: release them once their subscriptions have stopped."""
    acquire: tuple[int, ...] = ()
    """Part of the fair share, and free."""
    remove: tuple[Lease, ...] = ()
    """Obsolete Leases."""


@dataclass(frozen=True, slots=True)
class Elector:
    """The rules of the election for one replica; immutable."""

    replica: Replica
    names: LeaseNames
    timing: LeaseTiming = LeaseTiming()

    def is_free(self, view: LeaseView, now: float) -> bool:
        """Whether the Lease may be acquired: released, expired, or of an earlier life of this replica."""
        lease = view.lease
        waited = now - view.since
        is_expired = waited >= max(self.timing.duration, lease.duration)
        return not lease.holder or is_expired or self.replica.is_of_earlier_life(view)

    def living(self, views: LeaseViews, now: float) -> frozenset[str]:
        """The holder identities of live replicas: this one, and others whose Lease changed recently."""
        ours = self.names.replica(self.replica.name)
        received = {
            view.lease.holder
            for name, view in views.items()
            if name.startswith(self.names.replica(""))
            and name != ours
            and now - view.since < self.timing.presence
        }
        return frozenset(received - {""} | {self.replica.holder})

    def holders(self, views: LeaseViews, now: float) -> dict[int, str]:
        """The holder of each shard that is not free."""
        numbers = self.names.shard_numbers
        return {
            numbers[name]: view.lease.holder
            for name, view in views.items()
            if name in numbers and not self.is_free(view, now)
        }

    def plan(self, views: LeaseViews, held: Collection[int], now: float) -> LeasePlan:
        """What to do, given the shards that this process holds to its own knowledge."""
        me = self.replica.holder
        holders = self.holders(views, now)
        wanted = fair_assignment(holders, self.living(views, now), self.names.shards)
        ours = {shard for shard, holder in wanted.items() if holder == me}
        # A Lease in our name that is not held was given up, or the response was lost: acquire it again.
        of_others = {shard for shard, holder in holders.items() if holder != me}
        lost = {shard for shard in held if not self._has(views, shard)}
        return LeasePlan(
            lost=tuple(sorted(lost)),
            release=tuple(sorted(set(held) - lost - ours)),
            acquire=tuple(sorted(ours - set(held) - of_others)),
            remove=self._obsolete(views, now),
        )

    def _has(self, views: LeaseViews, shard: int) -> bool:
        view = views.get(self.names.shard(shard))
        return view is not None and view.lease.holder == self.replica.holder

    def _obsolete(self, views: LeaseViews, now: float) -> tuple[Lease, ...]:
        """Leases of replicas that ended long ago, and of shards that no longer exist."""
        kept = {*self.names.shard_numbers, self.names.replica(self.replica.name)}
        return tuple(
            view.lease
            for name, view in views.items()
            if name not in kept and now - view.since >= _OBSOLETE_AFTER * self.timing.duration
        )
