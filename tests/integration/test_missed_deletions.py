"""Deletions during a gap in the watch: of subscriptions, of namesakes, of namespaces."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infisical_sandbox.server import Sandbox
from infisical_sandbox.server.controls import Controls
from local_cluster import Cluster
from support import schemas
from support.cluster_harness import ClusterHarness
from support.kubectl import kubectl_for
from support.manifests import credentials, subscription, workload
from support.object_client import ObjectClient
from support.operator_process import OperatorProcess

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

NAMESPACE = "gap"


@pytest.fixture
def gap_harness(
    private_cluster: Cluster,
    private_client: ObjectClient,
    eventually: Callable[..., Any],
    sandbox: Sandbox,
    tmp_path: Path,
) -> Iterator[ClusterHarness]:
    """A served subscription and a matching Deployment in a cluster of their own."""
    kubectl = kubectl_for(private_cluster)
    kubectl("apply", "--server-side", "-f", str(schemas.CRD_FILE))
    name = f"crd/{schemas.CRD['metadata']['name']}"
    eventually(lambda: kubectl("wait", "--for=condition=Established", name, "--timeout=10s"), seconds=30)
    kubectl("create", "namespace", NAMESPACE)
    eventually(lambda: kubectl("get", "serviceaccount", "default", "-n", NAMESPACE))
    operator = OperatorProcess.for_namespace(NAMESPACE, private_cluster.kubeconfig, tmp_path)
    harness = ClusterHarness(NAMESPACE, kubectl, eventually, sandbox, operator, private_client)
    try:
        harness.apply(credentials(sandbox), workload(), subscription(sandbox))
        operator.start()
        harness.wait_serving()
        yield harness
    finally:
        operator.kill()


def frozen(harness: ClusterHarness, private_cluster: Cluster, meanwhile: Callable[[], object]) -> None:
    """Do something while the operator is suspended, and let the cluster forget the events of it."""
    assert harness.operator.process is not None
    harness.operator.process.send_signal(signal.SIGSTOP)
    try:
        meanwhile()
        private_cluster.compact()
    finally:
        harness.operator.process.send_signal(signal.SIGCONT)


def streams(harness: ClusterHarness) -> int:
    """Return how many streams are open at Infisical."""
    return harness.sandbox.do_blocking(Controls.count_streams)


def test_a_deletion_that_nobody_told_of_ends_the_stream(
    gap_harness: ClusterHarness, private_cluster: Cluster
) -> None:
    """After error 410 of the watch the stream of a deleted subscription closes, and nothing restarts."""
    frozen(
        gap_harness,
        private_cluster,
        lambda: gap_harness.kubectl("delete", "ies", "payments", "-n", NAMESPACE),
    )

    gap_harness.eventually(lambda: streams(gap_harness) == 0, seconds=120)
    gap_harness.change(DB_PASSWORD="second")
    gap_harness.assert_stays(gap_harness.generation, 1)
    assert "infisical_events_subscriptions 0.0" in gap_harness.operator.get("/metrics")
    assert gap_harness.operator.process is not None
    assert gap_harness.operator.process.poll() is None


def test_a_namesake_takes_the_place_of_what_was_deleted_unseen(
    gap_harness: ClusterHarness, private_cluster: Cluster
) -> None:
    """A subscription recreated during the gap is served as a new one, alone, and once per change."""

    def replace() -> None:
        gap_harness.kubectl("delete", "ies", "payments", "-n", NAMESPACE)
        gap_harness.apply(subscription(gap_harness.sandbox))

    frozen(gap_harness, private_cluster, replace)
    gap_harness.wait_serving()
    gap_harness.eventually(lambda: streams(gap_harness) == 1, seconds=120)

    gap_harness.change(DB_PASSWORD="second")
    gap_harness.expect_restarts(1)


def test_a_namespace_that_vanishes_takes_its_streams_along(gap_harness: ClusterHarness) -> None:
    """Its subscriptions are no longer served, and the operator continues."""
    gap_harness.kubectl("delete", "namespace", NAMESPACE, "--wait=false")

    gap_harness.eventually(lambda: streams(gap_harness) == 0, seconds=90)
    assert gap_harness.operator.process is not None
    assert gap_harness.operator.process.poll() is None
    assert gap_harness.operator.get("/healthz") == "ok\n"


def test_an_api_server_that_is_away_for_a_minute_is_waited_for(
    gap_harness: ClusterHarness, private_cluster: Cluster
) -> None:
    """A change during the outage causes one restart after it; the stream and the operator survive."""
    private_cluster.stop("kube-apiserver", force=True)
    gap_harness.change(DB_PASSWORD="second")
    gap_harness.eventually(lambda: "KubernetesAPIError" in gap_harness.operator.get("/metrics"), seconds=60)
    private_cluster.start("kube-apiserver")

    gap_harness.expect_restarts(1, seconds=120)
    assert streams(gap_harness) == 1
