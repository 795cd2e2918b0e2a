"""What is believed about Infisical and what is owed to each workload: the memory in `status.ledger`.

It is written by compare-and-swap before anything is done for it, so that a crash at any line, a
retry, a duplicate event or a second replica finds what it needs. `docs/ledger.md` tells the protocol,
`encoding` writes it as JSON.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from infisical_events.api.specs import EventType, Grade
from infisical_events.core.ledger.acceptance import AcceptedState
from infisical_events.core.paths.folders import Folder
from infisical_events.core.paths.scopes import Scope
from infisical_events.core.snapshots.changes import ANY_KEY, Change
from infisical_events.core.snapshots.snapshots import Partition, PartitionState

_SKEW = timedelta(seconds=10)
"""By how much the clocks of two machines may differ without anybody having to mind."""


@dataclass(frozen=True, slots=True)
class Header:
    """What the belief is about, and by which means it was had.

    `key_id` names the key of the values' digests; empty where values are not read.
    """

    project_id: str
    address: str
    grade: Grade
    key_id: str = ""

    def is_about_same(self, other: "Header") -> bool:
        """Whether a belief under this header is worth something under the other one."""
        return (self.project_id, self.address) == (other.project_id, other.address)


class Unconfirmed(StrEnum):
    """Why pods may have begun with content that is not the newest."""

    PROVIDER_TIMED_OUT = "Stale"
    """A source had not answered in time."""
    PROVIDER_SILENT = "Early"
    """A source that never answers had another content, perhaps an older change's."""


@dataclass(frozen=True, slots=True)
class PendingRestart:
    """What one workload (by uid) is owed: a restart for `changes`, seen first at `since`.

    `is_requested` tells that a person wants it whatever has changed. With a `doubt` it was restarted for
    them with content that may not have been the newest, and is owed another one if that changes.
    """

    uid: str
    kind: str
    name: str
    seq: int
    since: datetime
    changes: tuple[Change, ...]
    is_requested: bool = False
    unconfirmed: Unconfirmed | None = None

    @property
    def is_confirmation_only(self) -> bool:
        """Whether its pods most likely have all: nobody is asked again, and a person need not know."""
        return self.unconfirmed is Unconfirmed.PROVIDER_SILENT


@dataclass(frozen=True, slots=True)
class Rollout:
    """A restart that was made and is followed to its end; one that failed stays while it halts others."""

    uid: str
    kind: str
    name: str
    seq: int
    begun_at: datetime
    wave: int = 0
    has_failed: bool = False


@dataclass(frozen=True, slots=True)
class UnmatchedImportEvent:
    """An import mutation that was heard and not seen yet."""

    folder: Folder
    received_at: datetime

    @property
    def change(self) -> Change:
        """What is owed when it is never seen: anything in that folder may have changed."""
        return Change(Scope(self.folder), ANY_KEY, frozenset({EventType.IMPORT_MUTATION}))


@dataclass(frozen=True, slots=True)
class UnmatchedImportChange:
    """An import mutation that was seen before it was heard: the event to come is paid for."""

    scope: Scope
    until: datetime


@dataclass(frozen=True, slots=True)
class RecentlyRemoved:
    """What was believed of a part when it left the scope: a read that lags may be older than that."""

    accepted: AcceptedState
    left_at: datetime


@dataclass(frozen=True, slots=True)
class Ledger:
    """The whole memory of one subscription.

    `epoch` is random, one per baseline: a recreated subscription must not meet its namesake's
    stamps. `seq` rises with each write that adds debts. Debts become rollouts in the write that clears
    them.
    """

    header: Header
    epoch: str
    seq: int
    baselined_at: datetime
    scopes: tuple[Scope, ...]
    accepted: Mapping[Partition, AcceptedState]
    pending: tuple[PendingRestart, ...] = ()
    unmatched_events: tuple[UnmatchedImportEvent, ...] = ()
    unmatched_changes: tuple[UnmatchedImportChange, ...] = ()
    recently_removed: Mapping[Partition, RecentlyRemoved] = field(default_factory=dict)
    rollouts: tuple[Rollout, ...] = ()
    content_fingerprints: Mapping[str, str] = field(default_factory=dict)
    """What the content of Secrets was, by their names, before the baseline was taken."""
    restart_at: str = ""
    resume_at: str = ""
    """What people asked for and was taken up, by the annotations' values."""

    def accepted_for(self, partition: Partition) -> AcceptedState:
        """What is believed of a part; of one that was never seen, that it was not there."""
        absent = AcceptedState(PartitionState.of({}), self.baselined_at)
        return self.accepted.get(partition, absent)


def without_future_times(ledger: Ledger, now: datetime) -> Ledger:
    """The ledger without moments that are yet to come: a clock was ahead, or somebody edited them.

    They would hide changes until time caught up. A debt's `since` stays: it is never before the
    workload's newest restart, and would otherwise count as covered by it.
    """
    moments = [ledger.baselined_at, *(held.accepted_at for held in ledger.accepted.values())]
    moments += [import_event.received_at for import_event in ledger.unmatched_events]
    if max(moments) <= now + _SKEW:
        return ledger
    return replace(
        ledger,
        baselined_at=min(ledger.baselined_at, now),
        accepted={
            partition: replace(held, accepted_at=min(held.accepted_at, now))
            for partition, held in ledger.accepted.items()
        },
        unmatched_events=tuple(
            replace(import_event, received_at=min(import_event.received_at, now))
            for import_event in ledger.unmatched_events
        ),
        unmatched_changes=(),
        recently_removed={},
    )


def with_header(ledger: Ledger, header: Header) -> Ledger:
    """The ledger under a header about the same project, read by other means from now on.

    Digests of values are comparable under one key only; ids and versions go on as they are.
    """
    if header.key_id == ledger.header.key_id:
        return ledger if header == ledger.header else replace(ledger, header=header)
    accepted = {
        partition: replace(held, state=held.state.without_digests())
        for partition, held in ledger.accepted.items()
    }
    return replace(ledger, header=header, accepted=accepted, recently_removed={})
