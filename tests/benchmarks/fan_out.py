"""One change that concerns many workloads, and one that concerns few in a large namespace.

The Deployments have no pods, so what takes time is the operator and the API server, not the rollouts.
"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import median

from benchmarks.environment import Bench, MeasuredOperator
from benchmarks.figures import Figure, Measurement
from e2e.faults import waiting
from e2e.faults.fault_environment import path_of
from e2e.faults.infisical_process import InfisicalProcess
from e2e.faults.rollout_watcher import RolloutWatcher
from e2e.faults.soak import folder_subscription, soak_deployment
from support import manifests

_PATH, _KEY = "/fan-out", "KEY"
_SECONDS = 600
_ROUNDS = 3
_CREATORS = 8
_FEW = 10
_MOST_RATIO = 2
"""Of a large namespace to a small one."""


@dataclass(frozen=True, slots=True)
class _FanOut:
    """Seconds from a change to the last patch, and processor seconds until the rollouts are followed."""

    seconds: float
    cpu: float


def measure_fan_out(bench: Bench, sizes: Sequence[int], crowd: int) -> Measurement:
    """Measure a change that concerns all workloads of a namespace, and one that concerns 10 of `crowd`."""
    figures = []
    with bench.infisical("fan-out") as infisical:
        infisical.create(_PATH, [_KEY])
        infisical.changes()
        for size in sizes:
            found = _measured(bench, infisical, size)
            figures += [
                Figure(f"1 change, {size:,} workloads: last patch", found.seconds, "s"),
                Figure(f"1 change, {size:,} workloads: CPU each", found.cpu / size * 1000, "ms"),
            ]
        if crowd:
            few = _measured(bench, infisical, _FEW, name="small")
            many = _measured(bench, infisical, _FEW, crowd - _FEW, name="large")
            name = f"1 change, {_FEW} of {crowd:,} workloads"
            figures += [
                Figure(f"{name}: last patch", many.seconds, "s", few.seconds, most_ratio=_MOST_RATIO),
                Figure(f"{name}: CPU", many.cpu * 1000, "ms", few.cpu * 1000),
            ]
    return Measurement(figures)


def _measured(
    bench: Bench, infisical: InfisicalProcess, size: int, others: int = 0, *, name: str = "all"
) -> _FanOut:
    """The median of some changes in a namespace of its own."""
    workloads = list(_workloads(size, others))
    with _environment(bench, infisical, f"{name}-{size}", workloads) as (operator, namespace, watcher):
        rounds = []
        for _ in range(_ROUNDS):
            rounds.append(_round(bench, infisical, operator, namespace, watcher, size))
            bench.say(
                f"fan-out: {size} of {size + others} workloads, last patch after {rounds[-1].seconds:.2f} s"
            )
        return _FanOut(median(one.seconds for one in rounds), median(one.cpu for one in rounds))


def _round(
    bench: Bench,
    infisical: InfisicalProcess,
    operator: MeasuredOperator,
    namespace: str,
    watcher: RolloutWatcher,
    size: int,
) -> _FanOut:
    seen, cpu = len(watcher.rollouts), operator.cpu
    infisical.write(_PATH, _KEY, f"value-{time.monotonic()}")
    waiting.wait_until(
        lambda: len(watcher.rollouts) >= seen + size, seconds=_SECONDS, what=f"{size} workloads restart"
    )
    (change,) = infisical.changes()
    _wait_idle(bench, namespace)
    return _FanOut(watcher.rollouts[-1].seen_at - change.monotonic, operator.cpu - cpu)


@contextmanager
def _environment(
    bench: Bench, infisical: InfisicalProcess, name: str, workloads: Sequence[manifests.Manifest]
) -> Iterator[tuple[MeasuredOperator, str, RolloutWatcher]]:
    objects = [
        manifests.credentials(infisical),
        folder_subscription(infisical, "bench", _PATH, 0),
    ]
    with ExitStack() as stack:
        namespace = stack.enter_context(bench.namespace(name, objects))
        _create(bench, namespace, workloads)
        bench.say(f"fan-out: {len(workloads)} workloads are made")
        watcher = stack.enter_context(RolloutWatcher(bench.api.client(), namespace))
        operator = stack.enter_context(bench.operator(namespace, name))
        operator.process.start()
        _wait_idle(bench, namespace)
        operator.wait_at_rest(_SECONDS)
        yield operator, namespace, watcher


def _workloads(size: int, others: int) -> Iterator[manifests.Manifest]:
    for number in range(size):
        yield soak_deployment(f"api-{number:05}", replicas=0, auto_reload="true")
    for number in range(others):
        other = soak_deployment(f"other-{number:05}", replicas=0)
        other["spec"]["paused"] = True  # so that the controllers have nothing to make for it
        yield other


def _create(bench: Bench, namespace: str, workloads: Sequence[manifests.Manifest]) -> None:
    with ThreadPoolExecutor(_CREATORS) as pool:
        list(pool.map(lambda one: bench.api.create(path_of(namespace, one), one), workloads))


def _wait_idle(bench: Bench, namespace: str) -> None:
    """Wait until the subscription has a baseline, and no restart is pending or followed."""

    def is_idle() -> bool:
        ledger = bench.api.subscription(namespace, "bench").get("status", {}).get("ledger")
        return bool(ledger) and not ledger["debts"] and not ledger["rollouts"]

    waiting.wait_until(is_idle, seconds=_SECONDS, what="no restart is pending", interval=0.2)
