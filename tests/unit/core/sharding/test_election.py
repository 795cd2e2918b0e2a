"""What a replica concludes from a look at the Leases, and that two never act for one shard.

The last part plays whole histories: replicas whose clocks go at their own pace from their own begin,
requests that take their time, whose answers are lost or whose effect comes late, and replicas that die.
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
    """Whoever has more than a fair share gives the surplus away, and nobody takes what is held."""
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
    """A record that moves begins anew; a label alone moves the version and not the record."""
    first = update_view(None, [a_shard(0, "b_1")], 0.0)
    labelled = update_view(first, [a_shard(0, "b_1", version="2")], 5.0)
    renewal = update_view(labelled, [a_shard(0, "b_1", renewed="s", version="3")], 6.0)
    assert [view["op-shard-0"].since for view in (first, labelled, renewal)] == [0.0, 0.0, 6.0]
    assert labelled["op-shard-0"].lease.version == "2"


def test_an_earlier_life() -> None:
    """A replica that begins anew takes at once what it held before, unless that life is seen to go on."""
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
    """What has no holder is free at once."""
    assert a_candidacy(shards=1).plan(update_view({}, [a_shard()], 0.0), (), 0.0).acquire == (0,)


@pytest.mark.parametrize("leases", [(), (a_shard(0, "b_1"),), (a_shard(0),)])
def test_lost(leases: tuple[Lease, ...]) -> None:
    """What another one has, or was deleted or cleared by somebody, is not ours any more."""
    assert a_candidacy(shards=1).plan(update_view({}, leases, 0.0), (0,), 0.0).lost == (0,)


def test_in_our_name() -> None:
    """What is in our name and not held, as after a lost answer, is taken again."""
    assert a_candidacy(shards=1).plan(update_view({}, [a_shard(0, "a_1")], 0.0), (), 0.0).acquire == (0,)


def test_the_dead_have_no_share() -> None:
    """A replica that was not heard of for a while is given nothing; its own Leases expire later."""
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
class Server:
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
class World:
    """True time, what happens next, and what every history has to keep."""

    rng: random.Random
    server: Server = field(default_factory=Server)
    now: float = 0.0
    queue: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    numbers: "count[int]" = field(default_factory=count)
    players: "list[Player]" = field(default_factory=list)

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Let something happen."""
        heapq.heappush(self.queue, (self.now + seconds, next(self.numbers), act))

    def play(self, until: float) -> None:
        """Let time pass; at every step no shard has two who act for it."""
        while self.queue and self.queue[0][0] <= until:
            self.now, _, act = heapq.heappop(self.queue)
            act()
            acting = [shard for player in self.players for shard in player.acting()]
            assert len(acting) == len(set(acting)), f"two act at {self.now}"

    def request(self, effect: Callable[[], object], answered: Callable[[object], None]) -> None:
        """The effect comes after a while, the answer after another one, or it is lost, or nothing happens."""
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
class Player:
    """One replica, as simple as can be: requests are not waited for, so they overlap and come late.

    One rule is that of `runtime.holding`, which takes and gives away in one task that waits for each answer:
    no answer brings back what was given up after it was asked for.
    """

    world: World
    name: str
    pace: float
    offset: float
    candidacy: Elector
    view: LeaseViews | None = None
    held: dict[int, tuple[Lease, float]] = field(default_factory=dict)
    ended: dict[int, float] = field(default_factory=dict)
    """When each shard was given up last, released or lost."""
    is_dead: bool = False

    @property
    def now(self) -> float:
        """Its own monotonic clock."""
        return self.offset + self.world.now * self.pace

    def acting(self) -> list[int]:
        """The shards for which it acts at this moment."""
        deadline = self.candidacy.timing.deadline
        return [] if self.is_dead else [s for s, (_, sent) in self.held.items() if self.now < sent + deadline]

    def turn(self) -> None:
        """Look, renew, and come again."""
        if self.is_dead:
            return
        self.held = {shard: self.held[shard] for shard in self.acting()}
        self.world.request(lambda: tuple(self.world.server.leases.values()), self.seen)
        for shard, (lease, _) in self.held.items():
            self.write(renewed(lease, NOW), shard)
        self.join()
        self.world.after(self.candidacy.timing.renewal / self.pace, self.turn)

    def join(self) -> None:
        """Say that it is there."""
        name = self.candidacy.names.replica(self.candidacy.replica.name)
        known = (self.view or {}).get(name)
        self.write(self.ours(known.lease if known else Lease(name=name)), None)

    def ours(self, lease: Lease) -> Lease:
        """In our name, with a record that never was there."""
        moved = replace(lease, renewed=str(next(self.world.numbers)))
        return replace(taken(moved, self.candidacy.replica.holder, 15.0, NOW), renewed=moved.renewed)

    def seen(self, answer: object) -> None:
        """A list has arrived, maybe late; act on it."""
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
        """Act for a shard no more, whatever is still to be answered; its Lease."""
        self.ended[shard] = self.now
        return self.held.pop(shard)[0]

    def heeds(self, shard: int, sent: float) -> bool:
        """Whether an answer counts: the replica lives, and has not given the shard up since it asked."""
        return not self.is_dead and sent > self.ended.get(shard, -math.inf)

    def write(self, lease: Lease, shard: int | None) -> None:
        """A compare-and-swap; a shard is held from when its answer says so, since when it was sent."""
        sent = self.now
        moved = replace(lease, renewed=str(next(self.world.numbers)))

        def answered(stored: object) -> None:
            if isinstance(stored, Lease) and shard is not None and self.heeds(shard, sent):
                self.held[shard] = (stored, max(sent, self.held.get(shard, (None, sent))[1]))

        self.world.request(lambda: self.world.server.write(moved), answered)


def a_world(seed: int, replicas: int, shards: int) -> World:
    """Replicas that begin within some seconds; their clocks are apart and go up to 10 % wrong."""
    world = World(random.Random(seed))  # noqa: S311 - plays, keeps no secret
    for number in range(replicas):
        rng = world.rng
        pace, offset = rng.uniform(0.9, 1.1), rng.uniform(-1e6, 1e6)
        player = Player(world, f"r{number}", pace, offset, a_candidacy(f"r{number}", shards))
        world.players.append(player)
        world.after(rng.uniform(0, 20), player.turn)
    return world


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 4), st.integers(1, 5))
def test_no_two_act(seed: int, replicas: int, shards: int) -> None:
    """Whatever clocks show, whichever answer is lost or late, whoever dies: a shard has one who acts."""
    world = a_world(seed, replicas, shards)
    for victim in world.players[1:]:
        if world.rng.random() < 0.5:
            world.after(world.rng.uniform(10, 80), lambda one=victim: setattr(one, "is_dead", True))  # type: ignore[misc] # a default
    world.play(120)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 5))
@example(seed=94480, replicas=3, shards=3)  # a renewal is answered after its shard was released
def test_all_is_held(seed: int, replicas: int, shards: int) -> None:
    """When the network is well again every shard is held, and the load is even."""
    world = a_world(seed, replicas, shards)
    world.play(60)
    world.request = lambda effect, answered: world.after(  # type: ignore[method-assign] # a good network
        0.01, lambda: answered(effect())
    )
    world.play(140)
    loads = [len(player.acting()) for player in world.players]
    assert sum(loads) == shards
    assert max(loads) - min(loads) <= 1
