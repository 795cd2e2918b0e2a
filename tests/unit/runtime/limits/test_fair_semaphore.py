"""Permits go to namespaces in turns, and one namespace holds one at most."""

import asyncio

from infisical_events.runtime.limits.fair_scheduling import FairSemaphore
from support.virtual_time import in_virtual_time


async def held(semaphore: FairSemaphore, namespace: str, admitted: list[tuple[float, str]]) -> None:
    """Hold a permit for a second."""
    async with semaphore.permit(namespace):
        admitted.append((asyncio.get_running_loop().time(), namespace))
        await asyncio.sleep(1.0)


async def admissions(permits: int, namespaces: str, per_namespace: int = 1) -> list[tuple[float, str]]:
    """When each holder was admitted, in seconds, if all of them ask at once."""
    admitted = list[tuple[float, str]]()
    semaphore = FairSemaphore(permits, per_namespace)
    await asyncio.gather(*(held(semaphore, namespace, admitted) for namespace in namespaces))
    return admitted


@in_virtual_time
async def test_one_of_a_namespace() -> None:
    """A free permit is of no use to a namespace that holds one."""
    assert await admissions(3, "aaa") == [(0.0, "a"), (1.0, "a"), (2.0, "a")]


@in_virtual_time
async def test_namespaces_take_turns() -> None:
    """However many of one namespace wait, each other namespace is next but one at the latest."""
    names = [namespace for _, namespace in await admissions(1, "aaaabc")]
    assert "".join(names) == "abcaaa"


@in_virtual_time
async def test_not_more_than_permits() -> None:
    """Permits that are given back are given out again."""
    assert [moment for moment, _ in await admissions(2, "abcd")] == [0.0, 0.0, 1.0, 1.0]


@in_virtual_time
async def test_some_of_a_namespace() -> None:
    """A namespace may hold a part of the permits, and leaves the rest to others."""
    assert await admissions(3, "aaab", 2) == [(0.0, "a"), (0.0, "a"), (0.0, "b"), (1.0, "a")]


@in_virtual_time
async def test_who_gives_up_waiting() -> None:
    """A waiter that was cancelled takes no permit, whether it had been admitted by then or not."""
    semaphore, admitted = FairSemaphore(1), list[tuple[float, str]]()
    tasks = [asyncio.create_task(held(semaphore, namespace, admitted)) for namespace in "abc"]
    await asyncio.sleep(0.5)
    tasks[1].cancel()
    tasks[0].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert admitted == [(0.0, "a"), (0.5, "c")]


@in_virtual_time
async def test_without_room_one_holder_at_a_time() -> None:
    """While memory is short one is still admitted, and the others follow one by one."""
    is_short, admitted = True, list[tuple[float, str]]()
    semaphore = FairSemaphore(2, may_add=lambda: not is_short)
    first = [asyncio.create_task(held(semaphore, name, admitted)) for name in "abc"]
    await asyncio.gather(*first)
    moments = [moment for moment, _ in admitted]
    assert len(set(moments)) == 3

    is_short = False
    admitted.clear()
    await asyncio.gather(*(held(semaphore, name, admitted) for name in "ab"))
    assert len({moment for moment, _ in admitted}) == 1
