"""What a replica decides from a list of Leases, and that no shard ever has two active replicas.

The last part runs whole histories: replicas with fast and slow clocks, requests whose answers are lost or
whose effect comes late, and replicas that die.
"""

import heapq
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from infisical_events.core.sharding.election import (
    Elector,
    LeaseNames,
    LeasePlan,
    LeaseTiming,
    LeaseViews,
    Replica,
    update_view,
)
from infisical_events.core.sharding.leases import Lease, released, renewed, taken

NOW = datetime(2030, 1, 1, tzinfo=UTC)
TIMING = LeaseTiming(15.0)


def a_candidacy(name: str = "a", shards: int = 2, life: str = "1") -> Elector:
    """A replica of an installation `op`."""
    return Elector(Replica(name, life), LeaseNames("op", shards), TIMING)


def a_shard(number: int = 0, holder: str = "", **fields: object) -> Lease:
    """The Lease of a shard."""
    usual = {"duration": 15.0, "renewed": "r", "uid": "u", "version": "1"}
    return Lease(name=f"op-shard-{number}", holder=holder, **(usual | fields))  # type: ignore[arg-type] # checked by use


def a_membership(name: str, **fields: object) -> Lease:
    """The Lease of a replica in its first life."""
    return replace(a_shard(holder=f"{name}_1"), name=f"op-replica-{name}", **fields)  # type: ignore[arg-type] # as above


def test_timing() -> None:
    """Holders give up well before others begin, and have several tries until then."""
    assert (TIMING.deadline, TIMING.renewal, TIMING.poll, TIMING.answer) == (10, 2, 1, 3)


def test_the_first_replica_takes_all() -> None:
    """Where there is nothing yet everything is taken at once."""
    assert a_candidacy().plan(update_view(None, (), 0.0), (), 0.0) == LeasePlan(acquire=(0, 1))


def test_a_fair_share() -> None:
    """With another replica there, each takes its half."""
    view = update_view({}, [a_membership("a"), a_membership("b")], 0.0)
    plans = [a_candidacy(name).plan(view, (), 0.0) for name in "ab"]
    assert sorted(plan.acquire for plan in plans) == [(0,), (1,)]


def test_giving_to_a_newcomer() -> None:
    """A replica with more than its fair share releases the surplus; held shards are not taken."""
    view = update_view({}, [a_shard(0, "a_1"), a_shard(1, "a_1"), a_membership("a"), a_membership("b")], 0.0)
    assert a_candidacy("a").plan(view, (0, 1), 0.0) == LeasePlan(release=(1,))
    assert a_candidacy("b").plan(view, (), 0.0) == LeasePlan()


@pytest.mark.parametrize(("waited", "acquire"), [(14.9, ()), (15.0, (0,))])
def test_expiry_is_seen(waited: float, acquire: tuple[int, ...]) -> None:
    """A Lease is free when its record was seen to stand still for its duration, whatever times it has."""
    lease = a_shard(0, "b_1", renewed="1999-01-01T00:00:00.000000Z")
    view = update_view(update_view(None, [lease], 0.0), [lease], waited)
    assert a_candidacy(shards=1).plan(view, (), waited).acquire == acquire


def test_a_longer_duration_is_respected() -> None:
    """A holder that was started with a longer duration is waited for that long."""
    view = update_view(None, [a_shard(0, "b_1", duration=60.0)], 0.0)
    plans = [a_candidacy(shards=1).plan(view, (), now) for now in (59.0, 60.0)]
    assert [plan.acquire for plan in plans] == [(), (0,)]


def test_a_renewal_is_seen() -> None:
    """A changed renewal time counts from now; a label alone changes the version and not the record."""
    first = update_view(None, [a_shard(0, "b_1")], 0.0)
    labelled = update_view(first, [a_shard(0, "b_1", version="2")], 5.0)
    renewal = update_view(labelled, [a_shard(0, "b_1", renewed="s", version="3")], 6.0)
    assert [view["op-shard-0"].since for view in (first, labelled, renewal)] == [0.0, 0.0, 6.0]
    assert labelled["op-shard-0"].lease.version == "2"


def test_an_earlier_life() -> None:
    """A restarted replica acquires its earlier shards at once, unless its earlier process still renews."""
    candidacy = a_candidacy(shards=1, life="2")
    found = update_view(None, [a_shard(0, "a_1")], 0.0)
    lives = update_view(found, [a_shard(0, "a_1", renewed="s")], 1.0)
    assert candidacy.plan(found, (), 0.0).acquire == (0,)
    assert candidacy.plan(lives, (), 1.0).acquire == ()


