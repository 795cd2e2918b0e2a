"""Where the requests to a server are counted, as those who send them see it; the labels are bounded.

The series are made elsewhere, and a sender calls them itself: a request enters no further module.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol

NO_RESPONSE: Final = "error"
"""The code of a request without a response: the connection failed, timed out or was cancelled."""

_USUAL: Final = {200, 201, 304, 400, 401, 403, 404, 409, 410, 413, 422, 429, 500, 502, 503, 504}

CODES: Final[Mapping[int, str]] = MappingProxyType(
    {status: str(status) if status in _USUAL else f"{status // 100}xx" for status in range(100, 1000)}
)
"""The label of each status; the unusual ones share one, because a hostile server can send any."""


class RequestCounter(Protocol):
    """Counts requests of one method with one code."""

    def inc(self) -> None: ...  # noqa: D102


class RequestCounters(Protocol):
    """Finds the counter of a method and a code."""

    def labels(self, method: str, code: str, /) -> RequestCounter: ...  # noqa: D102


class RequestHistogram(Protocol):
    """Takes the seconds of requests of one method."""

    def observe(self, seconds: float, /) -> None: ...  # noqa: D102


class RequestHistograms(Protocol):
    """Finds the histogram of a method."""

    def labels(self, method: str, /) -> RequestHistogram: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class RequestMetrics:
    """The number of requests by method and code, and their seconds by method."""

    total: RequestCounters
    seconds: RequestHistograms
