"""What became of one pending restart in one round: the decision, and how carrying it out ended."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from infisical_events.core.ledger.ledger import Ledger, PendingRestart, Unconfirmed
from infisical_events.core.restarts.decision_kinds import (
    Defer,
    RecordCoverage,
    RequestSync,
    Resolve,
    RestartDecision,
)
from infisical_events.core.restarts.decisions import rollout_of
from infisical_events.core.restarts.planner import add_reverted, remove_done, requeue_unconfirmed
from infisical_events.core.restarts.rollouts import RolloutUpdate
from infisical_events.core.snapshots.changes import summarize
from infisical_events.core.status.reason_hints import hint_for
from infisical_events.core.status.reasons import Reason
from infisical_events.core.workloads.rollout_progress import OBSTACLES

_STARTED = {Reason.RESTARTED, Reason.ALREADY_RESTARTED, Reason.RESTART_REVERTED}


@dataclass(frozen=True, slots=True)
class RestartOutcome:
    """One decision, carried out.

    Attributes:
        decision: What was decided.
        made: The result of a patch that restarts: `Restarted`, an obstacle, `RestartFailed`, or
            `RestartReverted` if the API server accepted the patch without its revision.
        error_message: The API server's message where a patch failed.
        is_conflict: Whether the workload was modified after it was read; it is read again.
        is_unanswered: Whether the patch may have been applied although no response came.
    """

    decision: RestartDecision
    made: Reason | None = None
    error_message: str = ""
    is_conflict: bool = False
    is_unanswered: bool = False

    @property
    def pending(self) -> PendingRestart:
        """The pending restart."""
        return self.decision.pending

    @property
    def result(self) -> Reason:
        """What was done, or why nothing was."""
        if self.made is not None:
            return self.made
        if isinstance(self.decision, Defer | Resolve):
            return self.decision.reason
        return Reason.COVERED_BY_ROLLOUT if isinstance(self.decision, RecordCoverage) else Reason.RESYNCING

    @property
    def reported_reason(self) -> Reason:
        """The result for people: a restart record proves a restart whose response was lost."""
        return Reason.RESTARTED if self.result is Reason.ALREADY_RESTARTED else self.result

    @property
    def is_pending(self) -> bool:
        """Whether the restart stays pending."""
        return self.result is Reason.RESTART_FAILED or isinstance(self.decision, Defer | RequestSync)

    @property
    def has_started_rollout(self) -> bool:
        """Whether a rollout of this restart has to be tracked from now on."""
        return self.is_held or self.result in _STARTED

    @property
    def is_held(self) -> bool:
        """Whether the workload was patched, and its spec keeps the old template on all pods."""
        return self.made in OBSTACLES

    @property
    def unconfirmed(self) -> Unconfirmed | None:
        """Why the pods may have started with older content, if that can be corrected later."""
        if self.is_pending:
            return None
        if isinstance(self.decision, Resolve) and self.decision.unconfirmed:
            return self.decision.unconfirmed
        is_started = self.made is not None or isinstance(self.decision, RecordCoverage)
        is_unchanged = self.result is Reason.NO_DATA_CHANGE and not self.pending.is_confirmation_only
        return self.decision.sync.unconfirmed if is_started or is_unchanged else None

    @property
    def is_confirmation_only(self) -> bool:
        """Whether the pods most likely have the newest content, and a provider is only watched."""
        is_watching = self.result in {Reason.RESYNCING, Reason.RESYNC_TIMED_OUT}
        return self.pending.is_confirmation_only and is_watching

    @property
    def is_undecided(self) -> bool:
        """Whether the next round has to find out what became of the patch."""
        return self.is_conflict or self.is_unanswered

    @property
    def until(self) -> datetime | None:
        """When the restart may be made, if that is known."""
        return self.decision.until if isinstance(self.decision, Defer) else None

    @property
    def cause(self) -> str:
        """What changed, for people."""
        if self.pending.is_requested:
            return "requested by restart-at"
        return summarize(self.pending.changes) or "content from before the baseline"

    @property
    def note(self) -> str:
        """What people should know besides the result."""
        state = self.decision.state
        kept = state.obstacle_text if state and self.made else ""
        return self.error_message or kept or self.decision.note or hint_for(self.result)


def next_ledger(
    ledger: Ledger, updates: Iterable[RolloutUpdate], outcomes: Iterable[RestartOutcome], now: datetime
) -> Ledger:
    """The ledger without the pending restarts that are done, and with their rollouts instead."""
    outcomes, updates = tuple(outcomes), tuple(updates)
    remaining = remove_done(ledger, (each.pending for each in outcomes if not each.is_pending))
    rollouts = {update.rollout.uid: update.rollout for update in updates if update.is_kept}
    for outcome in outcomes:
        if outcome.has_started_rollout:
            begun = rollout_of(outcome.decision, now)
            is_reverted = outcome.result is Reason.RESTART_REVERTED
            rollouts[outcome.pending.uid] = replace(
                begun,
                is_held=outcome.is_held,
                reverts=begun.reverts + is_reverted,
                reverted_at=now if is_reverted else None,
            )
    kept = tuple(rollouts.values())
    written = remaining if kept == remaining.rollouts else replace(remaining, rollouts=kept)
    written = add_reverted(written, (each.rollout for each in updates if each.is_repeated), now)
    unconfirmed = {each.pending: why for each in outcomes if (why := each.unconfirmed)}
    return requeue_unconfirmed(written, unconfirmed, now)
