"""Running a history: the real loop of the operator in virtual time, between two models."""

import asyncio
import gc
import itertools
import logging
import math
import random
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from infisical_events.api import annotations
from infisical_events.api.specs import Spec, parse_spec
from infisical_events.core.egress.address_allowlist import EgressPolicy
from infisical_events.core.paths.scopes import Folder
from infisical_events.core.restarts.user_requests import UserRequests
from infisical_events.core.subscriptions import SubscriptionKey
from infisical_events.runtime.clock import Clock
from infisical_events.runtime.limits.fair_scheduling import SLICE, CooperativeScheduler
from infisical_events.runtime.limits.restart_budget import RestartBudget
from infisical_events.runtime.metrics import Metrics
from infisical_events.runtime.ports import Infisical
from infisical_events.runtime.subscription.dependencies import Dependencies
from infisical_events.runtime.subscription.runner import SubscriptionRunner
from simulation.adversary import Adversary
from simulation.cluster_model import NAMESPACE, SERVED, ClusterModel
from simulation.environment import KEYS, PAYMENTS, PLAIN, SHARED, WORKLOADS, Environment
from simulation.faults import Crash, Faults
from simulation.generation_session import GenerationSession
from simulation.histories import TROUBLE_SECONDS, History
from simulation.infisical_model import InfisicalModel, SessionModel
from simulation.secret_writers import Writer
from simulation.server_generations import GENERATIONS, Servers
from support.fake_cluster import a_digest_key
from support.virtual_time import VirtualLoop, virtual_now

QUIET_SECONDS = 400.0
"""From the end of all trouble to the check: interval, horizon and the longest pauses, with room."""

_EVENTS = ("secret:create", "secret:update", "secret:delete", "secret:import-mutation")
_LATE_WATCH = 0.2
"""The share of edits that a watch delivers much later."""

MAIN, SECOND = "payments", "neighbour"
FOREIGN = {"THEIRS": "not ours"}
"""What a Secret that keys are merged into has from another client."""

_ADDRESS = "https://app.infisical.com"


def spec_of(variant: int, environment: Environment = PLAIN, name: str = MAIN) -> dict[str, Any]:
    """One folder, everything below it, everything but without creates; by values; by events alone."""
    path = ("/payments", "/payments/**", "/payments/**", "/payments/**", "/payments/**")[variant]
    events = _EVENTS[1:] if variant == 2 else _EVENTS
    grade = {3: {"observe": "Values"}, 4: {"observe": "Events"}}.get(variant, {})
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
        **environment.spec_fields(is_first=name == MAIN),
        **grade,
    }


@dataclass(frozen=True, slots=True)
class WorkloadInForce:
    """A workload from a moment on: its uid, and the subscriptions that it had opted in to."""

    at: float
    uid: str
    opted_in: frozenset[str]


@dataclass(frozen=True, slots=True)
class SpecInForce:
    """Which spec was stored from a moment on."""

    at: float
    spec: Spec


@dataclass(slots=True)
class Subject:
    """One subscription of the run: its object, when each object of its name was made (by uid), its specs."""

    name: str
    key: SubscriptionKey
    uids: dict[str, float]
    specs: list[SpecInForce]
    creation_times: list[float] = field(default_factory=list)

    @property
    def spec(self) -> Spec:
        """The last one."""
        return self.specs[-1].spec


@dataclass(slots=True)
class RunRecord:
    """Everything that the invariants need to know of one run."""

    infisical: InfisicalModel
    cluster: ClusterModel
    adversary: Adversary
    subjects: list[Subject] = field(default_factory=list)
    workloads: dict[str, list[WorkloadInForce]] = field(
        default_factory=lambda: {name: [] for name in WORKLOADS}
    )
    environment: Environment = PLAIN
    faults: Faults | None = None
    errors: list[str] = field(default_factory=list)
    lifetimes: list["ProcessLifetime"] = field(default_factory=list)
    resumed: list[float] = field(default_factory=list)
    held: dict[str, list[float]] = field(default_factory=dict)
    """When each workload was paused, also if it was soon released."""
    jumps: list[float] = field(default_factory=list)
    """When the clock of the operators' node jumped."""


