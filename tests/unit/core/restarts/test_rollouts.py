"""The end of a rollout, by plain values."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_events.api.resources import WorkloadKind
from infisical_events.core.ledger.ledger import Rollout
from infisical_events.core.restarts.rollouts import (
    STALL,
    RolloutUpdate,
    TrackedRevision,
    needs_pods,
    rollout_update,
)
from infisical_events.core.status.reasons import Reason
from infisical_events.core.workloads.pod_states import REVISION_LABEL, PodRevision, PodState
from infisical_events.core.workloads.rollout_progress import PodCounts, RolloutDetails, RolloutProgress
from infisical_events.core.workloads.workload_state import WorkloadState
from support.builders import DEPLOYMENT, ROLLOUT, START, STATEFUL_SET, a_record, a_workload, at

COMPLETE, UNAVAILABLE, UNDER_WAY, HELD, FAILED = RolloutProgress
TRACKED = TrackedRevision("payments", "epoch")
BEGUN = Rollout("uid-of-web", "Deployment", "web", 3, START)
HAS_FAILED = replace(BEGUN, has_failed=True)
SOON = timedelta(seconds=8)


def a_state(
    progress: RolloutProgress = UNDER_WAY,
    seq: int = 3,
    details: RolloutDetails | None = None,
    kind: WorkloadKind = DEPLOYMENT,
) -> WorkloadState:
    """The workload with the revision of a restart in its pod template."""
    revision = {"events.infisical.com/revision-payments": f"epoch.{seq}"}
    return WorkloadState(
        a_workload(kind=kind, last_restart=a_record(payments=f"epoch.{seq}")),
        progress=progress,
        rollout=details or RolloutDetails(),
        template_annotations=revision,
        selector="app=web",
    )


def with_counts(updated: int, total: int, available: int, wanted: int = 4) -> RolloutDetails:
    """As a controller without a deadline of its own counts its pods."""
    return RolloutDetails(counts=PodCounts(wanted, total, updated, available))


def a_pod(
    name: str, revision: str = "new", *, is_ready: bool = True, is_terminating: bool = False, age: float = 0
) -> PodState:
    """A pod of a template."""
    reason = "" if is_ready else "CrashLoopBackOff"
    return PodState(name, at(-age), {REVISION_LABEL: revision}, is_ready, is_terminating, reason)


def update(
    rollout: Rollout,
    state: WorkloadState | None,
    after: timedelta = SOON,
    pods: Sequence[PodState] = (),
) -> RolloutUpdate:
    """What has become of it some time after it began."""
    return rollout_update(rollout, state, TRACKED, START + after, pods)


# -- ends -----------------------------------------------------------------------------------------


def test_in_progress() -> None:
    """Nothing has happened yet."""
    found = update(BEGUN, a_state())

    assert (found.rollout, found.result, found.is_kept) == (BEGUN, None, True)
    assert found.rollout.is_rolling


@pytest.mark.parametrize(
    ("state", "end"),
    [
        (None, Reason.WORKLOAD_GONE),
        (replace(a_state(), workload=replace(a_workload(), uid="another")), Reason.WORKLOAD_GONE),
        (a_state(COMPLETE, seq=2), Reason.ROLLOUT_SUPERSEDED),
        (a_state(COMPLETE), Reason.ROLLED_OUT),
        (a_state(COMPLETE, seq=4), Reason.ROLLED_OUT),
    ],
)
def test_ends(state: WorkloadState | None, end: Reason) -> None:
    """The rollout leaves the ledger with its result."""
    found = update(BEGUN, state)

    assert (found.result, found.is_kept) == (end, False)


def test_a_failed_rollout_that_completes() -> None:
    """However late."""
    found = update(HAS_FAILED, a_state(COMPLETE), timedelta(days=1))

    assert (found.result, found.is_kept) == (Reason.ROLLOUT_RESUMED, False)


# -- failure --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "after"),
    [
        (a_state(FAILED), SOON),
        (a_state(UNDER_WAY), STALL + timedelta(seconds=1)),
        (a_state(UNAVAILABLE), STALL + timedelta(seconds=1)),
    ],
)
def test_failures(state: WorkloadState, after: timedelta) -> None:
    """By the controller's word, or without progress; it is tracked on, and takes no place."""
    found = update(BEGUN, state, after)

    assert (found.rollout, found.result, found.is_kept) == (HAS_FAILED, Reason.ROLLOUT_FAILED, True)
    assert not found.rollout.is_rolling


