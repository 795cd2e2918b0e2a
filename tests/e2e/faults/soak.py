"""Two long runs: streams of five seconds under load, and an Infisical that is killed repeatedly.

The first checks that short streams lose and double nothing. The second checks that hundreds of
subscriptions do not reconnect all at once, and that memory does not grow.
"""

import random
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from e2e.faults import waiting
from e2e.faults.fault_environment import (
    AdminApi,
    connected,
    created_namespace,
    free_port,
    operator_process_for,
)
from e2e.faults.fault_proxy import FaultProxy
from e2e.faults.fault_runner import FaultContext, defect_in
from e2e.faults.infisical_process import Change, InfisicalProcess
from e2e.faults.rollout_watcher import Rollout, RolloutWatcher
from support import manifests, operator_process
from support.eventually import DeadlineExceededError

_SUBSCRIBE = b"POST /api/v1/events/subscribe/project-events"

_FOLDERS = tuple(f"/soak/team-{number:02}" for number in range(20))
_LOAD_SECONDS = 120.0
_CHANGES_PER_SECOND = 10
_STREAM_LIFETIME = 5
_MOST_BLIND = 3
_RESTART_SECONDS = 180
_QUIET_SECONDS = 10

_SUBSCRIPTIONS = 300
_AWAY_SECONDS = 5
_BACK_SECONDS = 600
_MOST_CONNECTS = 50
_GROWTH = 1.02
"""The ratio of memory below which growth is within the error of measurement."""

Manifests = Callable[[InfisicalProcess], list[manifests.Manifest]]


@dataclass(frozen=True, slots=True)
class Check:
    """A condition that has to hold, and the measurement."""

    holds: bool
    sentence: str

    def __str__(self) -> str:
        """Format the check as a line of text."""
        return f"{'ok    ' if self.holds else 'FAILED'}  {self.sentence}"


