"""What became of a decision, and the ledger and the condition after a round, by plain values."""

from dataclasses import replace
from datetime import timedelta

import pytest

from infisical_events.core.ledger.ledger import Rollout, Unconfirmed
from infisical_events.core.restarts.decision_kinds import Defer, RecordCoverage, RequestSync, Resolve, Restart
from infisical_events.core.restarts.decisions import found_rollouts, rollout_of
from infisical_events.core.restarts.outcomes import RestartOutcome, next_ledger
from infisical_events.core.restarts.pending_summary import restarts_condition
from infisical_events.core.restarts.rollouts import RolloutUpdate
from infisical_events.core.status.reasons import Reason
from infisical_events.core.sync.sync_state import SyncState
from infisical_events.core.sync.workload_sync_state import WorkloadSyncState
from infisical_events.core.workloads.rollout_progress import PodCounts, RolloutDetails
from infisical_events.core.workloads.workload_state import WorkloadState
from support.builders import a_ledger, a_pending_restart, a_workload, at

NOW = at(10)
WORKLOAD = a_workload(wave="2")
PENDING = a_pending_restart()
WATCHED = replace(PENDING, unconfirmed=Unconfirmed.PROVIDER_SILENT)
GUESS = WorkloadSyncState(SyncState.CHANGED, is_guess=True)
TIMED_OUT = WorkloadSyncState(SyncState.TIMED_OUT, max_wait=timedelta(hours=1))

RESTART = Restart(pending=PENDING, workload=WORKLOAD)
DEFERRED = Defer(pending=PENDING, reason=Reason.COOLING_DOWN, until=at(30))
FOUND = Resolve(
    pending=PENDING,
    workload=WORKLOAD,
    reason=Reason.ALREADY_RESTARTED,
    unconfirmed=Unconfirmed.PROVIDER_TIMED_OUT,
)
COVERED = RecordCoverage(pending=PENDING, workload=WORKLOAD, state=WorkloadState(WORKLOAD), sync=GUESS)


@pytest.mark.parametrize(
    ("outcome", "result", "is_pending"),
    [
        (RestartOutcome(RESTART, Reason.RESTARTED), Reason.RESTARTED, False),
        (RestartOutcome(RESTART, Reason.ROLLOUT_PAUSED), Reason.ROLLOUT_PAUSED, False),
        (RestartOutcome(RESTART, Reason.RESTART_FAILED), Reason.RESTART_FAILED, True),
        (RestartOutcome(DEFERRED), Reason.COOLING_DOWN, True),
        (RestartOutcome(RequestSync(pending=PENDING)), Reason.RESYNCING, True),
        (RestartOutcome(FOUND), Reason.ALREADY_RESTARTED, False),
        (RestartOutcome(COVERED), Reason.COVERED_BY_ROLLOUT, False),
    ],
)
def test_results(outcome: RestartOutcome, result: Reason, is_pending: bool) -> None:  # noqa: FBT001
    """What was done, or why nothing was, and whether the restart stays pending."""
    assert (outcome.result, outcome.is_pending) == (result, is_pending)


@pytest.mark.parametrize(
    ("outcome", "unconfirmed"),
    [
        (RestartOutcome(replace(RESTART, sync=TIMED_OUT), Reason.RESTARTED), Unconfirmed.PROVIDER_TIMED_OUT),
        (RestartOutcome(replace(RESTART, sync=GUESS), Reason.RESTARTED), Unconfirmed.PROVIDER_SILENT),
        (RestartOutcome(replace(RESTART, sync=TIMED_OUT), Reason.RESTART_FAILED), None),
        (RestartOutcome(COVERED), Unconfirmed.PROVIDER_SILENT),
        (RestartOutcome(FOUND), Unconfirmed.PROVIDER_TIMED_OUT),
        (
            RestartOutcome(Resolve(pending=PENDING, reason=Reason.NO_DATA_CHANGE, sync=GUESS)),
            Unconfirmed.PROVIDER_SILENT,
        ),
        (RestartOutcome(Resolve(pending=WATCHED, reason=Reason.NO_DATA_CHANGE, sync=GUESS)), None),
        (RestartOutcome(Resolve(pending=PENDING, reason=Reason.NO_LONGER_MATCHING, sync=GUESS)), None),
        (RestartOutcome(replace(DEFERRED, sync=GUESS)), None),
    ],
)
def test_what_is_unconfirmed(outcome: RestartOutcome, unconfirmed: Unconfirmed | None) -> None:
    """Pods that may have started with older content are restarted again if their Secrets change."""
    assert outcome.unconfirmed is unconfirmed


