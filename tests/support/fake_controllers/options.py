"""How a stand-in behaves, and what it was seen to do."""

import enum
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

Fetch = Callable[[], Awaitable[dict[str, str]]]
"""What is in Infisical now; raises FetchError if it cannot be known."""


class FetchError(Exception):
    """Infisical did not say; a stand-in reports it as the real controller does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The usual one does what it is asked, at once.

    `delay` is seconds between a trigger and the look at Infisical, or a range of them; what comes
    meanwhile is one reconcile. The first `failing` tries fail; one is tried again after `retry` seconds,
    or with the next trigger only if that is None. One that is `silent` does nothing by itself. One with an
    `interval` also reconciles so many seconds after the last time. Its clock is ahead by `skew` seconds.
    """

    delay: float | tuple[float, float] = 0.0
    failing: int = 0
    retry: float | None = 0.3
    silent: bool = False
    interval: float | None = None
    skew: float = 0.0

    def pause(self) -> float:
        """One delay."""
        least, most = self.delay if isinstance(self.delay, tuple) else (self.delay, self.delay)
        return random.uniform(least, most)  # noqa: S311 - not for secrecy


PROMPT = Options()


class Outcome(enum.Enum):
    """How a try ended."""

    SYNCED = enum.auto()
    FAILED = enum.auto()
    REFUSED = enum.auto()
    """The API server would not: somebody else wrote first, or it was away."""
    WAITING = enum.auto()
    """Its time has not come, but will."""
    NOT_DUE = enum.auto()
    """There was nothing to do."""

    @property
    def is_final(self) -> bool:
        """Whether nobody has to look again."""
        return self in {Outcome.SYNCED, Outcome.NOT_DUE}


@dataclass(frozen=True, slots=True)
class Try:
    """One reconcile in which something was to be done."""

    name: str
    generation: int
    outcome: Outcome
    why: str = ""


def holding(data: Mapping[str, str]) -> Fetch:
    """An Infisical that is a plain mapping, which a test may change."""

    async def fetch() -> dict[str, str]:
        return dict(data)

    return fetch
