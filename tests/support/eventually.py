"""Waiting for a condition with a deadline, in tests that run in real time."""

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")

_PAUSE_SECONDS = 0.05


def eventually(condition: Callable[[], Value], seconds: float, what: str) -> Value:
    """Poll a condition until it has a truthy value.

    Args:
        condition: called about 20 times a second; what it raises ends the wait.
        seconds: how long to wait at most.
        what: the expected state, for the message of a failure.

    Returns:
        The first truthy value.

    Raises:
        AssertionError: the deadline passed; the message has `what` and the last value.
    """
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what} ({value!r})")
        time.sleep(_PAUSE_SECONDS)  # noqa: TID251 - the pause between two polls
    return value
