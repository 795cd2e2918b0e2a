"""How long to wait before the next try: growing, jittered, never for ever and never given up."""

import random
from dataclasses import dataclass

from infisical_events.core.status.reasons import Reason

_SLOW_PACE = {
    Reason.PLAN_LACKS_EVENT_SUBSCRIPTIONS: 300.0,
    Reason.EVENTS_NOT_SUPPORTED: 300.0,
    Reason.CONNECTION_LIMIT_REACHED: 60.0,
    Reason.PERMISSION_DENIED: 60.0,
    Reason.PROJECT_NOT_FOUND: 60.0,
    Reason.CREDENTIALS_REJECTED: 60.0,
    Reason.REQUEST_REJECTED: 60.0,
    Reason.NETWORK_NOT_ALLOWED: 60.0,
    Reason.TLS_FAILED: 30.0,
    Reason.UNEXPECTED_RESPONSE: 30.0,
    Reason.SECRET_NOT_FOUND: 10.0,
    Reason.SERVICE_ACCOUNT_NOT_FOUND: 10.0,
}
"""Seconds at least before what only a person can mend is tried again."""


def is_user_error(reason: Reason) -> bool:
    """Whether trying again soon cannot help."""
    return reason in _SLOW_PACE


def retry_interval_text(reason: Reason) -> str:
    """`every 5 minutes`, for what only a person can mend; empty for all else."""
    seconds = int(_SLOW_PACE.get(reason, 0.0))
    if not seconds:
        return ""
    count, unit = (seconds, "second") if seconds % 60 else (seconds // 60, "minute")
    return f"every {unit}" if count == 1 else f"every {count} {unit}s"


@dataclass(slots=True)
class Backoff:
    """Full jitter: a random time up to a bound that doubles with each failure in a row (seconds)."""

    first: float
    longest: float
    failures: int = 0

    def reset(self) -> None:
        """Forget the failures, after a healthy while."""
        self.failures = 0

    def pause(self, reason: Reason | None = None, at_least: float = 0.0) -> float:
        """Count a failure and say how long to wait, in seconds."""
        bound = min(self.longest, self.first * 2 ** min(self.failures, 30))
        self.failures += 1
        floor = max(at_least, _SLOW_PACE.get(reason, 0.0) if reason else 0.0)
        return floor + random.uniform(0, bound)  # noqa: S311 - jitter, no secret
