"""Words for people out of what may be long, many or foreign."""

from collections.abc import Sequence
from typing import Final

LONGEST_SENTENCE: Final = 4096
"""Characters: what is told of one thing is no place for a megabyte that a user wrote, or a server."""


def single_line(text: str) -> str:
    """Foreign text without what could break a line or steer a terminal: a blank for each such character."""
    return "".join(c if c.isprintable() else " " for c in text)


def escaped(text: str, most: int = LONGEST_SENTENCE) -> str:
    """Foreign text with each character that cannot be printed as Python writes it, and cut to so many."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[:most])


def preview(things: Sequence[object], most: int, joint: str = ", ") -> str:
    """`a, b, c and 4 more`."""
    shown = joint.join(map(str, things[:most]))
    return shown if len(things) <= most else f"{shown} and {len(things) - most} more"
