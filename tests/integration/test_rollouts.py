"""What real controllers do to a StatefulSet: a pod that is not ready stops them, and so does a partition."""

import json
from typing import Any

import pytest

from support.cluster_harness import ClusterHarness
from support.manifests import Manifest, credentials, subscription, workload

pytestmark = pytest.mark.cluster


def stateful_set(**spec: Any) -> Manifest:  # noqa: ANN401 - JSON
    """Three pods that opted in."""
    made = workload("db", "StatefulSet")
    made["spec"] |= {"replicas": 3, **spec}
    return made


def serve(harness: ClusterHarness, database: Manifest) -> None:
    """Start the operator for a StatefulSet whose pods are all available."""
    harness.apply(credentials(harness.sandbox), database, subscription(harness.sandbox))
    harness.kubectl("rollout", "status", "statefulset/db", "-n", harness.namespace, "--timeout=60s")
    harness.operator.start()
    harness.wait_serving()


def result(harness: ClusterHarness) -> str:
    """What became of the StatefulSet in the newest action; empty before the first."""
    status = harness.get("ies", "payments").get("status", {})
    found = (each["result"] for each in status.get("lastAction", {}).get("workloads", ()))
    return str(next(found, ""))


def break_pod(harness: ClusterHarness, name: str) -> None:
    """The pod is not ready any more, as its kubelet would report."""
    conditions = [{"type": kind, "status": "False"} for kind in ("Ready", "ContainersReady")]
    patch = json.dumps({"status": {"conditions": conditions}})
    harness.kubectl(
        "patch", "pod", name, "-n", harness.namespace, "--subresource=status", "--type=strategic", "-p", patch
    )


def test_a_stateful_set_whose_first_pod_is_not_ready(harness: ClusterHarness) -> None:
    """It is patched at once, the pod that stops its controller is named, and deleting that pod is enough."""
    serve(harness, stateful_set())
    break_pod(harness, "db-0")
    harness.change(DB_PASSWORD="second")
    harness.eventually(lambda: harness.generation("db", "statefulset") == 2, seconds=10)

    blocked = harness.wait_reason("RestartsComplete", "RolloutBlocked")
    assert "waits for pod/db-0, which is not ready" in blocked["message"]
    assert result(harness) == "Restarted"

    harness.kubectl("delete", "pod", "db-0", "-n", harness.namespace)
    harness.eventually(lambda: result(harness) == "RolledOut", seconds=60)
    harness.wait_reason("RestartsComplete", "NoPendingRestarts")


def test_a_stateful_set_with_a_partition(harness: ClusterHarness) -> None:
    """The pods below it are counted, until the partition is lowered and they are new."""
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}
    serve(harness, stateful_set(updateStrategy=strategy))
    harness.change(DB_PASSWORD="second")

    held = harness.wait_reason("RestartsComplete", "RolloutPartitioned")
    assert "2 of 3 pods keep the old template: partition 2" in held["message"]
    assert result(harness) == "RolloutPartitioned"

    lowered = json.dumps({"spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}}})
    harness.kubectl("patch", "statefulset", "db", "-n", harness.namespace, "-p", lowered)
    harness.eventually(lambda: result(harness) == "RolledOut", seconds=60)
    harness.wait_reason("RestartsComplete", "NoPendingRestarts")
