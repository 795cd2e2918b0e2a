"""The only reader of the wall clock; durations come from the event loop's own monotonic clock."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

Clock = Callable[[], datetime]

utc_now: Clock = partial(datetime.now, UTC)  # noqa: TID251 - the only place
"""The current time in UTC, with its time zone."""
