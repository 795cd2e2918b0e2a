"""The fault switches of a server.

All off by default. Times are monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infisical_sandbox.server.domain.data_store import Store


class Ending(StrEnum):
    """The way in which a stream ends, as its client observes it."""

    CLEAN = "clean"
    """The chunked body is complete."""
    ABORT = "abort"
    """The connection closes (FIN) without the terminating chunk."""
    RESET = "reset"
    """The connection is reset (RST)."""
    SILENCE = "silence"
    """The connection stays open without further data."""


@dataclass(frozen=True, slots=True)
class ResponseFault:
    """A fault for the next `count` requests that match.

    `route` is a shell pattern over `METHOD /path`, for example `GET /api/v?/secrets*`. With a `status`
    the response has this status (429 has rate-limit headers only with `retry_after`); `delay`
    is a wait in seconds before it; with `hang` there is no response.
    """

    route: str
    count: int = 1
    status: int | None = None
    retry_after: int | None = None
    delay: float = 0.0
    hang: bool = False


@dataclass(slots=True)
class Faults:
    """The switches of one server. Set them directly; `reset` turns all off."""

    plan_missing: bool = False
    connection_limit: int | None = None
    drop_events: int = 0
    delay_events: float = 0.0
    extra_copies: int = 0
    stream_lifetime: float | None = None
    ping_interval: float | None = None
    recheck_interval: float | None = None
    responses: list[ResponseFault] = field(default_factory=list)
    stale_until: float = 0.0
    stale: Store | None = None

    def reset(self) -> None:
        """Turn all switches off."""
        fresh = Faults()
        for name in self.__slots__:
            setattr(self, name, getattr(fresh, name))

    def take_response(self, route: str) -> ResponseFault | None:
        """Return the fault for this request and decrement its count; None without a fault."""
        for index, fault in enumerate(self.responses):
            if fnmatchcase(route, fault.route):
                left = replace(fault, count=fault.count - 1)
                self.responses[index : index + 1] = [left] if left.count > 0 else []
                return fault
        return None

    def take_drop(self) -> bool:
        """Return True if this event must be dropped, and decrement the count."""
        dropping = self.drop_events > 0
        self.drop_events -= dropping
        return dropping

    def freeze_reads(self, store: Store, until: float) -> None:
        """Serve reads of secrets and folders from a copy of the current state until `until`."""
        self.stale, self.stale_until = store.copy(), until

    def reading(self, store: Store, now: float) -> Store:
        """The store for reads at the time `now`."""
        if self.stale is not None and now < self.stale_until:
            return self.stale
        self.stale = None
        return store
