"""The lines of an event stream, out of bytes that may be cut anywhere and may be anything.

`streaming` hands them to httpx-sse, which gives them their meaning. Here is what stands below that: UTF-8,
a byte order mark, three ways to end a line, and that nothing is kept without bound.
"""

import codecs
import io
import re
from collections.abc import AsyncIterator, Iterator

MAX_EVENT_LENGTH = 16 * 1024 * 1024
"""Characters: an event that names a quarter of a million keys."""

_LINE_COST = 64
"""Characters that a line counts beyond its own: so much does it cost to keep one, however short."""

_GLUED_PINGS = re.compile(r"1+(?=(?:id|event|data|retry):)")
"""Pings of old servers, which have no line end and so stand before the first line of the next event."""


class EventTooLongError(Exception):
    """An event, or a line of one, is longer than any can be."""


class LineDecoder:
    """Bytes in, whole lines out: each with one line feed behind it, an empty one behind an event."""

    def __init__(self) -> None:
        text = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
        self._decoder = io.IncrementalNewlineDecoder(text, translate=True)
        self._partial = io.StringIO()
        self._buffered = 0

    def feed(self, chunk: bytes) -> Iterator[str]:
        """The lines that these bytes complete.

        Raises:
            EndlessEventError: too much came since the last empty line.
        """
        return self._complete_lines(self._decoder.decode(chunk))

    def close(self) -> Iterator[str]:
        """What a carriage return at the very end completes; a line without an end is none."""
        return self._complete_lines(self._decoder.decode(b"", final=True))

    def _complete_lines(self, text: str) -> Iterator[str]:
        *ends, rest = text.split("\n")
        for end in ends:
            self._buffer(end)
            yield self._take_line() + "\n"
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


async def lines_of(chunks: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """The lines of a whole stream.

    Raises:
        EndlessEventError: too much came since the last empty line.
    """
    decoder = LineDecoder()
    async for chunk in chunks:
        for line in decoder.feed(chunk):
            yield line
    for line in decoder.close():
        yield line
