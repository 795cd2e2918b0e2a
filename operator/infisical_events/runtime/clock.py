"""The only reader of the wall clock; durations come from the event loop's own monotonic clock."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The current time in UTC, with its time zone."""
    return datetime.now(UTC)  # noqa: TID251 - the only place
