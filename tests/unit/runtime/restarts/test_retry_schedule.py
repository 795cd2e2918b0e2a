"""When the next round of restarts is due, by plain values."""

from dataclasses import replace

import pytest

from infisical_events.core.ledger.ledger import Ledger, Unconfirmed
from infisical_events.core.restarts.decision_kinds import Defer, Resolve, Restart
from infisical_events.core.restarts.decisions import rollout_of
from infisical_events.core.restarts.outcomes import RestartOutcome
from infisical_events.core.status.reasons import Reason
from infisical_events.runtime.restarts.retry_schedule import RetrySchedule
from support.builders import a_ledger, a_pending_restart, a_workload, at

NOW = at(10)
PENDING = a_pending_restart()
RESTART = Restart(pending=PENDING, workload=a_workload())
LEFT = a_ledger(None, PENDING)
ROLLING = a_ledger(rollouts=(rollout_of(RESTART, NOW),))
NOTHING = a_ledger()
TAKEN_BACK = replace(a_pending_restart("api", seq=2), reverts=1)
WATCHED = replace(a_pending_restart("api", seq=2), unconfirmed=Unconfirmed.PROVIDER_TIMED_OUT)


def deferred(reason: Reason, seconds: float | None = None) -> RestartOutcome:
    """A restart that waits, until some seconds from now."""
    until = None if seconds is None else at(10 + seconds)
    return RestartOutcome(Defer(pending=PENDING, reason=reason, until=until))


@pytest.mark.parametrize(
    ("outcomes", "ledger", "seconds"),
    [
        ([RestartOutcome(Resolve(pending=PENDING, reason=Reason.NO_DATA_CHANGE))], NOTHING, None),
        ([], ROLLING, 1.0),
        ([deferred(Reason.PAUSED)], a_ledger(None, PENDING, TAKEN_BACK), 0.05),
        ([deferred(Reason.PAUSED)], a_ledger(None, PENDING, WATCHED), 15.0),
        ([deferred(Reason.WAITING_FOR_WAVE)], LEFT, 1.0),
        ([deferred(Reason.WORKLOAD_MODIFIED)], LEFT, 1.0),
        ([deferred(Reason.PAUSED)], LEFT, 15.0),
        ([deferred(Reason.COOLING_DOWN, 4.0)], LEFT, 4.0),
        ([deferred(Reason.COOLING_DOWN, 40.0)], LEFT, 15.0),
        ([deferred(Reason.COOLING_DOWN, -1.0)], LEFT, 0.05),
    ],
)
def test_pauses(outcomes: list[RestartOutcome], ledger: Ledger, seconds: float | None) -> None:
    """As soon as the first of what is left may have moved; None when nothing is left."""
    assert RetrySchedule().pause_after(outcomes, ledger, NOW) == seconds


@pytest.mark.parametrize(
    ("outcome", "longest"),
    [
        (RestartOutcome(RESTART, Reason.RESTART_FAILED, is_conflict=True), 0.05),
        (RestartOutcome(RESTART, Reason.RESTART_FAILED), 0.5),
        (deferred(Reason.KUBERNETES_API_ERROR), 0.5),
        (deferred(Reason.RESYNCING), 0.2),
    ],
)
def test_first_backoffs(outcome: RestartOutcome, longest: float) -> None:
    """Conflicts are retried soonest, then syncs, then failures."""
    pause = RetrySchedule().pause_after([outcome], LEFT, NOW)

    assert pause is not None
    assert 0 <= pause <= longest


def test_backoffs_start_again() -> None:
    """A round without a failure ends the growth of pauses."""
    retries = RetrySchedule()
    for _ in range(5):
        retries.pause_after([RestartOutcome(RESTART, Reason.RESTART_FAILED)], LEFT, NOW)
    assert retries.failures.failures == 5

    retries.pause_after([deferred(Reason.PAUSED)], LEFT, NOW)

    assert retries.failures.failures == 0


def test_a_watched_provider_is_read_seldom() -> None:
    """A confirmation is no reason to hurry."""
    watched = replace(PENDING, unconfirmed=Unconfirmed.PROVIDER_SILENT)
    outcome = RestartOutcome(Defer(pending=watched, reason=Reason.RESYNCING))

    assert RetrySchedule().pause_after([outcome], LEFT, NOW) == 15.0
