"""Slots: environments that run side by side, so that a hundred runs take minutes.

A slot is a namespace with its own local Infisical, a source of its Secrets, Deployments that use them, one
subscription and a watcher. One operator process serves all slots.
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
from e2e.faults.fault_environment import AdminApi, created_namespace, operator_process_for, path_of
from e2e.faults.fault_runner import defect_in
from e2e.restart_order.assertions import contents_at_restarts, flaws, restarts
from e2e.restart_order.namespace_watcher import SUBSCRIPTION, NamespaceWatcher, SubscriptionVersion
from e2e.restart_order.sources import NATIVE, UNSEEN, Source, make_source
from infisical_sandbox.server import Controls, Options, Sandbox
from local_cluster import Cluster
from support import manifests, operator_process
from support.fake_controllers.controller_runner import ControllerRunner, controller_runner
from support.manifests import Manifest

Value = TypeVar("Value")
Say = Callable[[str], None]

NAME = "payments"
KEYS = tuple(f"KEY_{number:02}" for number in range(4))
PATIENCE_SECONDS = 90.0
_START_SECONDS = 120.0
_QUIET_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class ProofContext:
    """What all proofs share. The folder keeps the files of proofs that failed."""

    cluster: Cluster
    folder: Path
    say: Say


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotSpec:
    """The contents of a slot: the source of the Secrets, their folders and keys, and the workloads."""

    kind: str = NATIVE
    folders: Mapping[str, str] = field(default_factory=lambda: {"payments-env": "/payments"})
    keys: Mapping[str, Sequence[str]] = field(default_factory=lambda: {"/payments": KEYS})
    workloads: Sequence[Manifest]
    spec: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Slot:
    """One namespace with its Infisical; `values` has the secrets in Infisical by folder."""

    namespace: str
    api: AdminApi
    sandbox: Sandbox
    source: Source
    watcher: NamespaceWatcher
    rng: random.Random
    values: dict[str, dict[str, str]]
    expected: list[dict[str, dict[str, str]]] = field(default_factory=list)
    """The required content of the Secrets at each restart, in order."""
    noted: list[str] = field(default_factory=list)
    """Flaws found during a run, one sentence each."""

    def change(self, path: str, values: Mapping[str, str]) -> None:
        """Set secrets of one folder by one call."""
        self.source.update_upstream(path, values)
        self.values[path].update(values)
        self.sandbox.do_blocking(Controls.set_secrets, "prod", path, values)

    def change_some(self) -> None:
        """Give some keys of the first folder new values."""
        path = next(iter(self.values))
        known = [key for key in self.values[path] if key != UNSEEN]
        chosen = self.rng.sample(known, self.rng.randint(1, len(known)))
        self.change(path, {key: f"{self.rng.getrandbits(48):012x}" for key in chosen})

    def expect_restart(self) -> None:
        """Expect one more restart, with the content that Infisical has now."""
        self.expected.append(
            {name: dict(data) for name, data in self.source.expected_content(self.values).items()}
        )

    def wait_until(self, condition: Callable[[], Value], what: str) -> Value:
        """Wait for a condition; raises DeadlineExceededError with the namespace."""
        return waiting.wait_until(condition, seconds=PATIENCE_SECONDS, what=f"{self.namespace}: {what}")

    def is_restarted(self) -> bool:
        """Whether all Deployments have at least the expected number of restarts."""
        found = contents_at_restarts(tuple(self.watcher.workload_versions), tuple(self.watcher.contents))
        return all(len(rows) >= len(self.expected) for rows in found.values())

    def is_idle(self) -> bool:
        """Whether no Deployment rolls out and no restart is pending."""
        newest = {
            workload_version.workload: workload_version
            for workload_version in tuple(self.watcher.workload_versions)
        }
        return self.subscription_status.reason == "NoPendingRestarts" and not any(
            each.is_rolling for each in newest.values()
        )

    @property
    def subscription_status(self) -> SubscriptionVersion:
        """The latest version of the subscription."""
        return self.watcher.subscription_versions[-1]

    def wait_idle(self) -> None:
        """Wait until all is done, then watch a while longer for superfluous restarts."""
        self.wait_until(self.is_restarted, f"{len(self.expected)} restarts")
        self.wait_until(self.is_idle, "no restart is pending or rolling out")
        waiting.pause(_QUIET_SECONDS)

    def flaws(self) -> list[str]:
        """Return the flaws of all runs, one sentence each."""
        gaps = [f"{self.watcher.gaps} gaps in the watches"] if self.watcher.gaps else []
        found = contents_at_restarts(tuple(self.watcher.workload_versions), tuple(self.watcher.contents))
        return [f"{self.namespace}: {flaw}" for flaw in (*gaps, *self.noted, *flaws(found, self.expected))]

    def count(self) -> int:
        """Return the number of restarts."""
        return len(restarts(tuple(self.watcher.workload_versions)))

    def annotate(self, key: str, value: str) -> int:
        """Annotate the subscription; return its new resourceVersion."""
        path = SUBSCRIPTION.path(self.namespace, NAME)
        return self.api.merge(path, {"metadata": {"annotations": {key: value}}})

    def is_watching(self) -> bool:
        """Whether the stream is open and a complete read is done."""
        conditions = self.api.subscription(self.namespace, NAME).get("status", {}).get("conditions", ())
        workload_version = {each["type"] for each in conditions if each["status"] == "True"}
        return workload_version >= {"Ready", "Streaming", "Observed"}

    def has_secrets(self) -> bool:
        """Whether the Secrets have their expected content."""
        held = {content.secret: content.data for content in tuple(self.watcher.contents)}
        return all(held.get(name) == data for name, data in self.source.expected_content(self.values).items())


@dataclass(slots=True)
class SlotGroup:
    """The slots and their operator."""

    slots: Sequence[Slot]
    operator: operator_process.OperatorProcess
    folder: Path

    def run_all(self, action: Callable[[Slot], None]) -> None:
        """Run an action in all slots in parallel; raise the first error."""
        with ThreadPoolExecutor(len(self.slots)) as pool:
            for done in [pool.submit(action, slot) for slot in self.slots]:
                done.result()

    def flaws(self) -> list[str]:
        """Return the flaws of all slots and of the operator's log."""
        defect = defect_in(self.folder)
        return [*([defect] if defect else []), *(flaw for slot in self.slots for flaw in slot.flaws())]


