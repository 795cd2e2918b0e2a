"""A long run of three replicas that share shards by Leases while they are killed, suspended and cut off.

No restart may be lost or doubled, and each shard has to be taken over as soon as the Leases allow it.
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
from e2e.faults.fault_environment import (
    AdminApi,
    connected,
    created_namespace,
    free_port,
    operator_process_for,
)
from e2e.faults.fault_proxy import PLAIN, FaultProxy, Treatment
from e2e.faults.fault_runner import FaultContext
from e2e.faults.infisical_process import Change, InfisicalProcess
from e2e.faults.rollout_watcher import Rollout, RolloutWatcher
from e2e.faults.soak import Check, folder_subscription, no_traceback, soak_deployment, team
from support import manifests, operator_process
from support.eventually import DeadlineExceededError

SHARDS = 6
_REPLICAS = 3
_CHANGES_PER_SECOND = 5
_INJECTION_SECONDS = 10
_SERVED_SECONDS = 300
_RESTART_SECONDS = 240
_QUIET_SECONDS = 10
_PAUSE = 0.1
_MOST_TAKE_OVER = 30.0
"""Seconds: 15 of the Lease, and 5 for each of the two other replicas that got the shard and failed."""
_FLAGS = (
    *("--shards", str(SHARDS)),
    # The run checks that restarts are correct, so their number is not limited.
    *("--max-restarts-per-minute", "0"),
    *("--max-concurrent-rollouts", "0"),
)


@dataclass(slots=True)
class Replica:
    """One replica, its own proxy to the API server, and its outages (monotonic seconds)."""

    name: str
    operator: operator_process.OperatorProcess
    to_api: FaultProxy
    lives: int = 0
    outages: list[tuple[float, float]] = field(default_factory=list)

    @property
    def identity(self) -> str:
        """Its name in this life; each life has another one, like a pod."""
        return f"{self.name}-{self.lives}"

    @property
    def is_out(self) -> bool:
        """Whether a fault affects it at the moment."""
        return bool(self.outages) and self.outages[-1][1] == inf

    def begin(self) -> None:
        """Start a new life and wait until it is ready."""
        self.lives += 1
        self.operator.command = [*self.operator.command, "--identity", self.identity]
        self.operator.start()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it if it runs."""
        self.operator.send_signal(number)

    def healthy_since(self, moment: float) -> float | None:
        """Return since when it had no fault at a moment; None if a fault affected it then."""
        begun = [until for since, until in self.outages if since <= moment]
        return None if any(until > moment for until in begun) else max(begun, default=0.0)

    def outage_end(self, moment: float) -> float:
        """Return the end of the outage that began at a moment."""
        return next(until for since, until in self.outages if since == moment)


@dataclass(frozen=True, slots=True)
class ReplicaFault:
    """A fault of a replica, its duration in seconds, and how it ends."""

    name: str
    seconds: float
    inject: Callable[[Replica], object]
    heal: Callable[[Replica], object]


def _reconnected(replica: Replica) -> None:
    replica.to_api.treat(PLAIN)  # the delayed requests arrive now, long after the take-over


REPLICA_FAULTS = (
    ReplicaFault("killed", 8, lambda replica: replica.operator.kill(), Replica.begin),
    ReplicaFault("terminated", 4, lambda replica: replica.operator.stop(), Replica.begin),
    ReplicaFault(
        "stopped",
        40,
        lambda replica: replica.signal(signal.SIGSTOP),
        lambda replica: replica.signal(signal.SIGCONT),
    ),
    ReplicaFault("cut off", 20, lambda replica: replica.to_api.treat(Treatment(holds=True)), _reconnected),
    ReplicaFault(
        "refused",
        20,
        lambda replica: replica.to_api.refuse(),
        lambda replica: replica.to_api.accept(),
    ),
)

_SURVIVED = {fault.name for fault in REPLICA_FAULTS if fault.heal is not Replica.begin}
"""Faults after which a replica continues under its identity and may keep its shards."""


