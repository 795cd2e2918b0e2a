"""The end of a rollout: available, failed, or replaced by another change of the pod template."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from infisical_events.api import annotations
from infisical_events.api.resources import Restarting
from infisical_events.api.specs import OnFailure
from infisical_events.core.ledger.ledger import Rollout
from infisical_events.core.ledger.revisions import is_revision_at_least
from infisical_events.core.restarts.restart_records import is_restarted
from infisical_events.core.restarts.workload_state import RolloutProgress, WorkloadState
from infisical_events.core.status.reasons import Reason

DEADLINE = timedelta(minutes=10)
"""After this a rollout has failed: a Deployment's own default; other kinds have no deadline."""


@dataclass(frozen=True, slots=True)
class RolloutUpdate:
    """A rollout as of now.

    Attributes:
        rollout: The rollout, marked as failed if it is.
        result: What has just happened to it; None when nothing has.
        is_kept: Whether it stays in the ledger: it is in progress, or it failed and halts others.
    """

    rollout: Rollout
    result: Reason | None = None
    is_kept: bool = True

    @property
    def is_in_progress(self) -> bool:
        """Whether it counts among the rollouts at a time."""
        return self.is_kept and not self.rollout.has_failed


@dataclass(frozen=True, slots=True)
class TrackedRevision:
    """By what the rollouts of one subscription are recognised: its name and the ledger's epoch."""

    subscription: str
    epoch: str


def rollout_update(
    rollout: Rollout,
    state: WorkloadState | None,
    tracked: TrackedRevision,
    on_failure: OnFailure,
    now: datetime,
) -> RolloutUpdate:
    """What has become of a rollout; `state` is its workload, None if that is gone."""
    end = _end(rollout, state, tracked)
    if end is not None or state is None:
        return RolloutUpdate(rollout, end, is_kept=False)
    is_halting = on_failure is OnFailure.HALT
    if rollout.has_failed:
        return RolloutUpdate(rollout, is_kept=is_halting)
    if state.progress is RolloutProgress.FAILED or now > rollout.begun_at + DEADLINE:
        return RolloutUpdate(replace(rollout, has_failed=True), Reason.ROLLOUT_FAILED, is_kept=is_halting)
    return RolloutUpdate(rollout)


def _end(rollout: Rollout, state: WorkloadState | None, tracked: TrackedRevision) -> Reason | None:
    """How the rollout ended, if it did; a failed one may still complete."""
    if state is None or state.workload.uid != rollout.uid:
        return Reason.WORKLOAD_GONE
    if not _has_revision(state, rollout, tracked):
        return Reason.ROLLOUT_SUPERSEDED
    if state.obstacle is not None or state.progress is not RolloutProgress.COMPLETE:
        return state.obstacle
    return Reason.ROLLOUT_RESUMED if rollout.has_failed else Reason.ROLLED_OUT


def _has_revision(state: WorkloadState, rollout: Rollout, tracked: TrackedRevision) -> bool:
    """Whether the pods that roll out are those of the restart."""
    if state.workload.kind.restarting is not Restarting.BY_TEMPLATE:
        return is_restarted(state.workload, tracked.subscription, tracked.epoch, rollout.seq)
    revision = state.template_annotations.get(annotations.revision_key(tracked.subscription), "")
    return is_revision_at_least(revision, tracked.epoch, rollout.seq)
