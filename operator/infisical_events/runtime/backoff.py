"""Time between two attempts: it grows, has jitter, is bounded, and the attempts never stop."""

import random
from dataclasses import dataclass

from infisical_events.core.status.reasons import Reason

_MIN_PAUSE = {
    Reason.PLAN_LACKS_EVENT_SUBSCRIPTIONS: 300.0,
    Reason.EVENTS_NOT_SUPPORTED: 300.0,
    Reason.RESPONSE_TOO_LARGE: 300.0,
    Reason.TOO_MANY_SECRETS: 300.0,
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
"""Least number of seconds between two attempts, for errors that only a person can fix."""


def is_user_error(reason: Reason) -> bool:
    """Whether only a person can fix the error, so that a retry soon cannot help."""
    return reason in _MIN_PAUSE


def retry_interval_text(reason: Reason) -> str:
    """`every 5 minutes`, for errors that only a person can fix; empty for all others."""
    seconds = int(_MIN_PAUSE.get(reason, 0.0))
    if not seconds:
        return ""
    count, unit = (seconds, "second") if seconds % 60 else (seconds // 60, "minute")
    return f"every {unit}" if count == 1 else f"every {count} {unit}s"


@dataclass(slots=True)
class Backoff:
    """Full jitter: a random time up to a bound that doubles with each failure in a row; all in seconds."""

    first: float
    longest: float
    failures: int = 0

    def reset(self) -> None:
        """Reset the number of failures after a success that lasted."""
        self.failures = 0

    def pause(self, reason: Reason | None = None, at_least: float = 0.0) -> float:
        """Count a failure; the seconds to wait, at least `at_least` and the least pause of the reason."""
        bound = min(self.longest, self.first * 2 ** min(self.failures, 30))
        self.failures += 1
        floor = max(at_least, _MIN_PAUSE.get(reason, 0.0) if reason else 0.0)
        return floor + random.uniform(0, bound)  # noqa: S311 - jitter, no secret
