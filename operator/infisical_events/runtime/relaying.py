"""A stream that does not end with the hour: each is replaced before its end, the new one opened first.

The server ends every stream after an hour. Two streams overlap for a moment instead of none being
open; what both of them told is heard twice, which the ledger does not mind.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from infisical_events.core.events import NotUnderstood, SecretEvent
from infisical_events.infisical.errors import InfisicalError
from infisical_events.runtime.ports import Infisical

LIFE = 3000.0
"""Seconds after which a stream is replaced, at the latest: 10 minutes before the server's end of it."""

_RETRY = 60.0
"""Seconds until the next try when the successor could not be had; the old stream stays open."""


class Replaced:
    """The stream is another one from here on: a reason to look, as after each connect."""


REPLACED: Final = Replaced()

Hearing = SecretEvent | NotUnderstood

log = logging.getLogger(__name__)


@asynccontextmanager
async def relayed(infisical: Infisical, life: float) -> AsyncIterator[AsyncIterator[Hearing | Replaced]]:
    """An open stream that is replaced every `life` seconds, with jitter against a herd.

    Raises:
        InfisicalError: the first stream cannot be had; while iterating, the stream that is open ended.
    """
    relay = _Relay(infisical, life)
    await relay.begin()
    try:
        yield relay.hearings()
    finally:
        await relay.close()


class _Leg:
    """One stream, read into a queue that it shares with its successor; its end is in the queue, too."""

    def __init__(self, queue: "asyncio.Queue[Hearing | _Leg]") -> None:
        self._queue = queue
        self._stack = AsyncExitStack()
        self._task: asyncio.Task[None] | None = None

    async def open(self, infisical: Infisical) -> None:
        """Raises InfisicalError when it cannot be had."""
        hearings = await self._stack.enter_async_context(infisical.stream())
        self._task = asyncio.create_task(self._read(hearings))
        self._task.add_done_callback(lambda _: self._queue.put_nowait(self))

    async def close(self) -> None:
        """End it and wait for its end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._stack.aclose()

    def raise_end(self) -> None:
        """Raise what ended it."""
        if self._task is not None:
            self._task.result()

    async def _read(self, hearings: AsyncIterator[Hearing]) -> None:
        async for hearing in hearings:
            self._queue.put_nowait(hearing)


class _Relay:
    def __init__(self, infisical: Infisical, life: float) -> None:
        self._infisical = infisical
        self._life = life
        self._queue = asyncio.Queue[Hearing | _Leg]()
        self._leg = _Leg(self._queue)

    async def begin(self) -> None:
        await self._leg.open(self._infisical)

    async def close(self) -> None:
        await self._leg.close()

    async def hearings(self) -> AsyncIterator[Hearing | Replaced]:
        due = self._due()
        while True:
            try:
                async with asyncio.timeout_at(due):
                    heard = await self._queue.get()
            except TimeoutError:
                is_replaced = await self._replace()
                due = self._due() if is_replaced else asyncio.get_running_loop().time() + _RETRY
                if is_replaced:
                    yield REPLACED
                continue
            if not isinstance(heard, _Leg):
                yield heard
            elif heard is self._leg:
                heard.raise_end()

    async def _replace(self) -> bool:
        """Open the successor, then close what was; False when there is none to be had."""
        successor = _Leg(self._queue)
        try:
            await successor.open(self._infisical)
        except InfisicalError as error:
            log.info("no new stream yet beside the one that is open: %s", error)
            return False
        former, self._leg = self._leg, successor
        await former.close()
        return True

    def _due(self) -> float:
        return asyncio.get_running_loop().time() + self._life * random.uniform(0.8, 1.0)  # noqa: S311 - jitter
