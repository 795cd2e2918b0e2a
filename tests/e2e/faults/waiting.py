"""Waiting that ends by a condition, by a deadline, or because the whole run is interrupted (Ctrl-C)."""

import threading
from collections.abc import Callable
from typing import TypeVar

from support.eventually import DeadlineExceededError, eventually

Value = TypeVar("Value")

_PAUSE_SECONDS = 0.05

STOP = threading.Event()
"""Set once, when the run is interrupted: every wait then raises StoppedError."""


class StoppedError(Exception):
    """The run was interrupted."""


def wait_until(
    condition: Callable[[], Value], *, seconds: float, what: str, interval: float = _PAUSE_SECONDS
) -> Value:
    """Return the first truthy value of a condition, which is polled at an interval in seconds.

    Raises:
        DeadlineExceededError: the deadline passed; the message has `what` and the last value.
        StoppedError: the run was interrupted.
    """

    def unless_stopped() -> Value:
        if STOP.is_set():
            raise StoppedError
        return condition()

    try:
        return eventually(unless_stopped, seconds=seconds, pause=interval)
    except DeadlineExceededError as error:
        raise DeadlineExceededError(f"{what}: {error}") from None


def pause(seconds: float) -> None:
    """Let a state last for some time; raises StoppedError."""
    if STOP.wait(seconds):
        raise StoppedError
