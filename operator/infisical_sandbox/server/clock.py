"""The clock of the local Infisical."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Instant:
    """A time on both clocks, in seconds: `wall` since the epoch, `monotonic` since an arbitrary start."""

    wall: float
    monotonic: float


def now() -> Instant:
    """The current time. Processes of the same machine share the monotonic clock."""
    return Instant(time.time(), time.monotonic())


def iso(seconds: float) -> str:
    """A wall-clock time as JavaScript prints it: UTC, milliseconds, `Z`."""
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
