"""The lifetime of streams: learned from those that ended by themselves, and forgotten after an hour.

Not only Infisical ends streams: proxies and load balancers cut any response at a certain age. The stream
controller learns that age, so that the handover replaces the next stream before it is that old.
"""

from dataclasses import dataclass, replace

MIN_STREAM_AGE = 2.0
"""Seconds: a stream that ends before is a failure, and nothing is learned from its end."""

_ALIKE, _ALIKE_AT_LEAST = 0.1, 1.0
"""Two ages are equal that differ by less than this part of the greater one, or by less than 1 second."""

_SHARE = 0.8
"""The part of the learned age at which a stream is replaced at the latest."""

_MEMORY = 3600.0
"""Seconds after which a learned age is forgotten: a past failure must not keep streams short."""


@dataclass(frozen=True, slots=True)
class StreamLifetime:
    """What was learned from the ends of the streams of one subscription.

    Attributes:
        last: Age in seconds at which a stream ended last; None before the first end.
        learned: Age in seconds at which streams end here; None until two in a row were about equal.
        learned_at: When that was learned, in seconds of the loop's clock.
    """

    last: float | None = None
    learned: float | None = None
    learned_at: float = 0.0


def learn(known: StreamLifetime, age: float, now: float) -> StreamLifetime:
    """What is known after a stream ended by itself at this age; an older one refutes a learned age."""
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
