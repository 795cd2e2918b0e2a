"""The end of a rollout, by plain values."""

from dataclasses import replace
from datetime import timedelta

import pytest

from infisical_events.api.specs import OnFailure
from infisical_events.core.ledger.ledger import Rollout
from infisical_events.core.restarts.rollouts import (
    DEADLINE,
    RolloutUpdate,
    TrackedRevision,
    rollout_update,
)
from infisical_events.core.restarts.workload_state import RolloutProgress, WorkloadState
from infisical_events.core.status.reasons import Reason
from support.builders import START, a_workload

TRACKED = TrackedRevision("payments", "epoch")
ROLLOUT = Rollout("uid-of-web", "Deployment", "web", 3, START)
FAILED = replace(ROLLOUT, has_failed=True)


def a_state(progress: RolloutProgress = RolloutProgress.UNDER_WAY, seq: int = 3) -> WorkloadState:
    """The workload with the revision of a restart in its pod template."""
    revision = {"events.infisical.com/revision-payments": f"epoch.{seq}"}
    return WorkloadState(a_workload(), progress=progress, template_annotations=revision)


def update(
    rollout: Rollout,
    state: WorkloadState | None,
    on_failure: OnFailure = OnFailure.CONTINUE,
    after: timedelta = timedelta(seconds=10),
) -> RolloutUpdate:
    """What has become of it some time after it began."""
    return rollout_update(rollout, state, TRACKED, on_failure, START + after)


def test_in_progress() -> None:
    """Nothing has happened yet."""
    found = update(ROLLOUT, a_state())

    assert (found, found.is_in_progress) == (RolloutUpdate(ROLLOUT), True)


@pytest.mark.parametrize(
    ("state", "end"),
    [
        (None, Reason.WORKLOAD_GONE),
        (replace(a_state(), workload=replace(a_workload(), uid="another")), Reason.WORKLOAD_GONE),
        (a_state(seq=2), Reason.ROLLOUT_SUPERSEDED),
        (a_state(RolloutProgress.COMPLETE), Reason.ROLLED_OUT),
        (a_state(RolloutProgress.COMPLETE, seq=4), Reason.ROLLED_OUT),
        (replace(a_state(), obstacle=Reason.ROLLOUT_PAUSED), Reason.ROLLOUT_PAUSED),
    ],
)
def test_ends(state: WorkloadState | None, end: Reason) -> None:
    """The rollout leaves the ledger with its result."""
    assert update(ROLLOUT, state) == RolloutUpdate(ROLLOUT, end, is_kept=False)


@pytest.mark.parametrize(("on_failure", "is_kept"), [(OnFailure.HALT, True), (OnFailure.CONTINUE, False)])
@pytest.mark.parametrize(
    ("progress", "after"),
    [
        (RolloutProgress.FAILED, timedelta(seconds=10)),
        (RolloutProgress.UNDER_WAY, DEADLINE + timedelta(seconds=1)),
    ],
)
def test_failures(
    progress: RolloutProgress,
    after: timedelta,
    on_failure: OnFailure,
    is_kept: bool,  # noqa: FBT001
) -> None:
    """By the controller's word or by the deadline; it is kept for as long as it halts others."""
    found = update(ROLLOUT, a_state(progress), on_failure, after)

    assert found == RolloutUpdate(FAILED, Reason.ROLLOUT_FAILED, is_kept=is_kept)
    assert not found.is_in_progress


def test_a_failed_rollout_is_reported_once() -> None:
    """It goes on halting others."""
    assert update(FAILED, a_state(RolloutProgress.FAILED), OnFailure.HALT) == RolloutUpdate(FAILED)


def test_a_failed_rollout_that_completes() -> None:
    """The others go on."""
    found = update(FAILED, a_state(RolloutProgress.COMPLETE), OnFailure.HALT)

    assert found == RolloutUpdate(FAILED, Reason.ROLLOUT_RESUMED, is_kept=False)


def test_the_deadline_itself() -> None:
    """Exactly at the deadline there is still time."""
    assert update(ROLLOUT, a_state(), after=DEADLINE) == RolloutUpdate(ROLLOUT)
