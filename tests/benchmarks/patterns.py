# ruff: noqa: T201 - a program that prints
"""`make bench-patterns`: how long a tenant's changes and key patterns hold up the event loop and a neighbour.

The tenant's computations are those of its looks: what of its changes its spec selects, and whom of its
workloads that concerns. A neighbour with one change asks for the same meanwhile, again and again.
"""

import asyncio
import itertools
import time
from contextlib import suppress

from infisical_events.core.interruptible import Interruptible, run_to_end
from infisical_events.core.restarts.planner import MatchedChanges, affected_workloads
from infisical_events.core.snapshots.changes import Change
from infisical_events.core.snapshots.selectors import select_in_steps, selectors_of
from infisical_events.runtime.limits.fair_scheduling import CooperativeScheduler
from support.builders import UPDATE, a_change, a_spec, a_workload, an_entry

_ENTRIES, _PATTERNS = 10, 100
_SIZES = (100, 1_000, 10_000)
_WORKLOADS = 10


def _patterns(few: int) -> list[str]:
    return ["*a" * 120 + f"b{few}x{number}" for number in range(_PATTERNS)]


def _changes(count: int) -> tuple[Change, ...]:
    return tuple(a_change(f"{number:06}".rjust(255, "a")) for number in range(count))


def _selection(count: int) -> Interruptible[object]:
    spec = a_spec(*(an_entry(UPDATE, "prod", "/a", *_patterns(number)) for number in range(_ENTRIES)))
    return select_in_steps(selectors_of(spec), _changes(count))


def _narrowing(count: int) -> Interruptible[object]:
    words = [{"secret_keys": ",".join(_patterns(number))} for number in range(_WORKLOADS)]
    workloads = tuple(a_workload(f"web-{number}", **given) for number, given in enumerate(words))
    return affected_workloads("app", MatchedChanges(_changes(count)), workloads)


async def _measured(steps: Interruptible[object], *, is_sliced: bool) -> tuple[float, float, float]:
    """Seconds in total, of the loop's longest pause, and of the other tenant's longest wait."""
    scheduler, pauses, waits = CooperativeScheduler(), [0.0], [0.0]

    async def beat() -> None:
        for _ in itertools.count():
            begun = time.perf_counter()
            await asyncio.sleep(0.001)
            pauses.append(time.perf_counter() - begun)

    async def neighbour() -> None:
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(0)
            await scheduler.run("team", select_in_steps(selectors_of(a_spec()), (a_change(),)))
            waits.append(time.perf_counter() - begun)
            await asyncio.sleep(0.01)

    async def in_one_piece() -> None:
        run_to_end(steps)

    others = [asyncio.create_task(beat()), asyncio.create_task(neighbour())]
    await asyncio.sleep(0.05)
    begun = time.perf_counter()
    await (scheduler.run("hog", steps) if is_sliced else in_one_piece())
    seconds = time.perf_counter() - begun
    await asyncio.sleep(0.05)
    for task in others:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    return seconds, max(pauses), max(waits)


def main() -> None:
    """Measure and print the table."""
    print(f"{'what':>10} {'changes':>8} {'carried out':>12} {'s':>7} {'longest pause':>16} {'neighbour':>12}")
    works = {"selection": _selection, "narrowing": _narrowing}
    for (name, work), count, is_sliced in itertools.product(works.items(), _SIZES, (False, True)):
        told = asyncio.run(_measured(work(count), is_sliced=is_sliced))
        how = "in slices" if is_sliced else "in one go"
        print(
            f"{name:>10} {count:>8} {how:>12} {told[0]:>7.1f} {told[1]:>16.3f} {told[2]:>12.3f}", flush=True
        )


if __name__ == "__main__":
    main()
