"""Several coroutines as one: none survives the first that ends."""

import asyncio
import weakref

import pytest

from infisical_events.runtime.tasks import race
from support import leaks
from support.virtual_time import in_virtual_time


class LostError(Exception):
    """The error of a task in a race."""


async def forever(endings: list[str]) -> None:
    """Never end, and note when cancelled."""
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        await asyncio.sleep(1.0)  # a clean-up that takes its time
        endings.append("cleaned up")


async def fail_after(seconds: float) -> None:
    """Fail."""
    await asyncio.sleep(seconds)
    raise LostError


@in_virtual_time
async def test_first_end_ends_all() -> None:
    """When one ends, the others are cancelled and their clean-up is awaited."""
    endings: list[str] = []
    await race(asyncio.sleep(1.0), forever(endings), forever(endings))
    assert endings == ["cleaned up"] * 2


@in_virtual_time
async def test_first_failure_is_raised() -> None:
    """The first error is raised after the other tasks have ended."""
    endings: list[str] = []
    with pytest.raises(LostError):
        await race(fail_after(1.0), forever(endings))
    assert endings == ["cleaned up"]


@in_virtual_time
async def test_failure_is_gone_when_it_was_caught() -> None:
    """A caught error is not kept by the race that raised it."""
    with leaks.uncollected():
        try:
            await race(fail_after(1.0), forever([]))
        except LostError as error:
            raised = weakref.ref(error)
        await asyncio.sleep(0)  # what woke us has it until the loop's next turn
        assert raised() is None


@in_virtual_time
async def test_cancelled_from_outside() -> None:
    """A race that is cancelled cancels all and awaits their clean-up."""
    endings: list[str] = []
    racing = asyncio.create_task(race(forever(endings), forever(endings)))
    await asyncio.sleep(1.0)
    racing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await racing
    assert endings == ["cleaned up"] * 2