def test_names_that_look_alike() -> None:
    """An earlier life is one of the whole name."""
    view = update_view(None, [a_shard(0, "pod-a_1"), a_shard(1, "a_b_1")], 0.0)
    assert a_candidacy().plan(view, (), 0.0).acquire == ()


def test_released() -> None:
    """A Lease without a holder is free at once."""
    assert a_candidacy(shards=1).plan(update_view({}, [a_shard()], 0.0), (), 0.0).acquire == (0,)


@pytest.mark.parametrize("leases", [(), (a_shard(0, "b_1"),), (a_shard(0),)])
def test_lost(leases: tuple[Lease, ...]) -> None:
    """A Lease that another replica took, or that was deleted or cleared, is lost."""
    assert a_candidacy(shards=1).plan(update_view({}, leases, 0.0), (0,), 0.0).lost == (0,)


def test_in_our_name() -> None:
    """A Lease in this replica's name that is not held, as after a lost answer, is acquired again."""
    assert a_candidacy(shards=1).plan(update_view({}, [a_shard(0, "a_1")], 0.0), (), 0.0).acquire == (0,)


def test_the_dead_have_no_share() -> None:
    """A replica without a recent renewal gets no shard; its Leases expire later."""
    view = update_view({}, [a_membership("a"), a_membership("b")], 0.0)
    assert a_candidacy().plan(view, (0,), 4.9).acquire == ()
    assert a_candidacy().living(view, 4.9) == {"a_1", "b_1"}
    assert a_candidacy().living(view, 5.0) == {"a_1"}


def test_what_is_left_behind_is_removed() -> None:
    """Leases of replicas that died long ago go, and of shards that there are no more; nothing else."""
    gone = [a_membership("b"), a_shard(7, "b_1")]
    view = update_view({}, [*gone, a_membership("a"), a_shard(0, "b_1")], 0.0)
    assert a_candidacy().plan(view, (), 59.9).remove == ()
    assert set(a_candidacy().plan(view, (), 60.0).remove) == set(gone)


# -- histories ------------------------------------------------------------------------------------


@dataclass
class LeaseStore:
    """The API server: linearizable, with compare-and-swap by version."""

    leases: dict[str, Lease] = field(default_factory=dict)
    versions: "count[int]" = field(default_factory=lambda: count(1))

    def write(self, lease: Lease) -> Lease | None:
        """None for a conflict."""
        stored = self.leases.get(lease.name)
        if (stored.version if stored else "") != lease.version:
            return None
        self.leases[lease.name] = replace(lease, uid="u", version=str(next(self.versions)))
        return self.leases[lease.name]


