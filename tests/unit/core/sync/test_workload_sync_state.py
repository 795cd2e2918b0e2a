"""The Secrets of one workload, all of their sources taken together."""

from datetime import timedelta

import pytest

from infisical_events.core.ledger.ledger import Doubt
from infisical_events.core.sync.sync_state import Freshness
from infisical_events.core.sync.workload_sync_state import Answer, combined

SILENT, OVERDUE, CHANGED, SAME = Freshness.SILENT, Freshness.OVERDUE, Freshness.CHANGED, Freshness.SAME
WAITING, UNASKED = Freshness.WAITING, Freshness.UNASKED


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
def test_what_the_sources_are_together(states: tuple[Freshness, ...], together: Freshness) -> None:
    """All have to have synced; a silent one is believed where another one's content explains the change."""
    answers = [Answer(f"ExternalSecret {state.name}", state) for state in states]

    assert combined(answers, {}, ()).state is together


def test_who_may_still_answer() -> None:
    """The hope is that of the sources which are late; where none may answer any more there is none."""
    late = Answer("ExternalSecret a", OVERDUE, hope=timedelta(hours=1))
    dead = Answer("ExternalSecret b", OVERDUE, "it never syncs again", timedelta())
    fresh = Answer("ExternalSecret c", CHANGED)

    assert (combined([late, dead, fresh], {}, ()).hope, combined([late], {}, ()).doubt) == (
        late.hope,
        Doubt.STALE,
    )
    assert combined([dead, fresh], {}, ()).doubt is None
    assert combined([fresh], {}, ()).doubt is None


@pytest.mark.parametrize("state", [CHANGED, SAME])
def test_content_that_nobody_answers_for(state: Freshness) -> None:
    """Is taken for what is newest, and perhaps is not; also beside a source that never answers again."""
    guess = Answer("InfisicalSecret a", state, hope=timedelta(hours=1), is_proven=False)
    fresh = Answer("ExternalSecret c", CHANGED)
    dead = Answer("ExternalSecret b", OVERDUE, "it never syncs again", timedelta())

    assert (combined([guess], {}, ()).state, combined([guess], {}, ()).doubt) == (state, Doubt.EARLY)
    assert (combined([guess, fresh], {}, ()).state, combined([guess, fresh], {}, ()).doubt) == (
        CHANGED,
        Doubt.EARLY,
    )
    assert combined([dead, guess], {}, ()).doubt is Doubt.STALE


def test_no_source_at_all() -> None:
    """That is said, with what is not followed."""
    assert combined([], {}, ()).state is None
    assert "CSI" in combined([], {}, ["CSI volume"]).note