class LeaseHistory:
    """The holders of each shard over time, by polling the Leases."""

    def __init__(self, api: AdminApi, namespace: str) -> None:
        self._client = api.client()
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self.changes: dict[int, list[tuple[float, str]]] = {shard: [] for shard in range(SHARDS)}
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="lease-history", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        self._client.close()

    def holders(self) -> dict[int, str]:
        """Return the holder of each shard; empty for none."""
        return {shard: holders[-1][1] if holders else "" for shard, holders in self.changes.items()}

    def _follow(self) -> None:
        while not self._ending.wait(_PAUSE):
            try:
                items = self._client.get(self._path).raise_for_status().json()["items"]
            except httpx.HTTPError:
                continue
            now = time.monotonic()
            held = {item["metadata"]["name"]: item["spec"].get("holderIdentity", "") for item in items}
            for shard, holders in self.changes.items():
                holder = held.get(f"infisical-events-shard-{shard}", "").partition("_")[0]
                if holder != (holders[-1][1] if holders else ""):
                    holders.append((now, holder))


@dataclass(frozen=True, slots=True)
class Injection:
    """A fault, the replica that it affected, when, and the shards that this replica held."""

    fault: str
    identity: str
    at: float
    shards: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TakeOver:
    """A shard of a failed replica got another holder, or should have got one."""

    fault: str
    seconds: float | None
    """How long another healthy replica did not take it; None if there was none."""


@dataclass(slots=True)
class _Environment:
    api: AdminApi
    namespace: str
    infisical: InfisicalProcess
    replicas: list[Replica]
    lease_history: LeaseHistory
    watcher: RolloutWatcher
    pool: ThreadPoolExecutor
    injections: list[Injection] = field(default_factory=list)
    healings: "list[tuple[float, Replica, ReplicaFault, Future[None]]]" = field(default_factory=list)
    begun: "list[Future[None]]" = field(default_factory=list)

    def inject(self, fault: ReplicaFault, replica: Replica) -> None:
        """Inject a fault into a replica and schedule its end."""
        shards = tuple(
            shard for shard, who in self.lease_history.holders().items() if who == replica.identity
        )
        now = time.monotonic()
        self.injections.append(Injection(fault.name, replica.identity, now, shards))
        replica.outages.append((now, inf))
        started = self.pool.submit(lambda: fault.inject(replica) and None)
        self.healings.append((now + fault.seconds, replica, fault, started))
        self.begun.append(started)

    def heal(self, now: float) -> None:
        """End the faults whose duration is over."""
        due = [one for one in self.healings if one[0] <= now]
        self.healings = [one for one in self.healings if one[0] > now]
        for _, replica, fault, started in due:
            self.begun.append(self.pool.submit(self._heal_one, replica, fault, started))

    def _heal_one(self, replica: Replica, fault: ReplicaFault, started: "Future[None]") -> None:
        started.result()  # a life may end later than planned, and two lives at once are not part of the fault
        fault.heal(replica)
        since, _ = replica.outages.pop()
        replica.outages.append((since, time.monotonic()))


def _folders(count: int) -> list[str]:
    return [f"/soak/team-{number:03}" for number in range(count)]


@contextmanager
def _environment(context: FaultContext, subscriptions: int) -> Iterator[_Environment]:
    folder = context.folder / "replicas"
    folder.mkdir()
    folders = _folders(subscriptions)
    with ExitStack() as stack:
        api = AdminApi(context.cluster)
        stack.callback(api.http.close)
        limits = ("--connection-limit", str(4 * subscriptions), "--stream-lifetime", "0")
        infisical = InfisicalProcess(folder, free_port(), ("--fan-out-delay", "0.4", *limits))
        stack.callback(infisical.kill)
        infisical.start()
        infisical.url = str(infisical.ready["url"])
        for path in ("/soak", *folders):
            infisical.create(path, ["KEY"])
        objects = [
            manifests.credentials(infisical),
            *(soak_deployment(team(path), replicas=0, subscription=team(path)) for path in folders),
            *(folder_subscription(infisical, team(path), path, 0) for path in folders),
        ]
        namespace = stack.enter_context(created_namespace(api, "replicas", objects))
        lease_history = stack.enter_context(LeaseHistory(api, namespace))
        replicas = []
        for name in ("one", "two", "three")[:_REPLICAS]:
            proxy = stack.enter_context(FaultProxy(context.loop, api.port))
            kubeconfig = api.kubeconfig(folder / f"kubeconfig-{name}", proxy.port)
            operator = stack.enter_context(
                operator_process_for(namespace, kubeconfig, folder / name, level="info")
            )
            operator.command = [*operator.command, *_FLAGS]
            replicas.append(Replica(name, operator, proxy))
        watcher = stack.enter_context(RolloutWatcher(api.client(), namespace))
        pool = stack.enter_context(ThreadPoolExecutor(_REPLICAS))
        for replica in replicas:
            replica.begin()
        yield _Environment(api, namespace, infisical, replicas, lease_history, watcher, pool)


