"""What is lost and what is double is found in plain values: the chaos itself can fail."""

from types import SimpleNamespace

from chaos.infisicals import Change
from chaos.replicas import Strike, doubled_in, lost_in, taken_over
from chaos.rollouts import Rollout
from chaos.soaking import busiest
from chaos.verdicts import Told, judged, table

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


def test_a_take_over_is_timed_where_somebody_could() -> None:
    """From the blow to another holder, if that one was well until then; whoever comes back takes nothing."""
    two = SimpleNamespace(name="two", was_well=lambda _, until: until <= 26)
    strikes = [Strike("stopped", "one-1", 10.0, (0, 1))]
    register = {0: [(1.0, "one-1"), (25.0, "two-1"), (60.0, "one-1")], 1: [(1.0, "one-1"), (11.0, "")]}

    [taken] = taken_over(strikes, register, [SimpleNamespace(name="one"), two])  # type: ignore[list-item] # as a Replica

    assert (taken.seconds, taken.is_timed) == (15.0, True)
