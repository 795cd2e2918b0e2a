"""What a person asks of a subscription by annotating it: each new value is one request."""

from collections.abc import Mapping
from dataclasses import dataclass

from infisical_events.api import annotations as names

_LONGEST = 256
"""Characters of a value that are kept, since it is told in the status."""


@dataclass(frozen=True, slots=True)
class UserRequests:
    """The values of the three annotations; empty where there is none."""

    reconcile_at: str = ""
    restart_at: str = ""
    resume_at: str = ""

    @classmethod
    def of(cls, annotations: Mapping[str, str]) -> "UserRequests":
        """Read the annotations of a subscription."""
        read = (annotations.get(key, "") for key in (names.RECONCILE_AT, names.RESTART_AT, names.RESUME_AT))
        return cls(*(value[:_LONGEST] for value in read))


def is_new(asked: str, handled: str | None) -> bool:
    """Whether something is asked that was not asked before; a removed annotation asks nothing."""
    return bool(asked) and asked != handled
