"""The reasons that the operator gives."""

import re
from pathlib import Path

import infisical_events
from infisical_events.core.status.reasons import Reason

SOURCES = "\n".join(path.read_text() for path in Path(infisical_events.__file__).parent.rglob("*.py"))


def test_a_reason_is_one_word() -> None:
    """Kubernetes accepts it as the reason of a condition and of an Event, and alerts match on it."""
    assert [reason for reason in Reason if not re.fullmatch("[A-Z][A-Za-z]{1,127}", reason)] == []


def test_a_reason_has_the_name_that_users_see() -> None:
    """A search in the code for a reason that `kubectl` shows finds it."""
    assert [reason for reason in Reason if reason.name.replace("_", "").lower() != reason.value.lower()] == []


def test_every_reason_is_used() -> None:
    """No reason is unused."""
    assert [reason for reason in Reason if not re.search(rf"\bReason\.{reason.name}\b", SOURCES)] == []
