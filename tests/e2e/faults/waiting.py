"""Waiting that ends by a condition, by a deadline, or because the whole run is interrupted (Ctrl-C)."""

import threading
from collections.abc import Callable
from typing import TypeVar

from support.eventually import eventually

Value = TypeVar("Value")

STOP = threading.Event()
"""Set once, when the run is interrupted: every wait then raises StoppedError."""


class StoppedError(Exception):
    """The run was interrupted."""


def wait_until(condition: Callable[[], Value], *, seconds: float, what: str) -> Value:
    """Return the first truthy value of a condition.

    Raises:
        AssertionError: the deadline passed; the message has `what` and the last value.
        StoppedError: the run was interrupted.
    """

    def unless_stopped() -> Value:
        if STOP.is_set():
            raise StoppedError
        return condition()

    return eventually(unless_stopped, seconds, what)


def pause(seconds: float) -> None:
    """Let a state last for some time; raises StoppedError."""
    if STOP.wait(seconds):
        raise StoppedError
