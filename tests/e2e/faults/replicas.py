"""A long run of three replicas that share the work by Leases while they are killed, frozen and cut off.

Nothing may be lost and nothing doubled, and each shard is taken over as soon as Leases allow.
"""

import random
import signal
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from math import inf
from typing import Self

import httpx

from e2e.faults import waiting
from e2e.faults.infisicals import Change, Infisical
from e2e.faults.playing import Theatre
from e2e.faults.proxying import PLAIN, Manner, Proxy
from e2e.faults.rollouts import Rollout, Witness
from e2e.faults.soaking import Verdict, soaked, team, universal, without_defect
from e2e.faults.stages import Api, connected, free_port, inhabited, operating
from support import operator_process

SHARDS = 6
_REPLICAS = 3
_CHANGES_PER_SECOND = 5
_STRIKE_SECONDS = 10
_SERVED_SECONDS = 300
_SETTLE_SECONDS = 240
_QUIET_SECONDS = 10
_PAUSE = 0.1
_MOST_TAKE_OVER = 30.0
"""Seconds: a Lease of 15, and 5 for each of the two others that had the share and was struck meanwhile."""
_FLAGS = (
    *("--shards", str(SHARDS)),
    # What is asked is whether restarts are right, not how many are wanted.
    *("--max-restarts-per-minute", "0"),
    *("--max-concurrent-rollouts", "0"),
)


@dataclass(slots=True)
class Replica:
    """One replica, its own way to the API server, and when it was out of order (monotonic seconds)."""

    name: str
    operator: operator_process.Operator
    to_api: Proxy
    lives: int = 0
    outages: list[tuple[float, float]] = field(default_factory=list)

    @property
    def identity(self) -> str:
        """Its name in this life, as that of a pod: another one for each."""
        return f"{self.name}-{self.lives}"

    @property
    def is_out(self) -> bool:
        """Whether something is done to it just now."""
        return bool(self.outages) and self.outages[-1][1] == inf

    def begin(self) -> None:
        """A new life; return when it is ready."""
        self.lives += 1
        self.operator.command = [*self.operator.command, "--identity", self.identity]
        self.operator.start()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal if it runs."""
        if self.operator.process is not None:
            self.operator.process.send_signal(number)

    def well_since(self, moment: float) -> float | None:
        """Since when nothing was done to it, as of a moment; None if something was just then."""
        begun = [until for since, until in self.outages if since <= moment]
        return None if any(until > moment for until in begun) else max(begun, default=0.0)

    def back_at(self, moment: float) -> float:
        """When it was well again after what was done to it at a moment."""
        return next(until for since, until in self.outages if since == moment)


@dataclass(frozen=True, slots=True)
class Blow:
    """Something that is done to a replica, for how many seconds, and how it is undone."""

    name: str
    seconds: float
    strike: Callable[[Replica], object]
    heal: Callable[[Replica], object]


def _reconnected(replica: Replica) -> None:
    replica.to_api.treat(PLAIN)  # what was held back arrives now, long after others have taken over


BLOWS = (
    Blow("killed", 8, lambda replica: replica.operator.kill(), Replica.begin),
    Blow("terminated", 4, lambda replica: replica.operator.stop(), Replica.begin),
    Blow(
        "stopped",
        40,
        lambda replica: replica.signal(signal.SIGSTOP),
        lambda replica: replica.signal(signal.SIGCONT),
    ),
    Blow("cut off", 20, lambda replica: replica.to_api.treat(Manner(holds=True)), _reconnected),
    Blow(
        "refused",
        20,
        lambda replica: replica.to_api.refuse(),
        lambda replica: replica.to_api.accept(),
    ),
)

_SURVIVED = {blow.name for blow in BLOWS if blow.heal is not Replica.begin}
"""Blows after which a replica goes on under its name, and may still have what nobody took."""


class Register:
    """Who stood in the Lease of each shard since when, by looking all the time."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._client = api.client()
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self.changes: dict[int, list[tuple[float, str]]] = {shard: [] for shard in range(SHARDS)}
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="register", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        self._client.close()

    def holders(self) -> dict[int, str]:
        """Who holds each shard now; empty for nobody."""
        return {shard: told[-1][1] if told else "" for shard, told in self.changes.items()}

    def _follow(self) -> None:
        while not self._ending.wait(_PAUSE):
            try:
                items = self._client.get(self._path).raise_for_status().json()["items"]
            except httpx.HTTPError:
                continue
            now = time.monotonic()
            held = {item["metadata"]["name"]: item["spec"].get("holderIdentity", "") for item in items}
            for shard, told in self.changes.items():
                holder = held.get(f"infisical-events-shard-{shard}", "").partition("_")[0]
                if holder != (told[-1][1] if told else ""):
                    told.append((now, holder))


