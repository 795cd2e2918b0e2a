"""What the status says of each workload after rounds of restarts, by plain values."""

from dataclasses import replace

import pytest

from infisical_events.api.statuses import LastSkip, RestartTrigger, WorkloadPhase, WorkloadStatus
from infisical_events.core.restarts.decision_kinds import Defer, RecordCoverage, RequestSync, Resolve, Restart
from infisical_events.core.restarts.decisions import rollout_of
from infisical_events.core.restarts.outcomes import RestartOutcome
from infisical_events.core.restarts.rollouts import RolloutUpdate
from infisical_events.core.restarts.workload_statuses import (
    MOST_WORKLOADS,
    WorkloadRound,
    WorkloadStatuses,
    after_round,
    reported_reasons,
    restored,
    with_listed,
    with_skips,
    without_event,
)
from infisical_events.core.status.reasons import Reason
from infisical_events.core.workloads.workload_state import WorkloadState
from infisical_events.core.workloads.workloads import WorkloadList
from support.builders import a_change, a_pending_restart, a_workload, at

WORKLOAD = a_workload(**{"auto-reload": "true"})
PENDING = a_pending_restart()
NAME = (PENDING.kind, PENDING.name)
RESTART = Restart(pending=PENDING, workload=WORKLOAD)
RESTARTED = RestartOutcome(RESTART, Reason.RESTARTED)
ROLLOUT = rollout_of(RESTART, at(10))


def after(
    *done: RestartOutcome | RolloutUpdate, statuses: WorkloadStatuses | None = None, seconds: float = 10
) -> WorkloadStatuses:
    """The statuses after one round."""
    outcomes = tuple(each for each in done if isinstance(each, RestartOutcome))
    updates = tuple(each for each in done if isinstance(each, RolloutUpdate))
    return after_round(statuses or WorkloadStatuses(), WorkloadRound(outcomes, updates, "now!", at(seconds)))


def the_workload(statuses: WorkloadStatuses) -> WorkloadStatus:
    """The only one."""
    (status,) = statuses.shown
    return status


def deferred(reason: Reason) -> RestartOutcome:
    """A restart that is not made now."""
    return RestartOutcome(Defer(pending=PENDING, workload=WORKLOAD, reason=reason))


@pytest.mark.parametrize(
    ("outcome", "state", "reason"),
    [
        (RESTARTED, WorkloadPhase.ROLLING_OUT, Reason.RESTARTED),
        (RestartOutcome(RESTART, Reason.ROLLOUT_PAUSED), WorkloadPhase.HELD, Reason.ROLLOUT_PAUSED),
        (RestartOutcome(RESTART, Reason.RESTART_FAILED), WorkloadPhase.FAILED, Reason.RESTART_FAILED),
        (RestartOutcome(RESTART, Reason.RESTART_REVERTED), WorkloadPhase.FAILED, Reason.RESTART_REVERTED),
        (RestartOutcome(RequestSync(pending=PENDING)), WorkloadPhase.SYNCING, Reason.RESYNCING),
        (deferred(Reason.RESYNCING), WorkloadPhase.SYNCING, Reason.RESYNCING),
        (deferred(Reason.COOLING_DOWN), WorkloadPhase.HELD, Reason.COOLING_DOWN),
        (deferred(Reason.PAUSED), WorkloadPhase.HELD, Reason.PAUSED),
        (deferred(Reason.KUBERNETES_API_ERROR), WorkloadPhase.PENDING, Reason.KUBERNETES_API_ERROR),
        (
            RestartOutcome(Resolve(pending=PENDING, reason=Reason.NO_DATA_CHANGE)),
            WorkloadPhase.IDLE,
            Reason.NO_DATA_CHANGE,
        ),
        (
            RestartOutcome(RecordCoverage(pending=PENDING, state=WorkloadState(WORKLOAD))),
            WorkloadPhase.IDLE,
            Reason.COVERED_BY_ROLLOUT,
        ),
    ],
)
def test_states(outcome: RestartOutcome, state: WorkloadPhase, reason: Reason) -> None:
    """Each outcome has a state; a workload with something pending has the cause, one without has the skip."""
    status = the_workload(after(outcome))

    assert (status.state, status.reason, status.since) == (state, reason, at(10))
    assert (status.cause is None) is (state is WorkloadPhase.IDLE)
    assert (status.last_skip is not None) is (state is WorkloadPhase.IDLE)


def test_a_restart_is_followed_to_its_end() -> None:
    """The newest restart says why it was made, and how its rollout ends."""
    started = after(RESTARTED)
    rolling = after(RolloutUpdate(ROLLOUT), statuses=started, seconds=20)
    ended = after(RolloutUpdate(ROLLOUT, Reason.ROLLED_OUT, is_kept=False), statuses=rolling, seconds=30)

    begun = the_workload(started).last_restart
    assert begun is not None
    assert (begun.time, begun.trigger, begun.result) == (at(10), RestartTrigger.EVENT, Reason.RESTARTED)
    assert str(PENDING.changes[0]) in begun.cause
    assert the_workload(rolling).state is WorkloadPhase.ROLLING_OUT
    assert the_workload(rolling).last_restart == begun
    assert the_workload(ended).last_restart == begun.model_copy(update={"result": Reason.ROLLED_OUT})
    assert (the_workload(ended).state, the_workload(ended).since) == (WorkloadPhase.IDLE, at(30))


