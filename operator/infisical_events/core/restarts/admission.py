"""Rollout admission: which restarts may be made now, by wave, by concurrency and after a failure."""

from collections.abc import Iterable
from dataclasses import dataclass

from infisical_events.api.specs import OnFailure, Order
from infisical_events.api.specs import Rollout as RolloutSpec
from infisical_events.core.ledger.ledger import Rollout
from infisical_events.core.restarts.decision_kinds import Defer, RequestSync, Restart, RestartDecision
from infisical_events.core.status.reasons import Reason

_NOT_WAITING = {
    Reason.PAUSED,
    Reason.RESYNC_TIMED_OUT,
    Reason.SECRET_REJECTED,
    Reason.WORKLOAD_GONE,
    Reason.WORKLOADS_NOT_LISTED,
}
"""Reasons for a deferral that may last without an end: such a workload holds up no other."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A workload in the order of restarts: ready, or soon to be."""

    uid: str
    name: str
    wave: int
    is_ready: bool = True


def candidates(decisions: Iterable[RestartDecision]) -> list[Candidate]:
    """The workloads that take part in the order; a deferral without an end blocks no other workload."""
    return [
        Candidate(
            decision.pending.uid,
            decision.pending.name,
            decision.workload.wave if decision.workload else 0,
            is_ready=isinstance(decision, Restart),
        )
        for decision in decisions
        if isinstance(decision, Restart) or is_waiting(decision)
    ]


def is_waiting(decision: RestartDecision) -> bool:
    """Whether the workload has a place in the order of restarts although it is not ready."""
    if decision.pending.is_watch:
        return False
    return isinstance(decision, RequestSync) or (
        isinstance(decision, Defer) and decision.reason not in _NOT_WAITING
    )


def admit(
    due: Iterable[Candidate], rollouts: Iterable[Rollout], rules: RolloutSpec
) -> dict[str, Reason | None]:
    """By uid, in the order of the restarts: None if the restart may be made now, or why not.

    A failed rollout halts all others, but not its own workload, whose next restart may repair it. With
    waves, nothing starts while anything of an earlier wave is waiting or rolling out. A rollout that failed
    or that its spec holds takes no place, unless its pods still move.
    """
    waiting = sorted(due, key=lambda entry: (entry.wave, entry.name, entry.uid))
    begun = list(rollouts)
    failed = {rollout.uid for rollout in begun if rollout.has_failed}
    rolling = {rollout.uid: rollout.wave for rollout in begun if rollout.is_rolling}
    first = min([*rolling.values(), *(entry.wave for entry in waiting)], default=0)
    answers: dict[str, Reason | None] = {}
    for entry in waiting:
        reason = None
        if failed and rules.on_failure is OnFailure.HALT and entry.uid not in failed:
            reason = Reason.ROLLOUT_HALTED
        elif rules.order is Order.BY_WAVE and entry.wave > first:
            reason = Reason.WAITING_FOR_WAVE
        elif rules.max_concurrent and len(rolling.keys() - {entry.uid}) >= rules.max_concurrent:
            reason = Reason.WAITING_FOR_ROLLOUTS
        elif entry.is_ready:
            rolling[entry.uid] = entry.wave
        answers[entry.uid] = reason
    return answers
