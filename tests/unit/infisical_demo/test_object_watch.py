"""When a rollout is complete, and which observed version satisfies a wait."""

import asyncio
from typing import Any

import pytest

from infisical_demo import object_views
from infisical_demo.errors import DemoError, NotSeenError
from infisical_demo.object_views import DeploymentView
from infisical_demo.object_watch import History


def a_deployment(**status: int) -> dict[str, Any]:
    """A Deployment of generation 2 with two replicas, as the API server serves it."""
    complete = {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}
    stamped = {"annotations": {"events.infisical.com/revision-payments": "e.1", "other": "x"}}
    return {
        "metadata": {"generation": 2},
        "spec": {"replicas": 2, "template": {"metadata": stamped}},
        "status": complete | status,
    }


@pytest.mark.parametrize(
    ("status", "is_complete"),
    [
        ({}, True),
        ({"observedGeneration": 1}, False),
        ({"updatedReplicas": 1}, False),
        ({"replicas": 3}, False),
        ({"availableReplicas": 1}, False),
    ],
)
def test_a_rollout_is_complete_as_kubectl_decides_it(status: dict[str, int], *, is_complete: bool) -> None:
    """All pods are new and available, no old one is left, and the controller has seen the change."""
    assert object_views.deployment(a_deployment(**status), 0).is_rolled_out == is_complete


def test_only_annotations_of_the_operator_are_revisions() -> None:
    """Other annotations of the pod template are ignored."""
    assert object_views.deployment(a_deployment(), 0).revisions == {
        "events.infisical.com/revision-payments": "e.1"
    }


def test_a_condition_of_an_older_spec_is_not_true_yet() -> None:
    """A status that was written before the spec changed says nothing about it."""
    condition = {
        "type": "Ready",
        "status": "True",
        "reason": "Watching",
        "message": "",
        "observedGeneration": 1,
    }
    raw = {"metadata": {"generation": 2}, "status": {"conditions": [condition]}}

    assert not object_views.subscription(raw, 0).is_true("Ready")
    assert not object_views.subscription({"metadata": {"generation": 2}}, 0).is_true("Ready")


def a_view(at: float, generation: int) -> DeploymentView:
    """A Deployment that was observed at this time."""
    return object_views.deployment(a_deployment() | {"metadata": {"generation": generation}}, at)


async def test_the_first_version_that_fits_is_found_even_if_later_ones_came() -> None:
    """The time of a version is that of its observation, not that of the query."""
    history: History[DeploymentView] = History()
    for at in (1.0, 2.0, 3.0):
        history.add(a_view(at, generation=int(at)))

    found = await history.first(lambda view: view.generation >= 2, seconds=1, what="it")
    assert found.at == 2.0
    found = await history.first(lambda view: view.generation >= 2, seconds=1, what="it", since=2.5)
    assert found.at == 3.0


async def test_a_version_that_arrives_during_the_wait_counts() -> None:
    """Waiting ends with the first version that fits."""
    history: History[DeploymentView] = History()
    history.add(a_view(1, generation=1))
    waiting = asyncio.create_task(history.first(lambda view: view.generation == 3, seconds=10, what="it"))
    for generation in (2, 3):
        await asyncio.sleep(0)
        history.add(a_view(generation, generation=generation))

    assert (await waiting).generation == 3


async def test_the_error_names_the_missing_observation() -> None:
    """The message has the observation and the deadline."""
    with pytest.raises(NotSeenError, match=r"a restart was not observed within 0\.01 s"):
        await History[DeploymentView]().first(lambda _: True, seconds=0.01, what="a restart")


async def test_a_watch_that_breaks_ends_the_waiting() -> None:
    """A waiting caller gets the error of the watch, without waiting for the deadline."""
    history: History[DeploymentView] = History()
    history.end(DemoError("the watch at the API server failed"))

    with pytest.raises(DemoError, match="watch at the API server failed"):
        await history.first(lambda _: True, seconds=10, what="it")
