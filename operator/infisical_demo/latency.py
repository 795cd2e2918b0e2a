"""Percentiles of measured durations."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles in milliseconds, interpolated as numpy does; `count` is the number of durations."""

    count: int
    p50: float
    p95: float
    longest: float


def summarize(seconds: Sequence[float]) -> Latency:
    """Summarise at least two durations, given in seconds."""
    milliseconds = [1000 * duration for duration in seconds]
    cuts = quantiles(milliseconds, n=100, method="inclusive")
    return Latency(len(milliseconds), cuts[49], cuts[94], max(milliseconds))
