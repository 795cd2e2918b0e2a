"""What concerns which workload, found in steps: there may be many of them, with many key patterns each."""

from collections.abc import Iterable
from dataclasses import dataclass

from infisical_events.core.interruptible import Steps
from infisical_events.core.ledger.ledger import Claim
from infisical_events.core.restarts.workloads import Workload, narrowing_of
from infisical_events.core.snapshots.changes import Change
from infisical_events.core.snapshots.selectors import select, selecting


@dataclass(frozen=True, slots=True)
class Selected:
    """What the spec selects of an observation: changes seen, and claims believed unseen."""

    changes: tuple[Change, ...]
    claims: tuple[Claim, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything at all."""
        return bool(self.changes or self.claims)


@dataclass(frozen=True, slots=True)
class Concern:
    """A workload, and what of the selected its annotations let through."""

    workload: Workload
    selected: Selected


def concerned(
    subscription: str, selected: Selected, workloads: Iterable[Workload]
) -> Steps[tuple[Concern, ...]]:
    """The workloads of a subscription that something concerns."""
    concerns = []
    for workload in workloads:
        if not workload.is_subscribed_to(subscription):
            continue
        selector = narrowing_of(workload).selector
        changes = (yield from selecting((selector,), selected.changes)).selected
        claims = tuple(claim for claim in selected.claims if select((selector,), (claim.change,)).selected)
        if mine := Selected(changes, claims):
            concerns.append(Concern(workload, mine))
        yield
    return tuple(concerns)
