"""What is owed, summed up by why it is not done yet."""

from dataclasses import replace

from infisical_events.core.ledger.ledger import Unconfirmed
from infisical_events.core.restarts.pending_summary import PendingCount, pending_by_reason
from infisical_events.core.status.reasons import Reason
from support.builders import a_pending_restart, at


def test_by_reason_and_since_the_first() -> None:
    """Each workload counts for the reason that was told of its debt."""
    all_pending = [
        a_pending_restart("a", 3, seconds=5),
        a_pending_restart("b", 3, seconds=2),
        a_pending_restart("c", 3, seconds=9),
    ]
    first, second, third = (pending.uid for pending in all_pending)
    told = {
        first: (3, Reason.PAUSED),
        second: (3, Reason.PAUSED),
        third: (3, Reason.RESTART_BUDGET_EXHAUSTED),
    }

    assert pending_by_reason(all_pending, told) == {
        "Paused": PendingCount(2, at(2)),
        "RestartBudgetExhausted": PendingCount(1, at(9)),
    }


def test_what_was_told_of_an_earlier_debt_is_no_reason() -> None:
    """A debt that has grown since, or was never tried, is pending."""
    grown, new = a_pending_restart("a", 4), a_pending_restart("b", 4)

    assert pending_by_reason([grown, new], {grown.uid: (3, Reason.PAUSED)}) == {
        "Pending": PendingCount(2, min(grown.since, new.since))
    }


def test_late_debts_are_no_restarts_that_are_owed() -> None:
    """Their restart was made; nothing at all is owed when only they are left."""
    assert (
        pending_by_reason(
            [replace(a_pending_restart("a", 1), unconfirmed=Unconfirmed.PROVIDER_TIMED_OUT)], {}
        )
        == {}
    )
