"""The Kubernetes of the simulation: the one in memory, with latency, conflicts, lost and late writes."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fakes import FakeCluster
from infisical_events.api import annotations
from infisical_events.core.encoding import decode
from infisical_events.core.ledgers import Ledger
from infisical_events.core.workloads import Workload
from infisical_events.kube.errors import ConflictError, KubernetesError, NotFoundError, UnknownOutcomeError
from infisical_events.kube.recording import Notice
from infisical_events.kube.subscriptions import StoredSubscription, SubscriptionKey
from simulation.faults import Faults

NAMESPACE = "shop"


@dataclass(frozen=True, slots=True)
class Rollout:
    """A pod template that our patch really changed; `told_at` is the time that its receipt tells."""

    at: float
    told_at: datetime
    uid: str
    name: str
    subscription_stamp: tuple[str, str]


@dataclass(frozen=True, slots=True)
class StoredLedger:
    """A ledger that was stored, and when."""

    at: float
    subscription: str
    ledger: Ledger


class ClusterModel(FakeCluster):
    """Implements `runtime.ports.Cluster` for any number of operators at once."""

    def __init__(self, faults: Faults) -> None:
        super().__init__(self._interposed)
        self.faults = faults
        self.rollouts: list[Rollout] = []
        self.ledgers: list[StoredLedger] = []

    async def _interposed(self, method: str) -> None:
        await self.faults.crash_point(f"before {method}")
        await asyncio.sleep(self.faults.latency())
        if self.faults.strikes("api_error"):
            raise KubernetesError("the API server answered 500")

    async def write_status(
        self, key: SubscriptionKey, resource_version: str, status: dict[str, Any]
    ) -> StoredSubscription:
        """May conflict by a stranger's edit, may be applied and its answer lost, now or later."""
        if self.faults.strikes("stranger_edit"):
            self.label_subscription(key, f"l{len(self.ledgers)}-{_now()}")
        write = super().write_status

        async def apply() -> StoredSubscription:
            stored = await write(key, resource_version, status)
            if "ledger" in status:
                self.ledgers.append(StoredLedger(_now(), key.uid, decode(stored.status["ledger"])))
            return stored

        return await self._unreliable(apply, "write_status")

    async def patch_workload(self, namespace: str, workload: Workload, body: dict[str, Any]) -> None:
        """May be applied and its answer lost, now or later."""
        patch = super().patch_workload

        async def apply() -> None:
            before = self._template(namespace, workload)
            await patch(namespace, workload, body)
            after = self._template(namespace, workload)
            told = json.loads(body["metadata"]["annotations"][annotations.LAST_RESTART])
            told_at = datetime.fromisoformat(told["time"])
            for stamp in after.items() - before.items():
                self.rollouts.append(Rollout(_now(), told_at, workload.uid, workload.name, stamp))

        await self._unreliable(apply, "patch_workload")

    async def record(self, notice: Notice) -> None:  # noqa: ARG002 - the port's signature
        """Events are not part of the simulation."""
        self.notices.clear()

    def _template(self, namespace: str, workload: Workload) -> dict[str, str]:
        raw = self._workloads.get((namespace, workload.kind.kind, workload.name))
        if raw is None:
            return {}
        found: dict[str, str] = raw["spec"]["template"]["metadata"]["annotations"]
        return dict(found)

    async def _unreliable(self, apply: Callable[[], Any], method: str) -> Any:  # noqa: ANN401 - as applied
        if self.faults.strikes("lost_request"):
            raise UnknownOutcomeError("no answer")
        if self.faults.strikes("late_write"):
            asyncio.get_running_loop().call_later(self.faults.latency(), _later, apply)
            raise UnknownOutcomeError("no answer")
        applied = await apply()
        await self.faults.crash_point(f"after {method}")
        if self.faults.strikes("lost_answer"):
            raise UnknownOutcomeError("no answer")
        return applied


def _later(apply: Callable[[], Any]) -> None:
    """A request that was given up by the client and arrives all the same; nobody hears how it went."""

    async def run() -> None:
        try:
            await apply()
        except (ConflictError, NotFoundError, KubernetesError):
            return
        except BaseException as crash:
            if type(crash).__name__ != "Crash":
                raise

    _LATE.add(task := asyncio.get_running_loop().create_task(run()))
    task.add_done_callback(_LATE.discard)


_LATE: set[asyncio.Task[None]] = set()


def _now() -> float:
    return asyncio.get_running_loop().time()
