"""The assertions find early, lost and doubled restarts and too many rollouts at a time."""

import pytest

from e2e.restart_order.assertions import contents_at_restarts, flaws, most_rolling, restarts
from e2e.restart_order.namespace_watcher import SecretContent, WorkloadVersion

_OLD, _NEW = {"A": "old"}, {"A": "new"}


def _workload_version(
    version: int, record: str = "", *, name: str = "api", rolls: bool = False, failed: bool = False
) -> WorkloadVersion:
    records = (("revision", record),) if record else ()
    return WorkloadVersion(version, name, version, records, is_rolling=rolls, has_failed=failed)


def _flaws(workload_versions: list[WorkloadVersion], written: int) -> list[str]:
    contents = [SecretContent(1, "env", _OLD), SecretContent(written, "env", _NEW)]
    return flaws(contents_at_restarts(workload_versions, contents), [{"env": _NEW}])


def test_a_restart_after_the_content_has_no_flaw() -> None:
    """The order is that of versions, not that of the two watches."""
    assert (
        _flaws([_workload_version(2), _workload_version(11, "1"), _workload_version(12, "1")], written=10)
        == []
    )


@pytest.mark.parametrize(
    ("workload_versions", "flaw"),
    [
        ([_workload_version(2), _workload_version(9, "1")], "api had other content of env at restart 1"),
        ([_workload_version(2), _workload_version(3)], "api lacks restart 1 of 1"),
        (
            [_workload_version(2), _workload_version(11, "1"), _workload_version(12, "2")],
            "api was restarted 2 times, not 1",
        ),
    ],
    ids=["early", "lost", "doubled"],
)
def test_other_restarts_are_flaws(workload_versions: list[WorkloadVersion], flaw: str) -> None:
    """A restart before the content, a missing one, and one too many are flaws."""
    assert _flaws(workload_versions, written=10) == [flaw]


def test_the_first_version_is_no_restart() -> None:
    """Annotations from before the watch do not count."""
    assert restarts([_workload_version(2, "1"), _workload_version(3, "1")]) == []


def test_rollouts_at_the_same_time_are_counted() -> None:
    """A rollout counts from its restart to its end; other rollouts and failed ones do not count."""
    seen = [
        _workload_version(1, name="a", rolls=True),
        _workload_version(2, name="b"),
        _workload_version(3, name="c"),
        _workload_version(4, "1", name="b", rolls=True),
        _workload_version(6, "1", name="b", failed=True),
        _workload_version(7, "1", name="c", rolls=True),
    ]
    assert most_rolling(seen) == 1
    assert most_rolling([*seen, _workload_version(5, "1", name="c", rolls=True)]) == 2
