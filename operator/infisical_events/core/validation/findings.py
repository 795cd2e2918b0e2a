"""One mistake in a manifest, and the place where it is."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

Place = tuple[str | int, ...]
"""The steps from the document to a field: `("spec", "events", 0)`."""

_STEP = re.compile(r"\[(\d+)\]|\.?([^.\[\]\s]+)")
_PLACE_OF_MESSAGE = re.compile(r"(spec[^\s:]*(?:'[^']*'[^\s:]*)*): (.+)", re.DOTALL)
_MAX_COMPARED = 64
"""Characters of an unknown name that are compared with known ones."""


class Severity(StrEnum):
    """Whether the manifest does not work, or may not do what it is meant to do."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """A mistake; the message says what to change."""

    severity: Severity
    place: Place
    message: str


def error(place: Place, message: str) -> Finding:
    """A mistake that the API server or the operator rejects."""
    return Finding(Severity.ERROR, place, message)


def warning(place: Place, message: str) -> Finding:
    """A mistake that both accept."""
    return Finding(Severity.WARNING, place, message)


def place_text(place: Place) -> str:
    """`spec.events[0].event`, as in the messages of the API server; `metadata.annotations[a.b/c]`."""
    text = ""
    for step in place:
        if isinstance(step, int) or not re.fullmatch(r"[\w-]+", step, re.ASCII):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text


def split_message(message: str) -> tuple[Place, str]:
    """The place that begins a message of `api.specs`, and the rest; `spec` if it has none."""
    found = _PLACE_OF_MESSAGE.fullmatch(message)
    if found is None:
        return ("spec",), message
    steps = _STEP.finditer(found[1])
    return tuple(int(step[1]) if step[1] else step[2].strip("'") for step in steps), found[2]


def suggestion(name: str, known: Iterable[str]) -> str:
    """`: did you mean secretPath?` for the most similar known name; empty if none is similar."""
    by_lower = {each.lower(): each for each in known}
    close = difflib.get_close_matches(name[:_MAX_COMPARED].lower(), by_lower, n=1)
    return f": did you mean {by_lower[close[0]]}?" if close else ""
