"""What a person asks by annotating a subscription: each new value is one request."""

import pytest

from infisical_events.core.restarts.user_requests import UserRequests, is_new

GROUP = "events.infisical.com"


def test_what_is_asked() -> None:
    """One annotation for each request; others are nobody's."""
    words = {f"{GROUP}/reconcile-at": "1", f"{GROUP}/restart-at": "2", f"{GROUP}/resume-at": "3", "x": "y"}

    assert UserRequests.of(words) == UserRequests("1", "2", "3")
    assert UserRequests.of({}) == UserRequests()


def test_long_words_are_cut() -> None:
    """They are told in the status."""
    assert UserRequests.of({f"{GROUP}/restart-at": "x" * 300}).restart_at == "x" * 256


@pytest.mark.parametrize(
    ("asked", "handled", "expected"),
    [
        ("2", "1", True),
        ("1", "1", False),
        ("1", "", True),
        ("1", None, True),
        ("", "1", False),
        ("", None, False),
        ("1", "2", True),
    ],
)
def test_what_is_new(asked: str, handled: str | None, expected: bool) -> None:  # noqa: FBT001 - a table
    """Another value than the last, not a later one; a removed annotation asks nothing."""
    assert is_new(asked, handled) is expected
