"""Make-before-break: each stream is replaced before its end, and its successor is opened first.

The server ends every stream after an hour, and proxies in between perhaps sooner. Two streams overlap for a
moment instead of none being open; an event that both of them deliver is delivered once.
"""

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from infisical_events.core.status.reasons import Reason
from infisical_events.infisical.event_stream import StreamItem
from infisical_events.infisical.infisical_errors import InfisicalError, StreamEndedError
from infisical_events.runtime.tasks import child_task

MAX_STREAM_AGE = 3000.0
"""Seconds after which a stream is replaced, at the latest: 10 minutes before the server's end of it."""

_RETRY, _SOONEST_RETRY = 60.0, 1.0
"""Seconds until the next try when the successor could not be opened; the old stream stays open."""

_RETRY_SHARE = 0.1
"""The part of a short lifetime after which the successor is tried again."""

_OVERLAP, _OVERLAP_SHARE = 2.0, 0.5
"""Seconds that a stream is read beside its successor, for events in transit; of a short lifetime a part."""


class Replaced:
    """The stream is another one from here on: a reason to read, as after each connect."""


REPLACED: Final = Replaced()

StreamOpener = Callable[[], AbstractAsyncContextManager[AsyncIterator[StreamItem]]]

log = logging.getLogger(__name__)


@asynccontextmanager
async def open_with_handover(
    open_stream: StreamOpener, life: Callable[[], float]
) -> AsyncIterator["StreamHandover"]:
    """An open stream that is replaced when it is as old as `life` says, in seconds, with jitter.

    Raises:
        InfisicalError: the first stream cannot be opened; while iterating, the stream that is open ended.
    """
    handover = StreamHandover(open_stream, life)
    try:
        await handover.begin()
        yield handover
    finally:
        await handover.close()


class StreamConnection:
    """One stream from its opening to its close, in a task of its own, which puts its items into one queue.

    It drops the error that ended it: an error has the frames that it passed through, and so this object. They
    would form a cycle, and stay in memory until the garbage collector runs.
    """

    def __init__(self, open_stream: StreamOpener, queue: "asyncio.Queue[Notification]") -> None:
        self.opened_at = 0.0
        self.is_replaced = False
        self._queue = queue
        self._error: BaseException | None = None
        self._task: asyncio.Task[None] | None = child_task(self._run(open_stream))
        self._task.add_done_callback(self._notify_closed)

    def end(self) -> None:
        """Close it soon; never waits."""
        if self._task is not None:
            self._task.cancel()

    async def ended(self) -> None:
        """Wait until it is closed, for any reason."""
        if self._task is not None:
            await asyncio.wait([self._task])
        self._error = None

    def failure(self) -> BaseException | None:
        """The error that ended it, once; None if `end` did."""
        error, self._error = self._error, None
        return error

    async def _run(self, open_stream: StreamOpener) -> None:
        async with open_stream() as items:
            self.opened_at = asyncio.get_running_loop().time()
            self._queue.put_nowait(Opened(self))
            async for item in items:
                self._queue.put_nowait(Received(self, item))
        raise StreamEndedError(Reason.STREAM_ENDED, "The event stream ended; reconnecting.")

    def _notify_closed(self, task: asyncio.Task[None]) -> None:
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
    item: StreamItem


@dataclass(frozen=True, slots=True)
class Closed:
    """A connection is closed."""

    connection: StreamConnection


Notification = Opened | Received | Closed


class StreamHandover:
    """The open stream, its successor while it is being opened, and its predecessor until it is closed."""

    def __init__(self, open_stream: StreamOpener, life: Callable[[], float]) -> None:
        self._open_stream = open_stream
        self._life = life
        self._queue = asyncio.Queue[Notification]()
        self._connections = set[StreamConnection]()
        self._connection = self._open()
        self._former: StreamConnection | None = None
        self._ahead = defaultdict[StreamItem, int](int)
        self._due: float | None = None

    @property
    def opened_at(self) -> float:
        """When the stream that is open was opened, in seconds of the loop's clock."""
        return self._connection.opened_at

    async def begin(self) -> None:
        """Wait for the first stream; raises InfisicalError when it cannot be opened."""
        notification = await self._queue.get()
        if isinstance(notification, Closed):
            self._closed(notification.connection)
        self._due = self._replace_at()

    async def close(self) -> None:
        """End all that is open, and wait for their ends."""
        for connection in self._connections:
            connection.end()
        await asyncio.gather(*(connection.ended() for connection in self._connections))

    async def items(self) -> AsyncIterator[StreamItem | Replaced]:
        """Received items, and REPLACED when the stream became another one."""
        while True:
            try:
                async with asyncio.timeout_at(self._due):
                    notification = await self._queue.get()
            except TimeoutError:
                self._due = None  # until the successor is open or has failed
                self._open()
                continue
            if isinstance(notification, Opened):
                self._hand_over(notification.connection)
            elif isinstance(notification, Closed):
                self._closed(notification.connection)
                if notification.connection.is_replaced:
                    yield REPLACED  # only now all of its items are delivered
            elif self._former is None or self._is_news(notification, self._former):
                yield notification.item

    def _open(self) -> StreamConnection:
        connection = StreamConnection(self._open_stream, self._queue)
        self._connections.add(connection)
        return connection

    def _hand_over(self, successor: StreamConnection) -> None:
        """The successor is open: its predecessor is read for a moment longer."""
        self._former, self._connection = self._connection, successor
        self._former.is_replaced = True
        self._ahead.clear()
        self._due = self._replace_at()
        overlap = min(_OVERLAP, _OVERLAP_SHARE * self._life())
        asyncio.get_running_loop().call_later(overlap, self._former.end)

    def _closed(self, connection: StreamConnection) -> None:
        self._connections.remove(connection)
        if connection is self._former:
            self._former = None
        if connection.is_replaced:
            connection.failure()
        else:
            self._raise_or_retry(connection)

    def _raise_or_retry(self, connection: StreamConnection) -> None:
        """The end of the open stream is an error; a successor that cannot be opened is tried again."""
        error = connection.failure()
        if connection is self._connection or not isinstance(error, InfisicalError):
            try:
                raise error or asyncio.CancelledError
            finally:
                del error  # which has this frame
        log.info("failed to open the successor of a stream, retrying", extra={"error": str(error)})
        retry = min(_RETRY, max(_RETRY_SHARE * self._life(), _SOONEST_RETRY))
        self._due = asyncio.get_running_loop().time() + retry

    def _is_news(self, received: Received, former: StreamConnection) -> bool:
        """Whether the other one of two open streams has not delivered it already."""
        side = 1 if received.connection is former else -1
        is_news = self._ahead[received.item] * side >= 0
        self._ahead[received.item] += side
        return is_news

    def _replace_at(self) -> float:
        now = asyncio.get_running_loop().time()
        return now + self._life() * random.uniform(0.8, 1.0)  # noqa: S311 - jitter against a herd
