"""Options of a fake controller, and the record of its attempts."""

import enum
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

Fetch = Callable[[], Awaitable[dict[str, str]]]
"""Returns the data in Infisical; raises FetchError if they cannot be read."""


class FetchError(Exception):
    """Infisical cannot be read; a fake controller reports it as the real one does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The default reconciles at once and succeeds.

    `delay` is the seconds between a trigger and its reconcile, or a range of them; triggers during the delay
    are one reconcile. The first `failing` attempts fail; a failed attempt is repeated after `retry` seconds,
    or with the next trigger only if that is None. A `silent` controller does nothing by itself. With an
    `interval` it also reconciles so many seconds after the last time. Its clock is `skew` seconds ahead.
    """

    delay: float | tuple[float, float] = 0.0
    failing: int = 0
    retry: float | None = 0.3
    silent: bool = False
    interval: float | None = None
    skew: float = 0.0

    def pause(self) -> float:
        """Return one delay in seconds."""
        least, most = self.delay if isinstance(self.delay, tuple) else (self.delay, self.delay)
        return random.uniform(least, most)  # noqa: S311 - not for secrecy


PROMPT = Options()


class Outcome(enum.Enum):
    """The end of an attempt."""

    SYNCED = enum.auto()
    FAILED = enum.auto()
    REFUSED = enum.auto()
    """The API server rejected a write: a conflict, or an outage."""
    WAITING = enum.auto()
    """Its time has not come yet."""
    NOT_DUE = enum.auto()
    """Nothing was due."""

    @property
    def is_final(self) -> bool:
        """Whether no further attempt is needed."""
        return self in {Outcome.SYNCED, Outcome.NOT_DUE}


@dataclass(frozen=True, slots=True)
class Try:
    """One reconcile in which work was due."""

    name: str
    generation: int
    outcome: Outcome
    why: str = ""


def holding(data: Mapping[str, str]) -> Fetch:
    """Return a fetch from a mapping that a test may change."""

    async def fetch() -> dict[str, str]:
        return dict(data)

    return fetch