@dataclass(frozen=True, slots=True)
class Strike:
    """A blow, whom it met and when, and the shards that this one held."""

    blow: str
    identity: str
    at: float
    shards: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TakeOver:
    """A shard of a replica that was struck had another holder, or should have had one."""

    blow: str
    seconds: float | None
    """For how long another replica could have taken it, and had not; None if there was none."""


@dataclass(slots=True)
class _World:
    api: Api
    namespace: str
    infisical: Infisical
    replicas: list[Replica]
    register: Register
    witness: Witness
    pool: ThreadPoolExecutor
    strikes: list[Strike] = field(default_factory=list)
    healings: "list[tuple[float, Replica, Blow, Future[None]]]" = field(default_factory=list)
    begun: "list[Future[None]]" = field(default_factory=list)

    def strike(self, blow: Blow, replica: Replica) -> None:
        """Do something to a replica, and undo it later."""
        shards = tuple(shard for shard, who in self.register.holders().items() if who == replica.identity)
        now = time.monotonic()
        self.strikes.append(Strike(blow.name, replica.identity, now, shards))
        replica.outages.append((now, inf))
        struck = self.pool.submit(lambda: blow.strike(replica) and None)
        self.healings.append((now + blow.seconds, replica, blow, struck))
        self.begun.append(struck)

    def heal(self, now: float) -> None:
        """Undo what has lasted long enough."""
        due = [one for one in self.healings if one[0] <= now]
        self.healings = [one for one in self.healings if one[0] > now]
        for _, replica, blow, struck in due:
            self.begun.append(self.pool.submit(self._heal_one, replica, blow, struck))

    def _heal_one(self, replica: Replica, blow: Blow, struck: "Future[None]") -> None:
        struck.result()  # the end of a life may take longer than was meant: two of one replica are none of it
        blow.heal(replica)
        since, _ = replica.outages.pop()
        replica.outages.append((since, time.monotonic()))


def _folders(count: int) -> list[str]:
    return [f"/soak/team-{number:03}" for number in range(count)]


@contextmanager
def _world(theatre: Theatre, subscriptions: int) -> Iterator[_World]:
    folder = theatre.folder / "replicas"
    folder.mkdir()
    folders = _folders(subscriptions)
    with ExitStack() as stack:
        api = Api(theatre.cluster)
        stack.callback(api.http.close)
        limits = ("--connection-limit", str(4 * subscriptions), "--stream-lifetime", "0")
        infisical = Infisical(folder, free_port(), ("--fan-out-delay", "0.4", *limits))
        stack.callback(infisical.kill)
        infisical.start()
        infisical.url = str(infisical.ready["url"])
        for path in ("/soak", *folders):
            infisical.create(path, ["KEY"])
        manifests = [
            operator_process.credentials(infisical),
            *(soaked(team(path), replicas=0, subscription=team(path)) for path in folders),
            *(universal(infisical, team(path), path, 0) for path in folders),
        ]
        namespace = stack.enter_context(inhabited(api, "replicas", manifests))
        register = stack.enter_context(Register(api, namespace))
        replicas = []
        for name in ("one", "two", "three")[:_REPLICAS]:
            proxy = stack.enter_context(Proxy(theatre.loop, api.port))
            kubeconfig = api.kubeconfig(folder / f"kubeconfig-{name}", proxy.port)
            operator = stack.enter_context(operating(namespace, kubeconfig, folder / name, level="info"))
            operator.command = [*operator.command, *_FLAGS]
            replicas.append(Replica(name, operator, proxy))
        witness = stack.enter_context(Witness(api.client(), namespace))
        pool = stack.enter_context(ThreadPoolExecutor(_REPLICAS))
        for replica in replicas:
            replica.begin()
        yield _World(api, namespace, infisical, replicas, register, witness, pool)