def test_a_failed_rollout_is_a_failure_until_it_ends_well() -> None:
    """A late good end corrects the failure."""
    failed = RolloutUpdate(replace(ROLLOUT, has_failed=True), Reason.ROLLOUT_FAILED, cause="a pod crashes")
    broken = after(failed, statuses=after(RESTARTED))
    healed = after(RolloutUpdate(ROLLOUT, Reason.ROLLOUT_RESUMED, is_kept=False), statuses=broken)

    assert (the_workload(broken).state, the_workload(broken).message) == (
        WorkloadPhase.FAILED,
        "a pod crashes",
    )
    assert the_workload(healed).last_restart == the_workload(broken).last_restart.model_copy(  # type: ignore[union-attr] # restarted above
        update={"result": Reason.ROLLED_OUT}
    )


def test_a_request_has_the_value_of_its_annotation() -> None:
    """Who asks why it was restarted finds the annotation that a user wrote."""
    asked = replace(RESTART, pending=replace(PENDING, is_requested=True, changes=()))
    restart = the_workload(after(RestartOutcome(asked, Reason.RESTARTED))).last_restart

    assert restart is not None
    assert (restart.trigger, restart.requested_at) == (RestartTrigger.REQUEST, "now!")


def test_a_change_without_an_event_was_read() -> None:
    """Whether an event was received is known after the restart; another change's restart is left alone."""
    restarted = after(RESTARTED)
    missed = the_workload(without_event(restarted, PENDING.changes)).last_restart
    other = the_workload(without_event(restarted, [a_change("OTHER")])).last_restart

    assert missed is not None
    assert missed.trigger is RestartTrigger.READ
    assert other is not None
    assert other.trigger is RestartTrigger.EVENT


def test_time_of_a_state_is_when_it_began() -> None:
    """A round with the same reason changes nothing; another reason begins anew."""
    first = after(deferred(Reason.COOLING_DOWN))
    same = after(deferred(Reason.COOLING_DOWN), statuses=first, seconds=60)

    assert same.known == first.known
    assert the_workload(after(deferred(Reason.PAUSED), statuses=same, seconds=90)).since == at(90)


def test_a_patch_with_an_unknown_result_says_nothing() -> None:
    """The next round finds out what became of it."""
    conflict = RestartOutcome(RESTART, Reason.RESTART_FAILED, is_conflict=True)

    assert after(conflict).known == {}


def test_listed_workloads_are_idle_until_something_happens() -> None:
    """A list adds who opted in, and removes who is gone, unless its kind could not be listed."""
    listed = WorkloadList((WORKLOAD, a_workload("other", **{"auto-reload": "false"})))
    statuses = with_listed(WorkloadStatuses(), listed, "sub", at(0))

    assert the_workload(statuses).state is WorkloadPhase.IDLE
    assert statuses.count == 1
    assert with_listed(statuses, WorkloadList(), "sub", at(1)).known == {}
    failed = WorkloadList(failures={WORKLOAD.kind.kind: "refused"})
    assert with_listed(statuses, failed, "sub", at(1)).known == statuses.known


def test_a_workload_that_is_gone_is_removed() -> None:
    """Neither its rollout nor its pending restart keeps it."""
    gone = RestartOutcome(Resolve(pending=PENDING, reason=Reason.WORKLOAD_GONE))

    assert after(gone, statuses=after(RESTARTED)).known == {}
    update = RolloutUpdate(ROLLOUT, Reason.WORKLOAD_GONE, is_kept=False)
    assert after(update, statuses=after(RESTARTED)).known == {}


def test_many_workloads_are_counted() -> None:
    """A status has a hundred of them, those first that something is done with."""
    many = tuple(a_workload(f"web-{number:04}", **{"auto-reload": "true"}) for number in range(1000))
    statuses = with_listed(WorkloadStatuses(), WorkloadList(many), "sub", at(0))
    pending = a_pending_restart(name="web-0999")
    last = after(RestartOutcome(replace(RESTART, pending=pending), Reason.RESTARTED), statuses=statuses)

    assert (len(last.shown), last.count) == (MOST_WORKLOADS, 1000)
    assert last.known[("Deployment", "web-0999")].state is WorkloadPhase.ROLLING_OUT


def test_what_is_stored_is_restored() -> None:
    """A new process knows why a workload was restarted."""
    statuses = after(RESTARTED)

    assert restored(statuses.shown, 5) == WorkloadStatuses(statuses.known, 5)


def test_a_dry_run_is_a_skip() -> None:
    """A restart that was only reported leaves nothing pending."""
    skip = LastSkip(time=at(5), reason=Reason.WOULD_RESTART, message="secret:update prod:/a KEY")
    status = the_workload(with_skips(WorkloadStatuses(), [NAME], skip))

    assert (status.state, status.last_skip) == (WorkloadPhase.IDLE, skip)


def test_foreign_text_is_bounded() -> None:
    """A megabyte that a server or a user wrote does not get into the status."""
    loud = RestartOutcome(Defer(pending=PENDING, reason=Reason.PAUSED, note="x" * 10**6))
    status = the_workload(after(loud))

    assert len(status.model_dump_json()) < 2000


def test_what_was_reported_is_known_to_the_next_process() -> None:
    """A restart of the operator repeats no Event; a workload without a pending restart has none to repeat."""
    shown = after(deferred(Reason.PAUSED)).shown

    assert reported_reasons(shown, [PENDING]) == {PENDING.uid: (PENDING.seq, Reason.PAUSED)}
    assert reported_reasons(shown, []) == {}
    assert reported_reasons(shown, [replace(PENDING, name="other")]) == {}
