"""The ledger in `status.ledger`: the accepted state of Infisical and the pending restarts of workloads.

It is written by compare-and-swap before any restart, so that after a crash at any line, a retry, a duplicate
event or a change of replica the operator continues from it. `docs/ledger.md` describes the protocol, `codec`
the JSON.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from infisical_events.api.specs import EventType, Grade
from infisical_events.core.ledger.acceptance import AcceptedState
from infisical_events.core.paths.scopes import Folder, Scope
from infisical_events.core.snapshots.changes import ANY_KEY, Change
from infisical_events.core.snapshots.snapshots import ABSENT, Partition

CLOCK_SKEW = timedelta(seconds=10)
"""The tolerated difference between the clocks of two machines: a time further ahead of now proves nothing."""

_SEQ = re.compile(r"[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class Header:
    """The project that the accepted state is about, and the observation mode in which it was read.

    `key_id` identifies the key of value digests; empty if values are not read.
    """

    project_id: str
    address: str
    grade: Grade
    key_id: str = ""

    def is_about_same(self, other: "Header") -> bool:
        """Whether an accepted state under this header is usable under the other one."""
        return (self.project_id, self.address) == (other.project_id, other.address)


class Unconfirmed(StrEnum):
    """Why pods may have started with outdated content."""

    PROVIDER_TIMED_OUT = "Stale"
    """A provider did not report a sync in time."""
    PROVIDER_SILENT = "Early"
    """The Secret of a provider that never reports syncs had changed, perhaps by an earlier change."""


@dataclass(frozen=True, slots=True)
class PendingRestart:
    """A pending restart of one workload (by uid) for `changes`, of which the newest was found at `since`.

    Without changes it is for whatever happened before the baseline.

    `is_requested` marks a restart that a user requested, whatever has changed. With `unconfirmed`, the
    workload was restarted with content that may be outdated, and is restarted again if that content changes.
    `not_covered_until` is the time of the workload's newest restart if that was recorded by a clock ahead of
    `since`: it covers nothing. `reverts` is how often another client took the restart back: it is made again
    whatever the content is, and watched afterwards if it has `unconfirmed`.
    """

    uid: str
    kind: str
    name: str
    seq: int
    since: datetime
    changes: tuple[Change, ...]
    is_requested: bool = False
    unconfirmed: Unconfirmed | None = None
    not_covered_until: datetime | None = None
    reverts: int = 0

    @property
    def covered_after(self) -> datetime:
        """Only a restart after this time covers the pending one."""
        return max(self.since, self.not_covered_until or self.since)

    @property
    def is_watch(self) -> bool:
        """Whether the restart was made, and is made again only if the content changes."""
        return self.unconfirmed is not None and not self.reverts

    @property
    def is_confirmation_only(self) -> bool:
        """Whether it only waits for a late update: its pods most likely have the newest content."""
        return self.is_watch and self.unconfirmed is Unconfirmed.PROVIDER_SILENT


@dataclass(frozen=True, slots=True)
class Rollout:
    """A rollout that is tracked until all pods are new, also after it failed.

    Attributes:
        progressed_at: When pods were last replaced or became available, since it began, failed or went on;
            None before the first time.
        mark: How far it was then: pods replaced, and pods available.
        unavailable: How many pods were not available before the restart.
        was_failed: Whether an Argo Rollout was degraded before the restart, and still is.
        is_held: Whether the spec of the workload keeps the old template on pods, so that nothing moves.
        changes: What it is made for: it is pending again if another client takes it back.
        is_requested: Whether a user requested it.
        reverts: How often another client took it back.
        reverted_at: When that was found the last time; None if it has the template that it was made with.
    """

    uid: str
    kind: str
    name: str
    seq: int
    begun_at: datetime
    wave: int = 0
    has_failed: bool = False
    progressed_at: datetime | None = None
    mark: tuple[int, int] | None = None
    unavailable: int = 0
    was_failed: bool = False
    is_held: bool = False
    changes: tuple[Change, ...] = ()
    is_requested: bool = False
    reverts: int = 0
    reverted_at: datetime | None = None

    @property
    def is_rolling(self) -> bool:
        """Whether it counts among the rollouts at a time: one that failed does while pods still move."""
        is_stopped = self.is_held or self.reverted_at is not None
        return not is_stopped and (not self.has_failed or self.progressed_at is not None)


@dataclass(frozen=True, slots=True)
class UnlistedKind:
    """Changes that may affect workloads of a kind which could not be listed when they were found."""

    kind: str
    since: datetime
    changes: tuple[Change, ...]
    is_requested: bool = False


@dataclass(frozen=True, slots=True)
class UnmatchedImportEvent:
    """A received import event whose change is not visible yet."""

    folder: Folder
    received_at: datetime

    @property
    def change(self) -> Change:
        """The change that it counts as without a visible one: any key of the folder may have changed."""
        return Change(Scope(self.folder), ANY_KEY, frozenset({EventType.IMPORT_MUTATION}))


@dataclass(frozen=True, slots=True)
class UnmatchedImportChange:
    """A visible import change whose event is still to come, and causes no second restart."""

    scope: Scope
    until: datetime


@dataclass(frozen=True, slots=True)
class RecentlyRemoved:
    """The accepted state of a partition that left the scope: a stale read may be older than it."""

    accepted: AcceptedState
    left_at: datetime


@dataclass(frozen=True, slots=True)
class Ledger:
    """The whole stored state of one subscription.

    `epoch` is random and new with each baseline: a recreated subscription must not accept the revisions of
    its predecessor of the same name. `seq` rises with each write that adds pending restarts. A pending
    restart becomes a rollout in the write that removes it.
    """

    header: Header
    epoch: str
    seq: int
    baselined_at: datetime
    scopes: tuple[Scope, ...]
    accepted: Mapping[Partition, AcceptedState]
    pending: tuple[PendingRestart, ...] = ()
    unlisted: tuple[UnlistedKind, ...] = ()
    unmatched_events: tuple[UnmatchedImportEvent, ...] = ()
    unmatched_changes: tuple[UnmatchedImportChange, ...] = ()
    recently_removed: Mapping[Partition, RecentlyRemoved] = field(default_factory=dict)
    rollouts: tuple[Rollout, ...] = ()
    content_fingerprints: Mapping[str, str] = field(default_factory=dict)
    """Fingerprints of the content of Secrets, by Secret name, from before the baseline."""
    restart_at: str = ""
    resume_at: str = ""
    """The values of the user's request annotations that were handled last."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing is pending and nothing rolls out."""
        return not (self.pending or self.unlisted or self.rollouts)

    @property
    def key_count(self) -> int:
        """The number of keys of the accepted state, by which computations over the ledger take time."""
        return sum(len(accepted.state.versions) for accepted in self.accepted.values())

    def accepted_for(self, partition: Partition) -> AcceptedState:
        """The accepted state of a partition; ABSENT since the baseline if there is none."""
        return self.accepted.get(partition, AcceptedState(ABSENT, self.baselined_at))


