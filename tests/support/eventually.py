"""Waiting for a condition with a deadline, for tests that cannot run in virtual time.

Both functions return the first truthy value of the condition. A failed assertion inside it means "not yet".
"""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

Value = TypeVar("Value")

PAUSE_SECONDS = 0.01


class DeadlineExceededError(AssertionError):
    """The condition did not become true in time; the message has the last value or error."""


def eventually(
    condition: Callable[[], Value],
    *,
    seconds: float = 10.0,
    pause: float = PAUSE_SECONDS,
    not_yet: tuple[type[Exception], ...] = (),
) -> Value:
    """Poll a condition in this thread.

    Args:
        condition: A function without arguments.
        seconds: The deadline.
        pause: Seconds between two calls.
        not_yet: Errors besides AssertionError that mean "not yet".

    Returns:
        The first truthy value.

    Raises:
        DeadlineExceededError: There was none before the deadline.
    """
    deadline = time.monotonic() + seconds
    while True:
        last: object
        try:
            if value := condition():
                return value
            last = value
        except (AssertionError, *not_yet) as error:
            last = error
        if time.monotonic() > deadline:
            raise _exceeded(seconds, last)
        time.sleep(pause)  # noqa: TID251 - the pause between two calls


async def eventually_async(
    condition: Callable[[], Value | Awaitable[Value]],
    *,
    seconds: float = 10.0,
    pause: float = PAUSE_SECONDS,
    not_yet: tuple[type[Exception], ...] = (),
) -> Value:
    """Poll a condition in the running loop; as `eventually`, also for a coroutine function.

    A coroutine that hangs is cancelled at the deadline.
    """
    last: object = "nothing"
    try:
        async with asyncio.timeout(seconds):
            while True:
                try:
                    result = condition()
                    value = await result if inspect.isawaitable(result) else result
                    if value:
                        return value
                    last = value
                except (AssertionError, *not_yet) as error:
                    last = error
                await asyncio.sleep(pause)
    except TimeoutError:
        raise _exceeded(seconds, last) from None


def _exceeded(seconds: float, last: object) -> DeadlineExceededError:
    return DeadlineExceededError(f"not within {seconds:g} s; the last value was {last!r}")
