"""Pauses grow, are bounded from both sides, and never end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_events.core.status.reasons import Reason
from infisical_events.runtime.backoff import Backoff, retry_interval_text


@given(failures=st.integers(0, 10_000))
def test_bounds(failures: int) -> None:
    """After any number of failures a pause is neither negative nor longer than the longest."""
    assert 0.0 <= Backoff(first=1.0, longest=30.0, failures=failures).pause() <= 30.0


@given(failures=st.integers(0, 4))
def test_growth(failures: int) -> None:
    """The bound doubles with each failure in a row."""
    assert Backoff(first=1.0, longest=30.0, failures=failures).pause() <= 2**failures


def test_reset() -> None:
    """After a reset the first pause is short again."""
    backoff = Backoff(first=1.0, longest=30.0, failures=20)
    backoff.reset()
    assert backoff.pause() <= 1.0


@given(at_least=st.floats(0, 1e6))
def test_asked_to_wait(at_least: float) -> None:
    """The wait that the server asks for is a minimum; jitter is added to it."""
    assert at_least <= Backoff(first=1.0, longest=30.0).pause(at_least=at_least) <= at_least + 1.0


@pytest.mark.parametrize(
    ("reason", "floor"),
    [
        (Reason.PLAN_LACKS_EVENT_SUBSCRIPTIONS, 300.0),
        (Reason.EVENTS_NOT_SUPPORTED, 300.0),
        (Reason.CONNECTION_LIMIT_REACHED, 60.0),
        (Reason.PERMISSION_DENIED, 60.0),
        (Reason.PROJECT_NOT_FOUND, 60.0),
        (Reason.CREDENTIALS_REJECTED, 60.0),
        (Reason.REQUEST_REJECTED, 60.0),
        (Reason.TLS_FAILED, 30.0),
        (Reason.UNEXPECTED_RESPONSE, 30.0),
        (Reason.SECRET_NOT_FOUND, 10.0),
        (Reason.SERVICE_ACCOUNT_NOT_FOUND, 10.0),
        (Reason.UNREACHABLE, 0.0),
    ],
)
def test_slow_pace(reason: Reason, floor: float) -> None:
    """Errors that need a person are retried slowly, all others after a jittered backoff."""
    assert floor <= Backoff(first=1.0, longest=30.0).pause(reason) <= floor + 1.0


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (Reason.PLAN_LACKS_EVENT_SUBSCRIPTIONS, "every 5 minutes"),
        (Reason.PERMISSION_DENIED, "every minute"),
        (Reason.TLS_FAILED, "every 30 seconds"),
        (Reason.UNREACHABLE, ""),
    ],
)
def test_told_pace(reason: Reason, words: str) -> None:
    """A slow pace has words for people."""
    assert retry_interval_text(reason) == words