def revision_of(epoch: str, seq: int) -> str:
    """The revision of pending restarts up to `seq` in the ledger's `epoch`: `<epoch>.<seq>`.

    It is an idempotency key: an object that carries a revision of the same epoch with at least this sequence
    number needs no further restart or sync for it.
    """
    return f"{epoch}.{seq}"


def is_revision_at_least(revision: str, epoch: str, seq: int) -> bool:
    """Whether a revision, which may have been edited by hand, is of this epoch and covers `seq`."""
    stamped_epoch, _, stamped_seq = revision.rpartition(".")
    return stamped_epoch == epoch and _SEQ.fullmatch(stamped_seq) is not None and int(stamped_seq) >= seq


def without_future_times(ledger: Ledger, now: datetime) -> Ledger:
    """The ledger without times in the future: of a clock that was ahead, or edited by hand.

    They would hide changes, or hold up restarts, until that time. What covers a pending restart stays the
    same: an older restart in that future must not.
    """
    moments = [ledger.baselined_at, *(held.accepted_at for held in ledger.accepted.values())]
    moments += [import_event.received_at for import_event in ledger.unmatched_events]
    moments += [pending.since for pending in ledger.pending]
    moments += [rollout.begun_at for rollout in ledger.rollouts]
    if max(moments) <= now + CLOCK_SKEW:
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
        pending=tuple(
            replace(pending, since=min(pending.since, now), not_covered_until=pending.covered_after)
            if pending.since > now
            else pending
            for pending in ledger.pending
        ),
        rollouts=tuple(replace(rollout, begun_at=min(rollout.begun_at, now)) for rollout in ledger.rollouts),
    )


def with_header(ledger: Ledger, header: Header) -> Ledger:
    """The ledger under another header about the same project: another observation mode or digest key.

    Digests of values are comparable only under one key; ids and versions are kept.
    """
    if header.key_id == ledger.header.key_id:
        return ledger if header == ledger.header else replace(ledger, header=header)
    accepted = {
        partition: replace(held, state=held.state.without_digests())
        for partition, held in ledger.accepted.items()
    }
    return replace(ledger, header=header, accepted=accepted, recently_removed={})