@dataclass(frozen=True, slots=True)
class _Environment:
    """The environment of both runs."""

    api: AdminApi
    namespace: str
    infisical: InfisicalProcess
    proxy: FaultProxy
    operator: operator_process.OperatorProcess
    watcher: RolloutWatcher

    @property
    def resident(self) -> float:
        """The operator's resident memory in MiB."""
        process = self.operator.process
        lines = Path(f"/proc/{process.pid if process else 0}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))


@contextmanager
def _environment(
    context: FaultContext, name: str, options: Sequence[str], folders: Sequence[str], objects: Manifests
) -> Iterator[_Environment]:
    folder = context.folder / name
    folder.mkdir()
    with ExitStack() as stack:
        api = AdminApi(context.cluster)
        stack.callback(api.http.close)
        infisical = InfisicalProcess(folder, free_port(), ("--ping-interval", "2", *options))
        stack.callback(infisical.kill)
        infisical.start()
        proxy = stack.enter_context(FaultProxy(context.loop, infisical.port, spotting=_SUBSCRIBE))
        infisical.url = f"http://127.0.0.1:{proxy.port}"
        for path in folders:
            infisical.create(path, ["KEY"])
        namespace = stack.enter_context(created_namespace(api, "soak", objects(infisical)))
        kubeconfig = api.kubeconfig(folder / "kubeconfig", api.port)
        operator = stack.enter_context(
            operator_process_for(namespace, kubeconfig, folder / "operator", level="info")
        )
        watcher = stack.enter_context(RolloutWatcher(api.client(), namespace))
        operator.start()
        yield _Environment(api, namespace, infisical, proxy, operator, watcher)


def folder_subscription(
    infisical: InfisicalProcess, name: str, path: str, debounce: int
) -> manifests.Manifest:
    """Return a subscription to all events of a folder, or of a tree of folders."""
    where = {"environmentSlug": "prod", "secretPath": path}
    return manifests.subscription(infisical, name, conditions=where, debounceSeconds=debounce)


def soak_deployment(name: str, replicas: int = 1, **annotations: str) -> manifests.Manifest:
    """Return a Deployment with annotations `events.infisical.com/*`."""
    noted = {f"events.infisical.com/{key.replace('_', '-')}": text for key, text in annotations.items()}
    made = manifests.workload(name, annotations=noted)
    made["spec"]["replicas"] = replicas
    return made


def no_traceback(folder: Path) -> Check:
    """Check that no operator has logged a traceback."""
    found = defect_in(folder)
    return Check(not found, found or "no traceback in the operator's log")


# -- streams of five seconds ---------------------------------------------------------------


def run_lifetimes(context: FaultContext, debounce: int, seconds: float = _LOAD_SECONDS) -> list[Check]:
    """Run 20 folders with a Deployment each, 10 changes per second, one subscription with short streams."""

    def objects(infisical: InfisicalProcess) -> list[manifests.Manifest]:
        workloads = [
            soak_deployment(team(path), auto_reload="true", secret_path=path, subscription="soak")
            for path in _FOLDERS
        ]
        return [
            manifests.credentials(infisical),
            *workloads,
            folder_subscription(infisical, "soak", "/soak/**", debounce),
        ]

    options = ("--stream-lifetime", str(_STREAM_LIFETIME), "--fan-out-delay", "0.4")
    with _environment(
        context, f"lifetimes-{debounce}", options, ("/soak", *_FOLDERS), objects
    ) as environment:
        waiting.wait_until(
            lambda: _is_idle(environment),
            seconds=_RESTART_SECONDS,
            what="the operator serves the subscription",
        )
        environment.infisical.changes()
        context.say(f"lifetimes: {_CHANGES_PER_SECOND} changes a second for {seconds:g} s")
        _load(environment.infisical, seconds)
        changes = environment.infisical.changes()
        reached = _all_restarted(environment, changes)
        quiet_from = len(environment.watcher.rollouts)
        waiting.pause(_QUIET_SECONDS)
        environment.watcher.catch_up()
        rollouts = environment.watcher.rollouts
        status = environment.api.subscription(environment.namespace, "soak")["status"]["stream"]
        return [
            no_traceback(context.folder / f"lifetimes-{debounce}"),
            Check(reached, f"each Deployment was restarted after its last change ({len(changes)} changes)"),
            *_counted(changes, rollouts),
            Check(
                len(rollouts) == quiet_from,
                f"{len(rollouts) - quiet_from} restarts after the last change was done",
            ),
            Check(
                status["blindSeconds"] < _MOST_BLIND,
                f"blind for {status['blindSeconds']} s (less than {_MOST_BLIND}) over "
                f"{status['reconnects']} reconnects, {len(environment.proxy.spotted)} connects in all",
            ),
        ]


def _load(infisical: InfisicalProcess, seconds: float) -> None:
    rng = random.Random(0)  # noqa: S311 - chooses folders, keeps no secret
    begun = time.monotonic()
    for number in range(int(seconds * _CHANGES_PER_SECOND)):
        waiting.pause(max(0.0, begun + number / _CHANGES_PER_SECOND - time.monotonic()))
        infisical.write(rng.choice(_FOLDERS), "KEY", f"value-{number}")


def _counted(changes: Sequence[Change], rollouts: Sequence[Rollout]) -> list[Check]:
    made = Counter(team(change.path) for change in changes)
    seen: Counter[str] = Counter()
    for rollout in rollouts:
        seen[rollout.workload] += rollout.count
    too_many = sorted(name for name, count in seen.items() if count > made[name])
    sentence = f"{seen.total()} restarts; more restarts than changes: {', '.join(too_many) or 'none'}"
    return [Check(not too_many, sentence)]


def _all_restarted(environment: _Environment, changes: Sequence[Change]) -> bool:
    last = {team(change.path): change for change in changes}

    def is_reached() -> bool:
        newest = {rollout.workload: rollout for rollout in environment.watcher.rollouts}
        return _is_idle(environment) and all(
            name in newest and newest[name].patched_at >= change.wall for name, change in last.items()
        )

    try:
        waiting.wait_until(is_reached, seconds=_RESTART_SECONDS, what="each Deployment is restarted")
    except DeadlineExceededError:
        return False
    waiting.pause(3)  # a last restart may follow
    return True


def _is_idle(environment: _Environment) -> bool:
    ledger = environment.api.subscription(environment.namespace, "soak").get("status", {}).get("ledger")
    return bool(ledger) and not ledger["debts"]


def team(path: str) -> str:
    """Return the name of the Deployment that belongs to a folder."""
    return path.rsplit("/", 1)[-1]


# -- an Infisical that is killed --------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Return:
    """One cycle: seconds until all streams are open, most connects within a second, memory in MiB."""

    seconds: float
    busiest: int
    connects: int
    resident: float


def run_returns(context: FaultContext, cycles: int, subscriptions: int = _SUBSCRIPTIONS) -> list[Check]:
    """Kill the Infisical of 300 streams `cycles` times; each time one subscription has a restart to make."""

    def objects(infisical: InfisicalProcess) -> list[manifests.Manifest]:
        names = [f"sub-{number:03}" for number in range(subscriptions)]
        served = [folder_subscription(infisical, name, "/soak", 0) for name in names]
        return [manifests.credentials(infisical), soak_deployment("api", subscription=names[0]), *served]

    options = (
        "--connection-limit",
        str(2 * subscriptions),
        "--fan-out-delay",
        "0.4",
        "--stream-lifetime",
        "0",
    )
    with _environment(context, "returns", options, ("/soak",), objects) as environment:
        first = _returned(environment, subscriptions, time.monotonic())
        context.say(f"returns: start, {_described(first)}")
        cycled: list[Return] = []
        for number in range(cycles):
            cycled.append(_cycle(environment, subscriptions, number))
            context.say(f"returns: cycle {number + 1}, {_described(cycled[-1])}")
        environment.watcher.catch_up()
        restarts = sum(rollout.count for rollout in environment.watcher.rollouts)
        return [
            no_traceback(context.folder / "returns"),
            *_judged(cycled),
            Check(restarts == cycles, f"{restarts} restarts for {cycles} changes"),
        ]


def _cycle(environment: _Environment, subscriptions: int, number: int) -> Return:
    environment.infisical.kill()
    waiting.pause(_AWAY_SECONDS)
    begun = time.monotonic()
    environment.infisical.start()
    before = len(environment.watcher.rollouts)
    environment.infisical.write("/soak", "KEY", f"value-{number}")
    result = _returned(environment, subscriptions, begun)
    waiting.wait_until(
        lambda: len(environment.watcher.rollouts) > before,
        seconds=_RESTART_SECONDS,
        what="the change causes a restart",
    )
    return result


def _returned(environment: _Environment, subscriptions: int, begun: float) -> Return:
    waiting.wait_until(
        lambda: connected(environment.operator) == subscriptions,
        seconds=_BACK_SECONDS,
        what=f"{subscriptions} streams are open",
    )
    took = time.monotonic() - begun
    moments = [moment for moment in environment.proxy.spotted if moment >= begun]
    return Return(took, busiest(moments), len(moments), environment.resident)


def busiest(moments: Sequence[float], window: float = 1.0) -> int:
    """Return the largest number of moments in any window of so many seconds."""
    inside: deque[float] = deque()
    most = 0
    for moment in sorted(moments):
        inside.append(moment)
        while inside[0] <= moment - window:
            inside.popleft()
        most = max(most, len(inside))
    return most


def _judged(cycled: Sequence[Return]) -> list[Check]:
    most = max(one.busiest for one in cycled)
    slowest = max(one.seconds for one in cycled)
    checks = [
        Check(slowest < _BACK_SECONDS, f"all streams were back after at most {slowest:.1f} s"),
        Check(most <= _MOST_CONNECTS, f"{most} connects in the busiest second (at most {_MOST_CONNECTS})"),
    ]
    third = len(cycled) // 3
    if third:
        middle, last = (_mean(cycled[start : start + third]) for start in (third, len(cycled) - third))
        sentence = f"{last:.1f} MiB of memory in the last third of the cycles, {middle:.1f} in the middle one"
        checks.append(Check(last <= middle * _GROWTH, sentence))
    return checks


def _mean(cycled: Sequence[Return]) -> float:
    return sum(one.resident for one in cycled) / len(cycled)


def _described(one: Return) -> str:
    return (
        f"all streams open after {one.seconds:.1f} s, {one.connects} connects, "
        f"{one.busiest} in the busiest second, {one.resident:.1f} MiB"
    )
