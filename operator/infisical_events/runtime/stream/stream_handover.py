"""A stream that does not end with the hour: each is replaced before its end, the new one opened first.

The server ends every stream after an hour, and what stands in between perhaps sooner. Two streams overlap
for a moment instead of none being open; what both of them tell then is heard once.
"""

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from infisical_events.core.snapshots.events import SecretEvent, UnrecognizedFrame
from infisical_events.core.status.reasons import Reason
from infisical_events.infisical.infisical_errors import InfisicalError, StreamEndedError

MAX_STREAM_AGE = 3000.0
"""Seconds after which a stream is replaced, at the latest: 10 minutes before the server's end of it."""

_RETRY, _SOONEST_RETRY = 60.0, 1.0
"""Seconds until the next try when the successor could not be had; the old stream stays open."""

_RETRY_SHARE = 0.1
"""The part of a short life after which that is tried again."""

_OVERLAP, _OVERLAP_SHARE = 2.0, 0.5
"""Seconds that a stream is read on beside its successor, for what is on its way; of a short life a part."""


class Replaced:
    """The stream is another one from here on: a reason to look, as after each connect."""


REPLACED: Final = Replaced()

Hearing = SecretEvent | UnrecognizedFrame
StreamOpener = Callable[[], AbstractAsyncContextManager[AsyncIterator[Hearing]]]

log = logging.getLogger(__name__)


@asynccontextmanager
async def open_with_handover(
    open_stream: StreamOpener, life: Callable[[], float]
) -> AsyncIterator["StreamHandover"]:
    """An open stream that is replaced when it is as old as `life` says, in seconds, with jitter.

    Raises:
        InfisicalError: the first stream cannot be had; while iterating, the stream that is open ended.
    """
    relay = StreamHandover(open_stream, life)
    try:
        await relay.begin()
        yield relay
    finally:
        await relay.close()


class StreamConnection:
    """One stream from its opening to its close, in a task of its own, which tells all to one queue.

    It lets go of what ended it: an error has the frames that it came through, and so all of this stream. To
    keep one another they would need nobody else, and stay until the garbage collector comes.
    """

    def __init__(self, open_stream: StreamOpener, queue: "asyncio.Queue[Notification]") -> None:
        self.opened_at = 0.0
        self.is_replaced = False
        self._queue = queue
        self._error: BaseException | None = None
        self._task: asyncio.Task[None] | None = asyncio.create_task(self._run(open_stream))
        self._task.add_done_callback(self._told_over)

    def end(self) -> None:
        """Close it soon; never waits."""
        if self._task is not None:
            self._task.cancel()

    async def ended(self) -> None:
        """Wait until it is closed, by whatever."""
        if self._task is not None:
            await asyncio.wait([self._task])
        self._error = None

    def failure(self) -> BaseException | None:
        """What ended it, once; None if that was `end`."""
        error, self._error = self._error, None
        return error

    async def _run(self, open_stream: StreamOpener) -> None:
        async with open_stream() as items:
            self.opened_at = asyncio.get_running_loop().time()
            self._queue.put_nowait(Opened(self))
            async for item in items:
                self._queue.put_nowait(Received(self, item))
        raise StreamEndedError(Reason.STREAM_ENDED, "The stream ended; it is opened again.")

    def _told_over(self, task: asyncio.Task[None]) -> None:
        self._task = None
        self._error = None if task.cancelled() else task.exception()
        self._queue.put_nowait(Closed(self))


@dataclass(frozen=True, slots=True)
class Opened:
    """A connection is open."""

    connection: StreamConnection


@dataclass(frozen=True, slots=True)
class Received:
    """A connection delivered one item."""

    connection: StreamConnection
    item: Hearing


@dataclass(frozen=True, slots=True)
class Closed:
    """A connection is closed."""

    connection: StreamConnection


Notification = Opened | Received | Closed


class StreamHandover:
    """The stream that is open, the one that is to succeed it, and the one that it has succeeded."""

    def __init__(self, open_stream: StreamOpener, life: Callable[[], float]) -> None:
        self._open_stream = open_stream
        self._life = life
        self._queue = asyncio.Queue[Notification]()
        self._connections = set[StreamConnection]()
        self._connection = self._begun()
        self._former: StreamConnection | None = None
        self._ahead = defaultdict[Hearing, int](int)
        self._due: float | None = None

    @property
    def opened_at(self) -> float:
        """When the stream that is open was opened, in seconds of the loop's clock."""
        return self._connection.opened_at

    async def begin(self) -> None:
        """Wait for the first stream; raises InfisicalError when it cannot be had."""
        told = await self._queue.get()
        if isinstance(told, Closed):
            self._over(told.connection)
        self._due = self._lived_out()

    async def close(self) -> None:
        """End all that is open, and wait for their ends."""
        for connection in self._connections:
            connection.end()
        await asyncio.gather(*(connection.ended() for connection in self._connections))

    async def items(self) -> AsyncIterator[Hearing | Replaced]:
        """What is heard, and when the stream became another one."""
        while True:
            try:
                async with asyncio.timeout_at(self._due):
                    told = await self._queue.get()
            except TimeoutError:
                self._due = None  # until it is known what becomes of the successor
                self._begun()
                continue
            if isinstance(told, Opened):
                self._succeed(told.connection)
            elif isinstance(told, Closed):
                self._over(told.connection)
                if told.connection.is_replaced:
                    yield REPLACED  # only now has all been heard that it told
            elif self._is_news(told):
                yield told.item

    def _begun(self) -> StreamConnection:
        connection = StreamConnection(self._open_stream, self._queue)
        self._connections.add(connection)
        return connection

    def _succeed(self, successor: StreamConnection) -> None:
        """The successor is open: what it succeeds is read on for a moment."""
        self._former, self._connection = self._connection, successor
        self._former.is_replaced = True
        self._ahead.clear()
        self._due = self._lived_out()
        overlap = min(_OVERLAP, _OVERLAP_SHARE * self._life())
        asyncio.get_running_loop().call_later(overlap, self._former.end)

    def _over(self, connection: StreamConnection) -> None:
        self._connections.remove(connection)
        if connection is self._former:
            self._former = None
        if connection.is_replaced:
            connection.failure()
        else:
            self._failed(connection)

    def _failed(self, connection: StreamConnection) -> None:
        """The end of the open stream ends all; a successor that cannot be had is tried again."""
        error = connection.failure()
        if connection is self._connection or not isinstance(error, InfisicalError):
            try:
                raise error or asyncio.CancelledError
            finally:
                del error  # which has this frame
        log.info("no new stream yet beside the one that is open: %s", error)
        retry = min(_RETRY, max(_RETRY_SHARE * self._life(), _SOONEST_RETRY))
        self._due = asyncio.get_running_loop().time() + retry

    def _is_news(self, said: Received) -> bool:
        """Whether the other one of two open streams has not told it already."""
        if self._former is None:
            return True
        side = 1 if said.connection is self._former else -1
        is_news = self._ahead[said.item] * side >= 0
        self._ahead[said.item] += side
        return is_news

    def _lived_out(self) -> float:
        now = asyncio.get_running_loop().time()
        return now + self._life() * random.uniform(0.8, 1.0)  # noqa: S311 - jitter against a herd
