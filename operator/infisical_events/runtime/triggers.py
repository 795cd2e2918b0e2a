"""Triggers of the reconcile loop: received events and other reasons; a burst of them is one trigger."""

import asyncio
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from infisical_events.core.ledger.acceptance import ReceivedEvent
from infisical_events.core.restarts.user_requests import UserRequests

_LONGEST_FACTOR = 10
"""A burst that does not end is cut after this many debounce times."""

_SHORTEST_BURST, _LONGEST_BURST = 2.0, 30.0
"""Seconds that a burst may last before it is cut, if the debounce time alone is not longer."""

_MAX_BYTES = 256 * 1024
"""Bytes of events that are kept while Infisical cannot be read, some 2,000 keys; of more, the newest, and a
read of everything: the snapshot decides anyway.
"""

_EVENT_BYTES = 512
"""Bytes of an event beside its keys, about."""


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
    """Reasons to reconcile.

    Attributes:
        debounce: Seconds without a new reason that end a burst.
        must_keep_all: Whether every event counts, because there is no state that would show its change.
        is_crowded: Whether there are more events than are kept if they need not be.
    """

    def __init__(self, debounce: float, must_keep_all: Callable[[], bool] = lambda: False) -> None:
        self._debounce = debounce
        self._must_keep_all = must_keep_all
        self._longest = max(debounce, min(max(debounce * _LONGEST_FACTOR, _SHORTEST_BURST), _LONGEST_BURST))
        self._added = asyncio.Event()
        self._taken = asyncio.Event()
        self._pending = Trigger()
        self._events = deque[ReceivedEvent]()
        self._bytes = 0
        self.is_crowded = False

    async def wait_for_room(self) -> None:
        """Wait until the queue is taken if it is full of events that must be kept."""
        while self.is_crowded and self._must_keep_all():
            self._taken.clear()
            await self._taken.wait()

    def add(self, *events: ReceivedEvent) -> None:
        """Add received events; without any, a reason to read everything."""
        self._events.extend(events)
        self._pending = Trigger(is_new=True, is_full=self._pending.is_full or not events)
        self._account(events)
        self._added.set()

    def forget_reads(self) -> None:
        """A read of everything begins now: reasons for one without an event are dealt with."""
        if not self._events:
            self._pending = Trigger()
            self._added.clear()

    def requeue(self, events: tuple[ReceivedEvent, ...]) -> None:
        """Put back events that no read accounts for yet, before all others; this wakes no `get`."""
        self._events.extendleft(reversed(events))
        self._account(events)

    def _account(self, added: tuple[ReceivedEvent, ...]) -> None:
        """Drop the oldest events of too many; a read of everything shows their changes."""
        self._bytes += sum(map(_size, added))
        while self._bytes > _MAX_BYTES and len(self._events) > 1 and not self._must_keep_all():
            self._bytes -= _size(self._events.popleft())
            self._pending = replace(self._pending, is_full=True)
        self.is_crowded = self._bytes > _MAX_BYTES

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
        self._bytes, self.is_crowded = 0, False
        self._taken.set()
        return Trigger(events, pending.is_new, pending.is_full)

    async def _is_added(self, until: float) -> bool:
        try:
            async with asyncio.timeout_at(until):
                await self._added.wait()
        except TimeoutError:
            return False
        self._added.clear()
        return True


def _size(received: ReceivedEvent) -> int:
    return _EVENT_BYTES + sum(map(sys.getsizeof, received.event.keys))


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
