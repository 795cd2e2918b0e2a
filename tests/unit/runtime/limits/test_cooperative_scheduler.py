"""A long computation runs in slices, one at a time, and the namespaces take turns."""

import asyncio
import itertools

import pytest

from infisical_events.core.interruptible import Interruptible
from infisical_events.runtime.limits.fair_scheduling import SLICE, CooperativeScheduler
from support.virtual_time import in_virtual_time


def counting(seen: list[str], name: str, steps: int) -> Interruptible[str]:
    """A computation that records each of its steps."""
    for _ in range(steps):
        seen.append(name)
        yield
    return f"{name} is over"


def each_step() -> CooperativeScheduler:
    """A scheduler whose slices end after one step."""
    ticks = itertools.count()
    return CooperativeScheduler(lambda: next(ticks) * SLICE)


@in_virtual_time
async def test_a_short_one_does_not_wait() -> None:
    """A computation that fits into a slice ends before any other task runs."""
    seen: list[str] = []
    other = asyncio.create_task(asyncio.sleep(0))
    assert (
        await CooperativeScheduler(lambda: 0.0).run("team", counting(seen, "short", 1000)) == "short is over"
    )
    assert not other.done()
    await other


@in_virtual_time
async def test_a_long_one_leaves_time() -> None:
    """Other tasks get as much time as the slices, however many computations there are."""
    scheduler, seen = each_step(), list[str]()
    long = [scheduler.run("hog", counting(seen, "hog", 50)) for _ in range(20)]
    now = asyncio.get_running_loop().time
    begun = now()
    assert await asyncio.gather(*long) == ["hog is over"] * 20
    assert now() - begun >= 2 * SLICE * 0.9 * len(seen)


@in_virtual_time
async def test_namespaces_by_turns() -> None:
    """A namespace beside one with many long computations gets every second slice."""
    scheduler, seen = each_step(), list[str]()
    hogs = asyncio.gather(*(scheduler.run("hog", counting(seen, "hog", 100)) for _ in range(10)))
    await asyncio.sleep(1.0)
    before = seen.count("hog")
    assert await scheduler.run("team", counting(seen, "team", 10)) == "team is over"
    assert seen.count("hog") - before <= 12  # one before each of its slices, and one behind the last
    await hogs


@in_virtual_time
async def test_an_error_is_raised() -> None:
    """An error of a computation is raised to its caller."""

    def failing() -> Interruptible[None]:
        yield
        yield
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await each_step().run("team", failing())


@in_virtual_time
async def test_one_that_is_cancelled_goes_on_no_more() -> None:
    """A cancellation ends a computation between two slices."""
    seen: list[str] = []
    task = asyncio.create_task(each_step().run("team", counting(seen, "team", 1000)))
    await asyncio.sleep(1.0)
    task.cancel()
    done = len(seen)
    await asyncio.sleep(10.0)
    assert task.cancelled()
    assert 0 < len(seen) == done < 1000
