"""The fault switches: what should go wrong, for how long, and the questions the server asks of them.

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
    """How a stream ends, as its client sees it."""

    CLEAN = "clean"
    """The chunked body is complete."""
    ABORT = "abort"
    """The connection closes (FIN) without the terminating chunk."""
    RESET = "reset"
    """The connection is reset (RST)."""
    SILENCE = "silence"
    """The connection stays open and nothing ever comes again."""


@dataclass(frozen=True, slots=True)
class ResponseFault:
    """What happens to the next `count` requests that match.

    `route` is a shell pattern over `METHOD /path`, for example `GET /api/v?/secrets*`. With a `status`
    the request is answered with it (429 carries rate-limit headers only with `retry_after`); `delay`
    waits first; `hang` never answers.
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
        """Everything works again."""
        fresh = Faults()
        for name in self.__slots__:
            setattr(self, name, getattr(fresh, name))

    def take_response(self, route: str) -> ResponseFault | None:
        """The fault for this request, counted down."""
        for index, fault in enumerate(self.responses):
            if fnmatchcase(route, fault.route):
                left = replace(fault, count=fault.count - 1)
                self.responses[index : index + 1] = [left] if left.count > 0 else []
                return fault
        return None

    def take_drop(self) -> bool:
        """Whether this event is to be lost, counted down."""
        dropping = self.drop_events > 0
        self.drop_events -= dropping
        return dropping

    def freeze_reads(self, store: Store, until: float) -> None:
        """Serve reads of secrets and folders from the present state until then."""
        self.stale, self.stale_until = store.copy(), until

    def reading(self, store: Store, now: float) -> Store:
        """The store that reads see now."""
        if self.stale is not None and now < self.stale_until:
            return self.stale
        self.stale = None
        return store
