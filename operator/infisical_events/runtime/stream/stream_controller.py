"""Keeping one stream open: what it says becomes wakes, and so does every new connection.

A stream that lived and ends is opened again at once; one that ends young, or cannot be had, at a pace
that fits the reason. After each connect the state is looked at, because what changed in between was
told to nobody.
"""

import asyncio
import logging
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from infisical_events.api.statuses import ConditionType
from infisical_events.core.ledger.acceptance import ReceivedEvent
from infisical_events.core.snapshots.events import SecretEvent, UnrecognizedFrame
from infisical_events.core.snapshots.selectors import Selector, changes_of, select_in_steps
from infisical_events.core.status.reasons import Reason
from infisical_events.core.status.text import preview
from infisical_events.infisical.infisical_errors import (
    InfisicalError,
    LoginError,
    StreamEndedError,
    StreamGivenUpError,
    StreamRefusedError,
)
from infisical_events.runtime.backoff import Backoff, retry_interval_text
from infisical_events.runtime.clock import Clock
from infisical_events.runtime.limits.cooperative_scheduler import CooperativeScheduler
from infisical_events.runtime.limits.reconnect_limiter import ReconnectLimiter
from infisical_events.runtime.metrics import Metrics
from infisical_events.runtime.ports import Infisical
from infisical_events.runtime.status.reporter import Reporter
from infisical_events.runtime.stream.stream_handover import (
    MAX_STREAM_AGE,
    Hearing,
    Replaced,
    open_with_handover,
)
from infisical_events.runtime.stream.stream_lifetime import (
    MIN_STREAM_AGE,
    StreamLifetime,
    learn,
    replace_after,
)
from infisical_events.runtime.triggers import TriggerQueue

_LIVED = {StreamGivenUpError: 60.0, StreamRefusedError: 150.0}
"""Seconds after which such an end of a stream is no failure: others have lived when they are not young.

A server that withdraws the permission does so within a minute, each time anew; two checks have to pass.
"""

_AWAY = {Reason.STREAM_ENDED, Reason.UNREACHABLE, Reason.NAME_NOT_RESOLVED, Reason.SERVER_ERROR}
"""What is over for all subscriptions of an address when it is over for one."""

_LOOKS_APART = 60.0
"""Seconds between looks only because a stream was replaced: none is missed, so short lives are no reason."""

log = logging.getLogger(__name__)


