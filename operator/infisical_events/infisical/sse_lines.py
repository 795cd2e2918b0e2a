"""Lines of an event stream, from untrusted bytes in chunks of any size.

`event_stream` passes the lines to httpx-sse, which interprets them. This module handles UTF-8, the byte order
mark and the three line endings, and bounds the memory of an event.
"""

import asyncio
import codecs
import io
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import Self

from infisical_events.infisical.transport.fair_reads import ReadPace

MAX_EVENT_LENGTH = 1024 * 1024
"""Characters; enough for an event with 10,000 keys. Infisical changes 1,000 at once, at most."""

_LINE_COST = 64
"""Characters added per line, for the memory that even a short line takes."""

FREE_LENGTH = 32 * 1024
"""Characters of an incomplete event that need no permit: an event with 300 keys."""

_MAX_EVENT_SECONDS = 15.0
"""Seconds in which a long event has to be complete, once it has its permit."""

EventPermit = Callable[[], AbstractAsyncContextManager[None]]
"""Admits one more long event into memory, for a block."""

_GLUED_PINGS = re.compile(r"1+(?=(?:id|event|data|retry):)")
"""Pings of old servers, which have no line ending and so precede the first line of the next event."""


class EventTooLongError(Exception):
    """An event is longer than MAX_EVENT_LENGTH, or a long one is not complete in time."""


class EventMemory:
    """The permit of one stream for an incomplete event that is long; leaving the context gives it back.

    Attributes:
        is_held: Whether there is a long event.
    """

    def __init__(self, permit: EventPermit) -> None:
        self.is_held = False
        self._permit = permit
        self._held = AsyncExitStack()
        self._until = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._held.aclose()

    async def account(self, length: int) -> None:
        """Get the permit for so many characters that wait for the end of their event, or give it back.

        Raises:
            EventTooLongError: the event has not been complete in time.
        """
        now = asyncio.get_running_loop().time
        if length <= FREE_LENGTH:
            self.is_held = False
            await self._held.aclose()
        elif not self.is_held:
            await self._held.enter_async_context(self._permit())
            self.is_held, self._until = True, now() + _MAX_EVENT_SECONDS
        elif now() > self._until:
            raise EventTooLongError


class LineDecoder:
    """Decodes bytes into whole lines, each with one line feed; an empty line ends an event.

    Attributes:
        buffered: The length of the incomplete event, in characters.
    """

    def __init__(self) -> None:
        text = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
        self._decoder = io.IncrementalNewlineDecoder(text, translate=True)
        self._partial = io.StringIO()
        self.buffered = 0

    def feed(self, chunk: bytes) -> Iterator[str]:
        """The lines that these bytes complete.

        Raises:
            EventTooLongError: too much came since the last empty line.
        """
        return self._complete_lines(self._decoder.decode(chunk))

    def close(self) -> Iterator[str]:
        """The line that a final carriage return completes; a line without an ending is dropped."""
        return self._complete_lines(self._decoder.decode(b"", final=True))

    def _complete_lines(self, text: str) -> Iterator[str]:
        *ends, rest = text.split("\n")
        for end in ends:
            self._buffer(end)
            yield self._take_line() + "\n"
        if rest:
            self._buffer(rest)

    def _buffer(self, text: str) -> None:
        self.buffered += len(text)
        if self.buffered > MAX_EVENT_LENGTH:
            raise EventTooLongError
        self._partial.write(text)

    def _take_line(self) -> str:
        line = self._partial.getvalue()
        self._partial = io.StringIO()
        self.buffered = self.buffered + _LINE_COST if line else 0
        glued = _GLUED_PINGS.match(line)
        return line[glued.end() :] if glued else line


async def lines_of(chunks: AsyncIterator[bytes], pace: ReadPace, memory: EventMemory) -> AsyncIterator[str]:
    """The lines of a whole stream, at this pace.

    Raises:
        EventTooLongError: too much came since the last empty line, or too slowly.
    """
    decoder = LineDecoder()
    async for chunk in chunks:
        for line in decoder.feed(chunk):
            await pace.line(line)
            yield line
            if memory.is_held and line == "\n":  # its event has been processed by now
                await memory.account(decoder.buffered)
        if memory.is_held or decoder.buffered > FREE_LENGTH:
            await memory.account(decoder.buffered)
    for line in decoder.close():
        yield line