def test_notes() -> None:
    """The API server's message comes first, then the decision's note, then what the reason means."""
    noted = replace(DEFERRED, note="its provider")

    assert RestartOutcome(noted, error_message="403").note == "403"
    assert RestartOutcome(noted).note == "its provider"
    assert RestartOutcome(DEFERRED).note == "restarted less than spec.cooldownSeconds ago"


def test_a_restart_becomes_a_rollout() -> None:
    """It is not pending any more, and its rollout is tracked with the wave of its workload."""
    ledger = a_ledger(None, PENDING)
    written = next_ledger(ledger, [], [RestartOutcome(RESTART, Reason.RESTARTED)], NOW)

    assert written.pending == ()
    begun = Rollout(PENDING.uid, "Deployment", "web", PENDING.seq, NOW, wave=2, changes=PENDING.changes)
    assert written.rollouts == (begun,)


def test_a_restart_behind_an_obstacle_is_tracked_as_held() -> None:
    """A paused or OnDelete workload rolls out when a person acts; until then it takes no place."""
    written = next_ledger(
        a_ledger(None, PENDING), [], [RestartOutcome(RESTART, Reason.ROLLOUT_ON_DELETE)], NOW
    )

    (held,) = written.rollouts
    assert (written.pending, held.is_held, held.is_rolling) == ((), True, False)


def test_a_rollout_remembers_what_was_unavailable_before() -> None:
    """Those pods do not count against it."""
    counts = PodCounts(wanted=3, total=3, updated=3, available=1)
    state = WorkloadState(a_workload(), rollout=RolloutDetails(counts=counts))
    written = next_ledger(
        a_ledger(None, PENDING), [], [RestartOutcome(replace(RESTART, state=state), Reason.RESTARTED)], NOW
    )

    assert [rollout.unavailable for rollout in written.rollouts] == [2]


def test_a_deferred_restart_stays() -> None:
    """Nothing is written for it."""
    ledger = a_ledger(None, PENDING)

    assert next_ledger(ledger, [], [RestartOutcome(DEFERRED)], NOW) is ledger


def test_an_unconfirmed_restart_is_pending_again() -> None:
    """Under a new sequence number, from now on."""
    outcome = RestartOutcome(replace(RESTART, sync=TIMED_OUT), Reason.RESTARTED)
    written = next_ledger(a_ledger(None, PENDING), [], [outcome], NOW)

    (again,) = written.pending
    assert (again.seq, again.since, again.unconfirmed) == (2, NOW, Unconfirmed.PROVIDER_TIMED_OUT)


def test_rollouts_that_ended() -> None:
    """Only those that are in progress, or that failed and halt others, stay."""
    kept, ended = rollout_of(RESTART, NOW), replace(rollout_of(RESTART, NOW), uid="other")
    ledger = a_ledger(rollouts=(kept, ended))
    updates = [RolloutUpdate(kept), RolloutUpdate(ended, Reason.ROLLED_OUT, is_kept=False)]

    assert next_ledger(ledger, updates, [], NOW).rollouts == (kept,)


def test_found_rollouts() -> None:
    """A restart record proves a rollout although the response of its patch was lost."""
    assert [rollout.wave for rollout in found_rollouts([FOUND, DEFERRED, RESTART], NOW)] == [2]


def test_the_condition_names_what_waits() -> None:
    """An alarming reason first; then what each workload waits for, and the rollouts in progress."""
    halted = Defer(pending=a_pending_restart("api"), reason=Reason.ROLLOUT_HALTED, note="repair it")
    rollout = rollout_of(RESTART, NOW)
    condition = restarts_condition(
        [RestartOutcome(DEFERRED), RestartOutcome(halted)], [RolloutUpdate(rollout)]
    )

    assert condition is not None
    assert (condition.is_complete, condition.reason) == (False, Reason.ROLLOUT_HALTED)
    assert condition.message == (
        "deployment/web: CoolingDown: restarted less than spec.cooldownSeconds ago; "
        "deployment/api: RolloutHalted: repair it; deployment/web: rollout in progress."
    )


def test_the_condition_of_a_watched_provider() -> None:
    """No restart is pending; a late update may still make one necessary."""
    watched = Defer(pending=WATCHED, reason=Reason.RESYNC_TIMED_OUT, note="infisicalsecret/x")
    condition = restarts_condition([RestartOutcome(watched)], [])

    assert condition is not None
    assert (condition.is_complete, condition.reason) == (True, Reason.NO_PENDING_RESTARTS)
    assert condition.message == "No pending restarts. Watching infisicalsecret/x for a late update."


def test_the_condition_after_a_restart() -> None:
    """The next round names it, when its rollout is tracked."""
    assert restarts_condition([RestartOutcome(RESTART, Reason.RESTARTED)], []) is None
