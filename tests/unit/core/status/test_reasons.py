"""The reasons of conditions, Events, actions and skips."""

import re
from pathlib import Path

import infisical_events
from infisical_events.core.status.reasons import Reason

SOURCES = "\n".join(path.read_text() for path in Path(infisical_events.__file__).parent.rglob("*.py"))


def test_a_reason_is_one_word() -> None:
    """Kubernetes accepts each reason in a condition and in an Event."""
    assert [reason for reason in Reason if not re.fullmatch("[A-Z][A-Za-z]{1,127}", reason)] == []


def test_a_constant_has_the_name_of_its_reason() -> None:
    """A search of the code for a reason that `kubectl` shows finds its constant."""
    assert [reason for reason in Reason if reason.name.replace("_", "").lower() != reason.value.lower()] == []


def test_every_reason_is_used() -> None:
    """The operator can report each reason."""
    assert [reason for reason in Reason if not re.search(rf"\bReason\.{reason.name}\b", SOURCES)] == []
