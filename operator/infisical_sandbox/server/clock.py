"""The one place the sandbox asks what time it is."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Instant:
    """A moment on both clocks, in seconds: `wall` since the epoch, `monotonic` since whenever."""

    wall: float
    monotonic: float


def now() -> Instant:
    """This moment. The monotonic clock is system-wide: other processes of the machine can compare."""
    return Instant(time.time(), time.monotonic())


def iso(seconds: float) -> str:
    """A wall-clock time as JavaScript prints it: UTC, milliseconds, `Z`."""
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
