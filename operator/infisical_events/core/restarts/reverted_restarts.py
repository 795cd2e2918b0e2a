"""Restarts that another client takes back: an owning operator, a rollback, an admission policy.

The revision is gone from the pod template then. What counts is the pods: if none of them is older than the
restart, it is done, whatever the template says. Otherwise it is made again, a few times and with growing
pauses, unless a person rolled the workload back: that is never fought.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from infisical_events.api import annotations
from infisical_events.api.specs import OnReverted
from infisical_events.core.ledger.ledger import Rollout
from infisical_events.core.status.text import counted
from infisical_events.core.workloads.pod_states import PodState
from infisical_events.core.workloads.workload_state import WorkloadState

_PAUSES = (timedelta(seconds=30), timedelta(minutes=5), timedelta(minutes=20))
"""Pauses before the restart is made again: 4 patches for one change at most, never 5 within an hour."""


@dataclass(frozen=True, slots=True)
class RevertedRestart:
    """A restart that was taken back, and the pods that it did not replace.

    Attributes:
        manager: The field manager that wrote the pod template last; empty if the API server has none.
        old_pods: The pods that are older than the restart; None if the pods are not known.
        total: How many pods there are.
        is_rolled_back: Whether the template has an older revision of this operator: a person's rollback.
        on_reverted: What the spec asks for.
    """

    manager: str
    old_pods: tuple[PodState, ...] | None
    total: int
    is_rolled_back: bool
    on_reverted: OnReverted

    @property
    def is_done(self) -> bool:
        """Whether all pods are as new as the restart would have made them."""
        return self.old_pods == ()

    def retry_at(self, rollout: Rollout) -> datetime | None:
        """When the restart is made again; None if it is not."""
        if self.is_rolled_back or self.on_reverted is OnReverted.DELETE_PODS or rollout.reverted_at is None:
            return None
        pauses = dict(enumerate(_PAUSES, start=1))
        pause = pauses.get(rollout.reverts)
        return None if pause is None else rollout.reverted_at + pause

    def cause(self, rollout: Rollout) -> str:
        """Who took it back, which pods are old, and what follows."""
        who = f"field manager {self.manager} wrote" if self.manager else "another client wrote"
        return f"{who} the pod template after the restart; {self._pods_text()}; {self._next_text(rollout)}"

    def _pods_text(self) -> str:
        if self.old_pods is None:
            return "its pods may have the old secrets"
        return f"{len(self.old_pods)} of {counted(self.total, 'pod')} started before it"

    def _next_text(self, rollout: Rollout) -> str:
        if self.on_reverted is OnReverted.DELETE_PODS:
            return "these pods are evicted one by one"
        if self.is_rolled_back:
            return "a rollback is not undone: restart the workload when it may have the new secrets"
        if self.retry_at(rollout):
            return f"the restart is made again (attempt {rollout.reverts + 1} of {len(_PAUSES) + 1})"
        return (
            "the restart is not made again: let that client keep the annotation "
            "events.infisical.com/revision-NAME of the pod template, or delete the old pods"
        )


def reverted_restart(
    rollout: Rollout,
    state: WorkloadState,
    pods: Sequence[PodState] | None,
    subscription: str,
    on_reverted: OnReverted,
) -> RevertedRestart:
    """What a template without the revision of the restart means; `pods` is None if they are not known."""
    living = None if pods is None else tuple(pod for pod in pods if not pod.is_terminating)
    begun_at = (state.patched_at or rollout.begun_at).replace(microsecond=0)
    found = state.template_annotations.get(annotations.revision_key(subscription), "")
    return RevertedRestart(
        manager=state.template_manager,
        old_pods=None if living is None else _older(living, begun_at),
        total=len(living or ()),
        is_rolled_back=bool(found),
        on_reverted=on_reverted,
    )


def _older(pods: Iterable[PodState], moment: datetime) -> tuple[PodState, ...]:
    """The pods from before a moment; the API server's times are whole seconds."""
    return tuple(pod for pod in pods if pod.created_at < moment)
