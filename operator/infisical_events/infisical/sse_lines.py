"""The lines of an event stream, out of bytes that may be cut anywhere and may be anything.

`streaming` hands them to httpx-sse, which gives them their meaning. Here is what stands below that: UTF-8,
a byte order mark, three ways to end a line, and that nothing is kept without bound.
"""

import codecs
import io
import re
from collections.abc import AsyncIterator, Iterator

LONGEST_EVENT = 16 * 1024 * 1024
"""Characters: an event that names a quarter of a million keys."""

_LINE_COST = 64
"""Characters that a line counts beyond its own: so much does it cost to keep one, however short."""

_GLUED_PINGS = re.compile(r"1+(?=(?:id|event|data|retry):)")
"""Pings of old servers, which have no line end and so stand before the first line of the next event."""


class EndlessEventError(Exception):
    """An event, or a line of one, is longer than any can be."""


class Lines:
    """Bytes in, whole lines out: each with one line feed behind it, an empty one behind an event."""

    def __init__(self) -> None:
        text = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
        self._decoder = io.IncrementalNewlineDecoder(text, translate=True)
        self._begun = io.StringIO()
        self._kept = 0

    def feed(self, piece: bytes) -> Iterator[str]:
        """The lines that these bytes complete.

        Raises:
            EndlessEventError: too much came since the last empty line.
        """
        return self._completed(self._decoder.decode(piece))

    def close(self) -> Iterator[str]:
        """What a carriage return at the very end completes; a line without an end is none."""
        return self._completed(self._decoder.decode(b"", final=True))

    def _completed(self, text: str) -> Iterator[str]:
        *ends, rest = text.split("\n")
        for end in ends:
            self._keep(end)
            yield self._taken() + "\n"
        self._keep(rest)

    def _keep(self, text: str) -> None:
        self._kept += len(text)
        if self._kept > LONGEST_EVENT:
            raise EndlessEventError
        self._begun.write(text)

    def _taken(self) -> str:
        line = self._begun.getvalue()
        self._begun = io.StringIO()
        self._kept = self._kept + _LINE_COST if line else 0
        glued = _GLUED_PINGS.match(line)
        return line[glued.end() :] if glued else line


async def lines_of(pieces: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """The lines of a whole stream.

    Raises:
        EndlessEventError: too much came since the last empty line.
    """
    lines = Lines()
    async for piece in pieces:
        for line in lines.feed(piece):
            yield line
    for line in lines.close():
        yield line
