"""What many subscriptions cost: the first start, a restart, rest, and the return of a server that died.

Each subscription has its own folder and its own stream over TLS; all use one identity, as a team does. Open
streams are counted at the Infisical: to ask the operator would cost what is measured.
"""

import re
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from benchmarks.api_calls import counted
from benchmarks.environment import Bench, MeasuredOperator
from benchmarks.figures import Figure, Measurement
from e2e.faults import waiting
from e2e.faults.infisical_process import InfisicalProcess
from e2e.faults.soak import busiest, folder_subscription
from support import manifests

_STREAMING_SECONDS = 1200
_AT_REST_SECONDS = 300
_AWAY_SECONDS = 5
_POLL_SECONDS = 0.2
_LAG = re.compile(r"^infisical_events_event_loop_lag_seconds (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most that a number of subscriptions may cost; None for no bound.

    Attributes:
        start, restart: Seconds until all stream.
        start_cpu, restart_cpu: Seconds of processor time until then.
        resident: MiB at rest.
        idle: Percent of a core at rest.
    """

    start: float | None = None
    restart: float | None = None
    start_cpu: float | None = None
    restart_cpu: float | None = None
    resident: float | None = None
    idle: float | None = None


BOUNDS = {
    1: Bounds(resident=65),
    300: Bounds(resident=100),
    1_000: Bounds(start=20, restart=8, start_cpu=12, restart_cpu=6, resident=180, idle=0.6),
    5_000: Bounds(resident=600),
}
_MOST_CONNECTS = 100
"""In a second, after a server's death."""
_MOST_LAG = 50
"""Milliseconds by which the event loop may be late at rest."""


@dataclass(frozen=True, slots=True)
class _Start:
    """Seconds until all streams were open, processor seconds until then and until rest, MiB at rest."""

    seconds: float
    cpu: float
    cpu_at_rest: float
    resident: float
    calls: Mapping[str, int]
    """Calls of the API server by verb and resource."""


def measure_scale(bench: Bench, sizes: Sequence[int], idle_seconds: float) -> Measurement:
    """Measure numbers of subscriptions, one after the other."""
    figures: list[Figure] = []
    details: dict[str, Any] = {}
    for size in sizes:
        found = _measured(bench, size, idle_seconds)
        bench.say(_name(size, _described(found.figures)))
        figures += found.figures
        details[str(size)] = found.details
    return Measurement(figures, details)


def _described(figures: Sequence[Figure]) -> str:
    return ", ".join(f"{one.name.partition(': ')[2]} {one.value:.3g} {one.unit}" for one in figures)


def _measured(bench: Bench, size: int, idle_seconds: float) -> Measurement:
    folders = [f"/scale/team-{number:04}" for number in range(size)]
    limits = ("--connection-limit", str(4 * size), "--stream-lifetime", "0")
    with ExitStack() as stack:
        infisical = stack.enter_context(bench.infisical(f"scale-{size}", *limits))
        for path in ("/scale", *folders):
            infisical.create(path, ["KEY"])
        subscriptions = [folder_subscription(infisical, path.rpartition("/")[2], path, 0) for path in folders]
        namespace = stack.enter_context(
            bench.namespace(f"scale-{size}", [manifests.credentials(infisical), *subscriptions])
        )
        operator = stack.enter_context(bench.operator(namespace, f"scale-{size}"))
        bench.say(_name(size, "the objects are made"))
        first = _started(bench, operator, infisical, size, idle_seconds)
        operator.process.stop()
        waiting.wait_until(lambda: not infisical.streams, seconds=_AT_REST_SECONDS, what="no stream is open")
        again = _started(bench, operator, infisical, size, idle_seconds)
        idle, lag = operator.load(idle_seconds), _loop_lag(operator)
        figures = [
            *_of_starts(size, first, again),
            Figure(_name(size, "idle CPU"), idle * 100, "%", most=_bounds(size).idle),
            Figure(_name(size, "loop lag at rest"), lag * 1000, "ms", most=_MOST_LAG),
            *_storm(operator, infisical, size),
        ]
        return Measurement(figures, {"firstStartCalls": first.calls, "restartCalls": again.calls})


def _started(
    bench: Bench, operator: MeasuredOperator, infisical: InfisicalProcess, size: int, idle_seconds: float
) -> _Start:
    log, begun = bench.audit_log(), time.monotonic()
    operator.process.start()
    _wait_streaming(infisical, size)
    seconds, cpu = time.monotonic() - begun, operator.cpu
    operator.wait_at_rest(_AT_REST_SECONDS)
    at_rest, calls = operator.cpu, counted(log.new_calls())
    waiting.pause(idle_seconds)  # until the process has given free memory back
    return _Start(seconds, cpu, at_rest, operator.resident, calls)


def _storm(operator: MeasuredOperator, infisical: InfisicalProcess, size: int) -> list[Figure]:
    """Kill the Infisical and start it again."""
    infisical.kill()
    waiting.pause(_AWAY_SECONDS)
    cpu = operator.cpu
    infisical.start()
    begun = time.monotonic()
    _wait_streaming(infisical, size)
    seconds = time.monotonic() - begun
    opened = [entry["monotonic"] for entry in infisical.journal("stream-opened")]
    return [
        Figure(_name(size, "storm, all stream"), seconds, "s"),
        Figure(_name(size, "storm, CPU"), operator.cpu - cpu, "s"),
        Figure(_name(size, "storm, connects in a second"), busiest(opened), most=_MOST_CONNECTS),
    ]


def _wait_streaming(infisical: InfisicalProcess, size: int) -> None:
    waiting.wait_until(
        lambda: infisical.streams >= size,
        seconds=_STREAMING_SECONDS,
        what=f"{size} streams are open",
        interval=_POLL_SECONDS,
    )


def _loop_lag(operator: MeasuredOperator) -> float:
    """Seconds by which the event loop was late at most, in the last minute."""
    found = _LAG.search(operator.process.get("/metrics"))
    return float(found[1]) if found else 0.0


def _of_starts(size: int, first: _Start, again: _Start) -> list[Figure]:
    bounds = _bounds(size)
    return [
        Figure(_name(size, "first start, all stream"), first.seconds, "s", most=bounds.start),
        Figure(_name(size, "first start, CPU"), first.cpu, "s", most=bounds.start_cpu),
        Figure(_name(size, "first start, CPU until rest"), first.cpu_at_rest, "s"),
        Figure(_name(size, "first start, API calls each"), sum(first.calls.values()) / size),
        Figure(_name(size, "first start, RSS"), first.resident, "MiB", most=bounds.resident),
        Figure(_name(size, "restart, all stream"), again.seconds, "s", most=bounds.restart),
        Figure(_name(size, "restart, CPU"), again.cpu, "s", most=bounds.restart_cpu),
        Figure(_name(size, "restart, CPU until rest"), again.cpu_at_rest, "s"),
        Figure(_name(size, "restart, API calls each"), sum(again.calls.values()) / size),
        Figure(_name(size, "restart, RSS"), again.resident, "MiB", most=bounds.resident),
    ]


def _name(size: int, what: str) -> str:
    return f"{size:,} subscriptions: {what}" if size > 1 else f"1 subscription: {what}"


def _bounds(size: int) -> Bounds:
    return BOUNDS.get(size, Bounds())