@dataclass
class LeaseHistory:
    """True time, the events to come, and the invariant of every history."""

    rng: random.Random
    store: LeaseStore = field(default_factory=LeaseStore)
    now: float = 0.0
    queue: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    numbers: "count[int]" = field(default_factory=count)
    members: "list[SimulatedReplica]" = field(default_factory=list)

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Schedule an event."""
        heapq.heappush(self.queue, (self.now + seconds, next(self.numbers), act))

    def run(self, until: float) -> None:
        """Let time pass; after every event no shard has two active replicas."""
        while self.queue and self.queue[0][0] <= until:
            self.now, _, act = heapq.heappop(self.queue)
            act()
            acting = [shard for replica in self.members for shard in replica.acting()]
            assert len(acting) == len(set(acting)), f"two replicas are active at {self.now}"

    def request(self, effect: Callable[[], object], answered: Callable[[object], None]) -> None:
        """The effect comes late, the answer later; the answer or the request may be lost."""
        slow = self.rng.random() < 0.1
        there, back = (self.rng.uniform(0.001, 6.0 if slow else 0.05) for _ in "ab")
        fate = self.rng.random()

        def arrive() -> None:
            answer = effect()
            if fate > 0.1:
                self.after(back, lambda: answered(answer))

        if fate > 0.05:
            self.after(there, arrive)


@dataclass
class SimulatedReplica:
    """A minimal replica: it does not wait for requests, so they overlap and arrive late.

    One rule is that of the lease manager, which acquires and releases in one task and waits for each answer:
    no answer brings back a shard that was given up after the request.
    """

    history: LeaseHistory
    name: str
    clock_rate: float
    offset: float
    candidacy: Elector
    view: LeaseViews | None = None
    held: dict[int, tuple[Lease, float]] = field(default_factory=dict)
    ended: dict[int, float] = field(default_factory=dict)
    """When each shard was last released or lost."""
    is_dead: bool = False

    @property
    def now(self) -> float:
        """Its own monotonic clock."""
        return self.offset + self.history.now * self.clock_rate

    def acting(self) -> list[int]:
        """The shards for which it is active at this moment."""
        deadline = self.candidacy.timing.deadline
        return [] if self.is_dead else [s for s, (_, sent) in self.held.items() if self.now < sent + deadline]

    def renew(self) -> None:
        """List the Leases, renew the held ones, and schedule the next round."""
        if self.is_dead:
            return
        self.held = {shard: self.held[shard] for shard in self.acting()}
        self.history.request(lambda: tuple(self.history.store.leases.values()), self.seen)
        for shard, (lease, _) in self.held.items():
            self.write(renewed(lease, NOW), shard)
        self.announce()
        self.history.after(self.candidacy.timing.renewal / self.clock_rate, self.renew)

    def announce(self) -> None:
        """Renew its own membership."""
        name = self.candidacy.names.replica(self.candidacy.replica.name)
        known = (self.view or {}).get(name)
        self.write(self.ours(known.lease if known else Lease(name=name)), None)

    def ours(self, lease: Lease) -> Lease:
        """The Lease with this replica as its holder, and a new renewal time."""
        moved = replace(lease, renewed=str(next(self.history.numbers)))
        return replace(taken(moved, self.candidacy.replica.holder, 15.0, NOW), renewed=moved.renewed)

    def seen(self, answer: object) -> None:
        """Act on a list, which may arrive late."""
        assert isinstance(answer, tuple)
        if self.is_dead:
            return
        view = self.view = update_view(self.view, answer, self.now)
        self.held = {shard: self.held[shard] for shard in self.acting()}
        plan = self.candidacy.plan(view, self.held, self.now)
        for shard in plan.lost:
            self.give_up(shard)
        for shard in plan.release:
            self.write(released(self.give_up(shard), NOW), None)
        for shard in plan.acquire:
            name = self.candidacy.names.shard(shard)
            self.write(self.ours(view[name].lease if name in view else Lease(name=name)), shard)

    def give_up(self, shard: int) -> Lease:
        """Give a shard up, whatever answer is outstanding; return its Lease."""
        self.ended[shard] = self.now
        return self.held.pop(shard)[0]

    def accepts(self, shard: int, sent: float) -> bool:
        """Whether an answer counts: the replica is alive and has not given up the shard since."""
        return not self.is_dead and sent > self.ended.get(shard, -math.inf)

    def write(self, lease: Lease, shard: int | None) -> None:
        """A compare-and-swap; with its answer the shard is held since the request was sent."""
        sent = self.now
        moved = replace(lease, renewed=str(next(self.history.numbers)))

        def answered(stored: object) -> None:
            if isinstance(stored, Lease) and shard is not None and self.accepts(shard, sent):
                self.held[shard] = (stored, max(sent, self.held.get(shard, (None, sent))[1]))

        self.history.request(lambda: self.history.store.write(moved), answered)


def a_history(seed: int, replicas: int, shards: int) -> LeaseHistory:
    """Replicas that start within 20 s; their clocks differ and are up to 10 % fast or slow."""
    history = LeaseHistory(random.Random(seed))  # noqa: S311 - a simulation
    for number in range(replicas):
        rng = history.rng
        clock_rate, offset = rng.uniform(0.9, 1.1), rng.uniform(-1e6, 1e6)
        replica = SimulatedReplica(
            history, f"r{number}", clock_rate, offset, a_candidacy(f"r{number}", shards)
        )
        history.members.append(replica)
        history.after(rng.uniform(0, 20), replica.renew)
    return history


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 4), st.integers(1, 5))
def test_no_two_act(seed: int, replicas: int, shards: int) -> None:
    """With wrong clocks, lost or late answers and dead replicas, a shard has at most one active replica."""
    history = a_history(seed, replicas, shards)
    for replica in history.members[1:]:
        if history.rng.random() < 0.5:
            history.after(history.rng.uniform(10, 80), lambda one=replica: setattr(one, "is_dead", True))  # type: ignore[misc] # a default
    history.run(120)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 5))
@example(seed=94480, replicas=3, shards=3)  # a renewal is answered after its shard was released
def test_all_shards_are_held(seed: int, replicas: int, shards: int) -> None:
    """After the network has recovered every shard is held, and the load is even."""
    history = a_history(seed, replicas, shards)
    history.run(60)
    history.request = lambda effect, answered: history.after(  # type: ignore[method-assign] # without faults
        0.01, lambda: answered(effect())
    )
    history.run(140)
    loads = [len(replica.acting()) for replica in history.members]
    assert sum(loads) == shards
    assert max(loads) - min(loads) <= 1
