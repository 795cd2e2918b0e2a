"""Two replicas as processes on a real control plane: who holds the Lease works, and changes hands in time."""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.operator_process import Operator, Scene, credentials, subscription, workload

pytestmark = pytest.mark.cluster

LEASE_SECONDS = 5
HANDED_OVER_SECONDS = 2.0


@pytest.fixture
def replicas(scene: Scene, cluster: Any, tmp_path: Path) -> Iterator[dict[str, Operator]]:  # noqa: ANN401 - ours or foreign
    """`one` and `two`, not begun, with Leases that expire soon."""
    made = {}
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        made[name] = operator = Operator.serving(scene.namespace, cluster.kubeconfig, tmp_path / name)
        operator.command = [*operator.command, "--lease-duration", str(LEASE_SECONDS)]
    try:
        yield made
    finally:
        for operator in made.values():
            operator.kill()


def holder(scene: Scene) -> str:
    """The replica that holds the shard by its Lease; empty for none."""
    spec = scene.get("lease", "infisical-events-shard-0")["spec"]
    return str(spec.get("holderIdentity", "")).partition("_")[0]


def stands_by(operator: Operator) -> bool:
    """Whether a replica is ready and says that another one works."""
    return operator.get("/readyz").startswith("ok\nstandby: ")


def test_two_replicas(scene: Scene, replicas: dict[str, Operator], eventually: Callable[..., Any]) -> None:
    """Told to end, killed, or frozen beyond its Lease: the other one goes on; each change is one restart."""
    one, two = replicas["one"], replicas["two"]
    scene.apply(credentials(scene.sandbox), workload(), subscription(scene.sandbox))
    one.start()
    scene.watching()
    two.start()
    eventually(lambda: stands_by(two), seconds=10)
    assert one.get("/readyz") == "ok\nactive: 1 of 1 shard held (0)\n"
    scene.change(DB_PASSWORD="second")
    scene.restarts(1)

    begun = time.monotonic()
    ended = eventually_ended(one)
    eventually(lambda: holder(scene) == "two", seconds=10)
    assert time.monotonic() - begun < HANDED_OVER_SECONDS
    assert ended() == 0
    scene.change(DB_PASSWORD="third")
    scene.restarts(1, since=2)

    one.start()
    eventually(lambda: stands_by(one), seconds=10)
    two.kill()
    scene.change(DB_PASSWORD="fourth")
    scene.restarts(1, since=3)
    assert holder(scene) == "one"

    two.start()
    eventually(lambda: stands_by(two), seconds=10)
    assert one.process is not None
    one.process.send_signal(signal.SIGSTOP)
    try:
        scene.change(DB_PASSWORD="fifth")
        scene.restarts(1, since=4)
    finally:
        one.process.send_signal(signal.SIGCONT)
    eventually(lambda: stands_by(one), seconds=10)
    scene.stays(lambda: (holder(scene), scene.generation()), ("two", 5))
    assert "Traceback" not in one.log.read_text() + two.log.read_text()


def eventually_ended(operator: Operator) -> Callable[[], int]:
    """Tell a replica to end; what is returned waits for its exit code."""
    process = operator.process
    assert process is not None
    process.send_signal(signal.SIGTERM)
    operator.process = None
    return lambda: process.wait(timeout=15)
