"""Starts are admitted one after the other, and the namespaces take turns."""

import asyncio

import pytest

from infisical_events.runtime.limits.fair_scheduling import FairQueue
from support.virtual_time import in_virtual_time


async def taken(queue: FairQueue, namespace: str) -> tuple[str, float]:
    """The namespace of an admitted start, and the time."""
    await queue.acquire(namespace)
    return namespace, asyncio.get_running_loop().time()


@in_virtual_time
async def test_namespaces_take_turns() -> None:
    """However many starts of one namespace wait, another namespace gets every second one."""
    queue = FairQueue(step=1.0, burst=1)
    tasks = [asyncio.create_task(taken(queue, namespace)) for namespace in "aaaaabb"]
    found = sorted(await asyncio.gather(*tasks), key=lambda start: start[1])

    assert "".join(namespace for namespace, _ in found) == "ababaaa"
    assert [moment for _, moment in found] == [float(second) for second in range(7)]


@pytest.mark.parametrize("namespaces", [1, 100])
def test_ten_thousand_hold_up_nobody_else(namespaces: int) -> None:
    """A start behind ten thousand others waits for one start of each other namespace."""

    @in_virtual_time
    async def waited() -> float:
        queue = FairQueue(step=0.02, burst=10)
        hogs = [asyncio.create_task(queue.acquire(f"hog-{number % namespaces}")) for number in range(10_000)]
        await asyncio.sleep(1.0)
        _, moment = await taken(queue, "team")
        for hog in hogs:
            hog.cancel()
        await asyncio.gather(*hogs, return_exceptions=True)
        return moment - 1.0

    assert waited() <= 0.02 * (namespaces + 2)


@in_virtual_time
async def test_a_cancelled_start_is_skipped() -> None:
    """A cancelled start uses up none of the rate."""
    queue = FairQueue(step=1.0, burst=1)
    first, second, third = (asyncio.create_task(taken(queue, namespace)) for namespace in "aaa")
    await first
    second.cancel()
    assert await third == ("a", 1.0)
    assert await taken(queue, "b") == ("b", 2.0)
