"""Spreading the starts of many tasks, so that thousands do not log in, list and connect in one instant.

The supervisor asks how long each start has to wait.
"""

from dataclasses import dataclass

_STEP = 0.02
"""Seconds between two starts, once there are many."""
_AT_ONCE = 10
"""Starts that need not wait for each other."""
_LONGEST = 60.0
"""Seconds that a start waits at most."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Up to when there is enough to do with the starts so far, in seconds of the loop's clock."""

    busy_until: float = 0.0


def begun(pace: Pace, now: float) -> tuple[Pace, float]:
    """The pace after one more start, and how many seconds this start has to wait."""
    busy_until = max(pace.busy_until, now) + _STEP
    return Pace(busy_until), min(max(busy_until - now - _AT_ONCE * _STEP, 0.0), _LONGEST)