def test_exactly_without_progress_for_so_long() -> None:
    """There is still time."""
    assert update(BEGUN, a_state(), STALL).result is None


def test_a_failed_rollout_is_reported_once() -> None:
    """It is tracked without a new result."""
    found = update(HAS_FAILED, a_state(FAILED))

    assert (found.rollout, found.result) == (HAS_FAILED, None)


def test_a_controller_with_a_deadline_decides_itself() -> None:
    """However slow its rollout is."""
    state = a_state(details=RolloutDetails(has_deadline=True))

    assert update(BEGUN, state, timedelta(hours=3)).result is None


def test_an_argo_rollout_that_was_degraded_before() -> None:
    """That is no failure of the restart, until it has recovered and degrades again."""
    rollout = replace(BEGUN, was_failed=True)
    degraded = a_state(FAILED, details=RolloutDetails(restart=FAILED), kind=ROLLOUT)
    going = replace(with_counts(4, 4, 3), restart=UNDER_WAY)
    recovered = a_state(UNDER_WAY, details=going, kind=ROLLOUT)

    assert update(rollout, degraded).result is None
    again = update(update(rollout, recovered).rollout, degraded)
    assert again.result is Reason.ROLLOUT_FAILED


# -- progress -------------------------------------------------------------------------------------


def followed(*steps: tuple[float, RolloutDetails], rollout: Rollout = BEGUN) -> Rollout:
    """The rollout after the controller's counts at these moments."""
    for seconds, details in steps:
        found = update(rollout, a_state(details=details), timedelta(seconds=seconds))
        rollout = found.rollout
    return rollout


@pytest.mark.parametrize(
    ("before", "after", "is_progress"),
    [
        (with_counts(1, 4, 4), with_counts(2, 4, 3), True),
        (with_counts(1, 5, 4), with_counts(1, 4, 4), True),
        (with_counts(4, 4, 1), with_counts(4, 4, 2), True),
        (with_counts(1, 4, 4), with_counts(1, 4, 4), False),
        (with_counts(1, 4, 4), with_counts(1, 4, 3), False),
        (with_counts(2, 4, 3), with_counts(1, 4, 4), False),
    ],
    ids=["a new pod", "an old pod less", "a pod available", "nothing", "a pod less", "a new pod less"],
)
def test_progress(before: RolloutDetails, after: RolloutDetails, *, is_progress: bool) -> None:
    """New pods, fewer old ones, or more that are available."""
    rollout = followed((1, before), (300, after))

    assert rollout.progressed_at == (at(300) if is_progress else None)


def test_a_pod_that_flaps_is_no_progress() -> None:
    """It has been available before, and was not replaced since."""
    up, down = with_counts(4, 4, 4), with_counts(4, 4, 3)
    flapping = ((seconds, up if seconds % 60 else down) for seconds in range(30, 601, 30))
    rollout = followed((1, down), *flapping)

    assert rollout.progressed_at == at(30)
    assert update(rollout, a_state(details=down), timedelta(seconds=631)).result is Reason.ROLLOUT_FAILED


@given(seconds=st.lists(st.floats(0, 599), min_size=1, max_size=30))
def test_a_slow_rollout_that_progresses_never_fails(seconds: list[float]) -> None:
    """Whatever its pauses below the bound, and however long it takes."""
    now, rollout = 0.0, followed((0, with_counts(0, 50, 50, wanted=50)))
    for updated, pause in enumerate(seconds, start=1):
        now += min(pause, 589)
        state = a_state(details=with_counts(updated, 50, 49, wanted=50))
        found = update(rollout, state, timedelta(seconds=now))
        assert found.result is None
        rollout = found.rollout


def test_progress_is_stored_only_now_and_then() -> None:
    """Each time is a write of the ledger."""
    steps = [(seconds, with_counts(seconds, 100, 99, wanted=100)) for seconds in range(1, 31)]
    stored = {followed(*steps[:count]).progressed_at for count in range(1, 31)}

    assert stored == {None, at(10), at(20), at(30)}


