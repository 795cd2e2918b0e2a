"""Several coroutines as one: none survives the first that ends of a race, and shared calls are one."""

import asyncio
import weakref

import pytest

from infisical_events.runtime.tasks import SharedCall, race
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


class Register:
    """A number that grows every second, and takes a second to read; it shows what it was at the begin."""

    def __init__(self) -> None:
        self.reads = 0
        self.fails = False

    async def read(self) -> float:
        """The time at which the read began."""
        self.reads += 1
        begun = asyncio.get_running_loop().time()
        await asyncio.sleep(1.0)
        if self.fails:
            raise LostError
        return begun


@in_virtual_time
async def test_shared_calls_begin_after_they_were_asked_for() -> None:
    """A hundred calls within one second are two: nobody gets what was read before it asked."""
    register = Register()
    shared = SharedCall(register.read)
    asked: list[tuple[float, float]] = []

    async def ask(after: float) -> None:
        await asyncio.sleep(after)
        moment = asyncio.get_running_loop().time()
        asked.append((moment, await shared()))

    await asyncio.gather(*(ask(number / 100) for number in range(100)))
    assert all(begun >= moment for moment, begun in asked)
    assert (register.reads, shared.is_idle) == (2, True)


@in_virtual_time
async def test_shared_calls_keep_their_pause() -> None:
    """The next call begins so long after the end of the one before, which took a second."""
    shared = SharedCall(Register().read, lambda seconds: 5.0 * seconds)
    assert await shared() + 1.0 + 5.0 == await shared()
    assert not shared.is_idle
    await asyncio.sleep(5.0)
    assert shared.is_idle


@in_virtual_time
async def test_a_shared_call_outlives_who_asked() -> None:
    """One who is cancelled takes nothing from the others, and an error reaches all who still wait."""
    register = Register()
    shared = SharedCall(register.read)
    first, second = asyncio.create_task(shared()), asyncio.create_task(shared())
    await asyncio.sleep(0.5)
    first.cancel()
    assert await second == 0.0

    register.fails = True
    results = await asyncio.gather(shared(), shared(), return_exceptions=True)
    assert [type(each) for each in results] == [LostError, LostError]
    abandoned = asyncio.create_task(shared())
    await asyncio.sleep(0.5)
    abandoned.cancel()
    await asyncio.sleep(2.0)
    assert shared.is_idle
