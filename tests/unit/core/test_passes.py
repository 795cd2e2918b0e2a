"""The ledger's steps: a baseline, an observation taken in, a changed scope."""

from factories import (
    HEADER,
    IMPORT,
    a_belief,
    a_body,
    a_change,
    a_ledger,
    a_part,
    an_observation,
    at,
)
from infisical_events.core.passes import absorb, baseline


def test_own_and_imported_secrets_of_one_folder_are_looked_at_together() -> None:
    """A folder that has secrets and imports others is the usual case: a change of either is found."""
    own, imported = a_part("/a"), a_part("/a", source="/shared")
    ledger = a_ledger({own: a_belief(a_body(A=1)), imported: a_belief(a_body(B=1))})

    absorbed = absorb(ledger, an_observation({own: a_body(A=2), imported: a_body(B=2)}, seconds=1), (), at(1))

    assert absorbed.changes == (a_change("B", IMPORT), a_change("A"))


def test_a_baseline_owes_nothing() -> None:
    """The first sight is believed as it stands, as of the end of the look."""
    look = an_observation({a_part(): a_body(A=1)}, seconds=3)

    assert baseline(HEADER, "epoch", look) == a_ledger(
        {a_part(): a_belief(a_body(A=1), seconds=3)}, baselined_at=at(3)
    )
