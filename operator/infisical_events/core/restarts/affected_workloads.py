"""Which changes affect which workload, in steps: both may be many, with many key patterns each."""

from collections.abc import Iterable
from dataclasses import dataclass

from infisical_events.core.interruptible import Interruptible
from infisical_events.core.ledger.ledger import UnmatchedImportEvent
from infisical_events.core.snapshots.changes import Change
from infisical_events.core.snapshots.selectors import select, select_in_steps
from infisical_events.core.workloads.workloads import Workload, workload_filter_of


@dataclass(frozen=True, slots=True)
class MatchedChanges:
    """What the spec selects: changes, and import events whose change never showed."""

    changes: tuple[Change, ...]
    import_events: tuple[UnmatchedImportEvent, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything matched."""
        return bool(self.changes or self.import_events)


@dataclass(frozen=True, slots=True)
class AffectedWorkload:
    """A workload, and the matched changes that its annotations let through."""

    workload: Workload
    matched: MatchedChanges


def affected_workloads(
    subscription: str, selected: MatchedChanges, workloads: Iterable[Workload]
) -> Interruptible[tuple[AffectedWorkload, ...]]:
    """The workloads of a subscription that the matched changes affect."""
    all_affected = []
    for workload in workloads:
        if not workload.is_subscribed_to(subscription):
            continue
        selector = workload_filter_of(workload).selector
        changes = (yield from select_in_steps((selector,), selected.changes)).selected
        import_events = tuple(
            import_event
            for import_event in selected.import_events
            if select((selector,), (import_event.change,)).selected
        )
        if mine := MatchedChanges(changes, import_events):
            all_affected.append(AffectedWorkload(workload, mine))
        yield
    return tuple(all_affected)
