"""The proofs' own judgement: what is early, lost, doubled or too much at a time is seen."""

import pytest

from e2e.restart_order.judging import carried, flaws, most_rolling, restarts
from e2e.restart_order.witnesses import Content, Standing

_OLD, _NEW = {"A": "old"}, {"A": "new"}


def _standing(
    version: int, record: str = "", *, name: str = "api", rolls: bool = False, failed: bool = False
) -> Standing:
    records = (("revision", record),) if record else ()
    return Standing(version, name, version, records, is_rolling=rolls, has_failed=failed)


def _judged(workload_states: list[Standing], written: int) -> list[str]:
    contents = [Content(1, "env", _OLD), Content(written, "env", _NEW)]
    return flaws(carried(workload_states, contents), [{"env": _NEW}])


def test_a_restart_after_the_content_has_no_flaw() -> None:
    """It is told by versions, in whatever order the two watches were heard."""
    assert _judged([_standing(2), _standing(11, "1"), _standing(12, "1")], written=10) == []


@pytest.mark.parametrize(
    ("workload_states", "flaw"),
    [
        ([_standing(2), _standing(9, "1")], "api had other content of env at restart 1"),
        ([_standing(2), _standing(3)], "api lacks restart 1 of 1"),
        ([_standing(2), _standing(11, "1"), _standing(12, "2")], "api was restarted 2 times, not 1"),
    ],
    ids=["early", "lost", "doubled"],
)
def test_other_restarts_are_flaws(workload_states: list[Standing], flaw: str) -> None:
    """Before the content, none, one too many."""
    assert _judged(workload_states, written=10) == [flaw]


def test_the_first_sight_is_no_restart() -> None:
    """What a Deployment carried before it was watched does not count."""
    assert restarts([_standing(2, "1"), _standing(3, "1")]) == []


def test_those_that_roll_at_a_time_are_counted() -> None:
    """From the restart to the end, by version; who rolls for another reason, or has failed, is none."""
    seen = [
        _standing(1, name="a", rolls=True),
        _standing(2, name="b"),
        _standing(3, name="c"),
        _standing(4, "1", name="b", rolls=True),
        _standing(6, "1", name="b", failed=True),
        _standing(7, "1", name="c", rolls=True),
    ]
    assert most_rolling(seen) == 1
    assert most_rolling([*seen, _standing(5, "1", name="c", rolls=True)]) == 2
