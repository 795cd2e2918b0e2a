"""How many restarts one process makes, over all subscriptions."""

import pytest

from infisical_events.core.subscriptions import SubscriptionKey
from infisical_events.runtime.limits.restart_budget import BudgetUsage, RestartBudget

A_X = SubscriptionKey("a", "x", "1")
B_Y = SubscriptionKey("b", "y", "2")


class Clock:
    """Seconds, moved by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The budget's clock."""
    return Clock()


def taken(budget: RestartBudget, *workloads: str, subscription: SubscriptionKey = A_X) -> list[bool]:
    """Whether each of these may be restarted, one after the other."""
    return [budget.try_acquire(subscription, workload) for workload in workloads]


def test_no_bound(clock: Clock) -> None:
    """Zero is none."""
    assert all(taken(RestartBudget(now=clock), *map(str, range(1000))))


def test_so_many_a_minute(clock: Clock) -> None:
    """In any sixty seconds, by whichever subscription; a refusal costs nothing."""
    budget = RestartBudget(per_minute=2, now=clock)
    assert taken(budget, "1") == [True]
    clock.now += 30
    assert taken(budget, "2", "3", subscription=B_Y) == [True, False]
    clock.now += 29.9
    assert taken(budget, "3") == [False]
    clock.now += 0.1
    assert taken(budget, "3", "4") == [True, False]
    clock.now += 30
    assert taken(budget, "4", "5") == [True, False]


def test_so_many_rolling_out(clock: Clock) -> None:
    """A restart counts at once, and as long as its workload is reported to roll out."""
    budget = RestartBudget(most_rolling=2, now=clock)
    assert taken(budget, "1", "2", "3") == [True, True, False]
    budget.set_rolling(A_X, frozenset({"1"}))
    assert taken(budget, "3", "4", subscription=B_Y) == [True, False]
    budget.set_rolling(A_X, frozenset())
    assert taken(budget, "4", "5", subscription=B_Y) == [True, False]


def test_what_rolls_out_already_takes_no_second_place(clock: Clock) -> None:
    """A workload counts once, whichever and however many subscriptions restart it."""
    budget = RestartBudget(most_rolling=1, now=clock)
    assert taken(budget, "1", "1") == [True, True]
    assert taken(budget, "1", "2", subscription=B_Y) == [True, False]
    budget.set_rolling(A_X, frozenset())
    assert taken(budget, "2") == [False]
    budget.set_rolling(B_Y, frozenset())
    assert taken(budget, "2") == [True]


def test_what_an_earlier_process_began_counts(clock: Clock) -> None:
    """As soon as its subscription tells of it."""
    budget = RestartBudget(most_rolling=1, now=clock)
    budget.set_rolling(A_X, frozenset({"1"}))
    assert taken(budget, "2", subscription=B_Y) == [False]


@pytest.mark.parametrize("bound", ["per_minute", "most_rolling"])
@pytest.mark.parametrize(("hogs", "each"), [(1, 90), (2, 51), (3, 36), (10, 12)])
def test_something_is_left_for_who_comes_anew(clock: Clock, bound: str, hogs: int, each: int) -> None:
    """A further namespace finds budget left, however many others use it up."""
    budget = RestartBudget(now=clock, **{bound: 120})
    for number in range(120):
        for hog in range(hogs):
            budget.try_acquire(SubscriptionKey(f"hog-{hog}", "x", "1"), f"{hog}-{number}")
    made = [
        taken(budget, f"again-{hog}", subscription=SubscriptionKey(f"hog-{hog}", "y", "2"))
        for hog in range(hogs)
    ]

    assert made == [[False]] * hogs
    assert taken(budget, "1", subscription=SubscriptionKey("team", "x", "1")) == [True]
    count = sum(len(found) for key, found in budget._rolling.items() if key.namespace == "hog-0")
    assert count == pytest.approx(each, abs=1)


def test_a_single_namespace_has_all(clock: Clock) -> None:
    """With a single watched namespace no budget is reserved for others."""
    assert all(taken(RestartBudget(per_minute=120, is_shared=False, now=clock), *map(str, range(120))))


async def test_share() -> None:
    """A replica has the part of the bounds that it has of the shards, and never less than one restart."""
    for share, made in ((1.0, 8), (0.5, 4), (0.01, 1), (0.0, 1)):
        budget = RestartBudget(per_minute=8, is_shared=False, share=lambda share=share: share)  # type: ignore[misc] # a default
        assert sum(budget.try_acquire(A_X, str(number)) for number in range(20)) == made


def test_usage(clock: Clock) -> None:
    """What of each bound is used, of the part that this process has; old restarts do not count."""
    budget = RestartBudget(per_minute=10, most_rolling=4, share=lambda: 0.5, now=clock)
    taken(budget, "1")
    clock.now += 30
    taken(budget, "2")
    assert (budget.restarts, budget.rollouts) == (BudgetUsage(2, 5), BudgetUsage(2, 2))
    clock.now += 30
    budget.set_rolling(A_X, frozenset())
    assert (budget.restarts, budget.rollouts) == (BudgetUsage(1, 5), BudgetUsage(0, 2))


def test_usage_without_bounds(clock: Clock) -> None:
    """A bound of 0 is none."""
    budget = RestartBudget(now=clock)
    taken(budget, "1")
    assert (budget.restarts, budget.rollouts) == (BudgetUsage(1, 0), BudgetUsage(1, 0))
