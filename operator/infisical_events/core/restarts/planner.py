"""What to do for a workload that is owed a restart: a pure function of what is known now."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from infisical_events.api.specs import Action
from infisical_events.core.ledger.ledger import Debt, Doubt, Ledger, Rollout
from infisical_events.core.restarts.affected_workloads import Concern
from infisical_events.core.restarts.restart_records import is_paid, receipt_of
from infisical_events.core.restarts.workloads import Workload, concerning
from infisical_events.core.snapshots.changes import Change, folded
from infisical_events.core.status.reasons import Reason


@dataclass(frozen=True, slots=True)
class Act:
    """Do this for this workload, for this debt."""

    workload: Workload
    debt: Debt
    action: Action


@dataclass(frozen=True, slots=True)
class Settle:
    """The debt needs nothing any more: clear it."""

    debt: Debt
    reason: Reason
    workload: Workload | None = None
    doubt: Doubt | None = None
    """Of a restart that its receipt tells of."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Not now: keep the debt, until a moment if one is known."""

    debt: Debt
    reason: Reason
    until: datetime | None = None
    workload: Workload | None = None


Step = Act | Settle | Hold


@dataclass(frozen=True, slots=True)
class Rules:
    """What the spec says of how debts are paid."""

    action: Action = Action.RESTART
    cooldown: timedelta = timedelta()


def owe(ledger: Ledger, subscription: str, concerns: Iterable[Concern], now: datetime) -> Ledger:
    """Add a debt for every workload that something concerns; the workloads were listed after the look.

    `since` is never before the workload's newest restart, so that only a restart made after this
    moment can count as coverage. A claim is owed to those not restarted since it was heard.
    """
    owed = [(concern.workload, changes) for concern in concerns if (changes := _owed_for(concern))]
    if not owed:
        return ledger
    ledger = _with_found_paid(ledger, subscription, [workload for workload, _ in owed])
    seq, debts = ledger.seq + 1, {debt.uid: debt for debt in ledger.debts}
    for workload, changes in owed:
        old = debts.get(workload.uid)
        merged = folded((*old.changes, *changes) if old else changes)
        since = max(receipt_of(workload).time or now, now)
        kind, name = workload.kind.kind, workload.name
        is_requested = old is not None and old.is_requested
        debts[workload.uid] = Debt(workload.uid, kind, name, seq, since, merged, is_requested)
    return replace(ledger, seq=seq, debts=tuple(debts.values()))


def _owed_for(concern: Concern) -> tuple[Change, ...]:
    restarted, selected = receipt_of(concern.workload).time, concern.selected
    claims = (claim for claim in selected.claims if restarted is None or restarted <= claim.heard_at)
    return (*selected.changes, *(claim.change for claim in claims))


def _with_found_paid(ledger: Ledger, subscription: str, workloads: Iterable[Workload]) -> Ledger:
    """The ledger where debts that receipts show to be paid have become rollouts, before others replace them.

    What such a restart leaves in doubt stays owed.
    """
    debts, rollouts = [], {rollout.uid: rollout for rollout in ledger.rollouts}
    by_uid = {workload.uid: workload for workload in workloads}
    for debt in ledger.debts:
        workload = by_uid.get(debt.uid)
        if workload is None or not is_paid(workload, subscription, ledger.epoch, debt.seq):
            debts.append(debt)
            continue
        receipt = receipt_of(workload)
        begun = receipt.time or debt.since
        rollouts[debt.uid] = Rollout(debt.uid, debt.kind, debt.name, debt.seq, begun, workload.wave)
        if doubt := receipt.doubts.get(subscription):
            debts.append(_belated(debt, doubt))
    if tuple(debts) == ledger.debts:
        return ledger
    return replace(ledger, debts=tuple(debts), rollouts=tuple(rollouts.values()))


