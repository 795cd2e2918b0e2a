"""The log is bounded, and who floods it takes nothing from others."""

from hypothesis import given
from hypothesis import strategies as st

from infisical_events.runtime.app.log_budget import LogBudget

MOST = 1_000


def is_written(budget: LogBudget, namespace: str, size: int) -> bool:
    """Write a line if it is admitted."""
    is_admitted = budget.admits(namespace)
    if is_admitted:
        budget.spend(namespace, size)
    return is_admitted


def written(budget: LogBudget, namespace: str, size: int, lines: int) -> int:
    """How many of these lines are written."""
    return sum(is_written(budget, namespace, size) for _ in range(lines))


def test_flood_of_one_namespace() -> None:
    """One namespace has a quarter of the budget."""
    budget = LogBudget(MOST)
    assert written(budget, "flood", 10, 1_000) == 25
    assert written(budget, "other", 10, 5) == 5
    assert written(budget, "", 10, 5) == 5


def test_flood_of_many_namespaces() -> None:
    """Who has written little still may when many have used most of the budget."""
    budget = LogBudget(MOST)
    assert [written(budget, f"flood-{number}", 10, 100) for number in range(4)] == [25, 25, 25, 1]
    assert written(budget, "other", 10, 5) == 1
    assert written(budget, "another", 10, 5) == 1


def test_next_minute() -> None:
    """The next minute begins with the whole budget, and says what was left out in the last one."""
    budget = LogBudget(MOST)
    assert budget.begin_minute(100.0) == 0
    assert written(budget, "flood", 10, 30) == 25
    assert budget.begin_minute(159.0) == 0
    assert budget.begin_minute(160.0) == 5
    assert written(budget, "flood", 10, 30) == 25


@given(st.lists(st.tuples(st.sampled_from(["", *map(str, range(200))]), st.integers(1, 600)), max_size=300))
def test_bound(lines: list[tuple[str, int]]) -> None:
    """Whatever is written by whomever, only the last line is beyond the budget."""
    budget = LogBudget(MOST)
    sizes = [size for namespace, size in lines if is_written(budget, namespace, size)]
    assert sum(sizes[:-1]) < MOST
