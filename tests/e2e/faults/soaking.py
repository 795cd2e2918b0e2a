"""Two long runs: streams that live five seconds under load, and an Infisical that dies and comes back.

The first asks whether short streams cost anything, the second whether hundreds of subscriptions that
return at the same moment are a herd, and whether memory stays where it is.
"""

import random
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from e2e.faults import waiting
from e2e.faults.infisicals import Change, Infisical
from e2e.faults.playing import Theatre, defect_in
from e2e.faults.proxying import Proxy
from e2e.faults.rollouts import Rollout, Witness
from e2e.faults.stages import Api, connected, free_port, inhabited, operating
from support import operator_process

_SUBSCRIBE = b"POST /api/v1/events/subscribe/project-events"

_FOLDERS = tuple(f"/soak/team-{number:02}" for number in range(20))
_LOAD_SECONDS = 120.0
_CHANGES_PER_SECOND = 10
_STREAM_LIFETIME = 5
_MOST_BLIND = 3
_SETTLE_SECONDS = 180
_QUIET_SECONDS = 10

_SUBSCRIPTIONS = 300
_AWAY_SECONDS = 5
_BACK_SECONDS = 600
_MOST_CONNECTS = 50
_GROWTH = 1.02
"""How much more memory than before is measuring, and not growing."""

