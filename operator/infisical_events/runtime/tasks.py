"""Runs several coroutines together: the first to end, or to fail, ends all.

The name of a task tells which task it is a part of, so that the watchdog can say whom it works for.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

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
