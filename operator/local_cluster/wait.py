"""Waiting for a condition with a deadline: the one way anything here waits."""

import time
from collections.abc import Callable
from typing import TypeVar

from local_cluster import errors

Value = TypeVar("Value")

_PAUSE_SECONDS = 0.02


def until(condition: Callable[[], Value], *, seconds: float, what: str) -> Value:
    """Return the first truthy value of `condition`, asked every 20 ms.

    Raises:
        ClusterError: nothing truthy after `seconds`; the message names `what` and the last value.
    """
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise errors.ClusterError(f"gave up after {seconds:g} s waiting for {what}: {value!r}")
        time.sleep(_PAUSE_SECONDS)  # noqa: TID251 - the pause between two looks at a condition
    return value