@dataclass(slots=True)
class ProcessLifetime:
    """When a process started and ended, in seconds."""

    begun: float
    ended: float = math.inf


def _ahead_by(time: timedelta) -> Clock:
    """A clock that is ahead of the API server's."""
    return (lambda: virtual_now() + time) if time else virtual_now


def _shortest() -> CooperativeScheduler:
    """Slices of one step each: anything may happen between any two."""
    ticks = itertools.count()
    return CooperativeScheduler(lambda: next(ticks) * SLICE)


@dataclass(eq=False, slots=True)
class _Process:
    """One operator process; all its subscriptions share one budget."""

    number: int
    life: ProcessLifetime
    budget: RestartBudget
    clock: Clock = virtual_now
    scheduler: CooperativeScheduler = field(default_factory=_shortest)
    runners: dict[str, SubscriptionRunner] = field(default_factory=dict)
    tasks: dict[asyncio.Task[None], None] = field(default_factory=dict)

    @property
    def is_alive(self) -> bool:
        return any(not task.done() for task in self.tasks)


class SimulationRun:
    """One run: both models, the running operators, and a method per verb of a history's steps."""

    def __init__(self, history: History, faults: Faults | None = None, variant: int = 1) -> None:
        rng = random.Random(history.seed + 1)  # noqa: S311 - a simulation
        self._rng = rng
        self._history = history
        self.faults = faults or Faults(rng)
        self._environment = environment = history.environment
        infisical = InfisicalModel(self.faults, rng)
        cluster = ClusterModel(self.faults, infisical, environment)
        for key in KEYS[:2]:
            infisical.write(PAYMENTS, key)
            infisical.write(SHARED, key)
        infisical.begin()
        if environment.servers:
            rng_of_servers = random.Random(f"{history.seed} servers")  # noqa: S311 - a simulation
            infisical.servers = Servers(infisical, GENERATIONS[environment.servers], rng_of_servers)
        self.adversary = Adversary(cluster, infisical)
        self.record = RunRecord(
            infisical, cluster, self.adversary, environment=environment, faults=self.faults
        )
        for plan in environment.writers:
            writer = cluster.writers[plan.name] = Writer(plan, cluster, infisical, self.faults, rng)
            infisical.listeners.append(writer.received)
            writer.begin()
        for managed in environment.managed:
            if managed.policy == "Merge":
                cluster.hold_data(NAMESPACE, managed.name, FOREIGN)
        for name in WORKLOADS[:2]:
            self._create(name)
        self._variant = variant
        self._ahead = timedelta()
        self._processes: list[_Process] = []
        self._subscribe(MAIN, variant)
        for name in WORKLOADS[:2]:
            self._note_workload(name)

    async def run(self) -> RunRecord:
        """Run all steps, wait through a quiet time, and return the record."""
        loop = asyncio.get_running_loop()
        self.start_operator()
        for step in self._history.steps:
            await asyncio.sleep(max(0.0, step.at - loop.time()))
            actor = self if hasattr(self, step.verb) else self.adversary
            getattr(actor, step.verb)(*step.arguments)
        await asyncio.sleep(max(0.0, TROUBLE_SECONDS - loop.time()))
        self._end_faults()
        await asyncio.sleep(QUIET_SECONDS + self._environment.patience)
        for process in self._processes:
            self._end(process)
        return self.record

    def _end_faults(self) -> None:
        self.faults.set({})
        if self._ahead:
            self.set_clock(0.0)
        for name in WORKLOADS:
            self.release(name)
            if not self._environment.stays_failing:
                self.repair_pods(name)
        for writer in self.record.cluster.writers.values():
            writer.repair_writer()
            writer.start_writer()
        if not any(process.is_alive for process in self._processes):
            self.start_operator()

    def _subscribe(self, name: str, variant: int) -> Subject:
        spec = spec_of(variant, self._environment, name)
        key = self.record.cluster.create_subscription(NAMESPACE, name, spec)
        now = asyncio.get_running_loop().time()
        subject = Subject(name, key, {key.uid: now}, [SpecInForce(now, parse_spec(spec))])
        self.record.subjects.append(subject)
        return subject

    # -- machines -----------------------------------------------------------------------------------

    def set_faults(self, rates: tuple[tuple[str, float], ...]) -> None:
        """From now on these go wrong at these rates."""
        self.faults.set(dict(rates))

    def start_operator(self) -> None:
        """One more operator with an empty memory, also beside one that runs."""
        life = ProcessLifetime(asyncio.get_running_loop().time())
        self.record.lifetimes.append(life)
        budget = RestartBudget(
            per_minute=self._environment.per_minute, most_rolling=self._environment.most_rolling
        )
        process = _Process(len(self.record.lifetimes), life, budget, _ahead_by(self._ahead))
        self._processes.append(process)
        for subject in self.record.subjects:
            self._serve(process, subject)

    def _serve(self, process: _Process, subject: Subject) -> None:
        dependencies = Dependencies(
            cluster=self.record.cluster,
            open_infisical=partial(self._open, process.clock),
            clock=process.clock,
            metrics=Metrics(),
            default_address=_ADDRESS,
            egress=EgressPolicy((_ADDRESS,)),
            digest_key=a_digest_key,
            budget=process.budget,
            scheduler=process.scheduler,
        )
        runner = process.runners[subject.name] = SubscriptionRunner(
            dependencies=dependencies, key=subject.key
        )
        context = copy_context()
        context.run(SERVED.set, process.number)
        task = asyncio.get_running_loop().create_task(runner.run(), context=context)
        task.add_done_callback(lambda task: self._ended(process, task))
        process.tasks[task] = None

    def kill_operators(self, away: float) -> None:
        """Kill all operators at once; a new one starts after `away` seconds."""
        for process in self._processes:
            self._end(process)
        self._processes.clear()
        asyncio.get_running_loop().call_later(away, self.start_operator)

    def jump_clock(self, ahead: float, away: float) -> None:
        """Kill all operators; the next one runs on a node whose clock is ahead by so many seconds."""
        self.set_clock(ahead)
        asyncio.get_running_loop().call_later(away, self.start_operator)

    def set_clock(self, ahead: float) -> None:
        """Kill all operators; those that start from now on have another clock."""
        for process in self._processes:
            self._end(process)
        self._processes.clear()
        self._ahead = timedelta(seconds=ahead)
        self.record.jumps.append(asyncio.get_running_loop().time())

    def _end(self, process: _Process) -> None:
        tasks = tuple(process.tasks)
        process.tasks.clear()
        process.life.ended = min(process.life.ended, asyncio.get_running_loop().time())
        for task in tasks:
            task.cancel()

    def _ended(self, process: _Process, task: asyncio.Task[None]) -> None:
        """Kubernetes starts a process that died again; one that ended for another reason is a defect."""
        if task not in process.tasks:
            with suppress(BaseException):
                task.result()
            return
        with suppress(asyncio.CancelledError):
            try:
                task.result()
                self.record.errors.append("the operator gave up a living subscription")
            except Crash:
                self._end(process)
                self._processes.remove(process)
                asyncio.get_running_loop().call_later(self._rng.uniform(0.1, 20), self.start_operator)

    @asynccontextmanager
    async def _open(
        self, clock: Clock, _namespace: str, _address: str, spec: Spec, _credentials: object
    ) -> AsyncIterator[Infisical]:
        infisical = self.record.infisical
        if infisical.servers is None:
            yield SessionModel(infisical, spec, clock)
        else:
            yield GenerationSession(infisical, infisical.servers, spec, clock)

    # -- people in Infisical ----------------------------------------------------------------------------

    def write(self, folder: Folder, key: str) -> None:
        """Create or update."""
        self.record.infisical.write(folder, key)

    def write_same(self, folder: Folder, key: str) -> None:
        """Write the same value again."""
        self.record.infisical.write_same(folder, key)

    def rotate(self, folder: Folder, key: str) -> None:
        """Create or update without an event."""
        self.record.infisical.write(folder, key, sends_event=False)

    def flip(self, folder: Folder, key: str) -> None:
        """Created and deleted again between two reads, or the reverse."""
        self.write(folder, key)
        asyncio.get_running_loop().call_later(self._rng.uniform(0, 0.5), self.remove, folder, key)

    def remove(self, folder: Folder, key: str) -> None:
        """Delete."""
        self.record.infisical.remove(folder, key)

    def toggle_import(self, folder: Folder, source: Folder) -> None:
        """Add or remove an import."""
        self.record.infisical.toggle_import(folder, source)

    def touch_reference(self, folder: Folder) -> None:
        """Change what is referenced."""
        self.record.infisical.touch_reference(folder)

    def lose(self, folder: Folder, seconds: float) -> None:
        """Let reads not find a folder for a while."""
        self.record.infisical.lose(folder, seconds)

    def cut_streams(self) -> None:
        """End every stream."""
        self.record.infisical.cut_streams()

    # -- people in Kubernetes -----------------------------------------------------------------------------

    def edit_spec(self, variant: int) -> None:
        """Apply another spec; watches deliver it a moment later or much later."""
        raw = spec_of(variant, self._environment)
        subject, spec = self.record.subjects[0], parse_spec(raw)
        self._variant = variant
        if spec == subject.spec:
            return
        self.record.cluster.edit_subscription(subject.key, raw)
        subject.specs.append(SpecInForce(asyncio.get_running_loop().time(), spec))
        for process in self._processes:
            late = self._rng.uniform(0, 60) if self._rng.random() < _LATE_WATCH else self._rng.uniform(0, 2)
            asyncio.get_running_loop().call_later(late, process.runners[subject.name].spec_changed.set)

    def recreate_subscription(self) -> None:
        """Deleted and applied again: another uid, an empty status, old revisions on the workloads."""
        record, subject = self.record, self.record.subjects[0]
        record.cluster.delete_subscription(subject.key)
        raw = spec_of(self._variant, self._environment)
        subject.key = record.cluster.create_subscription(NAMESPACE, subject.name, raw)
        now = asyncio.get_running_loop().time()
        subject.uids[subject.key.uid] = now
        subject.creation_times.append(now)
        self.kill_operators(self._rng.uniform(0, 2))

    def add_subscription(self, variant: int) -> None:
        """A second subscription over the same folders, served by all operators that run."""
        subject = self._subscribe(SECOND, variant)
        for process in self._processes:
            self._serve(process, subject)

    def create(self, name: str) -> None:
        """A workload that was not there before."""
        if not self.record.workloads[name]:
            self._create(name)
            self._note_workload(name)

    def _create(self, name: str) -> None:
        plan = self._environment.workload(name)
        words = {annotations.AUTO_RELOAD: "true", annotations.WAVE: str(plan.wave), **plan.marks}
        self.record.cluster.create_workload(NAMESPACE, name, words, secrets=plan.secrets)

    def bind(self, name: str) -> None:
        """Bind it to the first subscription by name; the second one no longer matches it."""
        self.record.cluster.annotate_workload(NAMESPACE, name, {annotations.SUBSCRIPTION: MAIN})
        self._note_workload(name)

    def pause(self, name: str, text: str = "true") -> None:
        """Pause a workload."""
        self.record.held.setdefault(name, []).append(asyncio.get_running_loop().time())
        self.record.cluster.annotate_workload(NAMESPACE, name, {annotations.PAUSED: text})

    def release(self, name: str) -> None:
        """Remove the pause."""
        if not self.record.workloads[name]:
            return
        self.record.cluster.annotate_workload(NAMESPACE, name, {annotations.PAUSED: None})

    def opt_out(self, name: str) -> None:
        """Opt out."""
        nothing = {annotations.AUTO_RELOAD: None, annotations.SUBSCRIPTION: None}
        self.record.cluster.annotate_workload(NAMESPACE, name, nothing)
        self._note_workload(name)

    def opt_in(self, name: str, text: str = "true") -> None:
        """Opt in again."""
        anything = {annotations.AUTO_RELOAD: text, annotations.SUBSCRIPTION: None}
        self.record.cluster.annotate_workload(NAMESPACE, name, anything)
        self._note_workload(name)

    def recreate(self, name: str) -> None:
        """Deleted and created again under the same name."""
        self.record.cluster.delete_workload(NAMESPACE, name)
        self._create(name)
        self._note_workload(name)

    def touch(self, name: str) -> None:
        """Another client's edit: the resourceVersion moves."""
        note = {"example.com/edited": str(asyncio.get_running_loop().time())}
        self.record.cluster.annotate_workload(NAMESPACE, name, note)

    def undo(self, name: str) -> None:
        """`kubectl rollout undo`: the template loses our revision, the metadata keeps the restart record."""
        self.adversary.take_back(name)
        self.touch(name)

    def deploy(self, name: str) -> None:
        """Another client's own rollout: a changed template with our revision still on it."""
        if self.record.workloads[name]:
            self._edit_template(name, {"example.com/deployed": str(asyncio.get_running_loop().time())})

    def _edit_template(self, name: str, marks: Mapping[str, str | None]) -> None:
        spec = {"template": {"metadata": {"annotations": dict(marks)}}}
        self.record.cluster.edit_workload(NAMESPACE, name, spec)

    def resume(self) -> None:
        """Annotate all subscriptions with `resume-at`; watches deliver it."""
        now = asyncio.get_running_loop().time()
        self.record.resumed.append(now)
        for subject in self.record.subjects:
            self.record.cluster.annotate_subscription(subject.key, {annotations.RESUME_AT: str(now)})
            asked = UserRequests(resume_at=str(now))
            for process in self._processes:
                if runner := process.runners.get(subject.name):
                    asyncio.get_running_loop().call_later(
                        self._rng.uniform(0, 2), runner.user_requests.put, asked
                    )

    # -- pods and other operators -----------------------------------------------------------------

    def break_pods(self, name: str) -> None:
        """Its new pods do not become ready from now on."""
        if workloads := self.record.workloads[name]:
            self.record.cluster.pods.break_pods(workloads[-1].uid, asyncio.get_running_loop().time())

    def repair_pods(self, name: str) -> None:
        """Its pods become ready again."""
        for workload_in_force in self.record.workloads[name]:
            self.record.cluster.pods.repair_pods(workload_in_force.uid, asyncio.get_running_loop().time())

    def stop_writer(self, writer: str) -> None:
        """Stop the controller that writes that Secret."""
        self.record.cluster.writers[writer].stop_writer()

    def start_writer(self, writer: str) -> None:
        """Start it again."""
        self.record.cluster.writers[writer].start_writer()

    def break_writer(self, writer: str) -> None:
        """Its reads of Infisical fail from now on."""
        self.record.cluster.writers[writer].break_writer()

    def repair_writer(self, writer: str) -> None:
        """Its reads succeed again."""
        self.record.cluster.writers[writer].repair_writer()

    def _note_workload(self, name: str) -> None:
        raw = self.record.cluster._workloads[NAMESPACE, "Deployment", name]["metadata"]
        words = raw["annotations"]
        everybody = {MAIN, SECOND} if words.get(annotations.AUTO_RELOAD) else set()
        opted_in = frozenset({MAIN} if annotations.SUBSCRIPTION in words else everybody)
        self.record.workloads[name].append(
            WorkloadInForce(asyncio.get_running_loop().time(), raw["uid"], opted_in)
        )


