"""The bounds of sync requests to one provider."""

from dataclasses import replace
from datetime import timedelta

from infisical_events.api.resources import EXTERNAL_SECRET
from infisical_events.core.sync.secret_providers import SecretProvider
from infisical_events.core.sync.sync_requests import PodContent, SyncContext, sync_request_patch
from infisical_events.runtime.sync.sync_request_log import SyncRequestLog
from support.builders import at

PLAIN = SecretProvider(EXTERNAL_SECRET, "app", "u", "1", frozenset({"env"}), {}, acknowledged="1")


def sent(log: SyncRequestLog, seq: int = 1, seconds: float = 0) -> SecretProvider:
    """Record a request, and return the provider that carries it."""
    context = SyncContext(
        PLAIN, "app", "e", seq, (), {}, PodContent({}), timeout=timedelta(seconds=60), since=at(0)
    )
    patch = sync_request_patch(context, f"e.{seq}", at(seconds))
    log.record_sent(PLAIN, patch, at(seconds))
    return replace(PLAIN, annotations=patch["metadata"]["annotations"])


def test_a_request_that_stands_is_no_removal() -> None:
    """Nor is one for a later revision, as of another replica."""
    log = SyncRequestLog("app")
    asked = sent(log)
    later = sent(SyncRequestLog("app"), seq=9)

    assert not log.observe(asked, at(1))
    assert not log.observe(later, at(1))
    assert log.removals == {}


def test_the_second_removal_is_the_last() -> None:
    """Each request counts once, however often the object is read without it."""
    log = SyncRequestLog("app")
    sent(log)
    assert [log.observe(PLAIN, at(second)) for second in (1, 2, 3)] == [False, False, False]
    assert not log.is_refused(PLAIN)

    sent(log, seconds=4)
    assert [log.observe(PLAIN, at(second)) for second in (5, 6)] == [True, False]
    assert log.is_refused(PLAIN)


def test_after_an_hour_it_may_be_requested_again() -> None:
    """Whoever removed the requests may be gone."""
    log = SyncRequestLog("app")
    for second in (0, 2):
        sent(log, seconds=second)
        log.observe(PLAIN, at(second + 1))
    log.observe(PLAIN, at(4000))

    assert not log.is_refused(PLAIN)
    assert log.sent == {}


def test_failed_attempts_have_growing_pauses_and_an_end() -> None:
    """Five within an hour."""
    log, made = SyncRequestLog("app"), 0
    for second in range(3600):
        if not log.failure_of("u", at(second)):
            log.record_failure("u", "denied", at(second))
            made += 1

    assert made == 5
    assert log.failure_of("u", at(3600)) == "denied"
    assert log.failure_of("u", at(8000)) == ""


def test_conflicts_are_repeated_at_once_and_told_when_they_last() -> None:
    """A provider is modified by its controller from time to time."""
    log = SyncRequestLog("app")
    answers = [log.record_conflict("u", at(0)) for _ in range(6)]

    assert [bool(answer) for answer in answers] == [False] * 5 + [True]


def test_what_was_sent_is_found_by_its_revision() -> None:
    """For that revision and older ones of the same epoch."""
    log = SyncRequestLog("app")
    sent(log, seq=3)

    assert log.sent_for("u", "e", 2) is not None
    assert log.sent_for("u", "e", 4) is None
    assert log.sent_for("u", "other", 2) is None
    assert log.sent_for("v", "e", 2) is None
