"""Figures: from moments to percentiles."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles


@dataclass(frozen=True, slots=True)
class Latency:
    """How long something took over several times: milliseconds, interpolated as numpy does."""

    count: int
    p50: float
    p95: float
    longest: float


def summary(seconds: Sequence[float]) -> Latency:
    """Summarise at least two durations."""
    milliseconds = [1000 * duration for duration in seconds]
    cuts = quantiles(milliseconds, n=100, method="inclusive")
    return Latency(len(milliseconds), cuts[49], cuts[94], max(milliseconds))
