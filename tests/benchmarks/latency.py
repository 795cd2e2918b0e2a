"""From an event to the patched pod template: the operator and the bare floor in turn, on the same servers.

Each change is followed to the end of its rollout. The time of an event is the journal's of the Infisical, the
time of the patch that of a watch without the operator: both are of the machine's monotonic clock.
"""

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.api_calls import ApiCall, counted
from benchmarks.bare_floor import FloorTask
from benchmarks.environment import Bench, MeasuredOperator
from benchmarks.figures import Figure, Measurement, quantile
from e2e.faults import waiting
from e2e.faults.fault_environment import AdminApi
from e2e.faults.infisical_process import Change, InfisicalProcess
from e2e.faults.rollout_watcher import RolloutWatcher
from e2e.faults.soak import folder_subscription
from infisical_events.api.annotations import revision_key
from support import manifests

_OPERATOR, _FLOOR = "/operator", "/floor"
_KEY = "KEY"
_DEPLOYMENT = "api"
_SECONDS = 30
_IDLE_SECONDS = 10
_PROGRESS = 50
_WARMING = 3
"""Changes that are not counted: the first ones import modules and open connections."""
_PATCH = "patch deployments"


@dataclass(slots=True)
class _Lane:
    """One of the two that are measured: a folder, a namespace with a Deployment, and a watch of it."""

    path: str
    namespace: str
    api: AdminApi
    infisical: InfisicalProcess
    watcher: RolloutWatcher
    seconds: list[float] = field(default_factory=list)

    def change(self, value: str) -> Change:
        """Change the secret, wait for the patch, and note the seconds between them."""
        seen = len(self.watcher.rollouts)
        self.infisical.write(self.path, _KEY, value)
        waiting.wait_until(
            lambda: len(self.watcher.rollouts) > seen, seconds=_SECONDS, what=f"{self.path} restarts"
        )
        (change,) = self.infisical.changes()
        self.seconds.append(self.watcher.rollouts[seen].seen_at - change.monotonic)
        return change

    def wait_rolled_out(self) -> None:
        """Wait for the end of the rollout."""
        path = deployment_path(self.namespace)

        def is_rolled_out() -> bool:
            found = self.api.http.get(path).raise_for_status().json()
            status, wanted = found.get("status", {}), found["spec"]["replicas"]
            counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")]
            is_seen = status.get("observedGeneration", 0) >= found["metadata"]["generation"]
            return bool(is_seen and counts == [wanted] * 3)

        waiting.wait_until(is_rolled_out, seconds=_SECONDS, what="the rollout ends")


@dataclass(slots=True)
class _Environment:
    operator: MeasuredOperator
    served: _Lane
    floor: _Lane

    def wait_followed(self) -> None:
        """Wait until the operator has seen the end of its rollout."""
        waiting.wait_until(self._is_idle, seconds=_SECONDS, what="the operator has followed the rollout")

    def _is_idle(self) -> bool:
        lane = self.served
        ledger = lane.api.subscription(lane.namespace, "bench").get("status", {}).get("ledger")
        return bool(ledger) and not ledger["debts"] and not ledger["rollouts"]


@dataclass(frozen=True, slots=True)
class _Round:
    """A counted change of the operator's lane, and the calls that it caused."""

    change: Change
    calls: Sequence[ApiCall]


def measure_latency(bench: Bench, rounds: int) -> Measurement:
    """Measure so many changes of each."""
    with _environment(bench) as environment:
        operator = environment.operator
        _run(bench, environment, _WARMING)
        idle = operator.load(_IDLE_SECONDS)
        for lane in (environment.served, environment.floor):
            lane.seconds.clear()
        cpu, begun = operator.cpu, time.monotonic()
        found = _run(bench, environment, rounds)
        own = operator.cpu - cpu - idle * (time.monotonic() - begun)
        calls = [call for one in found for call in one.calls]
        served, floor = environment.served.seconds, environment.floor.seconds
        figures = (
            Figure("event to patch p50", _ms(served, 0.5), "ms", _ms(floor, 0.5), most_ratio=4),
            Figure("event to patch p99", _ms(served, 0.99), "ms", _ms(floor, 0.5), most_ratio=8),
            Figure("CPU per change", own / rounds * 1000, "ms", most=15),
            Figure("API calls per change", len(calls) / rounds, most=10),
            *(Figure(f"  {name}", count / rounds) for name, count in counted(calls).items()),
        )
        return Measurement(
            figures,
            {"operatorSeconds": served, "floorSeconds": floor, "idleCores": idle, "calls": timeline(found)},
        )


