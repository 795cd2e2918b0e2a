"""What `planning.owe` does, in steps: a namespace may have many workloads with many key patterns each."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from infisical_events.api import annotations
from infisical_events.core.ledgers import Claim, Ledger
from infisical_events.core.matching import Selector, select, selecting
from infisical_events.core.planning import Selected, owe
from infisical_events.core.stepping import Steps
from infisical_events.core.workloads import Workload, narrowing_of


def owing(
    ledger: Ledger, subscription: str, selected: Selected, workloads: Iterable[Workload], now: datetime
) -> Steps[Ledger]:
    """The ledger with a debt for every workload that something concerns, as `planning.owe` has it."""
    owed = ledger
    for workload in workloads:
        if not workload.is_subscribed_to(subscription):
            continue
        selector = narrowing_of(workload).selector
        concerning = yield from selecting((selector,), selected.changes)
        mine = Selected(concerning.selected, _claims(selector, selected))
        before = replace(owed, seq=ledger.seq)  # debts of one look have one number
        after = owe(before, subscription, mine, (_any_key(workload),), now) if mine else before
        owed = owed if after is before else after
        yield
    return owed


def _claims(selector: Selector, selected: Selected) -> tuple[Claim, ...]:
    return tuple(claim for claim in selected.claims if select((selector,), (claim.change,)).selected)


def _any_key(workload: Workload) -> Workload:
    """The workload without its key patterns, for changes that have passed them."""
    kept = {key: text for key, text in workload.annotations.items() if key != annotations.SECRET_KEYS}
    return replace(workload, annotations=kept)