def test_counts_from_before_the_restart_are_not_compared() -> None:
    """The controller has not observed it: all pods are of the template before."""
    rollout = followed((1, RolloutDetails()), (2, with_counts(0, 4, 4)), (60, with_counts(1, 4, 3)))

    assert rollout.progressed_at == at(60)


def test_a_failed_rollout_that_still_moves_takes_a_place() -> None:
    """Until nothing has moved for as long as a rollout needs to fail."""
    failed = update(
        followed((1, with_counts(1, 4, 3))), a_state(details=with_counts(1, 4, 3)), STALL + SOON
    ).rollout
    moving = followed((700, with_counts(2, 4, 3)), rollout=failed)
    at_rest = followed((1301, with_counts(2, 4, 3)), rollout=moving)

    assert [r.is_rolling for r in (failed, moving, at_rest)] == [False, True, False]
    assert all(r.has_failed for r in (failed, moving, at_rest))


def test_a_controller_says_that_its_failed_rollout_goes_on() -> None:
    """By a deadline that is longer than the usual time without progress."""
    details = replace(with_counts(1, 4, 3), has_deadline=True)
    failed = update(followed((1, details)), a_state(FAILED, details=details), SOON).rollout
    moving = followed((20, replace(details, counts=PodCounts(4, 4, 2, 3))), (3000, details), rollout=failed)

    assert (failed.is_rolling, moving.is_rolling, moving.has_failed) == (False, True, True)


def test_a_time_in_the_future_is_another_clocks() -> None:
    """It does not put off the failure for ever."""
    rollout = replace(BEGUN, progressed_at=START + timedelta(days=365), mark=(1, 3))
    seen = followed((60, with_counts(1, 4, 3)), rollout=rollout)

    assert seen.progressed_at == at(60)


def test_a_restart_by_restart_at_progresses_by_its_pods() -> None:
    """The counts of the Rollout do not move: its template stays."""
    newest = PodRevision(since=START)
    state = a_state(details=RolloutDetails(restart=UNDER_WAY, newest=newest), kind=ROLLOUT)
    old, new = [a_pod(f"old-{n}", age=60) for n in range(3)], [a_pod(f"new-{n}", age=-5) for n in range(3)]
    rollout: Rollout = BEGUN
    for minutes, done in ((1, 0), (9, 1), (18, 2)):
        found = update(rollout, state, timedelta(minutes=minutes), [*old[done:], *new[:done]])
        assert found.result is None
        rollout = found.rollout

    assert found.cause.endswith("not restarted yet: pod/old-2")


# -- pods that were unavailable before --------------------------------------------------------------

DEAD_NODE = [a_pod("agent-a"), a_pod("agent-b", "old", is_ready=False, is_terminating=True)]
NEWEST = PodRevision(REVISION_LABEL, "new")
HALF = replace(with_counts(1, 2, 1, wanted=2), newest=NEWEST)


@pytest.mark.parametrize(
    ("unavailable", "pods", "after", "is_complete"),
    [
        (1, DEAD_NODE, 25, True),
        (1, DEAD_NODE, 5, False),
        (0, DEAD_NODE, 25, False),
        (2, DEAD_NODE, 25, False),
        (1, [], 25, False),
        (1, [a_pod("agent-a", "old"), a_pod("agent-b", is_ready=False)], 25, False),
    ],
    ids=["dead node", "too early", "available before", "none available before", "unknown", "old one serves"],
)
def test_pods_that_were_unavailable_before(
    unavailable: int,
    pods: list[PodState],
    after: float,
    *,
    is_complete: bool,
) -> None:
    """They do not count, once nothing moves any more and every pod that is ready is new."""
    rollout = replace(BEGUN, unavailable=unavailable)
    found = update(rollout, a_state(details=HALF), timedelta(seconds=after), pods)

    assert found.is_kept is not is_complete


# -- what the spec holds ----------------------------------------------------------------------------


