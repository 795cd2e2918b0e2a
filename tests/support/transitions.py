"""Steps of the ledger of the folder `/a`, as tests write them."""

from infisical_events.core.ledger.acceptance import MAX_READ_LAG, ReceivedEvent
from infisical_events.core.ledger.event_correlation import (
    UNMATCHED_CHANGE_LIFETIME,
    UNMATCHED_EVENT_WAIT,
)
from infisical_events.core.ledger.ledger import Ledger, UnmatchedImportEvent
from infisical_events.core.ledger.transitions import (
    EVENT_WAIT,
    AppliedSnapshots,
    apply_snapshot,
)
from infisical_events.core.paths.scopes import Scope
from infisical_events.core.snapshots.snapshots import Partition, PartitionState, Snapshot
from support.builders import (
    IMPORT,
    a_folder,
    a_ledger,
    a_partition,
    a_snapshot,
    an_accepted_state,
    an_event,
    at,
)

OWN, IMPORTED = a_partition("/a"), a_partition("/a", source="/shared")
HORIZON_SECONDS = MAX_READ_LAG.total_seconds()
PATIENCE_SECONDS = EVENT_WAIT.total_seconds()
CLAIM_SECONDS = UNMATCHED_EVENT_WAIT.total_seconds()
CREDIT_SECONDS = UNMATCHED_CHANGE_LIFETIME.total_seconds()

MUTATION = an_event(IMPORT, "/a")
CLAIM = UnmatchedImportEvent(a_folder("/a"), at(0))


def read_result(seconds: float, partitions: dict[Partition, PartitionState], *scopes: Scope) -> Snapshot:
    """A read that ended at a moment."""
    return a_snapshot(partitions, scopes=scopes, seconds=seconds)


def applied(ledger: Ledger, snapshot: Snapshot, *told: ReceivedEvent) -> AppliedSnapshots:
    """The ledger after a snapshot that was applied when it ended."""
    return apply_snapshot(ledger, snapshot, told, snapshot.finished)


def accepting(**states: PartitionState) -> Ledger:
    """A ledger of the folder `/a` with its `own` secrets, what it `imported`, or both accepted."""
    partitions = {"own": OWN, "imported": IMPORTED}
    return a_ledger({partitions[name]: an_accepted_state(state) for name, state in states.items()})