@contextmanager
def running_slots(context: ProofContext, name: str, slot_spec: SlotSpec, count: int) -> Iterator[SlotGroup]:
    """Provide slots and an operator that serves them; remove them at the end."""
    folder = context.folder / name
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        api = AdminApi(context.cluster)
        stack.callback(api.http.close)
        runner = stack.enter_context(controller_runner(context.cluster.kubeconfig))
        slots = [_slot(stack, api, runner, slot_spec, random.Random(f"{name}-{n}")) for n in range(count)]  # noqa: S311 - chooses moments, keeps no secret
        operator = stack.enter_context(
            operator_process_for(
                slots[0].namespace, context.cluster.kubeconfig, folder / "operator", level="info"
            )
        )
        others = [part for slot in slots[1:] for part in ("--namespace", slot.namespace)]
        operator.command = [*operator.command, *others]
        operator.start()
        for slot in slots:
            waiting.wait_until(
                lambda slot=slot: slot.is_watching() and slot.has_secrets() and slot.is_idle(),
                seconds=_START_SECONDS,
                what=f"{slot.namespace} is served and idle",
            )
        yield SlotGroup(slots, operator, folder)


def _slot(
    stack: ExitStack, api: AdminApi, runner: ControllerRunner, slot_spec: SlotSpec, rng: random.Random
) -> Slot:
    sandbox = stack.enter_context(Sandbox.in_thread(Options(fan_out_delay=0.4, ping_interval=2.0)))
    namespace = stack.enter_context(created_namespace(api, "proof", [manifests.credentials(sandbox)]))
    source = make_source(runner, sandbox, slot_spec.kind, namespace, slot_spec.folders)
    values = {path: dict.fromkeys((*keys, UNSEEN), "first") for path, keys in slot_spec.keys.items()}
    watcher = runner.start(lambda api: NamespaceWatcher(api, namespace))
    slot = Slot(namespace, api, sandbox, source, watcher, rng, {path: {} for path in values})
    for path, held in values.items():
        slot.change(path, held)
    for manifest in source.manifests():
        api.create(path_of(namespace, manifest), manifest)
    if slot_spec.kind != NATIVE:
        slot.wait_until(slot.has_secrets, "the Secrets exist")
    resync = {**slot_spec.spec.get("resync", {}), **source.resync()}
    subscription = manifests.subscription(sandbox, NAME, **{**slot_spec.spec, "resync": resync or None})
    for manifest in (*slot_spec.workloads, subscription):
        api.create(path_of(namespace, manifest), manifest)
    return slot


@dataclass(slots=True)
class OperatorKiller:
    """Kills an operator at random moments and starts it again, a given number of times."""

    operator: operator_process.OperatorProcess
    wanted: int
    rng: random.Random
    kills: int = 0
    failure: BaseException | None = None
    _ending: threading.Event = field(default_factory=threading.Event)

    @property
    def is_done(self) -> bool:
        """Whether no more kills follow."""
        return self._ending.is_set() or self.kills >= self.wanted

    @contextmanager
    def killing(self) -> Iterator[None]:
        """Kill until the block ends; the operator runs at its end."""
        thread = threading.Thread(target=self._kill, name="killer")
        thread.start()
        try:
            yield
        finally:
            self._ending.set()
            thread.join()
        if self.failure is not None:
            raise self.failure

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
            self.failure = error
            self._ending.set()


_MEAN_LIFE = 2.0
"""Mean seconds between a start and a kill: half the duration of a run, so that a kill hits any part of it.

The distribution is exponential, so some lives are long enough even on a loaded machine.
"""


def numbers(most: int, killer: OperatorKiller | None = None) -> Iterator[int]:
    """Count the runs of a slot: up to a number, or until the killer is done."""
    number = 0
    while number < most if killer is None else not killer.is_done:
        yield number
        number += 1


def using_secret(secret: str, manifest: Manifest, *, by: str = "env") -> Manifest:
    """Add a Secret to a workload's pods, as environment variables or as a volume."""
    pod = manifest["spec"]["template"]["spec"]
    if by == "env":
        pod["containers"][0].setdefault("envFrom", []).append({"secretRef": {"name": secret}})
    else:
        pod.setdefault("volumes", []).append({"name": secret, "secret": {"secretName": secret}})
    return manifest


def one_pod_deployment(name: str) -> Manifest:
    """Return a Deployment of one pod that opted in."""
    made = manifests.workload(name)
    made["spec"]["replicas"] = 1
    return made
