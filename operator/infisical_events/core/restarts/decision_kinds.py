"""What can be decided about one pending restart; `decisions` has the rules.

A decision is exactly one of

* `RequestSync`: providers of the workload's Secrets have to sync first;
* `Restart`: the Secrets are as fresh as they get, or nothing has to be synced;
* `RecordCoverage`: somebody's rollout has started the pods with the newest content;
* `Defer`: not now, with the reason;
* `Resolve`: no restart is necessary any more, with the reason.
"""

from dataclasses import dataclass, field
from datetime import datetime

from infisical_events.core.ledger.ledger import PendingRestart, Unconfirmed
from infisical_events.core.status.reasons import Reason
from infisical_events.core.sync.sync_requests import SyncContext
from infisical_events.core.sync.workload_sync_state import WorkloadSyncState
from infisical_events.core.workloads.workload_state import WorkloadState
from infisical_events.core.workloads.workloads import Workload


@dataclass(frozen=True, kw_only=True, slots=True)
class _Decided:
    """A decision about one pending restart, with what people should know besides its reason."""

    pending: PendingRestart
    workload: Workload | None = None
    note: str = ""
    state: WorkloadState | None = None
    sync: WorkloadSyncState = field(default_factory=lambda: WorkloadSyncState(None))


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestSync(_Decided):
    """Request these providers to sync, and decide again."""

    contexts: tuple[SyncContext, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Restart(_Decided):
    """Patch the workload under the resourceVersion that it was read with."""

    workload: Workload


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordCoverage(_Decided):
    """Record with which content another rollout started the pods; this resolves the pending restart."""

    state: WorkloadState


@dataclass(frozen=True, kw_only=True, slots=True)
class Defer(_Decided):
    """Keep the pending restart, until a time if one is known."""

    reason: Reason
    until: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolve(_Decided):
    """Remove the pending restart.

    `unconfirmed` is what the restart record says of a restart whose response was lost.
    """

    reason: Reason
    unconfirmed: Unconfirmed | None = None


RestartDecision = RequestSync | Restart | RecordCoverage | Defer | Resolve
