"""Running a fault: each round injects it, changes secrets around it, and computes a result."""

import itertools
import random
import re
import shutil
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from e2e.faults import waiting
from e2e.faults.fault_environment import KEYS, WORKLOADS_BY_FOLDER, FaultEnvironment, fault_environment
from e2e.faults.fault_proxy import LoopThread
from e2e.faults.fault_table import Fault, Moment
from e2e.faults.infisical_process import Change
from e2e.faults.results import FaultResult, RoundResult, evaluate
from local_cluster import Cluster, ClusterError
from support.eventually import DeadlineExceededError

Say = Callable[[str], None]

_SHARP = 0.2
"""Seconds: the work for a change takes at most this long, so a fault in this time hits any part of it."""


@dataclass(frozen=True, slots=True)
class FaultContext:
    """What all faults share. The folder keeps the files of faults that failed."""

    cluster: Cluster
    loop: LoopThread
    folder: Path
    say: Say


def run_fault(
    context: FaultContext, fault: Fault, rounds: int, first: int = 0, generation: str = "e4"
) -> FaultResult:
    """Run rounds of a fault from round `first` against one generation of the server.

    An error that ends the run is part of the result.
    """
    folder = context.folder / fault.name
    folder.mkdir(parents=True)
    results: list[RoundResult] = []
    failure, blind = "", 0
    try:
        with fault_environment(
            context.cluster,
            context.loop,
            folder,
            resync=fault.resync,
            is_intercepted=fault.is_intercepted,
            has_own_clock=fault.has_own_clock,
            generation=generation,
        ) as environment:
            for number in range(first, first + min(rounds, fault.at_most or rounds)):
                results.append(_run_round(environment, fault, number))
                context.say(f"{fault.name}: {_summary(results[-1])}")
            results.extend(_late(environment, fault))
            blind = environment.blind_seconds()
    except (AssertionError, httpx.HTTPError, ClusterError, OSError) as error:
        (folder / "error.txt").write_text(traceback.format_exc())
        failure = f"{type(error).__name__}: {error}"[:300]
    result = FaultResult(fault.name, tuple(results), blind, failure or defect_in(folder))
    if result.has_passed:
        shutil.rmtree(folder)
    else:
        context.say(f"{fault.name}: FAILED {result.failure or 'by its counts'}; see {folder}")
    return result


def _run_round(environment: FaultEnvironment, fault: Fault, number: int) -> RoundResult:
    rng = random.Random(f"{fault.name}-{number}")  # noqa: S311 - chooses moments, keeps no secret
    before, affected = environment.counted, environment.affected
    changes = _changed_around(environment, fault, fault.moments[number % len(fault.moments)], rng)
    _await_restarts(environment, fault, before, changes)
    waiting.pause(fault.quiet)
    environment.wait_idle()
    environment.watcher.catch_up()
    seen = environment.count()
    result = evaluate(changes, seen, WORKLOADS_BY_FOLDER, uses_seen_time=fault.has_own_clock)
    return replace(result, affected=environment.affected - affected)


def defect_in(folder: Path) -> str:
    """Return the last error of a traceback in a log of an operator; empty if there is none."""
    for log in folder.rglob("operator.log"):
        _, found, trace = log.read_text().partition("Traceback (most recent call last)")
        if found:
            last = next(
                (line for line in trace.splitlines() if re.match(r"\s*[\w.]+(Error|Exception)\b", line)), ""
            )
            return f"traceback in {log.name}: {last.strip()}"
    return ""


def _late(environment: FaultEnvironment, fault: Fault) -> list[RoundResult]:
    """Return the restarts without a change, after the last round."""
    waiting.pause(fault.quiet)
    environment.watcher.catch_up()
    seen = environment.count()
    return [evaluate([], seen, WORKLOADS_BY_FOLDER)] if seen else []


def _changed_around(
    environment: FaultEnvironment, fault: Fault, moment: Moment, rng: random.Random
) -> list[Change]:
    """Inject the fault and change a secret at the moment, or at each moment that the fault admits."""
    paths = itertools.cycle(rng.sample(sorted(WORKLOADS_BY_FOLDER), len(WORKLOADS_BY_FOLDER)))
    wanted = set(fault.moments) if moment is Moment.AROUND else {moment}
    changes: list[Change] = []

    def change(now: Moment) -> None:
        if now in wanted:
            changes.append(environment.change(next(paths), rng.choice(KEYS)))

    change(Moment.BEFORE)
    waiting.pause(rng.uniform(0, _SHARP))
    try:
        fault.begin(environment, rng)
        change(Moment.DURING)
        waiting.pause(fault.seconds)
    finally:
        fault.heal(environment)
    change(Moment.AFTER)
    return changes


def _await_restarts(environment: FaultEnvironment, fault: Fault, before: int, changes: list[Change]) -> None:
    """Wait until each workload has been restarted after its last change, at most `patience` seconds."""

    def is_done() -> bool:
        rollouts = environment.watcher.rollouts[before:]
        return not evaluate(changes, rollouts, WORKLOADS_BY_FOLDER, uses_seen_time=fault.has_own_clock).lost

    try:
        waiting.wait_until(is_done, seconds=fault.patience, what="each workload is restarted")
    except DeadlineExceededError:
        return  # the result shows it


def _summary(result: RoundResult) -> str:
    flaws = [f"LOST {', '.join(result.lost)}"] if result.lost else []
    flaws += [f"DOUBLE {', '.join(result.doubled)}"] if result.doubled else []
    expected = str(result.least) if result.least == result.most else f"{result.least}-{result.most}"
    counts = f"{result.changes} changed, {result.seen} of {expected} restarts, {result.longest:.1f} s"
    return ", ".join([counts, *flaws])