def held_state(progress: RolloutProgress = HELD) -> WorkloadState:
    """A StatefulSet with a partition."""
    details = replace(with_counts(1, 4, 4), wanted=4, kept=3, kept_by="partition 3")
    return replace(a_state(progress, details=details), obstacle=Reason.ROLLOUT_PARTITIONED)


def test_a_rollout_that_the_spec_holds() -> None:
    """It is said once with its numbers, is tracked on, and takes no place."""
    found = update(BEGUN, held_state())
    again = update(found.rollout, held_state(), timedelta(days=2))

    assert (found.result, found.cause) == (
        Reason.ROLLOUT_PARTITIONED,
        "3 of 4 pods keep the old template: partition 3",
    )
    assert (found.is_kept, found.rollout.is_rolling, again.result) == (True, False, None)


def test_a_rollout_that_a_person_lets_go_on() -> None:
    """Its time begins then, and it ends like any other."""
    held = update(BEGUN, held_state()).rollout
    resumed = update(held, a_state(UNDER_WAY), timedelta(days=2))

    assert (resumed.result, resumed.rollout.is_rolling) == (None, True)
    assert update(resumed.rollout, a_state(COMPLETE), timedelta(days=2)).result is Reason.ROLLED_OUT


# -- causes -----------------------------------------------------------------------------------------

ORDERED = RolloutDetails(counts=PodCounts(3, 3, 0, 2), is_ordered=True, newest=NEWEST)


def ordered_pods(revision: str) -> list[PodState]:
    """The first pod is not ready, and has this revision."""
    return [a_pod("db-2", "old"), a_pod("db-1", "old"), a_pod("db-0", revision, is_ready=False)]


def test_a_stateful_set_that_waits_for_an_old_pod() -> None:
    """Its controller never replaces it: a person has to."""
    state = a_state(details=ORDERED, kind=STATEFUL_SET)
    found = update(BEGUN, state, pods=ordered_pods("old"))

    assert found.is_blocked
    assert found.cause == (
        "the StatefulSet controller waits for pod/db-0, which is not ready (CrashLoopBackOff) and has the "
        "old template; delete the pod to let the rollout proceed"
    )


@pytest.mark.parametrize(
    ("details", "pods"),
    [
        (ORDERED, ordered_pods("new")),
        (replace(ORDERED, is_ordered=False), ordered_pods("old")),
        (ORDERED, [a_pod("db-0", "old", is_ready=False, is_terminating=True)]),
    ],
    ids=["a new pod", "parallel", "it is being deleted"],
)
def test_a_stateful_set_that_waits_for_a_new_pod(details: RolloutDetails, pods: list[PodState]) -> None:
    """It proceeds by itself when that is ready."""
    found = update(BEGUN, a_state(details=details, kind=STATEFUL_SET), pods=pods)

    assert not found.is_blocked
    assert "pod/db-0" in found.cause


def test_what_a_rollout_waits_for() -> None:
    """The controller's words, the pods by name, and the numbers."""
    details = replace(with_counts(2, 4, 3), message="exceeded quota: pods")
    pods = [a_pod("web-1"), *(a_pod(f"web-{number}", is_ready=False) for number in range(2, 7))]

    assert update(BEGUN, a_state(details=details), pods=pods).cause == (
        "exceeded quota: pods; pod/web-2 is not ready (CrashLoopBackOff), pod/web-3 is not ready "
        "(CrashLoopBackOff), pod/web-4 is not ready (CrashLoopBackOff) and 2 more; 2 of 4 pods are updated, "
        "3 are available"
    )


@pytest.mark.parametrize(
    ("state", "now", "is_needed"),
    [
        (None, at(60), False),
        (a_state(COMPLETE), at(60), False),
        (held_state(), at(60), False),
        (a_state(), at(1), False),
        (a_state(), at(5), True),
        (a_state(FAILED), at(60), True),
        (a_state(COMPLETE, seq=2), at(1), True),
        (replace(a_state(), selector=""), at(60), False),
    ],
)
def test_when_pods_are_read(state: WorkloadState | None, now: datetime, *, is_needed: bool) -> None:
    """When the rollout does not move, and its pods can be found."""
    assert needs_pods(BEGUN, state, TRACKED, now) is is_needed
