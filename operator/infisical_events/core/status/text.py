"""Text for status, Events and logs: bounded in length, on a single line, with counts and their nouns."""

from collections.abc import Sequence
from typing import Final

MAX_MESSAGE_LENGTH: Final = 4096
"""Characters: a message about one object has no room for a megabyte that a user or a server wrote."""


def single_line(text: str) -> str:
    """Foreign text with a blank for each character that could break a line or control a terminal."""
    return "".join(c if c.isprintable() else " " for c in text)


def escaped(text: str, limit: int = MAX_MESSAGE_LENGTH) -> str:
    """At most `limit` characters of foreign text; those that are not printable are escaped as in Python."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[:limit])


def sentence(clause: str) -> str:
    """`Annotation x: write a number.`: a clause with a capital letter and a full stop."""
    return f"{clause[:1].upper()}{clause[1:]}{'' if clause.endswith(('.', '?')) else '.'}"


def preview(things: Sequence[object], limit: int, separator: str = ", ") -> str:
    """`a, b, c and 4 more`: at most `limit` things, and the number of the others."""
    shown = separator.join(map(str, things[:limit]))
    return shown if len(things) <= limit else f"{shown} and {len(things) - limit} more"


def counted(number: int, noun: str) -> str:
    """`1 key`, `2 keys`, `0 entries`: a number with its noun; `noun` is regular and in the singular."""
    return f"{number} {noun if number == 1 else _plural(noun)}"


def _plural(noun: str) -> str:
    if noun.endswith("y") and noun[-2:-1] not in set("aeiou"):
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(("s", "x", "z", "ch", "sh")) else f"{noun}s"


def object_name(kind: str, name: str) -> str:
    """`deployment/web`, as kubectl names an object."""
    return f"{kind.lower()}/{name}"
