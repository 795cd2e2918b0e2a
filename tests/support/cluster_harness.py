"""The harness of the integration tests: a namespace, a local Infisical and the operator as a process.

Everything is real except the pods: `kubectl apply`, the API server, the HTTP stream, the process.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from infisical_sandbox.server import Sandbox
from infisical_sandbox.server.controls import Controls
from support.manifests import Manifest
from support.object_client import ObjectClient
from support.operator_process import OperatorProcess

_QUIET_SECONDS = 2.5
"""Longer than debounce, status pause and one repeated read together."""


@dataclass(slots=True)
class ClusterHarness:
    """One namespace, one Infisical and one operator; what tests do with them and wait for."""

    namespace: str
    kubectl: Callable[..., str]
    eventually: Callable[..., Any]
    sandbox: Sandbox
    operator: OperatorProcess
    client: ObjectClient
    applied: list[Manifest] = field(default_factory=list)

    def apply(self, *manifests: Manifest) -> None:
        """`kubectl apply` into the namespace."""
        self.applied.extend(manifests)
        body = json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
        self.kubectl("apply", "-n", self.namespace, "-f", "-", stdin=body)

    def get(self, kind: str, name: str) -> Manifest:
        """Read one object; raises KubectlError."""
        return self.client.get(self.namespace, kind, name)

    def wait_serving(self, name: str = "payments") -> Manifest:
        """Wait until a subscription has an open stream and a complete read; return it."""

        def ready() -> Manifest | None:
            found = self.get("ies", name)
            conditions = found.get("status", {}).get("conditions", ())
            true_types = {c["type"] for c in conditions if c["status"] == "True"}
            return found if true_types >= {"Ready", "Streaming", "Observed", "Authenticated"} else None

        ready_object: Manifest = self.eventually(ready, seconds=30)
        return ready_object

    def condition(self, kind: str, name: str = "payments") -> Manifest:
        """Return one condition of a subscription; empty while there is none."""
        conditions = self.get("ies", name).get("status", {}).get("conditions", ())
        return next((c for c in conditions if c["type"] == kind), {})

    def wait_reason(self, kind: str, reason: str, name: str = "payments") -> Manifest:
        """Wait for a condition with this reason; return the condition."""
        found: Manifest = self.eventually(
            lambda: c if (c := self.condition(kind, name)).get("reason") == reason else None, seconds=30
        )
        return found

    def generation(self, name: str = "api", kind: str = "deployment") -> int:
        """Return the generation of a workload: 1 at first, then one more for each change of its spec."""
        return int(self.get(kind, name)["metadata"]["generation"])

    def wait_restarts(
        self,
        expected: int,
        name: str = "api",
        kind: str = "deployment",
        *,
        since: int = 1,
        seconds: float = 30,
    ) -> None:
        """Wait for so many restarts since a generation, and for the end of the rollout.

        It does not watch for superfluous restarts. A test that goes on checks the total with
        `expect_restarts` in the end, which finds them as well.
        """
        self.eventually(lambda: self.generation(name, kind) >= since + expected, seconds=seconds)
        self.eventually(lambda: _is_rolled_out(self.get(kind, name)), seconds=30)

    def expect_restarts(
        self,
        expected: int,
        name: str = "api",
        kind: str = "deployment",
        *,
        since: int = 1,
        seconds: float = 30,
    ) -> None:
        """Wait for so many restarts since a generation; check that no more follow and the rollout ends."""
        self.eventually(lambda: self.generation(name, kind) >= since + expected, seconds=seconds)
        self.assert_stays(lambda: self.generation(name, kind), since + expected)
        self.kubectl("rollout", "status", f"{kind}/{name}", "-n", self.namespace, "--timeout=30s")

    def assert_stays(self, read_result: Callable[[], object], expected: object) -> None:
        """Check for a while that a value does not change."""
        deadline = time.monotonic() + _QUIET_SECONDS
        while time.monotonic() < deadline:
            assert expected == read_result()
            time.sleep(0.1)  # noqa: TID251 - the pause between two reads

    def change(self, path: str = "/payments", environment: str = "prod", **values: str) -> None:
        """Create or update secrets in Infisical by one call."""
        self.sandbox.do_blocking(Controls.set_secrets, environment, path, values)

    def delete(self, *keys: str, path: str = "/payments", environment: str = "prod") -> None:
        """Delete secrets in Infisical by one call."""
        self.sandbox.do_blocking(Controls.delete_secrets, environment, path, keys)


def _is_rolled_out(workload: Manifest) -> bool:
    """Whether all pods of a Deployment are new and available."""
    wanted, status = workload["spec"]["replicas"], workload.get("status", {})
    counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")]
    is_observed = status.get("observedGeneration", 0) >= workload["metadata"]["generation"]
    return bool(is_observed and counts == [wanted] * 3)