def run_replicas(context: FaultContext, subscriptions: int, seconds: float) -> list[Check]:
    """Run subscriptions with a Deployment each, 5 changes per second, and a fault every 10 s."""
    with _environment(context, subscriptions) as environment:
        waiting.wait_until(
            lambda: _is_served(environment, subscriptions) and _is_known(environment, subscriptions),
            seconds=_SERVED_SECONDS,
            what="the operator serves all subscriptions",
        )
        environment.infisical.changes()
        context.say(
            f"replicas: {subscriptions} subscriptions are served; {_CHANGES_PER_SECOND} changes a second"
        )
        _load(context, environment, _folders(subscriptions), seconds)
        _end_all_faults(environment)
        changes = environment.infisical.changes()
        is_reached = _all_restarted(environment, changes, subscriptions)
        waiting.pause(_QUIET_SECONDS)
        environment.watcher.catch_up()
        rollouts = environment.watcher.rollouts
        taken = taken_over(environment.injections, environment.lease_history.changes, environment.replicas)
        for line in (*table(environment.injections, taken), _latency(changes, rollouts)):
            context.say(line)
        lost, double = lost_in(changes, rollouts), doubled_in(changes, rollouts)
        restarts = sum(one.count for one in rollouts)
        slowest = max((one.seconds or 0.0 for one in taken), default=0.0)
        return [
            no_traceback(context.folder / "replicas"),
            Check(is_reached, "in the end one replica serves each subscription, and no restart is pending"),
            Check(not lost, f"{len(changes)} changes, {len(lost)} lost {', '.join(lost)}".rstrip()),
            Check(not double, f"{restarts} restarts, {len(double)} double {', '.join(double)}".rstrip()),
            Check(
                slowest <= _MOST_TAKE_OVER,
                f"a shard is taken over after at most {slowest:.1f} s where another replica is healthy",
            ),
        ]


def _is_served(environment: _Environment, subscriptions: int) -> bool:
    return sum(connected(replica.operator) for replica in environment.replicas) == subscriptions


def _is_known(environment: _Environment, subscriptions: int) -> bool:
    """Whether each subscription has its baseline: earlier changes are part of it and restart nothing."""
    listed = environment.api.subscriptions(environment.namespace)
    return sum("ledger" in one.get("status", {}) for one in listed) == subscriptions


def _load(context: FaultContext, environment: _Environment, folders: Sequence[str], seconds: float) -> None:
    """Change the folders in turn, so that changes of one folder are far apart."""
    rng = random.Random(0)  # noqa: S311 - chooses faults, keeps no secret
    begun, faults = time.monotonic(), list[ReplicaFault]()
    for number in range(int(seconds * _CHANGES_PER_SECOND)):
        waiting.pause(max(0.0, begun + number / _CHANGES_PER_SECOND - time.monotonic()))
        environment.infisical.write(folders[number % len(folders)], "KEY", f"value-{number}")
        environment.heal(time.monotonic())
        if number % (_INJECTION_SECONDS * _CHANGES_PER_SECOND) == _CHANGES_PER_SECOND:
            well = [replica for replica in environment.replicas if not replica.is_out]
            if well:
                faults = faults or rng.sample(REPLICA_FAULTS, len(REPLICA_FAULTS))  # each kind in turn
                environment.inject(faults.pop(), rng.choice(well))
                injection = environment.injections[-1]
                context.say(
                    f"replicas: {injection.identity} {injection.fault}, held {len(injection.shards)} shards"
                )