@dataclass(kw_only=True, slots=True)
class StreamController:
    """The stream of one subscription."""

    infisical: Infisical
    selectors: tuple[Selector, ...]
    triggers: TriggerQueue
    reporter: Reporter
    metrics: Metrics
    clock: Clock
    limiter: ReconnectLimiter = field(default_factory=ReconnectLimiter)
    scheduler: CooperativeScheduler = field(default_factory=CooperativeScheduler)
    life: float = MAX_STREAM_AGE
    backoff: Backoff = field(default_factory=lambda: Backoff(first=0.5, longest=30.0))
    lifetime: StreamLifetime = field(default_factory=StreamLifetime)
    _blind_since: float = field(default=0.0, init=False)
    _rang_at: float = field(default=-math.inf, init=False)
    _has_connected: bool = field(default=False, init=False)
    _was_away: bool = field(default=False, init=False)

    async def run(self) -> None:
        """Listen until cancelled."""
        self._blind_since = _now()
        while True:
            try:
                await self._listen()
            except InfisicalError as error:
                self._tell_blindness()
                await self._tell(error)
                await self._pause(error)

    async def _listen(self) -> None:
        async with open_with_handover(self._opened, self._life) as relay:
            await self._connected()
            proof = asyncio.get_running_loop().call_later(MIN_STREAM_AGE, self._proved)
            try:
                await self._drain(relay.items())
            except StreamEndedError as end:
                self._learn(end, _now() - relay.opened_at)
                raise
            finally:
                proof.cancel()
                self._disconnected()

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[AsyncIterator[Hearing]]:
        """A stream when its turn has come."""
        await self.limiter.acquire(self.reporter.key.namespace)
        async with self.infisical.stream() as items:
            yield items

    def _life(self) -> float:
        return replace_after(self.lifetime, _now(), self.life)

    async def _connected(self) -> None:
        self._tell_blindness()
        self.reporter.status.mark_connected()
        self.metrics.stream_connected(self.reporter.key)
        if self._has_connected:
            self.metrics.stream_reconnected(self.reporter.key)
        self._has_connected = True
        await self.reporter.set_condition(
            ConditionType.STREAMING, Reason.CONNECTED, "The stream is open.", ok=True
        )
        self._ring()

    def _proved(self) -> None:
        """The stream is no longer young: who could not reach the server before tells the others."""
        if self._was_away:
            self._was_away = False
            self.limiter.notify_recovered()

    def _disconnected(self) -> None:
        self.reporter.status.mark_disconnected()
        self.metrics.stream_disconnected(self.reporter.key)
        self._blind_since = _now()

    def _learn(self, end: StreamEndedError, age: float) -> None:
        """A stream that lived was no failure; one that ended by itself tells how old streams get."""
        if age >= _LIVED.get(type(end), MIN_STREAM_AGE):
            self.backoff.reset()
        if type(end) not in _LIVED:
            self.lifetime = learn(self.lifetime, age, _now())

    async def _drain(self, items: AsyncIterator[Hearing | Replaced]) -> None:
        async for item in items:
            if isinstance(item, Replaced):
                self.backoff.reset()
                if _now() - self._rang_at >= _LOOKS_APART:
                    self._ring()
            elif isinstance(item, UnrecognizedFrame):
                log.warning("a frame was not understood: %s", item.why, extra=self.reporter.extra)
                self.triggers.add()
            else:
                await self._hear(item)

    def _ring(self) -> None:
        self._rang_at = _now()
        self.triggers.add()

    async def _hear(self, event: SecretEvent) -> None:
        """Count the event; one that the spec does not select is a skip with a reason, and no wake."""
        received = ReceivedEvent(event, self.clock())
        steps = select_in_steps(self.selectors, changes_of(event))
        selection = await self.scheduler.run(self.reporter.key.namespace, steps)
        self.reporter.status.count_event(is_matched=bool(selection.selected))
        self.metrics.count_event(
            self.reporter.key, event.type, self.clock(), is_matched=bool(selection.selected)
        )
        if selection.selected:
            log.info("heard %s", describe_event(event), extra=self.reporter.extra)
            self.triggers.add(received)
        elif selection.rejection_reason:
            self.reporter.record_skip(
                selection.rejection_reason,
                f"{describe_event(event)} was heard and not selected by spec.events.",
            )

    def _tell_blindness(self) -> None:
        """Count the time without a stream as it passes, or an outage would show only when it is over."""
        since, self._blind_since = self._blind_since, _now()
        self.metrics.add_blind_seconds(self.reporter.key, self._blind_since - since)

    async def _tell(self, error: InfisicalError) -> None:
        kind = ConditionType.AUTHENTICATED if isinstance(error, LoginError) else ConditionType.STREAMING
        # Every stream ends within the hour: that is no trouble before a new one cannot be had.
        is_over = isinstance(error, StreamEndedError)
        pace = retry_interval_text(error.reason)
        again = f" The stream is tried again {pace}." if pace else ""
        if kind is ConditionType.AUTHENTICATED:
            await self.reporter.set_condition(kind, error.reason, str(error), ok=False)
            message = f"No stream without a login; see condition Authenticated.{again}"
        else:
            message = f"{error}{again}"
        await self.reporter.set_condition(
            ConditionType.STREAMING, error.reason, message, ok=None if is_over else False
        )

    async def _pause(self, error: InfisicalError) -> None:
        """Wait as long as fits the reason; for a server that is away not longer than until it is back."""
        pause = self.backoff.pause(error.reason, error.retry_after)
        is_refusal = isinstance(error, StreamRefusedError) or error.retry_after > 0
        self._was_away = error.reason in _AWAY and not is_refusal
        await (self.limiter.wait(pause) if self._was_away else asyncio.sleep(pause))


def describe_event(event: SecretEvent) -> str:
    """`secret:update of A, B in prod:/payments`: names only."""
    keys = sorted(event.keys)
    told = preview(keys, 5)
    return f"{event.type}{f' of {told}' if told else ''} in {event.folder}"


def _now() -> float:
    return asyncio.get_running_loop().time()
