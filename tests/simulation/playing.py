"""Playing a history: the real loop of the operator in virtual time, between two models."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from infisical_events.api import annotations
from infisical_events.api.specs import Spec, parse_spec
from infisical_events.core.folders import Folder
from infisical_events.kube.subscriptions import SubscriptionKey
from infisical_events.runtime.following import Follower, World
from infisical_events.runtime.metrics import Metrics
from simulation.clusters import NAMESPACE, ClusterModel
from simulation.faults import Crash, Faults
from simulation.histories import KEYS, PAYMENTS, SHARED, TROUBLE_SECONDS, WORKLOADS, History
from simulation.infisicals import InfisicalModel, SessionModel
from virtual_time import VirtualLoop, virtual_now

QUIET_SECONDS = 400.0
"""From the end of all trouble to the judgement: interval, horizon and the longest pauses, with room."""

_EVENTS = ("secret:create", "secret:update", "secret:delete", "secret:import-mutation")
_ADDRESS = "https://app.infisical.com"


def spec_of(variant: int) -> dict[str, Any]:
    """Three specs: one folder, everything below it, and everything but without creates."""
    path = ("/payments", "/payments/**", "/payments/**")[variant]
    events = _EVENTS if variant < 2 else _EVENTS[1:]
    ref = {"name": "credentials", "key": "token"}
    return {
        "address": _ADDRESS,
        "authentication": {"accessTokenRef": ref},
        "projectId": "project",
        "events": [
            {"event": event, "conditions": {"environmentSlug": "prod", "secretPath": path}}
            for event in events
        ],
        "resyncIntervalSeconds": 60,
    }


@dataclass(frozen=True, slots=True)
class Standing:
    """How a workload stood from a moment on: its uid, and whether it had opted in."""

    at: float
    uid: str
    is_opted_in: bool


@dataclass(frozen=True, slots=True)
class SpecInForce:
    """Which spec was stored from a moment on."""

    at: float
    spec: Spec


@dataclass(slots=True)
class Played:
    """Everything that the judges need to know of one play."""

    infisical: InfisicalModel
    cluster: ClusterModel
    key: SubscriptionKey
    standings: dict[str, list[Standing]] = field(default_factory=lambda: {name: [] for name in WORKLOADS})
    specs: list[SpecInForce] = field(default_factory=list)
    births: list[float] = field(default_factory=list)
    faults: Faults | None = None
    errors: list[str] = field(default_factory=list)


class Play:
    """The stage: both models, the operators that run, and the verbs of a history's steps."""

    def __init__(self, history: History, faults: Faults | None = None) -> None:
        rng = random.Random(history.seed + 1)  # noqa: S311 - a simulation
        self._rng = rng
        self._history = history
        self.faults = faults or Faults(rng)
        infisical, cluster = InfisicalModel(self.faults, rng), ClusterModel(self.faults)
        for key in KEYS[:2]:
            infisical.write(PAYMENTS, key)
            infisical.write(SHARED, key)
        infisical.begin()
        for name in WORKLOADS:
            cluster.create_workload(NAMESPACE, name, {annotations.AUTO_RELOAD: "true"})
        key = cluster.create_subscription(NAMESPACE, "payments", spec_of(1))
        self.played = Played(infisical, cluster, key, faults=self.faults)
        self.played.specs.append(SpecInForce(0.0, parse_spec(spec_of(1))))
        for name in WORKLOADS:
            self._stand(name)
        self._variant = 1
        self._operators: list[tuple[Follower, asyncio.Task[None]]] = []

    async def run(self) -> Played:
        """Play all steps, let it be quiet, and tell what happened."""
        loop = asyncio.get_running_loop()
        self.start_operator()
        for step in self._history.steps:
            await asyncio.sleep(max(0.0, step.at - loop.time()))
            getattr(self, step.verb)(*step.arguments)
        await asyncio.sleep(max(0.0, TROUBLE_SECONDS - loop.time()))
        self._calm()
        await asyncio.sleep(QUIET_SECONDS)
        for _, task in self._operators:
            task.cancel()
        return self.played

    def _calm(self) -> None:
        self.faults.set({})
        for name in WORKLOADS:
            self.release(name)
        if not any(not task.done() for _, task in self._operators):
            self.start_operator()

    # -- machines -----------------------------------------------------------------------------------

    def set_faults(self, rates: tuple[tuple[str, float], ...]) -> None:
        """From now on these go wrong at these rates."""
        self.faults.set(dict(rates))

    def start_operator(self) -> None:
        """One more operator with an empty memory, also beside one that runs."""
        world = World(
            cluster=self.played.cluster,
            open_infisical=self._open,
            clock=virtual_now,
            metrics=Metrics(),
            default_address=_ADDRESS,
            allowed_addresses=(_ADDRESS,),
        )
        follower = Follower(world=world, key=self.played.key)
        task = asyncio.get_running_loop().create_task(follower.run())
        task.add_done_callback(self._ended)
        self._operators.append((follower, task))

    def kill_operators(self, away: float) -> None:
        """All operators die where they stand; a new one starts after a while."""
        for _, task in self._operators:
            task.remove_done_callback(self._ended)
            task.cancel()
        self._operators.clear()
        asyncio.get_running_loop().call_later(away, self.start_operator)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Kubernetes starts a process that died again; one that ended for another reason is a defect."""
        with suppress(asyncio.CancelledError):
            try:
                task.result()
                self.played.errors.append("the operator gave up a living subscription")
            except Crash:
                asyncio.get_running_loop().call_later(self._rng.uniform(0.1, 20), self.start_operator)

    @asynccontextmanager
    async def _open(self, *_: object) -> AsyncIterator[SessionModel]:
        yield SessionModel(self.played.infisical)

    # -- people in Infisical ----------------------------------------------------------------------------

    def write(self, folder: Folder, key: str) -> None:
        """Create or update."""
        self.played.infisical.write(folder, key)

    def rotate(self, folder: Folder, key: str) -> None:
        """Create or update without an event."""
        self.played.infisical.write(folder, key, is_told=False)

    def remove(self, folder: Folder, key: str) -> None:
        """Delete."""
        self.played.infisical.remove(folder, key)

    def toggle_import(self, folder: Folder, source: Folder) -> None:
        """Add or remove an import."""
        self.played.infisical.toggle_import(folder, source)

    def touch_reference(self, folder: Folder) -> None:
        """Change what is referenced."""
        self.played.infisical.touch_reference(folder)

    def cut_streams(self) -> None:
        """End every stream."""
        self.played.infisical.cut_streams()

    # -- people in Kubernetes -----------------------------------------------------------------------------

    def edit_spec(self, variant: int) -> None:
        """Apply another spec; operators are told by their watch, a moment later."""
        spec, self._variant = parse_spec(spec_of(variant)), variant
        if spec == self.played.specs[-1].spec:
            return
        self.played.cluster.edit_subscription(self.played.key, spec_of(variant))
        self.played.specs.append(SpecInForce(asyncio.get_running_loop().time(), spec))
        for follower, _ in self._operators:
            asyncio.get_running_loop().call_later(self._rng.uniform(0, 2), follower.respecced.set)

    def recreate_subscription(self) -> None:
        """Deleted and applied again: another uid, an empty status, the old stamps still on the workloads."""
        played, now = self.played, asyncio.get_running_loop().time()
        variant = self._variant
        played.cluster.delete_subscription(played.key)
        played.key = played.cluster.create_subscription(NAMESPACE, "payments", spec_of(variant))
        played.births.append(now)
        self.kill_operators(self._rng.uniform(0, 2))

    def pause(self, name: str) -> None:
        """Hold a workload."""
        self.played.cluster.annotate_workload(NAMESPACE, name, {annotations.PAUSED: "true"})

    def release(self, name: str) -> None:
        """Let it go."""
        self.played.cluster.annotate_workload(NAMESPACE, name, {annotations.PAUSED: None})

    def opt_out(self, name: str) -> None:
        """Not ours any more."""
        self.played.cluster.annotate_workload(NAMESPACE, name, {annotations.AUTO_RELOAD: None})
        self._stand(name)

    def opt_in(self, name: str) -> None:
        """Ours again."""
        self.played.cluster.annotate_workload(NAMESPACE, name, {annotations.AUTO_RELOAD: "true"})
        self._stand(name)

    def recreate(self, name: str) -> None:
        """Deleted and created anew under the same name."""
        self.played.cluster.delete_workload(NAMESPACE, name)
        self.played.cluster.create_workload(NAMESPACE, name, {annotations.AUTO_RELOAD: "true"})
        self._stand(name)

    def touch(self, name: str) -> None:
        """Somebody's edit: the resourceVersion moves."""
        note = {"example.com/edited": str(asyncio.get_running_loop().time())}
        self.played.cluster.annotate_workload(NAMESPACE, name, note)

    def undo(self, name: str) -> None:
        """`kubectl rollout undo`: the pod template loses our stamp, the metadata keeps its receipt."""
        raw = self.played.cluster._workloads[NAMESPACE, "Deployment", name]
        raw["spec"]["template"]["metadata"]["annotations"] = {}
        self.touch(name)

    def _stand(self, name: str) -> None:
        raw = self.played.cluster._workloads[NAMESPACE, "Deployment", name]["metadata"]
        is_in = raw["annotations"].get(annotations.AUTO_RELOAD) == "true"
        self.played.standings[name].append(Standing(asyncio.get_running_loop().time(), raw["uid"], is_in))


class _Defects(logging.Handler):
    """The operator logs an error only for what it did not expect: a defect."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(f"defect: {self.format(record)[-600:]}")


def play(history: History, faults: Faults | None = None) -> Played:
    """Play a history in a virtual loop of its own; `faults` replaces those drawn by its seed."""

    async def run() -> Played:
        return await Play(history, faults).run()

    state, defects, logger = random.getstate(), _Defects(), logging.getLogger("infisical_events")
    random.seed(history.seed)  # the operator's own jitter
    logger.addHandler(defects)
    was_propagating, logger.propagate = logger.propagate, False
    try:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            played = runner.run(run())
    finally:
        random.setstate(state)
        logger.removeHandler(defects)
        logger.propagate = was_propagating
    played.errors.extend(defects.found)
    return played