def replicas(theatre: Theatre, subscriptions: int, seconds: float) -> list[Verdict]:
    """So many subscriptions with a Deployment each; 5 changes a second, and every 10 s a blow."""
    with _world(theatre, subscriptions) as world:
        waiting.until(
            lambda: _is_served(world, subscriptions) and _is_known(world, subscriptions),
            seconds=_SERVED_SECONDS,
            what="everything is served",
        )
        world.infisical.changes()
        theatre.say(f"replicas: {subscriptions} subscriptions served; {_CHANGES_PER_SECOND} changes a second")
        _load(theatre, world, _folders(subscriptions), seconds)
        _healed(world)
        changes = world.infisical.changes()
        is_reached = _settled(world, changes, subscriptions)
        waiting.lasting(_QUIET_SECONDS)
        world.witness.catch_up()
        rollouts = world.witness.rollouts
        taken = taken_over(world.strikes, world.register.changes, world.replicas)
        for line in (*table(world.strikes, taken), _latency(changes, rollouts)):
            theatre.say(line)
        lost, double = lost_in(changes, rollouts), doubled_in(changes, rollouts)
        restarts = sum(one.count for one in rollouts)
        slowest = max((one.seconds or 0.0 for one in taken), default=0.0)
        return [
            without_defect(theatre.folder / "replicas"),
            Verdict(is_reached, "in the end every subscription is served by one replica and owes nothing"),
            Verdict(not lost, f"{len(changes)} changes, {len(lost)} lost {', '.join(lost)}".rstrip()),
            Verdict(not double, f"{restarts} restarts, {len(double)} double {', '.join(double)}".rstrip()),
            Verdict(
                slowest <= _MOST_TAKE_OVER,
                f"a shard is taken over after at most {slowest:.1f} s where another replica is well",
            ),
        ]


def _is_served(world: _World, subscriptions: int) -> bool:
    return sum(connected(replica.operator) for replica in world.replicas) == subscriptions


def _is_known(world: _World, subscriptions: int) -> bool:
    """Whether each has its baseline: what changes before there is one is part of it, and no change."""
    listed = world.api.subscriptions(world.namespace)
    return sum("ledger" in one.get("status", {}) for one in listed) == subscriptions


def _load(theatre: Theatre, world: _World, folders: Sequence[str], seconds: float) -> None:
    """Changes go round, so that those of one folder are as far apart as can be."""
    rng = random.Random(0)  # noqa: S311 - chooses blows, keeps no secret
    begun, blows = time.monotonic(), list[Blow]()
    for number in range(int(seconds * _CHANGES_PER_SECOND)):
        waiting.lasting(max(0.0, begun + number / _CHANGES_PER_SECOND - time.monotonic()))
        world.infisical.write(folders[number % len(folders)], "KEY", f"value-{number}")
        world.heal(time.monotonic())
        if number % (_STRIKE_SECONDS * _CHANGES_PER_SECOND) == _CHANGES_PER_SECOND:
            well = [replica for replica in world.replicas if not replica.is_out]
            if well:
                blows = blows or rng.sample(BLOWS, len(BLOWS))  # each kind in turn
                world.strike(blows.pop(), rng.choice(well))
                strike = world.strikes[-1]
                theatre.say(f"replicas: {strike.identity} {strike.blow}, held {len(strike.shards)} shards")


def _healed(world: _World) -> None:
    """Undo everything in its time; raises what went wrong with a blow."""
    while world.healings:
        world.heal(time.monotonic())
        waiting.lasting(_PAUSE)
    for future in world.begun:
        future.result()