def timeline(rounds: Sequence[_Round]) -> list[dict[str, Any]]:
    """The calls of a change in their usual order: when they begin after the event, and how long they take.

    Those of the rounds with the most frequent order, by the median in milliseconds.
    """
    orders = [tuple(call.name for call in one.calls) for one in rounds]
    usual = max(set(orders), key=orders.count)
    alike = [one for one, order in zip(rounds, orders, strict=True) if order == usual]
    return [
        {
            "call": name,
            "beginMs": median(one.calls[place].begun - one.change.wall for one in alike) * 1000,
            "tookMs": median(one.calls[place].ended - one.calls[place].begun for one in alike) * 1000,
        }
        for place, name in enumerate(usual)
    ]


def deployment_path(namespace: str) -> str:
    """The path of the Deployment that is restarted."""
    return f"/apis/apps/v1/namespaces/{namespace}/deployments/{_DEPLOYMENT}"


def _run(bench: Bench, environment: _Environment, rounds: int) -> list[_Round]:
    log, found = bench.audit_log(), []
    for number in range(1, rounds + 1):
        change = environment.served.change(f"value-{time.monotonic()}")
        environment.served.wait_rolled_out()
        environment.wait_followed()
        # Only now: what the operator and the controllers do after a patch would slow the floor down.
        environment.floor.change(f"value-{time.monotonic()}")
        environment.floor.wait_rolled_out()
        found.append(_Round(change, log.new_calls()))
        if number % _PROGRESS == 0:
            bench.say(f"latency: {number} of {rounds} changes, {_described(environment)}")
    return found


def _described(environment: _Environment) -> str:
    p50 = {
        name: _ms(lane.seconds, 0.5)
        for name, lane in (("operator", environment.served), ("floor", environment.floor))
    }
    return ", ".join(f"{name} {milliseconds:.1f} ms" for name, milliseconds in p50.items())


def _ms(seconds: Sequence[float], share: float) -> float:
    return quantile(seconds, share) * 1000


@contextmanager
def _environment(bench: Bench) -> Iterator[_Environment]:
    with ExitStack() as stack:
        infisical = stack.enter_context(bench.infisical("latency"))
        for path in (_OPERATOR, _FLOOR):
            infisical.create(path, [_KEY])
        infisical.changes()
        workload = manifests.workload(_DEPLOYMENT)
        workload["spec"]["replicas"] = 1
        objects = [
            manifests.credentials(infisical),
            workload,
            folder_subscription(infisical, "bench", _OPERATOR, 0),
        ]
        served = _lane(stack, bench, infisical, _OPERATOR, objects)
        floor = _lane(stack, bench, infisical, _FLOOR, [workload])
        stack.enter_context(_floor_process(bench, infisical, floor.namespace))
        operator = stack.enter_context(bench.operator(served.namespace, "latency"))
        operator.process.start()
        environment = _Environment(operator, served, floor)
        waiting.wait_until(lambda: infisical.streams >= 2, seconds=_SECONDS, what="both streams are open")
        environment.wait_followed()
        floor.wait_rolled_out()
        yield environment


def _lane(
    stack: ExitStack,
    bench: Bench,
    infisical: InfisicalProcess,
    path: str,
    objects: Sequence[manifests.Manifest],
) -> _Lane:
    namespace = stack.enter_context(bench.namespace(path.strip("/"), objects))
    watcher = stack.enter_context(RolloutWatcher(bench.api.client(), namespace))
    return _Lane(path, namespace, bench.api, infisical, watcher)


@contextmanager
def _floor_process(bench: Bench, infisical: InfisicalProcess, namespace: str) -> Iterator[None]:
    """The process of the floor, which is ready, until the block ends."""
    file = bench.folder / "floor.json"
    _task(bench, infisical, namespace).write(file)
    command = (sys.executable, "-m", "benchmarks.bare_floor", str(file))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own program
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", "the floor has ended"
            yield
        finally:
            process.kill()


def _task(bench: Bench, infisical: InfisicalProcess, namespace: str) -> FloorTask:
    folder: Path = bench.api.layout.certificates
    conditions: Mapping[str, str] = {"environmentSlug": "prod", "secretPath": _FLOOR}
    return FloorTask(
        infisical_port=infisical.port,
        infisical_ca=str(bench.tls / "ca.crt"),
        token=infisical.access_token,
        body={
            "projectId": infisical.project_id,
            "register": [{"event": event, "conditions": conditions} for event in manifests.EVERY_EVENT],
        },
        api_port=bench.api.port,
        api_ca=str(folder / "ca.crt"),
        certificate=str(folder / "admin.crt"),
        key=str(folder / "admin.key"),
        path=deployment_path(namespace),
        annotation=revision_key("floor"),
    )