def _end_all_faults(environment: _Environment) -> None:
    """End all faults in their time; raise the errors of injections."""
    while environment.healings:
        environment.heal(time.monotonic())
        waiting.pause(_PAUSE)
    for future in environment.begun:
        future.result()


def _all_restarted(environment: _Environment, changes: Sequence[Change], subscriptions: int) -> bool:
    def is_even() -> bool:
        lost = lost_in(changes, environment.watcher.rollouts)
        return (
            not lost
            and all(environment.lease_history.holders().values())
            and _is_served(environment, subscriptions)
        )

    try:
        waiting.wait_until(is_even, seconds=_RESTART_SECONDS, what="each Deployment is restarted")
    except DeadlineExceededError:
        return False
    return True


# -- results ---------------------------------------------------------------------------------


def lost_in(changes: Sequence[Change], rollouts: Sequence[Rollout]) -> list[str]:
    """Return the Deployments without a restart after the last change of their folder."""
    last = {team(change.path): change.wall for change in changes}
    newest = {rollout.workload: rollout.patched_at for rollout in rollouts}
    return sorted(name for name, wall in last.items() if newest.get(name, 0.0) < wall)


def doubled_in(changes: Sequence[Change], rollouts: Sequence[Rollout]) -> list[str]:
    """Return the Deployments that had more restarts than changes of their folder at some moment."""
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
    injections: Sequence[Injection],
    lease_history: Mapping[int, Sequence[tuple[float, str]]],
    replicas: Sequence[Replica],
) -> list[TakeOver]:
    """Return the take-overs of the shards of failed replicas; a shard that a replica kept is none."""
    found = []
    by_name = {replica.name: replica for replica in replicas}
    for injection in injections:
        victim = by_name[injection.identity.partition("-")[0]]
        back = victim.outage_end(injection.at) if injection.fault in _SURVIVED else inf
        others = [replica for replica in replicas if replica is not victim]
        for shard in injection.shards:
            later = (
                at
                for at, who in lease_history[shard]
                if at > injection.at and who not in {"", injection.identity}
            )
            taken = next(later, inf)
            at = min(taken, back)
            since = [well for other in others if (well := other.healthy_since(at)) is not None]
            seconds = at - max(injection.at, min(since)) if since else None
            if taken <= back or (seconds or 0.0) > _MOST_TAKE_OVER:
                found.append(TakeOver(injection.fault, seconds))
    return found


def table(injections: Sequence[Injection], taken: Sequence[TakeOver]) -> list[str]:
    """Format the seconds to a take-over by fault, where another replica was healthy."""
    lines = [f"{'fault':12} {'times':>5} {'shards':>6} {'timed':>6} {'p50 s':>6} {'p99 s':>6} {'most s':>6}"]
    for name in [*(fault.name for fault in REPLICA_FAULTS), ""]:
        mine = [one for one in taken if name in {one.fault, ""}]
        times = sum(injection.fault == name or not name for injection in injections)
        seconds = sorted(one.seconds for one in mine if one.seconds is not None)
        cells = [f"{part(seconds, share):6.1f}" for share in (0.5, 0.99, 1.0)] if seconds else ["     -"] * 3
        lines.append(f"{name or 'all':12} {times:5} {len(mine):6} {len(seconds):6} {' '.join(cells)}")
    return lines


def part(seconds: Sequence[float], share: float) -> float:
    """Return the quantile of sorted values."""
    return seconds[min(len(seconds) - 1, int(share * len(seconds)))]


def _latency(changes: Sequence[Change], rollouts: Sequence[Rollout]) -> str:
    """Format the time from a change to its restart, faults included."""
    waited = []
    for change in changes:
        later = [
            r.seen_at for r in rollouts if r.workload == team(change.path) and r.patched_at >= change.wall
        ]
        waited += [min(later) - change.monotonic] if later else []
    waited.sort()
    p50, p99, most = (part(waited, share) if waited else 0.0 for share in (0.5, 0.99, 1.0))
    return f"change to restart: p50 {p50:.1f} s, p99 {p99:.1f} s, most {most:.1f} s"
