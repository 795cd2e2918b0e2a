"""A received event as one line: what it is, and whether the spec selects it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from infisical_events.api.statuses import rfc3339
from infisical_events.core.snapshots.changes import ANY_KEY
from infisical_events.core.snapshots.events import SecretEvent, UnrecognizedFrame
from infisical_events.core.snapshots.selectors import Selector, changes_of, select
from infisical_events.core.status.text import escaped, preview

_MAX_KEYS = 20
"""Keys in one line of text."""

_MAX_NAME_LENGTH = 256
"""Characters of a name in one line of text."""


@dataclass(frozen=True, slots=True)
class EventLine:
    """An event with names only; `rejection_reason` is empty if it matched at least in part.

    `matched_keys` are the keys that the spec selects; both tuples are empty for an import mutation.
    """

    time: datetime
    type: str
    environment: str
    path: str
    keys: tuple[str, ...]
    is_matched: bool
    matched_keys: tuple[str, ...] = ()
    rejection_reason: str = ""

    def as_data(self) -> dict[str, object]:
        """All fields as plain data, for JSON."""
        return {
            "time": rfc3339(self.time),
            "type": self.type,
            "environmentSlug": self.environment,
            "secretPath": self.path,
            "keys": list(self.keys),
            "matched": self.is_matched,
            "matchedKeys": list(self.matched_keys),
            "reason": self.rejection_reason,
        }

    def as_text(self) -> str:
        """One line; what is not printable in names is escaped."""
        place = f"{_name(self.environment)}:{_name(self.path)}"
        parts = (rfc3339(self.time), self.type, place, _names(self.keys), self._verdict)
        return "  ".join(part for part in parts if part)

    @property
    def _verdict(self) -> str:
        if not self.is_matched:
            return f"not matched: {self.rejection_reason}"
        is_part = 0 < len(self.matched_keys) < len(self.keys)
        return f"matched ({_names(self.matched_keys)})" if is_part else "matched"


def event_line(event: SecretEvent, selectors: Iterable[Selector], time: datetime) -> EventLine:
    """The line of an event, by the same selection as in the operator."""
    selection = select(selectors, changes_of(event))
    reason = selection.rejection_reason
    return EventLine(
        time,
        event.type.value,
        event.folder.environment,
        event.folder.path,
        tuple(sorted(event.keys)),
        is_matched=bool(selection.selected),
        matched_keys=tuple(change.key for change in selection.selected if change.key != ANY_KEY),
        rejection_reason="" if selection.selected or reason is None else reason.value,
    )


def unrecognized_line(frame: UnrecognizedFrame, time: datetime) -> EventLine:
    """The line of a frame that is no known event: the operator reads everything upon it."""
    return EventLine(time, "unrecognized", "", "", (), is_matched=False, rejection_reason=frame.why)


def _names(names: tuple[str, ...]) -> str:
    return preview([_name(each) for each in names], _MAX_KEYS)


def _name(text: str) -> str:
    return escaped(text, _MAX_NAME_LENGTH)
