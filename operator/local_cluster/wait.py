"""Waits for a condition with a deadline."""

import time
from collections.abc import Callable
from typing import TypeVar

from local_cluster import errors

Value = TypeVar("Value")

_PAUSE_SECONDS = 0.02


def until(condition: Callable[[], Value], *, seconds: float, what: str) -> Value:
    """Return the first truthy value of `condition`, which is called every 20 ms.

    Raises:
        ClusterError: no truthy value after `seconds`; the message names `what` and the last value.
    """
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise errors.ClusterError(f"timed out after {seconds:g} s waiting for {what}: {value!r}")
        time.sleep(_PAUSE_SECONDS)  # noqa: TID251 - the pause between two checks
    return value
