"""What users request by annotating a subscription: each new value is one request."""

from collections.abc import Mapping
from dataclasses import dataclass

from infisical_events.api import annotations as names

_LONGEST = 256
"""Characters of a value that are kept: the status repeats it."""


@dataclass(frozen=True, slots=True)
class UserRequests:
    """The values of the three annotations; empty where one is missing."""

    reconcile_at: str = ""
    restart_at: str = ""
    resume_at: str = ""

    @classmethod
    def of(cls, annotations: Mapping[str, str]) -> "UserRequests":
        """Read the annotations of a subscription."""
        read = (annotations.get(key, "") for key in (names.RECONCILE_AT, names.RESTART_AT, names.RESUME_AT))
        return cls(*(value[:_LONGEST] for value in read))


def is_new(asked: str, handled: str | None) -> bool:
    """Whether the value is a new request; a removed annotation requests nothing."""
    return bool(asked) and asked != handled
