"""Many small worlds side by side, so that a hundred runs take minutes: a lane is a namespace of its own.

It has a local Infisical, who writes its Secrets, Deployments that use them, one subscription, and a witness.
One operator's process serves all lanes.
"""

import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from e2e.faults import waiting
from e2e.faults.playing import defect_in
from e2e.faults.stages import Api, inhabited, operating, path_of
from e2e.restart_order.judging import carried, flaws, restarts
from e2e.restart_order.sources import NATIVE, UNSEEN, Source, sourced
from e2e.restart_order.witnesses import SUBSCRIPTION, Told, Witness
from infisical_sandbox.server import Controls, Options, Sandbox
from local_cluster import Cluster
from support import operator_process
from support.fake_controllers.playing import Stage, staged
from support.operator_process import Manifest

Value = TypeVar("Value")
Say = Callable[[str], None]

NAME = "payments"
KEYS = tuple(f"KEY_{number:02}" for number in range(4))
PATIENCE_SECONDS = 90.0
_START_SECONDS = 120.0
_QUIET_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Hall:
    """What all proofs share. What a failed one has written stays in its folder."""

    cluster: Cluster
    folder: Path
    say: Say


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What each lane has: who writes the Secrets, of which folders with which keys, who uses them."""

    kind: str = NATIVE
    folders: Mapping[str, str] = field(default_factory=lambda: {"payments-env": "/payments"})
    keys: Mapping[str, Sequence[str]] = field(default_factory=lambda: {"/payments": KEYS})
    workloads: Sequence[Manifest]
    spec: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Lane:
    """One small world; `values` is what its Infisical holds, by folder."""

    namespace: str
    api: Api
    sandbox: Sandbox
    source: Source
    witness: Witness
    rng: random.Random
    values: dict[str, dict[str, str]]
    expected: list[dict[str, dict[str, str]]] = field(default_factory=list)
    """What the Secrets have to hold at each restart, in order."""
    noted: list[str] = field(default_factory=list)
    """Sentences on what was seen not to be as it had to be, in the midst of a run."""

    def change(self, path: str, values: Mapping[str, str]) -> None:
        """Set secrets of one folder, as one call."""
        self.source.see(path, values)
        self.values[path].update(values)
        self.sandbox.do_blocking(Controls.set_secrets, "prod", path, values)

    def change_some(self) -> None:
        """Give some keys of the first folder values that they never had."""
        path = next(iter(self.values))
        known = [key for key in self.values[path] if key != UNSEEN]
        chosen = self.rng.sample(known, self.rng.randint(1, len(known)))
        self.change(path, {key: f"{self.rng.getrandbits(48):012x}" for key in chosen})

    def expect_restart(self) -> None:
        """From here on one more restart is due, which has to find what is in Infisical now."""
        self.expected.append({name: dict(data) for name, data in self.source.written(self.values).items()})

    def until(self, condition: Callable[[], Value], what: str) -> Value:
        """Wait; raises NotInTimeError with the lane's name."""
        return waiting.until(condition, seconds=PATIENCE_SECONDS, what=f"{self.namespace}: {what}")

    def is_restarted(self) -> bool:
        """Whether all Deployments were restarted as often as is due, or more often."""
        found = carried(tuple(self.witness.workload_states), tuple(self.witness.contents))
        return all(len(rows) >= len(self.expected) for rows in found.values())

    def is_at_rest(self) -> bool:
        """Whether nothing rolls out and nothing is owed."""
        newest = {
            workload_state.workload: workload_state for workload_state in tuple(self.witness.workload_states)
        }
        return self.told.reason == "NoPendingRestarts" and not any(
            each.is_rolling for each in newest.values()
        )

    @property
    def told(self) -> Told:
        """What the subscription says now."""
        return self.witness.told[-1]

    def rest(self) -> None:
        """Wait until all is done, and for a while longer: for what should not come."""
        self.until(self.is_restarted, f"{len(self.expected)} restarts")
        self.until(self.is_at_rest, "nothing owed, nothing rolling")
        waiting.lasting(_QUIET_SECONDS)

    def flaws(self) -> list[str]:
        """What was not as it had to be."""
        gaps = [f"{self.witness.gaps} gaps in the watches"] if self.witness.gaps else []
        found = carried(tuple(self.witness.workload_states), tuple(self.witness.contents))
        return [f"{self.namespace}: {flaw}" for flaw in (*gaps, *self.noted, *flaws(found, self.expected))]

    def count(self) -> int:
        """How many restarts there were."""
        return len(restarts(tuple(self.witness.workload_states)))

    def annotate(self, key: str, value: str) -> int:
        """Ask the subscription for something; the version from which on it is asked."""
        path = SUBSCRIPTION.path(self.namespace, NAME)
        return self.api.merge(path, {"metadata": {"annotations": {key: value}}})

    def is_watching(self) -> bool:
        """Whether the stream is open and the state known."""
        conditions = self.api.subscription(self.namespace, NAME).get("status", {}).get("conditions", ())
        workload_state = {each["type"] for each in conditions if each["status"] == "True"}
        return workload_state >= {"Ready", "Streaming", "Observed"}

    def has_secrets(self) -> bool:
        """Whether the Secrets are what they are to be."""
        held = {content.secret: content.data for content in tuple(self.witness.contents)}
        return all(held.get(name) == data for name, data in self.source.written(self.values).items())


