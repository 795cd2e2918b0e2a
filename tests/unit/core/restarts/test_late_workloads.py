"""Which workloads are new, by plain values."""

from dataclasses import replace
from datetime import timedelta

import pytest

from infisical_events.core.restarts.late_workloads import SubscribedWorkloads
from infisical_events.core.workloads.workloads import Workload, WorkloadList
from support.builders import ROLLOUT, START, a_workload, at

CHANGE, NOW = at(20), at(40)


def made(seconds: float, name: str = "web") -> Workload:
    """A workload that was created so many seconds after `START`."""
    return replace(a_workload(name), created_at=START + timedelta(seconds=seconds))


@pytest.mark.parametrize(("seconds", "expected"), [(10, False), (30, True), (45, True), (600, False)])
def test_before_the_first_list_the_age_decides(seconds: float, expected: object) -> None:
    """A creation in the future is one before a clock went back, and shows no age."""
    assert SubscribedWorkloads().lacks(made(seconds), CHANGE, NOW) is expected


def test_after_a_list_the_list_decides() -> None:
    """A workload that opts in is new, however old it is."""
    listed = WorkloadList((made(0), replace(made(0, "late"), annotations={})))
    subscribed = SubscribedWorkloads().updated(listed, "app")
    assert [subscribed.lacks(made(0, name), CHANGE, NOW) for name in ("web", "late")] == [False, True]


def test_a_kind_that_cannot_be_listed_keeps_its_workloads() -> None:
    """They are not new when it is listed again; those of other kinds are gone."""
    canary = a_workload("canary", ROLLOUT)
    subscribed = SubscribedWorkloads().updated(WorkloadList((made(0), canary)), "app")
    subscribed = subscribed.updated(WorkloadList(failures={"Deployment": "forbidden"}), "app")
    assert [subscribed.lacks(each, CHANGE, NOW) for each in (made(0), canary)] == [False, True]
