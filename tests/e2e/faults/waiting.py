"""Waiting that ends: with a condition, with its deadline, or because the whole run is to stop (Ctrl-C)."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")

STOP = threading.Event()
"""Set once, when everything shall end: whoever waits then gives up."""

_PAUSE_SECONDS = 0.05


class StoppedError(Exception):
    """The run was interrupted."""


class NotInTimeError(AssertionError):
    """A condition did not come true before its deadline."""


def until(condition: Callable[[], Value], *, seconds: float, what: str) -> Value:
    """The first truthy value of a condition.

    Raises:
        NotInTimeError: there was none; the message names `what` and the last value.
        StoppedError: the run was interrupted.
    """
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise NotInTimeError(f"not within {seconds:g} s: {what} ({value!r})")
        lasting(_PAUSE_SECONDS)
    return value


def lasting(seconds: float) -> None:
    """Let a state of affairs last for some time; raises StoppedError."""
    if STOP.wait(seconds):
        raise StoppedError
