"""What to do for a workload that is owed a restart: a pure function of what is known now."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from infisical_events.core.changes import Change, folded
from infisical_events.core.ledgers import Claim, Debt, Ledger
from infisical_events.core.reasons import Reason
from infisical_events.core.receipts import is_paid, receipt_of
from infisical_events.core.workloads import Workload, concerning


@dataclass(frozen=True, slots=True)
class Restart:
    """Patch this workload for this debt."""

    workload: Workload
    debt: Debt


@dataclass(frozen=True, slots=True)
class Settle:
    """The debt needs nothing any more: clear it."""

    debt: Debt
    reason: Reason


@dataclass(frozen=True, slots=True)
class Hold:
    """Not now: keep the debt."""

    debt: Debt
    reason: Reason


Step = Restart | Settle | Hold


@dataclass(frozen=True, slots=True)
class Selected:
    """What the spec selects of an observation: changes seen, and claims believed unseen."""

    changes: tuple[Change, ...]
    claims: tuple[Claim, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything at all."""
        return bool(self.changes or self.claims)


def owe(
    ledger: Ledger, subscription: str, selected: Selected, workloads: Iterable[Workload], now: datetime
) -> Ledger:
    """Add a debt for every workload that something concerns; the workloads were listed after the look.

    `since` is never before the workload's newest restart, so that only a restart made after this
    moment can count as coverage. A claim is owed to those not restarted since it was heard.
    """
    seq = ledger.seq + 1
    debts = {debt.uid: debt for debt in ledger.debts}
    for workload in workloads:
        restarted = receipt_of(workload).time
        claimed = (c.change for c in selected.claims if restarted is None or restarted <= c.heard_at)
        mine = (
            concerning(workload, (*selected.changes, *claimed))
            if workload.is_subscribed_to(subscription)
            else ()
        )
        if not mine:
            continue
        old = debts.get(workload.uid)
        if old and not is_paid(workload, subscription, ledger.epoch, old.seq):
            mine = (*old.changes, *mine)
        since = max(restarted or now, now)
        kind, name = workload.kind.kind, workload.name
        debts[workload.uid] = Debt(workload.uid, kind, name, seq, since, folded(mine))
    if all(debt.seq <= ledger.seq for debt in debts.values()):
        return ledger
    return replace(ledger, seq=seq, debts=tuple(debts.values()))


def plan(ledger: Ledger, subscription: str, workloads: Iterable[Workload]) -> tuple[Step, ...]:
    """One step per debt, in the order of the ledger."""
    by_uid = {workload.uid: workload for workload in workloads}
    return tuple(_step(debt, by_uid.get(debt.uid), subscription, ledger.epoch) for debt in ledger.debts)


def _step(debt: Debt, workload: Workload | None, subscription: str, epoch: str) -> Step:
    if workload is None:
        return Settle(debt, Reason.WORKLOAD_GONE)
    if is_paid(workload, subscription, epoch, debt.seq):
        return Settle(debt, Reason.ALREADY_RESTARTED)
    concerned = workload.is_subscribed_to(subscription) and concerning(workload, debt.changes)
    if not concerned:
        return Settle(debt, Reason.NO_LONGER_CONCERNED)
    restarted = receipt_of(workload).time
    if restarted is not None and restarted > debt.since:
        return Settle(debt, Reason.COVERED_BY_NEIGHBOUR)
    if workload.is_paused:
        return Hold(debt, Reason.PAUSED)
    return Restart(workload, debt)


def clear(ledger: Ledger, settled: Iterable[Debt]) -> Ledger:
    """Remove debts that were handled; a newer debt of the same workload stays."""
    handled = {debt.uid: debt.seq for debt in settled}
    kept = tuple(debt for debt in ledger.debts if debt.seq > handled.get(debt.uid, -1))
    return ledger if kept == ledger.debts else replace(ledger, debts=kept)
