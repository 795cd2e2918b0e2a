"""Coroutines that run together: a race, in which the first to end ends all, and calls that are shared.

The name of a task tells which task it is a part of, so that the watchdog can say whom it works for.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Generic, TypeVar

T = TypeVar("T")

PART_OF = "part of "
"""How the name of a task begins that another one has made."""


def child_task(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """A task that is named as a part of the current one."""
    parent = asyncio.current_task()
    whole = parent.get_name().removeprefix(PART_OF) if parent else ""
    return asyncio.create_task(coroutine, name=f"{PART_OF}{whole}")


async def race(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run until one of them ends, then cancel and await the others; raises what the first one raised."""
    tasks = [child_task(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    try:
        for task in done:
            task.result()
    finally:
        del tasks, done, task  # the tasks hold the error, and the error holds this frame


async def wait_at_most(event: asyncio.Event, seconds: float) -> None:
    """Wait until the event is set, or until the time is over."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


class SharedCall(Generic[T]):
    """Calls at the same time are one call, which begins after all who wait for its result have asked.

    So what it reads is as new for each of them as if it had been alone. `pause_after` has the seconds between
    the end of a call and the begin of the next one, by the seconds that the call took.
    """

    def __init__(
        self, call: Callable[[], Awaitable[T]], pause_after: Callable[[float], float] = lambda _: 0.0
    ) -> None:
        self._call = call
        self._pause_after = pause_after
        self._lock = asyncio.Lock()
        self._free_at = 0.0
        self._next: asyncio.Task[T] | None = None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is in progress, and the next call need not wait."""
        is_free = asyncio.get_running_loop().time() >= self._free_at
        return self._next is None and not self._lock.locked() and is_free

    async def __call__(self) -> T:
        """The result of a call that begins from now on; raises what the call raises."""
        if self._next is None:
            self._next = asyncio.create_task(self._run(), name="shared call")
            self._next.add_done_callback(_retrieved)
        return await asyncio.shield(self._next)

    async def _run(self) -> T:
        now = asyncio.get_running_loop().time
        async with self._lock:
            if self._free_at > now():
                await asyncio.sleep(self._free_at - now())
            self._next = None  # who asks from here on would get what was read before
            begun = now()
            try:
                return await self._call()
            finally:
                self._free_at = now() + self._pause_after(now() - begun)


def _retrieved(task: asyncio.Task[Any]) -> None:
    """All who waited may have been cancelled; their error is no defect of the loop then."""
    if not task.cancelled():
        task.exception()
