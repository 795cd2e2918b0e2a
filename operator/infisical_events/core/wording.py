"""Words for people out of what may be long, many or foreign."""

from collections.abc import Sequence


def on_one_line(text: str) -> str:
    """Foreign text without what could break a line or steer a terminal: a blank for each such character."""
    return "".join(c if c.isprintable() else " " for c in text)


def first_few(things: Sequence[object], most: int, joint: str = ", ") -> str:
    """`a, b, c and 4 more`."""
    shown = joint.join(map(str, things[:most]))
    return shown if len(things) <= most else f"{shown} and {len(things) - most} more"
