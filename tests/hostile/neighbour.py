"""The honest neighbour: another namespace with a well Infisical, whose changes are timed."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from e2e.faults import waiting
from e2e.faults.fault_environment import AdminApi, created_namespace, free_port
from e2e.faults.infisical_process import InfisicalProcess
from e2e.faults.rollout_watcher import RolloutWatcher
from hostile.machine import REQUESTS_OF_A_CHANGE, ApiReference, waited_for_processor
from support import manifests
from support.eventually import DeadlineExceededError

_FOLDER, _KEY = "/payments", "DB_PASSWORD"
_SERVED_SECONDS = 60
_LONGEST = 20.0
"""Seconds after which a change counts as not acted on."""
_PAUSE = 0.01


@dataclass(frozen=True, slots=True)
class TimedChange:
    """Seconds from a change to its restart, and how many of these are the machine's and the API server's."""

    seconds: float
    others: float

    @property
    def own(self) -> float:
        """Seconds that the operator took."""
        return max(0.0, self.seconds - self.others)


@dataclass(slots=True)
class Neighbour:
    """Its namespace and its Infisical; one Deployment is restarted by each change."""

    namespace: str
    api: AdminApi
    infisical: InfisicalProcess
    watcher: RolloutWatcher
    reference: ApiReference
    changes: int = 0

    def wait_served(self) -> None:
        """Wait until the subscription is ready."""

        def is_ready() -> bool:
            status = self.api.subscription(self.namespace, "payments").get("status", {})
            return any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", ()))

        waiting.wait_until(is_ready, seconds=_SERVED_SECONDS, what="the neighbour is served")

    def time_change(self, operator: int) -> TimedChange | None:
        """Change the secret; return the time until the Deployment was patched, None if it never was.

        The time begins with the change in Infisical's journal, and ends when a watch shows the patch.
        `operator` is the operator's process.
        """
        self.changes += 1
        seen, waited = len(self.watcher.rollouts), waited_for_processor(operator)
        change = self.infisical.change(_FOLDER, _KEY, f"value-{self.changes}")
        deadline = time.monotonic() + _LONGEST
        while len(self.watcher.rollouts) <= seen:
            if time.monotonic() > deadline:
                return None
            waiting.pause(_PAUSE)
        seconds = max(0.0, self.watcher.rollouts[seen].seen_at - change.monotonic)
        waited = waited_for_processor(operator) - waited
        return TimedChange(
            seconds, waited + REQUESTS_OF_A_CHANGE * self.reference.mean_since(change.monotonic)
        )

    def wait_rolled_out(self) -> None:
        """Wait for the end of the rollout: the next restart would wait for it."""
        path = f"/apis/apps/v1/namespaces/{self.namespace}/deployments/api"

        def is_rolled_out() -> bool:
            found = self.api.http.get(path).raise_for_status().json()
            status, wanted = found.get("status", {}), found["spec"]["replicas"]
            counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")]
            is_seen = status.get("observedGeneration", 0) >= found["metadata"]["generation"]
            return bool(is_seen and counts == [wanted] * 3)

        with suppress(DeadlineExceededError):
            waiting.wait_until(is_rolled_out, seconds=_LONGEST, what="the neighbour's rollout ends")


@contextmanager
def neighbour(api: AdminApi, folder: Path) -> Iterator[Neighbour]:
    """A namespace with a subscription, a Deployment and an Infisical of its own, until the block ends."""
    infisical = InfisicalProcess(folder, free_port(), ("--ping-interval", "2"))
    infisical.url = f"http://127.0.0.1:{infisical.port}"
    try:
        infisical.start()
        infisical.create(_FOLDER, [_KEY])
        workload = manifests.workload()
        workload["spec"]["replicas"] = 1
        objects = [manifests.credentials(infisical), workload, manifests.subscription(infisical)]
        with (
            created_namespace(api, "neighbour", objects) as namespace,
            RolloutWatcher(api.client(), namespace) as watcher,
            api.client() as client,
            ApiReference(lambda: _write(client, namespace)) as reference,
        ):
            yield Neighbour(namespace, api, infisical, watcher, reference)
    finally:
        infisical.kill()


def _write(client: httpx.Client, namespace: str) -> None:
    """Write an annotation of the credentials; nobody watches it."""
    patch = {"metadata": {"annotations": {"example.com/written": str(time.monotonic())}}}
    path = f"/api/v1/namespaces/{namespace}/secrets/infisical-credentials"
    client.patch(path, json=patch, headers={"Content-Type": "application/merge-patch+json"}, timeout=30)
