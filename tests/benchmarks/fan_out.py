"""One change that concerns many workloads, and one that concerns few in a large namespace.

The Deployments have no pods, so what takes time is the operator and the API server, not the rollouts.
"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from statistics import median

from benchmarks.environment import Bench, MeasuredOperator
from benchmarks.figures import Figure, Measurement
from e2e.faults import waiting
from e2e.faults.fault_environment import path_of
from e2e.faults.infisical_process import InfisicalProcess
from e2e.faults.rollout_watcher import RolloutWatcher
from e2e.faults.soak import folder_subscription, soak_deployment
from support import manifests

_KEY = "KEY"
_SECONDS = 600
_ROUNDS = 3
_CREATORS = 8
_FEW = 10
_FEW_ROUNDS = 10
_MOST_RATIO = 2
"""Of a large namespace to a small one."""
_POLL_SECONDS = 0.2


@dataclass(slots=True)
class _FanOut:
    """A namespace of which `size` workloads are concerned, and what its changes have taken.

    Attributes:
        seconds: From each change to its last patch.
        cpu: Processor seconds of each change, until its rollouts are followed.
    """

    bench: Bench
    infisical: InfisicalProcess
    path: str
    namespace: str
    size: int
    operator: MeasuredOperator
    watcher: RolloutWatcher
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def change(self) -> None:
        """Change the secret, and wait until nothing is left to do."""
        seen, cpu = len(self.watcher.rollouts), self.operator.cpu
        self.infisical.write(self.path, _KEY, f"value-{time.monotonic()}")
        waiting.wait_until(
            lambda: len(self.watcher.rollouts) >= seen + self.size,
            seconds=_SECONDS,
            what=f"{self.size} workloads restart",
        )
        (change,) = self.infisical.changes()
        self.wait_idle()
        self.seconds.append(self.watcher.rollouts[-1].seen_at - change.monotonic)
        self.cpu.append(self.operator.cpu - cpu)
        self.bench.say(f"fan-out: {self.path}: last patch after {self.seconds[-1]:.2f} s")

    def wait_idle(self) -> None:
        """Wait until the subscription has a baseline, and no restart is pending or followed."""

        def is_idle() -> bool:
            stored = self.bench.api.subscription(self.namespace, "bench")
            ledger = stored.get("status", {}).get("ledger")
            return bool(ledger) and not ledger["debts"] and not ledger["rollouts"]

        waiting.wait_until(is_idle, seconds=_SECONDS, what="no restart is pending", interval=_POLL_SECONDS)


def measure_fan_out(bench: Bench, sizes: Sequence[int], crowd: int) -> Measurement:
    """Measure a change that concerns all workloads of a namespace, and one that concerns 10 of `crowd`."""
    with bench.infisical("fan-out") as infisical:
        figures = [figure for size in sizes for figure in _of_size(bench, infisical, size)]
        return Measurement([*figures, *(_of_crowd(bench, infisical, crowd) if crowd else ())])


def _of_size(bench: Bench, infisical: InfisicalProcess, size: int) -> list[Figure]:
    with _fan_out(bench, infisical, f"all-{size}", size) as measured:
        for _ in range(_ROUNDS):
            measured.change()
        name = f"1 change, {size:,} workloads"
        return [
            Figure(f"{name}: last patch", median(measured.seconds), "s"),
            Figure(f"{name}: CPU each", median(measured.cpu) / size * 1000, "ms"),
        ]


def _of_crowd(bench: Bench, infisical: InfisicalProcess, crowd: int) -> list[Figure]:
    """A large namespace and a small one take turns."""
    with (
        _fan_out(bench, infisical, "large", _FEW, crowd - _FEW) as large,
        _fan_out(bench, infisical, "small", _FEW) as small,
    ):
        for _ in range(_FEW_ROUNDS):
            large.change()
            small.change()
        name = f"1 change, {_FEW} of {crowd:,} workloads"
        seconds, floor = median(large.seconds), median(small.seconds)
        cpu, floor_cpu = median(large.cpu) * 1000, median(small.cpu) * 1000
        return [
            Figure(f"{name}: last patch", seconds, "s", floor, most_ratio=_MOST_RATIO),
            Figure(f"{name}: CPU", cpu, "ms", floor_cpu),
        ]


@contextmanager
def _fan_out(
    bench: Bench, infisical: InfisicalProcess, name: str, size: int, others: int = 0
) -> Iterator[_FanOut]:
    """A namespace at rest, with its operator; everything ends with the block."""
    path = f"/{name}"
    infisical.create(path, [_KEY])
    infisical.changes()
    objects = [manifests.credentials(infisical), folder_subscription(infisical, "bench", path, 0)]
    with ExitStack() as stack:
        namespace = stack.enter_context(bench.namespace(name, objects))
        _create(bench, namespace, list(_workloads(size, others)))
        bench.say(f"fan-out: {path}: {size + others} workloads are made")
        watcher = stack.enter_context(RolloutWatcher(bench.api.client(), namespace))
        operator = stack.enter_context(bench.operator(namespace, name))
        operator.process.start()
        measured = _FanOut(bench, infisical, path, namespace, size, operator, watcher)
        measured.wait_idle()
        operator.wait_at_rest(_SECONDS)
        yield measured


def _workloads(size: int, others: int) -> Iterator[manifests.Manifest]:
    for number in range(size):
        yield soak_deployment(f"api-{number:05}", replicas=0, auto_reload="true")
    for number in range(others):
        yield _other(f"other-{number:05}")


def _other(name: str) -> manifests.Manifest:
    """A workload that is not concerned, and that gives the controllers nothing to do for minutes."""
    made = manifests.workload(name, "CronJob", annotations={})
    template = made["spec"]["template"]
    template["spec"]["restartPolicy"] = "Never"
    spec = {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": {"spec": {"template": template}}}
    return made | {"apiVersion": "batch/v1", "spec": spec}


def _create(bench: Bench, namespace: str, workloads: Sequence[manifests.Manifest]) -> None:
    with ThreadPoolExecutor(_CREATORS) as pool:
        list(pool.map(lambda one: bench.api.create(path_of(namespace, one), one), workloads))
