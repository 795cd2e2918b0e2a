"""Two replicas on a real control plane: the holder of the Lease works, and hands it over in time."""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.cluster_harness import ClusterHarness
from support.manifests import credentials, subscription, workload
from support.operator_process import OperatorProcess

pytestmark = pytest.mark.cluster

LEASE_SECONDS = 5
HANDED_OVER_SECONDS = 2.0


@pytest.fixture
def replicas(harness: ClusterHarness, cluster: Any, tmp_path: Path) -> Iterator[dict[str, OperatorProcess]]:  # noqa: ANN401 - ours or foreign
    """`one` and `two`, not started, with short Leases."""
    made = {}
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        made[name] = operator = OperatorProcess.for_namespace(
            harness.namespace, cluster.kubeconfig, tmp_path / name
        )
        operator.command = [*operator.command, "--lease-duration", str(LEASE_SECONDS)]
    try:
        yield made
    finally:
        for operator in made.values():
            operator.kill()


def holder(harness: ClusterHarness) -> str:
    """Return the replica that holds the shard by its Lease; empty for none."""
    spec = harness.get("lease", "infisical-events-shard-0")["spec"]
    return str(spec.get("holderIdentity", "")).partition("_")[0]


def stands_by(operator: OperatorProcess) -> bool:
    """Whether a replica is ready and reports that it stands by."""
    return operator.get("/readyz").startswith("ok\nstandby: ")


def test_two_replicas(
    harness: ClusterHarness, replicas: dict[str, OperatorProcess], eventually: Callable[..., Any]
) -> None:
    """After SIGTERM, SIGKILL and suspension the other replica takes over; each change causes one restart."""
    one, two = replicas["one"], replicas["two"]
    harness.apply(credentials(harness.sandbox), workload(), subscription(harness.sandbox))
    one.start()
    harness.wait_serving()
    two.start()
    eventually(lambda: stands_by(two), seconds=10)
    assert one.get("/readyz") == "ok\nactive: 1 of 1 shard held (0)\n"
    harness.change(DB_PASSWORD="second")
    harness.wait_restarts(1)

    begun = time.monotonic()
    ended = eventually_ended(one)
    eventually(lambda: holder(harness) == "two", seconds=10)
    assert time.monotonic() - begun < HANDED_OVER_SECONDS
    assert ended() == 0
    harness.change(DB_PASSWORD="third")
    harness.wait_restarts(2)

    one.start()
    eventually(lambda: stands_by(one), seconds=10)
    two.kill()
    harness.change(DB_PASSWORD="fourth")
    harness.wait_restarts(3)
    assert holder(harness) == "one"

    two.start()
    eventually(lambda: stands_by(two), seconds=10)
    assert one.process is not None
    one.process.send_signal(signal.SIGSTOP)
    try:
        harness.change(DB_PASSWORD="fifth")
        harness.expect_restarts(1, since=4)
    finally:
        one.process.send_signal(signal.SIGCONT)
    eventually(lambda: stands_by(one), seconds=10)
    harness.assert_stays(lambda: (holder(harness), harness.generation()), ("two", 5))
    assert "Traceback" not in one.log.read_text() + two.log.read_text()


def eventually_ended(operator: OperatorProcess) -> Callable[[], int]:
    """Send SIGTERM to a replica; the returned function waits for its exit code."""
    process = operator.process
    assert process is not None
    process.send_signal(signal.SIGTERM)
    operator.process = None
    return lambda: process.wait(timeout=15)
