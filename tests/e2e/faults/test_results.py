"""The results find lost and doubled restarts, so a fault run can fail."""

from unittest import mock

import pytest

from e2e.faults.infisical_process import Change
from e2e.faults.replicas_soak import Injection, Replica, doubled_in, lost_in, taken_over
from e2e.faults.results import FaultResult, evaluate, table
from e2e.faults.rollout_watcher import Rollout
from e2e.faults.soak import busiest

WORKLOADS_BY_FOLDER = {"/payments": ("pay", "both"), "/mail": ("both",)}


def change(at: float, path: str = "/payments") -> Change:
    """Return a change whose two clocks agree."""
    return Change(path, "KEY", 2, at, at)


def rollout(name: str, at: float, seen: float | None = None, count: int = 1) -> Rollout:
    """Return a restart that was patched at a moment and observed then or later."""
    return Rollout(name, at, at if seen is None else seen, (), count)


def test_one_change_is_one_restart_of_each() -> None:
    """One restart for each matching workload is correct; the time is that of the slower one."""
    result = evaluate([change(10)], [rollout("pay", 11), rollout("both", 12)], WORKLOADS_BY_FOLDER)

    assert (result.least, result.most, result.seen, result.longest) == (2, 2, 2, 2.0)
    assert (result.lost, result.doubled) == ((), ())


def test_a_restart_from_before_the_change_is_none_for_it() -> None:
    """It was patched before the change, even if it was observed later."""
    result = evaluate([change(10)], [rollout("pay", 9, seen=12), rollout("both", 11)], WORKLOADS_BY_FOLDER)

    assert result.lost == ("pay",)


def test_no_restart_is_a_loss() -> None:
    """The result names the workload without a restart."""
    assert evaluate([change(10)], [rollout("pay", 11)], WORKLOADS_BY_FOLDER).lost == ("both",)


def test_two_restarts_for_one_change_are_one_too_many() -> None:
    """This includes restarts in a gap of the watch and restarts of workloads that do not match."""
    twice = [rollout("pay", 11), rollout("pay", 12), rollout("both", 11, count=2), rollout("other", 11)]

    assert evaluate([change(10)], twice, WORKLOADS_BY_FOLDER).doubled == ("both", "other", "pay")


def test_changes_that_come_together_may_be_one_restart_or_several() -> None:
    """Correct is any number from one to the number of changes that match the workload."""
    changes = [change(10), change(11, "/mail"), change(12)]
    most = [rollout("both", 10.5), rollout("both", 11.5), rollout("both", 12.5), rollout("pay", 12.5)]

    assert evaluate(changes, most[2:], WORKLOADS_BY_FOLDER).doubled == ()
    assert evaluate(changes, most, WORKLOADS_BY_FOLDER).doubled == ()
    assert (
        evaluate(changes, most, WORKLOADS_BY_FOLDER).least,
        evaluate(changes, most, WORKLOADS_BY_FOLDER).most,
    ) == (2, 5)


def test_the_time_of_observation_replaces_a_wrong_clock() -> None:
    """With the time of observation, a restart observed after the change counts."""
    rollouts = [rollout("pay", -290, seen=11), rollout("both", -290, seen=11)]

    assert evaluate([change(10)], rollouts, WORKLOADS_BY_FOLDER).lost == ("both", "pay")
    assert evaluate([change(10)], rollouts, WORKLOADS_BY_FOLDER, uses_seen_time=True).lost == ()


def test_the_table_shows_failures() -> None:
    """It shows a fault that lost a restart and a fault that could not be run."""
    lost = evaluate([change(10)], [], WORKLOADS_BY_FOLDER)
    text = table([FaultResult("cut", (lost,)), FaultResult("reset", (), failure="no stream")])

    assert [line.split()[0] for line in text.splitlines()] == ["fault", "cut", "reset"]
    assert "FAILED no stream" in text


def test_the_busiest_second_is_any_second() -> None:
    """The window can begin at any moment."""
    assert busiest([0.0, 0.9, 1.1, 1.8, 3.0]) == 3
    assert busiest([]) == 0


def test_a_restart_without_its_own_change_is_doubled() -> None:
    """It counts at each moment, so a later change does not excuse an early restart."""
    early = [rollout("pay", 11), rollout("pay", 12)]
    changes = [change(10, "/soak/pay"), change(20, "/soak/pay")]

    assert doubled_in(changes, early) == ["pay"]
    assert doubled_in(changes, [rollout("pay", 11), rollout("pay", 21)]) == []
    assert lost_in(changes, early) == ["pay"]


def a_replica(name: str, *outages: tuple[float, float]) -> Replica:
    """Return a replica without a process, with its outages."""
    return Replica(name, mock.Mock(), mock.Mock(), outages=[*outages])


@pytest.mark.parametrize(
    ("outage", "taken_at", "expected"),
    [
        pytest.param((0.0, 5.0), 25.0, [15.0], id="healthy all the time"),
        pytest.param((5.0, 20.0), 36.0, [16.0], id="healthy since 20"),
        pytest.param((5.0, 45.0), 40.0, [None], id="never healthy"),
        pytest.param((0.0, 5.0), 55.0, [40.0], id="taken too late, after its return"),
        pytest.param((5.0, 30.0), 55.0, [], id="returned before the take-over was due"),
    ],
)
def test_a_take_over_is_timed_from_when_another_one_could(
    outage: tuple[float, float], taken_at: float, expected: list[float | None]
) -> None:
    """The time runs from the fault, or from the moment when another replica is healthy, to the new holder."""
    replicas = [a_replica("one", (10.0, 50.0)), a_replica("two", outage)]
    lease_history = {0: [(1.0, "one-1"), (taken_at, "two-1")]}

    taken = taken_over([Injection("stopped", "one-1", 10.0, (0,))], lease_history, replicas)

    assert [each.seconds for each in taken] == expected


def test_a_killed_replica_returns_as_another_holder() -> None:
    """Its next life is another holder, so its shards are always taken over."""
    replicas = [a_replica("one", (10.0, 19.0)), a_replica("two")]
    lease_history = {0: [(1.0, "one-1"), (26.0, "one-2")]}

    [taken] = taken_over([Injection("killed", "one-1", 10.0, (0,))], lease_history, replicas)

    assert taken.seconds == 16.0
