"""Spreading the starts of many tasks, so that thousands do not log in, list and connect in one instant.

`turns` asks how long the next one has to wait.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Pace:
    """Up to when there is enough to do with the starts so far, in seconds of the loop's clock.

    Attributes:
        step: Seconds between two starts, once there are many.
        at_once: Starts that need not wait for each other.
        busy_until: The moment itself.
    """

    step: float
    at_once: int
    busy_until: float = 0.0


def begun(pace: Pace, now: float) -> tuple[Pace, float]:
    """The pace after one more start, and how many seconds this start has to wait."""
    busy_until = max(pace.busy_until, now) + pace.step
    wait = max(busy_until - now - pace.at_once * pace.step, 0.0)
    return replace(pace, busy_until=busy_until), wait
