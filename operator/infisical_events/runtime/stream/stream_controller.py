"""Keeps one event stream open; its events are triggers, and so is every new connection.

A stream that ends after a while is opened again at once; one that ends early, or cannot be opened, after a
pause that fits the reason. After each connect everything is read, because no event announces what changed
without a stream.
"""

import asyncio
import logging
import math
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from infisical_events.api.statuses import ConditionType
from infisical_events.core.ledger.acceptance import ReceivedEvent
from infisical_events.core.snapshots.events import SecretEvent, UnrecognizedFrame
from infisical_events.core.snapshots.selectors import Selector, changes_of, select_in_steps
from infisical_events.core.status.reasons import Reason
from infisical_events.core.status.text import preview
from infisical_events.infisical.event_stream import StreamItem
from infisical_events.infisical.infisical_errors import (
    InfisicalError,
    LoginError,
    StreamEndedError,
    StreamGivenUpError,
    StreamRefusedError,
)
from infisical_events.runtime.backoff import Backoff, retry_interval_text
from infisical_events.runtime.limits.reconnect_limiter import ReconnectLimiter
from infisical_events.runtime.ports import Infisical
from infisical_events.runtime.status.reporter import Reporter
from infisical_events.runtime.stream.stream_handover import MAX_STREAM_AGE, Replaced, open_with_handover
from infisical_events.runtime.stream.stream_lifetime import (
    MIN_STREAM_AGE,
    StreamLifetime,
    learn,
    replace_after,
)
from infisical_events.runtime.subscription_context import SubscriptionContext
from infisical_events.runtime.triggers import TriggerQueue

_HEALTHY_AGE = {StreamGivenUpError: 60.0, StreamRefusedError: 150.0}
"""Seconds after which such an end of a stream is no failure; for all other ends MIN_STREAM_AGE counts.

A server that withdraws the permission does so within a minute of each connect; two checks have to pass.
"""

_AWAY = {Reason.STREAM_ENDED, Reason.UNREACHABLE, Reason.NAME_NOT_RESOLVED, Reason.SERVER_ERROR}
"""Failures that end for all subscriptions of an address when they end for one."""

_HANDOVER_TRIGGER_PAUSE = 60.0
"""Seconds between triggers for replaced streams alone: a handover loses no event."""

log = logging.getLogger(__name__)