def request(ledger: Ledger, subscription: str, workloads: Iterable[Workload], now: datetime) -> Ledger:
    """Owe every workload of the subscription a restart, because a person asks for it."""
    workloads = tuple(workloads)
    ledger = _with_found_paid(ledger, subscription, workloads)
    seq = ledger.seq + 1
    debts = {debt.uid: debt for debt in ledger.debts}
    asked = [workload for workload in workloads if workload.is_subscribed_to(subscription)]
    for workload in asked:
        old = debts.get(workload.uid)
        since = max(receipt_of(workload).time or now, now)
        changes = old.changes if old else ()
        kind, name = workload.kind.kind, workload.name
        debts[workload.uid] = Debt(workload.uid, kind, name, seq, since, changes, is_requested=True)
    return replace(ledger, seq=seq, debts=tuple(debts.values())) if asked else ledger


def belated(ledger: Ledger, restarted: Mapping[Debt, Doubt], now: datetime) -> Ledger:
    """Owe another restart to those restarted before their Secrets were known to be fresh, if these change."""
    owed = {debt.uid for debt in ledger.debts}
    late = tuple(
        replace(_belated(debt, doubt), seq=ledger.seq + 1, since=now)
        for debt, doubt in restarted.items()
        if debt.uid not in owed
    )
    return replace(ledger, seq=ledger.seq + 1, debts=(*ledger.debts, *late)) if late else ledger


def _belated(debt: Debt, doubt: Doubt) -> Debt:
    return replace(debt, is_requested=False, doubt=doubt)


def plan(
    ledger: Ledger, subscription: str, workloads: Iterable[Workload], rules: Rules, now: datetime
) -> tuple[Step, ...]:
    """One step per debt, in the order of the ledger."""
    by_uid = {workload.uid: workload for workload in workloads}
    return tuple(
        _step(debt, by_uid.get(debt.uid), _Terms(subscription, ledger.epoch, rules, now))
        for debt in ledger.debts
    )


@dataclass(frozen=True, slots=True)
class _Terms:
    subscription: str
    epoch: str
    rules: Rules
    now: datetime


def _step(debt: Debt, workload: Workload | None, terms: _Terms) -> Step:
    if workload is None:
        return Settle(debt, Reason.WORKLOAD_GONE)
    restarted, action = receipt_of(workload).time, workload.action(terms.rules.action)
    if reason := _why_nothing(debt, workload, terms, restarted, action):
        doubts = receipt_of(workload).doubts if reason is Reason.ALREADY_RESTARTED else {}
        return Settle(debt, reason, workload, doubts.get(terms.subscription))
    cooled = _cooled(restarted, terms) if action is not Action.RESYNC else None
    if workload.is_paused or cooled:
        reason = Reason.PAUSED if workload.is_paused else Reason.COOLING_DOWN
        return Hold(debt, reason, None if workload.is_paused else cooled, workload)
    return Act(workload, debt, action)


def _why_nothing(
    debt: Debt, workload: Workload, terms: _Terms, restarted: datetime | None, action: Action
) -> Reason | None:
    if is_paid(workload, terms.subscription, terms.epoch, debt.seq):
        return Reason.ALREADY_RESTARTED
    is_subscribed = workload.is_subscribed_to(terms.subscription)
    if not (is_subscribed and (debt.is_requested or concerning(workload, debt.changes))):
        return Reason.NO_LONGER_CONCERNED
    # A neighbour's restart may have come before the secrets were fresh: then their content decides.
    if action is Action.RESTART and restarted is not None and restarted > debt.since:
        return Reason.COVERED_BY_NEIGHBOUR
    return None


def _cooled(restarted: datetime | None, terms: _Terms) -> datetime | None:
    """When the workload has rested since its newest restart; None if it has.

    A restart of the future, by a clock that was ahead, holds nothing for longer than one cooldown.
    """
    if restarted is None or not terms.rules.cooldown:
        return None
    until = min(restarted, terms.now) + terms.rules.cooldown
    return until if until > terms.now else None


def clear(ledger: Ledger, settled: Iterable[Debt]) -> Ledger:
    """Remove debts that were handled; a newer debt of the same workload stays."""
    handled = {debt.uid: debt.seq for debt in settled}
    kept = tuple(debt for debt in ledger.debts if debt.seq > handled.get(debt.uid, -1))
    return ledger if kept == ledger.debts else replace(ledger, debts=kept)
