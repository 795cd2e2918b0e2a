"""A few of the faults of `make chaos`, one try each: whatever fails, a change is one restart."""

import pytest

from e2e.faults.playing import Theatre, play
from e2e.faults.rows import ROWS, Moment

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

ROW = {row.name: row for row in ROWS}


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        ("infisical-frame-truncated", Moment.DURING),
        ("infisical-killed", Moment.AROUND),
        ("operator-killed", Moment.BEFORE),
        ("operators-handing-over", Moment.AROUND),
        ("api-rejected-6s", Moment.DURING),
        ("api-every-answer-lost", Moment.DURING),
    ],
    ids=lambda value: value.name.lower() if isinstance(value, Moment) else value,
)
def test_a_fault_loses_nothing_and_doubles_nothing(theatre: Theatre, name: str, moment: Moment) -> None:
    """Each concerned Deployment is restarted after the last change, and not more often than changed."""
    row = ROW[name]

    told = play(theatre, row, 1, first=row.moments.index(moment))

    assert told.is_well, told


def test_every_fault_has_a_name_of_its_own() -> None:
    """So that it can be asked for."""
    assert len(ROW) == len(ROWS)