def _settled(world: _World, changes: Sequence[Change], subscriptions: int) -> bool:
    def is_even() -> bool:
        lost = lost_in(changes, world.witness.rollouts)
        return not lost and all(world.register.holders().values()) and _is_served(world, subscriptions)

    try:
        waiting.until(is_even, seconds=_SETTLE_SECONDS, what="each Deployment was restarted")
    except waiting.NotInTimeError:
        return False
    return True


# -- what was seen --------------------------------------------------------------------------------


def lost_in(changes: Sequence[Change], rollouts: Sequence[Rollout]) -> list[str]:
    """Deployments without a restart that was asked for after the last change of their folder."""
    last = {team(change.path): change.wall for change in changes}
    newest = {rollout.workload: rollout.patched_at for rollout in rollouts}
    return sorted(name for name, wall in last.items() if newest.get(name, 0.0) < wall)


def doubled_in(changes: Sequence[Change], rollouts: Sequence[Rollout]) -> list[str]:
    """Deployments that at some moment had been restarted more often than their folder had been changed."""
    made: dict[str, list[float]] = {}
    for change in sorted(changes, key=lambda one: one.monotonic):
        made.setdefault(team(change.path), []).append(change.monotonic)
    counts: dict[str, int] = {}
    double = set()
    for rollout in rollouts:
        count = counts[rollout.workload] = counts.get(rollout.workload, 0) + rollout.count
        if count > bisect_right(made.get(rollout.workload, []), rollout.seen_at):
            double.add(rollout.workload)
    return sorted(double)


def taken_over(
    strikes: Sequence[Strike],
    register: Mapping[int, Sequence[tuple[float, str]]],
    replicas: Sequence[Replica],
) -> list[TakeOver]:
    """For each shard of each replica that was struck; what it still had when it came back was not taken."""
    found = []
    by_name = {replica.name: replica for replica in replicas}
    for strike in strikes:
        victim = by_name[strike.identity.partition("-")[0]]
        back = victim.back_at(strike.at) if strike.blow in _SURVIVED else inf
        others = [replica for replica in replicas if replica is not victim]
        for shard in strike.shards:
            later = (at for at, who in register[shard] if at > strike.at and who not in {"", strike.identity})
            taken = next(later, inf)
            at = min(taken, back)
            since = [well for other in others if (well := other.well_since(at)) is not None]
            seconds = at - max(strike.at, min(since)) if since else None
            if taken <= back or (seconds or 0.0) > _MOST_TAKE_OVER:
                found.append(TakeOver(strike.blow, seconds))
    return found


def table(strikes: Sequence[Strike], taken: Sequence[TakeOver]) -> list[str]:
    """For people: seconds to a take-over by kind of blow, where another replica was there to take."""
    lines = [f"{'blow':12} {'times':>5} {'shards':>6} {'timed':>6} {'p50 s':>6} {'p99 s':>6} {'most s':>6}"]
    for name in [*(blow.name for blow in BLOWS), ""]:
        mine = [one for one in taken if name in {one.blow, ""}]
        times = sum(strike.blow == name or not name for strike in strikes)
        seconds = sorted(one.seconds for one in mine if one.seconds is not None)
        told = [f"{part(seconds, share):6.1f}" for share in (0.5, 0.99, 1.0)] if seconds else ["     -"] * 3
        lines.append(f"{name or 'all':12} {times:5} {len(mine):6} {len(seconds):6} {' '.join(told)}")
    return lines


def part(seconds: Sequence[float], share: float) -> float:
    """The value below which a share of sorted values is."""
    return seconds[min(len(seconds) - 1, int(share * len(seconds)))]


def _latency(changes: Sequence[Change], rollouts: Sequence[Rollout]) -> str:
    """From a change to the restart that brought it, faults and healing included."""
    waited = []
    for change in changes:
        later = [
            r.seen_at for r in rollouts if r.workload == team(change.path) and r.patched_at >= change.wall
        ]
        waited += [min(later) - change.monotonic] if later else []
    waited.sort()
    p50, p99, most = (part(waited, share) if waited else 0.0 for share in (0.5, 0.99, 1.0))
    return f"change to restart: p50 {p50:.1f} s, p99 {p99:.1f} s, most {most:.1f} s"
