"""Spreading the starts of many tasks, so that thousands do not log in, list and connect in one instant.

The supervisor asks how long each start of a subscription has to wait, `gates` how long each connect.
"""

from dataclasses import dataclass, replace

_STEP = 0.02
"""Seconds between two starts, once there are many."""
_AT_ONCE = 10
"""Starts that need not wait for each other."""
_LONGEST = 60.0
"""Seconds that a start waits at most."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Up to when there is enough to do with the starts so far, in seconds of the loop's clock.

    Attributes:
        busy_until: The moment itself.
        step: Seconds between two starts, once there are many.
        at_once: Starts that need not wait for each other.
        longest: Seconds that a start waits at most.
    """

    busy_until: float = 0.0
    step: float = _STEP
    at_once: int = _AT_ONCE
    longest: float = _LONGEST


def begun(pace: Pace, now: float) -> tuple[Pace, float]:
    """The pace after one more start, and how many seconds this start has to wait."""
    busy_until = max(pace.busy_until, now) + pace.step
    wait = min(max(busy_until - now - pace.at_once * pace.step, 0.0), pace.longest)
    return replace(pace, busy_until=busy_until), wait
