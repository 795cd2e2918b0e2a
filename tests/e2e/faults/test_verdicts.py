"""What is lost and what is double is found in plain values: the chaos itself can fail."""

from unittest import mock

import pytest

from e2e.faults.infisicals import Change
from e2e.faults.replicas import Replica, Strike, doubled_in, lost_in, taken_over
from e2e.faults.rollouts import Rollout
from e2e.faults.soaking import busiest
from e2e.faults.verdicts import Told, judged, table

CONCERNED = {"/payments": ("pay", "both"), "/mail": ("both",)}


def change(at: float, path: str = "/payments") -> Change:
    """A change whose clocks agree."""
    return Change(path, "KEY", 2, at, at)


def rollout(name: str, at: float, seen: float | None = None, count: int = 1) -> Rollout:
    """A restart that was asked for at a moment, and seen then or later."""
    return Rollout(name, at, at if seen is None else seen, (), count)


def test_one_change_is_one_restart_of_each() -> None:
    """As many as concerned is right, and the time is that of the slower one."""
    tried = judged([change(10)], [rollout("pay", 11), rollout("both", 12)], CONCERNED)

    assert (tried.least, tried.most, tried.seen, tried.longest) == (2, 2, 2, 2.0)
    assert (tried.lost, tried.doubled) == ((), ())


def test_a_restart_from_before_the_change_is_none_for_it() -> None:
    """It was asked for too early, however late it was seen."""
    tried = judged([change(10)], [rollout("pay", 9, seen=12), rollout("both", 11)], CONCERNED)

    assert tried.lost == ("pay",)


def test_no_restart_is_a_loss() -> None:
    """The workload that has none is named."""
    assert judged([change(10)], [rollout("pay", 11)], CONCERNED).lost == ("both",)


def test_two_restarts_for_one_change_are_one_too_many() -> None:
    """Also if a gap of the watch hid one, and also for who was not concerned."""
    twice = [rollout("pay", 11), rollout("pay", 12), rollout("both", 11, count=2), rollout("other", 11)]

    assert judged([change(10)], twice, CONCERNED).doubled == ("both", "other", "pay")


def test_changes_that_come_together_may_be_one_restart_or_several() -> None:
    """Between one and as many as concern the workload."""
    changes = [change(10), change(11, "/mail"), change(12)]
    most = [rollout("both", 10.5), rollout("both", 11.5), rollout("both", 12.5), rollout("pay", 12.5)]

    assert judged(changes, most[2:], CONCERNED).doubled == ()
    assert judged(changes, most, CONCERNED).doubled == ()
    assert (judged(changes, most, CONCERNED).least, judged(changes, most, CONCERNED).most) == (2, 5)


def test_a_clock_that_is_not_believed_does_not_count() -> None:
    """What was seen after the change is after it."""
    rollouts = [rollout("pay", -290, seen=11), rollout("both", -290, seen=11)]

    assert judged([change(10)], rollouts, CONCERNED).lost == ("both", "pay")
    assert judged([change(10)], rollouts, CONCERNED, by_sight=True).lost == ()


def test_the_table_says_what_failed() -> None:
    """A row that lost something, and one that could not be played."""
    lost = judged([change(10)], [], CONCERNED)
    text = table([Told("cut", (lost,)), Told("reset", (), trouble="no stream")])

    assert [line.split()[0] for line in text.splitlines()] == ["fault", "cut", "reset"]
    assert "FAILED no stream" in text


def test_the_busiest_second_is_any_second() -> None:
    """It does not begin with a full one."""
    assert busiest([0.0, 0.9, 1.1, 1.8, 3.0]) == 3
    assert busiest([]) == 0


def test_a_restart_without_a_change_of_its_own_is_double() -> None:
    """Also when a later change would make up for it: what counts is each moment."""
    early = [rollout("pay", 11), rollout("pay", 12)]
    changes = [change(10, "/soak/pay"), change(20, "/soak/pay")]

    assert doubled_in(changes, early) == ["pay"]
    assert doubled_in(changes, [rollout("pay", 11), rollout("pay", 21)]) == []
    assert lost_in(changes, early) == ["pay"]


def a_replica(name: str, *outages: tuple[float, float]) -> Replica:
    """One without a process, and when it was out of order."""
    return Replica(name, mock.Mock(), mock.Mock(), outages=[*outages])


@pytest.mark.parametrize(
    ("outage", "taken_at", "expected"),
    [
        pytest.param((0.0, 5.0), 25.0, [15.0], id="well all the time"),
        pytest.param((5.0, 20.0), 36.0, [16.0], id="well since 20"),
        pytest.param((5.0, 45.0), 40.0, [None], id="not well"),
        pytest.param((0.0, 5.0), 55.0, [40.0], id="taken too late, when it had come back"),
        pytest.param((5.0, 30.0), 55.0, [], id="come back before it had to be taken"),
    ],
)
def test_a_take_over_is_timed_from_when_another_one_could(
    outage: tuple[float, float], taken_at: float, expected: list[float | None]
) -> None:
    """From the blow, or from when another replica was well again, to the other holder."""
    replicas = [a_replica("one", (10.0, 50.0)), a_replica("two", outage)]
    register = {0: [(1.0, "one-1"), (taken_at, "two-1")]}

    taken = taken_over([Strike("stopped", "one-1", 10.0, (0,))], register, replicas)

    assert [each.seconds for each in taken] == expected


def test_who_was_killed_never_comes_back() -> None:
    """Its next life is another holder, and what was its own is taken whenever that is."""
    replicas = [a_replica("one", (10.0, 19.0)), a_replica("two")]
    register = {0: [(1.0, "one-1"), (26.0, "one-2")]}

    [taken] = taken_over([Strike("killed", "one-1", 10.0, (0,))], register, replicas)

    assert taken.seconds == 16.0
