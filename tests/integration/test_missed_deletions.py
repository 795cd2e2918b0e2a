"""What a gap in the watch hides: subscriptions that were deleted, namesakes, namespaces that are gone."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import kubectl_for
from infisical_sandbox.server import Sandbox
from infisical_sandbox.server.controls import Controls
from local_cluster import Cluster
from support import schemas
from support.operator_process import Operator, Scene, credentials, subscription, workload

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

NAMESPACE = "gap"


@pytest.fixture
def gap(
    private_cluster: Cluster, eventually: Callable[..., Any], sandbox: Sandbox, tmp_path: Path
) -> Iterator[Scene]:
    """A subscription that is served in a cluster of this test alone, and a Deployment that it concerns."""
    kubectl = kubectl_for(private_cluster)
    kubectl("apply", "--server-side", "-f", str(schemas.CRD_FILE))
    name = f"crd/{schemas.CRD['metadata']['name']}"
    eventually(lambda: kubectl("wait", "--for=condition=Established", name, "--timeout=10s"), seconds=30)
    kubectl("create", "namespace", NAMESPACE)
    eventually(lambda: kubectl("get", "serviceaccount", "default", "-n", NAMESPACE))
    operator = Operator.serving(NAMESPACE, private_cluster.kubeconfig, tmp_path)
    scene = Scene(NAMESPACE, kubectl, eventually, sandbox, operator)
    try:
        scene.apply(credentials(sandbox), workload(), subscription(sandbox))
        operator.start()
        scene.watching()
        yield scene
    finally:
        operator.kill()


def frozen(scene: Scene, private_cluster: Cluster, meanwhile: Callable[[], object]) -> None:
    """Do something while the operator stands still, and let the cluster forget that it happened."""
    assert scene.operator.process is not None
    scene.operator.process.send_signal(signal.SIGSTOP)
    try:
        meanwhile()
        private_cluster.compact()
    finally:
        scene.operator.process.send_signal(signal.SIGCONT)


def streams(scene: Scene) -> int:
    """How many are open at Infisical."""
    return scene.sandbox.do_blocking(Controls.count_streams)


def test_a_deletion_that_nobody_told_of_ends_the_stream(gap: Scene, private_cluster: Cluster) -> None:
    """After a watch that was 410 the stream of a deleted subscription is closed, and nothing is restarted."""
    frozen(gap, private_cluster, lambda: gap.kubectl("delete", "ies", "payments", "-n", NAMESPACE))

    gap.eventually(lambda: streams(gap) == 0, seconds=120)
    gap.change(DB_PASSWORD="second")
    gap.stays(gap.generation, 1)
    assert "infisical_events_subscriptions 0.0" in gap.operator.get("/metrics")
    assert gap.operator.process is not None
    assert gap.operator.process.poll() is None


def test_a_namesake_takes_the_place_of_what_was_deleted_unseen(gap: Scene, private_cluster: Cluster) -> None:
    """Recreated under the same name while nobody looked: served as a new one, alone, and once per change."""

    def replace() -> None:
        gap.kubectl("delete", "ies", "payments", "-n", NAMESPACE)
        gap.apply(subscription(gap.sandbox))

    frozen(gap, private_cluster, replace)
    gap.watching()
    gap.eventually(lambda: streams(gap) == 1, seconds=120)

    gap.change(DB_PASSWORD="second")
    gap.restarts(1)


def test_a_namespace_that_vanishes_takes_its_streams_along(gap: Scene) -> None:
    """Its subscriptions are served no more, and the operator goes on."""
    gap.kubectl("delete", "namespace", NAMESPACE, "--wait=false")

    gap.eventually(lambda: streams(gap) == 0, seconds=90)
    assert gap.operator.process is not None
    assert gap.operator.process.poll() is None
    assert gap.operator.get("/healthz") == "ok\n"


def test_an_api_server_that_is_away_for_a_minute_is_waited_for(gap: Scene, private_cluster: Cluster) -> None:
    """What changes meanwhile is one restart afterwards; the stream stays open, and the operator alive."""
    private_cluster.stop("kube-apiserver", force=True)
    gap.change(DB_PASSWORD="second")
    gap.eventually(lambda: "KubernetesAPIError" in gap.operator.get("/metrics"), seconds=60)
    private_cluster.start("kube-apiserver")

    gap.restarts(1, seconds=120)
    assert streams(gap) == 1
