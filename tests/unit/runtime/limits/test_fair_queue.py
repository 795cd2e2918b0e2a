"""Who waits is served one after the other, the namespaces by turns."""

import asyncio

import pytest

from infisical_events.runtime.limits.fair_queue import FairQueue
from support.virtual_time import in_virtual_time


async def taken(turns: FairQueue, namespace: str) -> tuple[str, float]:
    """Whose turn it was, and when."""
    await turns.acquire(namespace)
    return namespace, asyncio.get_running_loop().time()


@in_virtual_time
async def test_namespaces_take_turns() -> None:
    """However many of one wait already, the others get every second turn."""
    turns = FairQueue(step=1.0, burst=1)
    tasks = [asyncio.create_task(taken(turns, namespace)) for namespace in "aaaaabb"]
    found = sorted(await asyncio.gather(*tasks), key=lambda turn: turn[1])

    assert "".join(namespace for namespace, _ in found) == "ababaaa"
    assert [moment for _, moment in found] == [float(second) for second in range(7)]


@pytest.mark.parametrize("namespaces", [1, 100])
def test_ten_thousand_hold_up_nobody_else(namespaces: int) -> None:
    """Who comes when ten thousand wait is served after one of each other namespace."""

    @in_virtual_time
    async def waited() -> float:
        turns = FairQueue(step=0.02, burst=10)
        hogs = [asyncio.create_task(turns.acquire(f"hog-{number % namespaces}")) for number in range(10_000)]
        await asyncio.sleep(1.0)
        _, moment = await taken(turns, "team")
        for hog in hogs:
            hog.cancel()
        await asyncio.gather(*hogs, return_exceptions=True)
        return moment - 1.0

    assert waited() <= 0.02 * (namespaces + 2)


@in_virtual_time
async def test_who_has_left_gets_no_turn() -> None:
    """A place in the queue that was given up costs no time."""
    turns = FairQueue(step=1.0, burst=1)
    first, second, third = (asyncio.create_task(taken(turns, namespace)) for namespace in "aaa")
    await first
    second.cancel()
    assert await third == ("a", 1.0)
    assert await taken(turns, "b") == ("b", 2.0)