class _Defects(logging.Handler):
    """Collects the operator's error records: it logs an error only for a defect."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    @contextmanager
    def received(self) -> Iterator[None]:
        """Collect the operator's errors; formatting the other records would cost time for nothing."""
        logger = logging.getLogger("infisical_events")
        before = logger.propagate, logger.level
        logger.propagate = False
        logger.setLevel(logging.ERROR)
        logger.addHandler(self)
        try:
            yield
        finally:
            logger.removeHandler(self)
            logger.propagate = before[0]
            logger.setLevel(before[1])

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(f"defect: {self.format(record)[-600:]}")


@contextmanager
def _unswept() -> Iterator[None]:
    """Without the garbage collector: it takes a fifth of the time, and a run leaves little behind."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def run_history(history: History, faults: Faults | None = None, variant: int = 1) -> RunRecord:
    """Run a history in a virtual loop of its own; `faults` replaces those drawn by its seed."""

    async def run() -> RunRecord:
        return await SimulationRun(history, faults, variant).run()

    state, defects = random.getstate(), _Defects()
    random.seed(history.seed)  # the operator's own jitter
    try:
        with defects.received(), _unswept(), asyncio.Runner(loop_factory=VirtualLoop) as runner:
            record = runner.run(run())
    finally:
        random.setstate(state)
    record.errors.extend(defects.found)
    return record
