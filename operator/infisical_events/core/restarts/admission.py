"""Which of the workloads that are due may be restarted now: order, concurrency, a halt after a failure."""

from collections.abc import Iterable
from dataclasses import dataclass

from infisical_events.api.specs import OnFailure, Order
from infisical_events.api.specs import Rollout as RolloutSpec
from infisical_events.core.ledger.ledger import Rollout
from infisical_events.core.restarts.decisions import Restart, RestartDecision, is_waiting
from infisical_events.core.status.reasons import Reason


@dataclass(frozen=True, slots=True)
class Candidate:
    """One workload that is owed a restart: ready for it, or soon."""

    uid: str
    name: str
    wave: int
    is_ready: bool = True


def candidates(decisions: Iterable[RestartDecision]) -> list[Candidate]:
    """The workloads with a place in the order of restarts; a deferral without an end holds up no other."""
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


def admit(
    due: Iterable[Candidate], rollouts: Iterable[Rollout], rules: RolloutSpec
) -> dict[str, Reason | None]:
    """By uid, in the order in which they are to be restarted: None if it may be now, or why not.

    A rollout that failed halts all others, but not its own workload: its next restart may mend it. In waves
    nothing begins while anything of an earlier wave is due or rolling out.
    """
    waiting = sorted(due, key=lambda entry: (entry.wave, entry.name, entry.uid))
    begun = list(rollouts)
    failed = {rollout.uid for rollout in begun if rollout.has_failed}
    rolling = {rollout.uid: rollout.wave for rollout in begun if not rollout.has_failed}
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
