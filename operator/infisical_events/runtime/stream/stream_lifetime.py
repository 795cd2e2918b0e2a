"""How old streams get here: learned from those that ended by themselves, and forgotten after an hour.

Not only Infisical ends its streams: proxies and load balancers cut any answer at an age of their own.
`listening` learns that age, so that `relaying` replaces the next stream before it gets so old.
"""

from dataclasses import dataclass, replace

MIN_STREAM_AGE = 2.0
"""Seconds: a stream that ends before has not lived. Its end teaches nothing, and counts as a failure."""

_ALIKE, _ALIKE_AT_LEAST = 0.1, 1.0
"""Two ages are alike that differ by less than this part of the greater one, or by less than these seconds."""

_SHARE = 0.8
"""The part of the learned age at which a stream is replaced at the latest."""

_MEMORY = 3600.0
"""Seconds after which a lesson is forgotten: trouble that is over must not make short streams for ever."""


@dataclass(frozen=True, slots=True)
class StreamLifetime:
    """What the ends of one subscription's streams have taught so far.

    Attributes:
        last: Age in seconds at which a stream ended last; None before the first end.
        learned: Age in seconds at which streams end here; None until two in a row were alike.
        learned_at: When that was learned, in seconds of the loop's clock.
    """

    last: float | None = None
    learned: float | None = None
    learned_at: float = 0.0


def learn(known: StreamLifetime, age: float, now: float) -> StreamLifetime:
    """What is known after a stream ended by itself at this age; one that outlived the lesson refutes it."""
    if age < MIN_STREAM_AGE:
        return known
    if known.last is not None and _are_alike(known.last, age):
        return StreamLifetime(age, min(known.last, age), now)
    if known.learned is not None and age > known.learned:
        return StreamLifetime(age)
    return replace(known, last=age)


def replace_after(known: StreamLifetime, now: float, longest: float) -> float:
    """Seconds after which a stream that is opened now is replaced, `longest` at most."""
    if known.learned is None or now - known.learned_at > _MEMORY:
        return longest
    return min(longest, _SHARE * known.learned)


def _are_alike(one: float, other: float) -> bool:
    return abs(one - other) <= max(_ALIKE_AT_LEAST, _ALIKE * max(one, other))