@dataclass(slots=True)
class World:
    """The lanes and their operator."""

    lanes: Sequence[Lane]
    operator: operator_process.Operator
    folder: Path

    def play(self, act: Callable[[Lane], None]) -> None:
        """Let something happen in all lanes at once; raises what was raised first."""
        with ThreadPoolExecutor(len(self.lanes)) as pool:
            for done in [pool.submit(act, lane) for lane in self.lanes]:
                done.result()

    def flaws(self) -> list[str]:
        """Of all lanes, and of the operator itself."""
        defect = defect_in(self.folder)
        return [*([defect] if defect else []), *(flaw for lane in self.lanes for flaw in lane.flaws())]


@contextmanager
def worlds(hall: Hall, name: str, setting: Setting, count: int) -> Iterator[World]:
    """Some lanes, the operator watching; taken away again at the end."""
    folder = hall.folder / name
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        api = Api(hall.cluster)
        stack.callback(api.http.close)
        stage = stack.enter_context(staged(hall.cluster.kubeconfig))
        lanes = [_lane(stack, api, stage, setting, random.Random(f"{name}-{n}")) for n in range(count)]  # noqa: S311 - chooses moments, keeps no secret
        operator = stack.enter_context(
            operating(lanes[0].namespace, hall.cluster.kubeconfig, folder / "operator", level="info")
        )
        others = [part for lane in lanes[1:] for part in ("--namespace", lane.namespace)]
        operator.command = [*operator.command, *others]
        operator.start()
        for lane in lanes:
            waiting.until(
                lambda lane=lane: lane.is_watching() and lane.has_secrets() and lane.is_at_rest(),
                seconds=_START_SECONDS,
                what=f"{lane.namespace} is watched and at rest",
            )
        yield World(lanes, operator, folder)


def _lane(stack: ExitStack, api: Api, stage: Stage, setting: Setting, rng: random.Random) -> Lane:
    sandbox = stack.enter_context(Sandbox.in_thread(Options(fan_out_delay=0.4, ping_interval=2.0)))
    namespace = stack.enter_context(inhabited(api, "act", [operator_process.credentials(sandbox)]))
    source = sourced(stage, sandbox, setting.kind, namespace, setting.folders)
    values = {path: dict.fromkeys((*keys, UNSEEN), "first") for path, keys in setting.keys.items()}
    witness = stage.play(lambda api: Witness(api, namespace))
    lane = Lane(namespace, api, sandbox, source, witness, rng, {path: {} for path in values})
    for path, held in values.items():
        lane.change(path, held)
    for manifest in source.manifests():
        api.create(path_of(namespace, manifest), manifest)
    if setting.kind != NATIVE:
        lane.until(lane.has_secrets, "the Secrets are there")
    resync = {**setting.spec.get("resync", {}), **source.resync()}
    subscription = operator_process.subscription(sandbox, NAME, **{**setting.spec, "resync": resync or None})
    for manifest in (*setting.workloads, subscription):
        api.create(path_of(namespace, manifest), manifest)
    return lane


@dataclass(slots=True)
class Killer:
    """Kills an operator at random moments and begins it again, until it has done so often enough."""

    operator: operator_process.Operator
    wanted: int
    rng: random.Random
    kills: int = 0
    trouble: BaseException | None = None
    _ending: threading.Event = field(default_factory=threading.Event)

    @property
    def is_done(self) -> bool:
        """Whether nothing more is killed."""
        return self._ending.is_set() or self.kills >= self.wanted

    @contextmanager
    def killing(self) -> Iterator[None]:
        """While the block lasts; the operator runs when it is left."""
        thread = threading.Thread(target=self._kill, name="killer")
        thread.start()
        try:
            yield
        finally:
            self._ending.set()
            thread.join()
        if self.trouble is not None:
            raise self.trouble

    def _kill(self) -> None:
        try:
            while not self.is_done:
                self._ending.wait(self.rng.expovariate(1 / _MEAN_LIFE))
                if self._ending.is_set():
                    return
                self.operator.kill()
                self.operator.start()
                self.kills += 1
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            self.trouble = error
            self._ending.set()


_MEAN_LIFE = 2.0
"""Seconds between a start and a kill: half of what an act takes, so that a kill hits any part of it.

Without memory, so that some lives are long enough for whatever a loaded machine makes of an act.
"""


def numbers(most: int, killer: Killer | None = None) -> Iterator[int]:
    """The numbers of the runs of a lane: so many, or as many as there is killing."""
    number = 0
    while number < most if killer is None else not killer.is_done:
        yield number
        number += 1


def using(secret: str, manifest: Manifest, *, by: str = "env") -> Manifest:
    """A workload whose pods get a Secret by their environment or by a volume."""
    pod = manifest["spec"]["template"]["spec"]
    if by == "env":
        pod["containers"][0].setdefault("envFrom", []).append({"secretRef": {"name": secret}})
    else:
        pod.setdefault("volumes", []).append({"name": secret, "secret": {"secretName": secret}})
    return manifest


def one_pod(name: str) -> Manifest:
    """A Deployment that opted in, as small as it can be."""
    made = operator_process.workload(name)
    made["spec"]["replicas"] = 1
    return made