Manifests = Callable[[Infisical], list[operator_process.Manifest]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Something that has to hold, and what was measured."""

    holds: bool
    sentence: str

    def __str__(self) -> str:
        """For people."""
        return f"{'ok    ' if self.holds else 'FAILED'}  {self.sentence}"


@dataclass(frozen=True, slots=True)
class _World:
    """What both runs are made on."""

    api: Api
    namespace: str
    infisical: Infisical
    proxy: Proxy
    operator: operator_process.Operator
    witness: Witness

    @property
    def resident(self) -> float:
        """The operator's memory in MiB."""
        process = self.operator.process
        lines = Path(f"/proc/{process.pid if process else 0}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))


@contextmanager
def _world(
    theatre: Theatre, name: str, options: Sequence[str], folders: Sequence[str], manifests: Manifests
) -> Iterator[_World]:
    folder = theatre.folder / name
    folder.mkdir()
    with ExitStack() as stack:
        api = Api(theatre.cluster)
        stack.callback(api.http.close)
        infisical = Infisical(folder, free_port(), ("--ping-interval", "2", *options))
        stack.callback(infisical.kill)
        infisical.start()
        proxy = stack.enter_context(Proxy(theatre.loop, infisical.port, spotting=_SUBSCRIBE))
        infisical.url = f"http://127.0.0.1:{proxy.port}"
        for path in folders:
            infisical.create(path, ["KEY"])
        namespace = stack.enter_context(inhabited(api, "soak", manifests(infisical)))
        kubeconfig = api.kubeconfig(folder / "kubeconfig", api.port)
        operator = stack.enter_context(operating(namespace, kubeconfig, folder / "operator", level="info"))
        witness = stack.enter_context(Witness(api.client(), namespace))
        operator.start()
        yield _World(api, namespace, infisical, proxy, operator, witness)


def universal(infisical: Infisical, name: str, path: str, debounce: int) -> operator_process.Manifest:
    """A subscription to all events of a folder, or of the tree below it."""
    where = {"environmentSlug": "prod", "secretPath": path}
    return operator_process.subscription(infisical, name, conditions=where, debounceSeconds=debounce)


def soaked(name: str, replicas: int = 1, **annotations: str) -> operator_process.Manifest:
    """A Deployment with annotations of ours."""
    noted = {f"events.infisical.com/{key.replace('_', '-')}": text for key, text in annotations.items()}
    made = operator_process.workload(name, annotations=noted)
    made["spec"]["replicas"] = replicas
    return made


def without_defect(folder: Path) -> Verdict:
    """That no operator has written a traceback."""
    found = defect_in(folder)
    return Verdict(not found, found or "no defect in the operator's log")


# -- streams that live five seconds ---------------------------------------------------------------


def lifetimes(theatre: Theatre, debounce: int, seconds: float = _LOAD_SECONDS) -> list[Verdict]:
    """20 folders with a Deployment each, 10 changes a second, one subscription with ever new streams."""

    def manifests(infisical: Infisical) -> list[operator_process.Manifest]:
        workloads = [
            soaked(team(path), auto_reload="true", secret_path=path, subscription="soak") for path in _FOLDERS
        ]
        return [
            operator_process.credentials(infisical),
            *workloads,
            universal(infisical, "soak", "/soak/**", debounce),
        ]

    options = ("--stream-lifetime", str(_STREAM_LIFETIME), "--fan-out-delay", "0.4")
    with _world(theatre, f"lifetimes-{debounce}", options, ("/soak", *_FOLDERS), manifests) as world:
        waiting.until(lambda: _is_calm(world), seconds=_SETTLE_SECONDS, what="the subscription is served")
        world.infisical.changes()
        theatre.say(f"lifetimes: {_CHANGES_PER_SECOND} changes a second for {seconds:g} s")
        _load(world.infisical, seconds)
        changes = world.infisical.changes()
        reached = _settled(world, changes)
        quiet_from = len(world.witness.rollouts)
        waiting.lasting(_QUIET_SECONDS)
        world.witness.catch_up()
        rollouts = world.witness.rollouts
        status = world.api.subscription(world.namespace, "soak")["status"]["stream"]
        return [
            without_defect(theatre.folder / f"lifetimes-{debounce}"),
            Verdict(reached, f"each Deployment was restarted after its last change ({len(changes)} changes)"),
            *_counted(changes, rollouts),
            Verdict(
                len(rollouts) == quiet_from,
                f"{len(rollouts) - quiet_from} restarts after it had become quiet",
            ),
            Verdict(
                status["blindSeconds"] < _MOST_BLIND,
                f"blind for {status['blindSeconds']} s (less than {_MOST_BLIND}) over "
                f"{status['reconnects']} reconnects, {len(world.proxy.spotted)} connects in all",
            ),
        ]


def _load(infisical: Infisical, seconds: float) -> None:
    rng = random.Random(0)  # noqa: S311 - chooses folders, keeps no secret
    begun = time.monotonic()
    for number in range(int(seconds * _CHANGES_PER_SECOND)):
        waiting.lasting(max(0.0, begun + number / _CHANGES_PER_SECOND - time.monotonic()))
        infisical.write(rng.choice(_FOLDERS), "KEY", f"value-{number}")


def _counted(changes: Sequence[Change], rollouts: Sequence[Rollout]) -> list[Verdict]:
    made = Counter(team(change.path) for change in changes)
    seen: Counter[str] = Counter()
    for rollout in rollouts:
        seen[rollout.workload] += rollout.count
    too_many = sorted(name for name, count in seen.items() if count > made[name])
    sentence = f"{seen.total()} restarts; more restarts than changes: {', '.join(too_many) or 'nowhere'}"
    return [Verdict(not too_many, sentence)]


def _settled(world: _World, changes: Sequence[Change]) -> bool:
    last = {team(change.path): change for change in changes}

    def is_reached() -> bool:
        newest = {rollout.workload: rollout for rollout in world.witness.rollouts}
        return _is_calm(world) and all(
            name in newest and newest[name].patched_at >= change.wall for name, change in last.items()
        )

    try:
        waiting.until(is_reached, seconds=_SETTLE_SECONDS, what="each Deployment was restarted")
    except waiting.NotInTimeError:
        return False
    waiting.lasting(3)  # a last restart may have been asked for before its change was seen
    return True


def _is_calm(world: _World) -> bool:
    ledger = world.api.subscription(world.namespace, "soak").get("status", {}).get("ledger")
    return bool(ledger) and not ledger["debts"]


def team(path: str) -> str:
    """The name of the Deployment that a folder concerns."""
    return path.rsplit("/", 1)[-1]


# -- an Infisical that dies and comes back --------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Return:
    """One cycle: seconds until all streams were open, most connects within a second, memory after it."""

    seconds: float
    busiest: int
    connects: int
    resident: float


def returns(theatre: Theatre, cycles: int, subscriptions: int = _SUBSCRIPTIONS) -> list[Verdict]:
    """300 streams lose their Infisical by SIGKILL, `cycles` times; one has something to do each time."""

    def manifests(infisical: Infisical) -> list[operator_process.Manifest]:
        names = [f"sub-{number:03}" for number in range(subscriptions)]
        served = [universal(infisical, name, "/soak", 0) for name in names]
        return [operator_process.credentials(infisical), soaked("api", subscription=names[0]), *served]

    options = (
        "--connection-limit",
        str(2 * subscriptions),
        "--fan-out-delay",
        "0.4",
        "--stream-lifetime",
        "0",
    )
    with _world(theatre, "returns", options, ("/soak",), manifests) as world:
        first = _returned(world, subscriptions, time.monotonic())
        theatre.say(f"returns: begun, {_told(first)}")
        cycled: list[Return] = []
        for number in range(cycles):
            cycled.append(_cycle(world, subscriptions, number))
            theatre.say(f"returns: cycle {number + 1}, {_told(cycled[-1])}")
        world.witness.catch_up()
        restarts = sum(rollout.count for rollout in world.witness.rollouts)
        return [
            without_defect(theatre.folder / "returns"),
            *_judged(cycled),
            Verdict(restarts == cycles, f"{restarts} restarts for {cycles} changes"),
        ]


def _cycle(world: _World, subscriptions: int, number: int) -> Return:
    world.infisical.kill()
    waiting.lasting(_AWAY_SECONDS)
    begun = time.monotonic()
    world.infisical.start()
    before = len(world.witness.rollouts)
    world.infisical.write("/soak", "KEY", f"value-{number}")
    told = _returned(world, subscriptions, begun)
    waiting.until(
        lambda: len(world.witness.rollouts) > before, seconds=_SETTLE_SECONDS, what="the change was acted on"
    )
    return told


def _returned(world: _World, subscriptions: int, begun: float) -> Return:
    waiting.until(
        lambda: connected(world.operator) == subscriptions,
        seconds=_BACK_SECONDS,
        what=f"{subscriptions} streams are open",
    )
    took = time.monotonic() - begun
    moments = [moment for moment in world.proxy.spotted if moment >= begun]
    return Return(took, busiest(moments), len(moments), world.resident)


def busiest(moments: Sequence[float], window: float = 1.0) -> int:
    """The largest number of moments in any window (seconds)."""
    inside: deque[float] = deque()
    most = 0
    for moment in sorted(moments):
        inside.append(moment)
        while inside[0] <= moment - window:
            inside.popleft()
        most = max(most, len(inside))
    return most


def _judged(cycled: Sequence[Return]) -> list[Verdict]:
    most = max(one.busiest for one in cycled)
    slowest = max(one.seconds for one in cycled)
    verdicts = [
        Verdict(slowest < _BACK_SECONDS, f"all streams were back after at most {slowest:.1f} s"),
        Verdict(most <= _MOST_CONNECTS, f"{most} connects in the busiest second (at most {_MOST_CONNECTS})"),
    ]
    third = len(cycled) // 3
    if third:
        middle, last = (_mean(cycled[start : start + third]) for start in (third, len(cycled) - third))
        sentence = f"{last:.1f} MiB of memory in the last third of the cycles, {middle:.1f} in the middle one"
        verdicts.append(Verdict(last <= middle * _GROWTH, sentence))
    return verdicts


def _mean(cycled: Sequence[Return]) -> float:
    return sum(one.resident for one in cycled) / len(cycled)


def _told(one: Return) -> str:
    return (
        f"all streams open after {one.seconds:.1f} s, {one.connects} connects, "
        f"{one.busiest} in the busiest second, {one.resident:.1f} MiB"
    )