@dataclass(kw_only=True, slots=True)
class StreamController:
    """The stream of one subscription."""

    context: SubscriptionContext
    infisical: Infisical
    selectors: tuple[Selector, ...]
    triggers: TriggerQueue
    reporter: Reporter
    limiter: ReconnectLimiter = field(default_factory=ReconnectLimiter)
    life: float = MAX_STREAM_AGE
    backoff: Backoff = field(default_factory=lambda: Backoff(first=0.5, longest=30.0))
    lifetime: StreamLifetime = field(default_factory=StreamLifetime)
    attempted: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the first stream is open, or could not be opened."""
    received: int = 0
    """Events received since the process began: the number of an event in log lines."""
    project: tuple[str, str] = ("", "")
    """The address of Infisical, and the project there."""
    _disconnected_at: float = field(default=0.0, init=False)
    _triggered_at: float = field(default=-math.inf, init=False)
    _has_connected: bool = field(default=False, init=False)
    _is_first: bool = field(default=True, init=False)
    _was_away: bool = field(default=False, init=False)

    async def run(self) -> None:
        """Keep a stream open until cancelled."""
        self._disconnected_at = _now()
        while True:
            try:
                await self._listen()
            except InfisicalError as error:
                self._count_blind_seconds()
                await self._report(error)
                self.attempted.set()
                await self._pause(error)

    async def _listen(self) -> None:
        async with open_with_handover(self._opened, self._life) as handover:
            await self._connected()
            confirmation = asyncio.get_running_loop().call_later(MIN_STREAM_AGE, self._confirm_recovery)
            try:
                await self._drain(handover.items())
            except StreamEndedError as end:
                self._learn(end, _now() - handover.opened_at)
                raise
            finally:
                confirmation.cancel()
                self._disconnected()

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[AsyncIterator[StreamItem]]:
        """A new stream, as soon as the limit of connects admits it."""
        is_first, self._is_first = self._is_first, False
        async with AsyncExitStack() as stream:
            async with self.limiter.connecting(self.context.key.namespace, is_first=is_first):
                items = await stream.enter_async_context(self.infisical.stream())
            yield items

    def _life(self) -> float:
        return replace_after(self.lifetime, _now(), self.life)

    async def _connected(self) -> None:
        self._count_blind_seconds()
        self.reporter.mark_connected()
        self.context.metrics.stream_connected(self.context.key, self.project)
        if self._has_connected:
            self.context.metrics.stream_reconnected(self.context.key)
        self._has_connected = True
        await self.reporter.set_condition(
            ConditionType.STREAMING, Reason.CONNECTED, "Event stream connected.", ok=True
        )
        self._trigger()

    def _confirm_recovery(self) -> None:
        """The stream lasts: after an outage of the server, let the other subscriptions reconnect."""
        if self._was_away:
            self._was_away = False
            self.limiter.notify_recovered()

    def _disconnected(self) -> None:
        self.reporter.mark_disconnected()
        self.context.metrics.stream_disconnected(self.context.key)
        self._disconnected_at = _now()

    def _learn(self, end: StreamEndedError, age: float) -> None:
        """Reset the backoff after a healthy stream; learn the lifetime from one that ended by itself."""
        if age >= _HEALTHY_AGE.get(type(end), MIN_STREAM_AGE):
            self.backoff.reset()
        if type(end) not in _HEALTHY_AGE:
            self.lifetime = learn(self.lifetime, age, _now())

    async def _drain(self, items: AsyncIterator[StreamItem | Replaced]) -> None:
        async for item in items:
            if isinstance(item, Replaced):
                self.backoff.reset()
                if _now() - self._triggered_at >= _HANDOVER_TRIGGER_PAUSE:
                    self._trigger()
            elif isinstance(item, UnrecognizedFrame):
                fields = self.context.key.log_fields(error=item.why)
                log.warning("received an unrecognized frame", extra=fields)
                self.triggers.add()
            else:
                if self.triggers.is_crowded:
                    await self.triggers.wait_for_room()
                await self._receive(item)

    def _trigger(self) -> None:
        self._triggered_at = _now()
        self.triggers.add()
        self.attempted.set()

    async def _receive(self, event: SecretEvent) -> None:
        """Count the event; one that the spec does not select is a skip with a reason, and no trigger."""
        self.received += 1
        received = ReceivedEvent(event, self.context.clock(), self.received)
        steps = select_in_steps(self.selectors, changes_of(event))
        selection = await self.context.scheduler.run(self.context.key.namespace, steps)
        self.reporter.count_event(is_matched=bool(selection.selected))
        self.context.metrics.count_event(
            self.context.key, event.type, self.context.clock(), is_matched=bool(selection.selected)
        )
        if selection.selected:
            fields = {"event": self.received, "change": describe_event(event)}
            log.info("received event", extra=self.reporter.extra | fields)
            self.triggers.add(received)
        elif selection.rejection_reason:
            self.reporter.record_skip(
                selection.rejection_reason,
                f"Received {describe_event(event)}; spec.events does not select it.",
            )

    def _count_blind_seconds(self) -> None:
        """Count the time without a stream as it passes: an outage must show before it is over."""
        since, self._disconnected_at = self._disconnected_at, _now()
        self.context.metrics.add_blind_seconds(self.context.key, self._disconnected_at - since)

    async def _report(self, error: InfisicalError) -> None:
        kind = ConditionType.AUTHENTICATED if isinstance(error, LoginError) else ConditionType.STREAMING
        # Every stream ends within the hour: that is no failure before a new one cannot be opened.
        is_over = isinstance(error, StreamEndedError)
        pace = retry_interval_text(error.reason)
        again = f" Retrying {pace}." if pace else ""
        if kind is ConditionType.AUTHENTICATED:
            await self.reporter.set_condition(kind, error.reason, str(error), ok=False)
            message = f"No event stream, because the login failed. See condition Authenticated.{again}"
        else:
            message = f"{error}{again}"
        await self.reporter.set_condition(
            ConditionType.STREAMING, error.reason, message, ok=None if is_over else False
        )

    async def _pause(self, error: InfisicalError) -> None:
        """Wait as long as fits the reason; while the server is unavailable, not longer than its outage."""
        pause = self.backoff.pause(error.reason, error.retry_after)
        is_refusal = isinstance(error, StreamRefusedError) or error.retry_after > 0
        self._was_away = error.reason in _AWAY and not is_refusal
        await (self.limiter.wait(pause) if self._was_away else asyncio.sleep(pause))


def describe_event(event: SecretEvent) -> str:
    """`secret:update of A, B in prod:/payments`: names only."""
    keys = sorted(event.keys)
    names = preview(keys, 5)
    return f"{event.type}{f' of {names}' if names else ''} in {event.folder}"


def _now() -> float:
    return asyncio.get_running_loop().time()
