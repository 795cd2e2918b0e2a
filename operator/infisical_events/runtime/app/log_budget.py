"""How much the log may grow: bytes per minute in all, and a share of them for each namespace.

Servers and users choose what is in log lines and how often they are written. A namespace that floods the log
has its lines left out, and those of others are still written.
"""

from collections import Counter

_MINUTE = 60.0
_MOST_OF_NAMESPACE = 0.25
"""Part of the budget that the lines of one namespace may use."""
_CONTENDED = 0.75
"""Part of the budget after which only those who have written little may go on."""
_LITTLE = 0.01
"""Part of the budget that is little."""


class LogBudget:
    """Bytes per minute; the empty namespace stands for lines about no namespace."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._until = 0.0
        self._spent: Counter[str] = Counter()
        self._total = 0
        self._left_out = 0

    def begin_minute(self, now: float) -> int:
        """Begin the next minute when it is due; return how many lines were left out in the last one.

        `now` is the time of a monotonic clock in seconds.
        """
        if now < self._until:
            return 0
        left_out, self._left_out = self._left_out, 0
        self._until, self._total = now + _MINUTE, 0
        self._spent.clear()
        return left_out

    def admits(self, namespace: str) -> bool:
        """Whether a line may be written; if not, it is counted as left out."""
        spent = self._spent[namespace]
        is_admitted = self._total < self._most and (
            spent < self._most * _LITTLE
            or (spent < self._most * _MOST_OF_NAMESPACE and self._total < self._most * _CONTENDED)
        )
        self._left_out += not is_admitted
        return is_admitted

    def spend(self, namespace: str, size: int) -> None:
        """Count a line of so many bytes that was written; the last one may be beyond the budget."""
        self._spent[namespace] += size
        self._total += size
