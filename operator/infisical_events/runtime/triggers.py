"""Triggers of the reconcile loop: received events and other reasons; a burst of them is one trigger."""

import asyncio
from collections import deque
from dataclasses import dataclass

from infisical_events.core.ledger.acceptance import ReceivedEvent
from infisical_events.core.restarts.user_requests import UserRequests

_LONGEST_FACTOR = 10
"""A burst that does not end is cut after this many debounce times."""

_SHORTEST_BURST, _LONGEST_BURST = 2.0, 30.0
"""Seconds that a burst may last before it is cut, if the debounce time alone is not longer."""

_MAX_EVENTS = 10_000
"""Events that are kept while Infisical cannot be read; of more, the newest: the snapshot decides anyway."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """All that was added to the queue since the last trigger.

    Attributes:
        events: Received events in the order of their receipt, requeued ones first.
        is_new: Whether something was added; False when only the time is up or events were requeued.
        is_full: Whether something without an event was added, which calls for a read of everything.
    """

    events: tuple[ReceivedEvent, ...] = ()
    is_new: bool = False
    is_full: bool = False


class TriggerQueue:
    """Reasons to reconcile; `debounce` is how many seconds without a new one end a burst."""

    def __init__(self, debounce: float) -> None:
        self._debounce = debounce
        self._longest = max(debounce, min(max(debounce * _LONGEST_FACTOR, _SHORTEST_BURST), _LONGEST_BURST))
        self._added = asyncio.Event()
        self._pending = Trigger()
        self._events = deque[ReceivedEvent](maxlen=_MAX_EVENTS)

    def add(self, *events: ReceivedEvent) -> None:
        """Add received events; without any, a reason to read everything."""
        self._events.extend(events)
        self._pending = Trigger(is_new=True, is_full=self._pending.is_full or not events)
        self._added.set()

    def requeue(self, events: tuple[ReceivedEvent, ...]) -> None:
        """Put back events that no read accounts for yet, before all others; this wakes no `get`."""
        self._events = deque((*events, *self._events), maxlen=_MAX_EVENTS)

    def put_back(self, trigger: Trigger) -> None:
        """Put back a trigger that came too early: it is part of the next one, and wakes no `get`."""
        self.requeue(trigger.events)
        pending = self._pending
        self._pending = Trigger(
            is_new=pending.is_new or trigger.is_new, is_full=pending.is_full or trigger.is_full
        )

    async def get(self, until: float) -> Trigger:
        """Wait for the end of a burst, or until the loop's clock shows `until`; take all that is there."""
        if await self._is_added(until):
            now = asyncio.get_running_loop().time
            cut = now() + self._longest
            while now() < cut and await self._is_added(min(cut, now() + self._debounce)):
                pass
        pending, events = self._pending, tuple(self._events)
        self._pending = Trigger()
        self._events.clear()
        return Trigger(events, pending.is_new, pending.is_full)

    async def _is_added(self, until: float) -> bool:
        try:
            async with asyncio.timeout_at(until):
                await self._added.wait()
        except TimeoutError:
            return False
        self._added.clear()
        return True


class PendingUserRequests:
    """The newest requests of users (annotations `...-at`): the watch puts them, the reconciler reads them."""

    def __init__(self) -> None:
        self.current = UserRequests()
        self._changed = asyncio.Event()

    def put(self, requests: UserRequests) -> None:
        """Take over the requests of the subscription as the watch shows it."""
        if requests != self.current:
            self.current = requests
            self._changed.set()

    async def forward(self, triggers: TriggerQueue) -> None:
        """Add a trigger for each change of the requests, until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            triggers.add()
