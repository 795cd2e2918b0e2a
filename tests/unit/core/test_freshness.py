"""The Secrets of one workload, all of their sources taken together."""

from datetime import timedelta

import pytest

from infisical_events.core.freshness import Answer, combined
from infisical_events.core.syncing import Freshness

SILENT, OVERDUE, CHANGED, SAME = Freshness.SILENT, Freshness.OVERDUE, Freshness.CHANGED, Freshness.SAME
EARLY = Freshness.EARLY
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
        ((CHANGED, EARLY), EARLY),
        ((EARLY, OVERDUE), OVERDUE),
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

    assert (combined([late, dead, fresh], {}, ()).hope, combined([late], {}, ()).is_stale) == (
        late.hope,
        True,
    )
    assert not combined([dead, fresh], {}, ()).is_stale
    assert not combined([fresh], {}, ()).is_stale


def test_content_that_moved_early() -> None:
    """Is worth a restart, and perhaps not the last one; also beside a source that never answers again."""
    early = Answer("InfisicalSecret a", EARLY, hope=timedelta(hours=1))
    dead = Answer("ExternalSecret b", OVERDUE, "it never syncs again", timedelta())
    told = combined([early, Answer("ExternalSecret c", CHANGED)], {}, ())

    assert (told.has_changed, told.is_stale) == (True, True)
    assert combined([dead, early], {}, ()).is_stale


def test_no_source_at_all() -> None:
    """That is said, with what is not followed."""
    assert combined([], {}, ()).state is None
    assert "CSI" in combined([], {}, ["CSI volume"]).note
