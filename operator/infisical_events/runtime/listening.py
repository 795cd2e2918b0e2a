"""Keeping one stream open: what it says becomes wakes, and so does every new connection.

A healthy stream that ends is opened again at once; one that ends young, or cannot be had, at a pace
that fits the reason. After each connect the state is looked at, because what changed in between was
told to nobody.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from infisical_events.api.statuses import ConditionType
from infisical_events.core.events import NotUnderstood, SecretEvent
from infisical_events.core.judging import Heard
from infisical_events.core.matching import Selector, changes_of, select
from infisical_events.core.reasons import Reason
from infisical_events.infisical.errors import InfisicalError, LoginError, StreamEndedError
from infisical_events.runtime.backoffs import Backoff
from infisical_events.runtime.clocks import Clock
from infisical_events.runtime.metrics import Metrics
from infisical_events.runtime.ports import Infisical
from infisical_events.runtime.relaying import LIFE, Hearing, Replaced, relayed
from infisical_events.runtime.reporting import Reporter
from infisical_events.runtime.wakes import Wakes

_HEALTHY = 60.0
"""Seconds after which an open stream counts as healthy and its failures as forgotten."""

log = logging.getLogger(__name__)


@dataclass(kw_only=True, slots=True)
class Listener:
    """The stream of one subscription."""

    infisical: Infisical
    selectors: tuple[Selector, ...]
    wakes: Wakes
    reporter: Reporter
    metrics: Metrics
    clock: Clock
    life: float = LIFE
    backoff: Backoff = field(default_factory=lambda: Backoff(first=0.5, longest=30.0))

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            try:
                await self._listen()
            except InfisicalError as error:
                await self._lost(error, self.backoff.pause(error.reason, error.retry_after))

    async def _listen(self) -> None:
        opened = asyncio.get_running_loop().time()
        async with relayed(self.infisical, self.life) as hearings:
            self.reporter.board.connected()
            self.metrics.connected(self.reporter.key)
            message = "The stream is open."
            await self.reporter.find(ConditionType.STREAMING, Reason.CONNECTED, message, ok=True)
            self.wakes.ring()
            try:
                await self._drain(hearings)
            finally:
                self.reporter.board.disconnected()
                self.metrics.disconnected(self.reporter.key)
                if asyncio.get_running_loop().time() - opened > _HEALTHY:
                    self.backoff.reset()

    async def _drain(self, hearings: AsyncIterator[Hearing | Replaced]) -> None:
        async for hearing in hearings:
            if isinstance(hearing, Replaced):
                self.wakes.ring()
            elif isinstance(hearing, NotUnderstood):
                log.warning("a frame was not understood: %s", hearing.why, extra=self.reporter.extra)
                self.wakes.ring()
            else:
                self._hear(hearing)

    def _hear(self, event: SecretEvent) -> None:
        """Count the event; one that the spec does not select is a skip with a reason, and no wake."""
        selection = select(self.selectors, changes_of(event))
        self.reporter.board.heard(is_matched=bool(selection.selected))
        self.metrics.heard(self.reporter.key, event.type, is_matched=bool(selection.selected))
        if selection.selected:
            log.info("heard %s", describe(event), extra=self.reporter.extra)
            self.wakes.ring(Heard(event, self.clock()))
        elif selection.refusal:
            self.reporter.skip(
                selection.refusal, f"{describe(event)} was heard and not selected by spec.events."
            )

    async def _lost(self, error: InfisicalError, pause: float) -> None:
        kind = ConditionType.AUTHENTICATED if isinstance(error, LoginError) else ConditionType.STREAMING
        # Every stream ends within the hour: that is no trouble before a new one cannot be had.
        is_over = isinstance(error, StreamEndedError)
        await self.reporter.find(kind, error.reason, str(error), ok=None if is_over else False)
        if kind is ConditionType.AUTHENTICATED:
            message = "No stream without a login; see condition Authenticated."
            await self.reporter.find(ConditionType.STREAMING, error.reason, message, ok=False)
        await asyncio.sleep(pause)


def describe(event: SecretEvent) -> str:
    """`secret:update of A, B in prod:/payments`: names only."""
    keys = sorted(event.keys)
    told = ", ".join(keys[:5]) + (f" and {len(keys) - 5} more" if len(keys) > 5 else "")  # noqa: PLR2004
    return f"{event.type}{f' of {told}' if told else ''} in {event.folder}"
