"""The Secrets of one workload, all of their sources taken together."""

from datetime import timedelta

import pytest

from infisical_events.core.ledger.ledger import Unconfirmed
from infisical_events.core.sync.sync_state import SyncState
from infisical_events.core.sync.workload_sync_state import ProviderState, combine

SILENT, OVERDUE, CHANGED, SAME = (
    SyncState.UNRESPONSIVE,
    SyncState.TIMED_OUT,
    SyncState.CHANGED,
    SyncState.UNCHANGED,
)
WAITING, UNASKED = SyncState.WAITING, SyncState.NOT_REQUESTED


@pytest.mark.parametrize(
    ("states", "together"),
    [
        ((SAME,), SAME),
        ((SAME, CHANGED), CHANGED),
        ((CHANGED, WAITING), WAITING),
        ((CHANGED, UNASKED, WAITING), UNASKED),
        ((CHANGED, OVERDUE), OVERDUE),
        ((CHANGED, SILENT), CHANGED),
        ((SAME, SILENT), OVERDUE),
        ((SILENT,), OVERDUE),
        ((SILENT, CHANGED, OVERDUE), OVERDUE),
    ],
)
def test_what_the_sources_are_together(states: tuple[SyncState, ...], together: SyncState) -> None:
    """All have to have synced; a silent one is believed where another one's content explains the change."""
    answers = [ProviderState(f"ExternalSecret {state.name}", state) for state in states]

    assert combine(answers, {}, ()).state is together


def test_who_may_still_answer() -> None:
    """The hope is that of the sources which are late; where none may answer any more there is none."""
    late = ProviderState("ExternalSecret a", OVERDUE, max_wait=timedelta(hours=1))
    dead = ProviderState("ExternalSecret b", OVERDUE, "it never syncs again", timedelta())
    fresh = ProviderState("ExternalSecret c", CHANGED)

    assert (combine([late, dead, fresh], {}, ()).max_wait, combine([late], {}, ()).unconfirmed) == (
        late.max_wait,
        Unconfirmed.PROVIDER_TIMED_OUT,
    )
    assert combine([dead, fresh], {}, ()).unconfirmed is None
    assert combine([fresh], {}, ()).unconfirmed is None


@pytest.mark.parametrize("state", [CHANGED, SAME])
def test_content_that_nobody_answers_for(state: SyncState) -> None:
    """Is taken for what is newest, and perhaps is not; also beside a source that never answers again."""
    guess = ProviderState("InfisicalSecret a", state, max_wait=timedelta(hours=1), is_proven=False)
    fresh = ProviderState("ExternalSecret c", CHANGED)
    dead = ProviderState("ExternalSecret b", OVERDUE, "it never syncs again", timedelta())

    assert (combine([guess], {}, ()).state, combine([guess], {}, ()).unconfirmed) == (
        state,
        Unconfirmed.PROVIDER_SILENT,
    )
    assert (combine([guess, fresh], {}, ()).state, combine([guess, fresh], {}, ()).unconfirmed) == (
        CHANGED,
        Unconfirmed.PROVIDER_SILENT,
    )
    assert combine([dead, guess], {}, ()).unconfirmed is Unconfirmed.PROVIDER_TIMED_OUT


def test_no_source_at_all() -> None:
    """That is said, with what is not followed."""
    assert combine([], {}, ()).state is None
    assert "CSI" in combine([], {}, ["CSI volume"]).note
