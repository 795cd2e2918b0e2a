"""What is owed at a moment, summed up by why it is not done yet: what metrics tell of a ledger's debts."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from infisical_events.core.ledger.ledger import PendingRestart

PENDING = "Pending"
"""Of what has not been tried yet, or is tried again at once."""


@dataclass(frozen=True, slots=True)
class PendingCount:
    """How many workloads wait for their restart for one reason, and since when the first of them does."""

    count: int
    since: datetime


def pending_by_reason(
    all_pending: Iterable[PendingRestart], reasons: Mapping[str, tuple[int, str]]
) -> dict[str, PendingCount]:
    """What is owed, by the reason for which it waits; `reasons` has that of a debt's number, by its uid.

    Late debts are left out: their restart was made, and another one is due only if a source syncs after all.
    """
    waiting: dict[str, list[datetime]] = defaultdict(list)
    for pending in all_pending:
        if pending.unconfirmed is None:
            number, reason = reasons.get(pending.uid, (pending.seq, PENDING))
            waiting[str(reason) if number == pending.seq else PENDING].append(pending.since)
    return {reason: PendingCount(len(since), min(since)) for reason, since in waiting.items()}
