"""One pod: its template, and why it is not ready."""

from typing import Any

import pytest
from hypothesis import given

from infisical_events.core.workloads.pod_states import (
    PodRevision,
    PodState,
    first_not_ready,
    pod_state_of,
)
from support.builders import START, at
from support.strategies import json_values

CREATED = "2026-01-02T03:04:05Z"
NOT_READY = {"type": "Ready", "status": "False", "reason": "ContainersNotReady"}


def a_pod(status: object = None, name: str = "db-0", **metadata: object) -> dict[str, Any]:
    """A pod as the API server has it."""
    own = {"name": name, "creationTimestamp": CREATED, "labels": {"controller-revision-hash": "db-2"}}
    return {"metadata": own | metadata, "status": status or {}}


def waiting(reason: str) -> dict[str, Any]:
    """The status of a container that does not run."""
    return {"name": "main", "state": {"waiting": {"reason": reason, "message": "…"}}}


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ({"conditions": [{"type": "Ready", "status": "True"}]}, "pod/db-0 is ready"),
        (
            {"conditions": [NOT_READY], "containerStatuses": [waiting("CrashLoopBackOff")]},
            "pod/db-0 is not ready (CrashLoopBackOff)",
        ),
        (
            {"conditions": [NOT_READY], "initContainerStatuses": [waiting("ImagePullBackOff")]},
            "pod/db-0 is not ready (ImagePullBackOff)",
        ),
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]},
            "pod/db-0 is not ready (Unschedulable)",
        ),
        ({"reason": "Evicted"}, "pod/db-0 is not ready (Evicted)"),
        ({"conditions": [NOT_READY]}, "pod/db-0 is not ready (ContainersNotReady)"),
        ({}, "pod/db-0 is not ready"),
    ],
)
def test_why_a_pod_is_not_ready(status: object, text: str) -> None:
    """The most specific reason is named."""
    assert str(pod_state_of(a_pod(status))) == text


def test_a_pod_that_is_deleted() -> None:
    """It is not counted as ready any more."""
    pod = pod_state_of(a_pod({"conditions": [{"type": "Ready", "status": "True"}]}, deletionTimestamp="t"))

    assert (str(pod), pod.is_serving) == ("pod/db-0 is terminating", False)


def test_nothing_else_of_a_pod_is_kept() -> None:
    """Its environment may contain secrets, and so may its labels and annotations."""
    stored = a_pod(labels={"controller-revision-hash": "db-2", "x": "canary"}, annotations={"y": "canary"})
    stored["spec"] = {"containers": [{"env": [{"name": "A", "value": "canary"}]}]}

    assert "canary" not in repr(pod_state_of(stored))


def test_pods_of_a_revision() -> None:
    """By label, or by creation time; without either none is recognized."""
    pod = PodState("db-0", START, {"controller-revision-hash": "db-2"})

    assert PodRevision("controller-revision-hash", "db-2").includes(pod)
    assert not PodRevision("controller-revision-hash", "db-3").includes(pod)
    assert PodRevision(since=START).includes(pod)
    assert not PodRevision(since=at(1)).includes(pod)
    assert not PodRevision().includes(pod)


def test_the_first_pod_that_is_not_ready() -> None:
    """By ordinal, as a StatefulSet's controller goes through them."""
    pods = [PodState(f"db-{number}", START, {}, is_ready=number in {0, 3}) for number in (10, 3, 2, 0)]
    first = first_not_ready(pods)

    assert first is not None
    assert first.name == "db-2"
    assert first_not_ready(pods[1:2]) is None


@given(raw=json_values)
def test_another_shape_is_refused(raw: Any) -> None:  # noqa: ANN401 - any JSON
    """Nothing is raised but what the client turns into an error."""
    for shape in (raw, a_pod(raw), a_pod({"conditions": raw}), a_pod({"containerStatuses": raw})):
        try:
            pod_state_of(shape)
        except (KeyError, TypeError, AttributeError, ValueError):
            continue
