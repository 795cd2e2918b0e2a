"""The time for which a server demands that requests wait, which is no time of a provider that is late."""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class ServerWait:
    """How long requests have waited, until `at`; with `is_demanded` they still wait."""

    total: timedelta = timedelta()
    at: datetime | None = None
    is_demanded: bool = False

    def continued(self, now: datetime, *, is_demanded: bool) -> "ServerWait":
        """The wait after another request, which the server or its back-off refused or not."""
        passed = now - self.at if self.is_demanded and self.at else timedelta()
        return ServerWait(self.total + passed, now, is_demanded)


NO_SERVER_WAIT = ServerWait()
"""No request had to wait."""
