"""Lines of an event stream, from untrusted bytes in chunks of any size.

`event_stream` passes the lines to httpx-sse, which interprets them. This module handles UTF-8, the byte order
mark and the three line endings, and bounds the memory of an event.
"""

import codecs
import io
import re
from collections.abc import AsyncIterator, Iterator

from infisical_events.infisical.transport.fair_reads import StreamPace

MAX_EVENT_LENGTH = 1024 * 1024
"""Characters; enough for an event with 10,000 keys. Infisical changes 1,000 at once, at most."""

_LINE_COST = 64
"""Characters added per line, for the memory that even a short line takes."""

_GLUED_PINGS = re.compile(r"1+(?=(?:id|event|data|retry):)")
"""Pings of old servers, which have no line ending and so precede the first line of the next event."""


class EventTooLongError(Exception):
    """An event, or a line of it, is longer than MAX_EVENT_LENGTH."""


class LineDecoder:
    """Decodes bytes into whole lines, each with one line feed; an empty line ends an event."""

    def __init__(self) -> None:
        text = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
        self._decoder = io.IncrementalNewlineDecoder(text, translate=True)
        self._partial = io.StringIO()
        self._buffered = 0

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
        self._buffered += len(text)
        if self._buffered > MAX_EVENT_LENGTH:
            raise EventTooLongError
        self._partial.write(text)

    def _take_line(self) -> str:
        line = self._partial.getvalue()
        self._partial = io.StringIO()
        self._buffered = self._buffered + _LINE_COST if line else 0
        glued = _GLUED_PINGS.match(line)
        return line[glued.end() :] if glued else line


async def lines_of(chunks: AsyncIterator[bytes], pace: StreamPace) -> AsyncIterator[str]:
    """The lines of a whole stream, at this pace.

    Raises:
        EventTooLongError: too much came since the last empty line.
    """
    decoder = LineDecoder()
    async for chunk in chunks:
        await pace.chunk()
        for line in decoder.feed(chunk):
            await pace.line(line)
            yield line
    for line in decoder.close():
        yield line
