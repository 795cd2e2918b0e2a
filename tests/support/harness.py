"""The operator's own loops between an API server and an Infisical in memory: start, crash, change, edit.

`SubscriptionHarness` serves one subscription in virtual time; `SupervisorHarness` serves any number of them,
also over real sockets.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Self

from infisical_events.api import annotations
from infisical_events.api.resources import GROUP, WorkloadKind
from infisical_events.core.egress.address_allowlist import EgressPolicy
from infisical_events.core.restarts.user_requests import UserRequests
from infisical_events.core.status.reasons import Reason
from infisical_events.core.sync.value_digests import DigestKey
from infisical_events.core.workloads.rollout_progress import RolloutProgress
from infisical_events.infisical.infisical_errors import InfisicalError
from infisical_events.kube.subscription_client import SubscriptionKey
from infisical_events.runtime.limits.restart_budget import RestartBudget
from infisical_events.runtime.metrics import Metrics
from infisical_events.runtime.ports import InfisicalOpener
from infisical_events.runtime.sharding.supervisor import Supervisor
from infisical_events.runtime.subscription.runner import Dependencies, SubscriptionRunner
from support.builders import DEPLOYMENT, a_raw_spec
from support.fake_cluster import FakeCluster, a_digest_key
from support.fake_infisical import FakeInfisical
from support.virtual_time import virtual_now

ADDRESS = "https://app.infisical.com"
NAMESPACE = "team"
OPTED_IN = {annotations.AUTO_RELOAD: "true"}
SECONDS = 5.0
"""How long a harness waits after what it does: enough for a debounce, a read and a restart."""


def dependencies_of(
    cluster: FakeCluster,
    open_infisical: InfisicalOpener,
    default_address: str = ADDRESS,
    **fields: Any,  # noqa: ANN401 - of Dependencies
) -> Dependencies:
    """The dependencies of a process in virtual time that may reach one address; fields replace the usual."""
    usual = {
        "clock": virtual_now,
        "default_address": default_address,
        "digest_key": a_digest_key,
        "egress": EgressPolicy((default_address,)),
        "metrics": Metrics(),
    }
    return Dependencies(cluster=cluster, open_infisical=open_infisical, **usual | fields)


class SubscriptionHarness:
    """One subscription with its workloads, and a process that serves it and can crash.

    Attributes:
        cluster: The API server.
        infisical: The Infisical.
        open_infisical: What opens sessions; those of `infisical`, unless a test sets another one.
        key: The subscription.
        calls: Method and moment of each call of the API server; moments are seconds of the loop's clock.
        has_digest_key: Whether the key of digests can be read.
        runner: The subscription's loop in the running process.
    """

    def __init__(
        self,
        *workloads: str,
        stored: Mapping[str, Any] | None = None,
        default_address: str = ADDRESS,
        budget: RestartBudget | None = None,
        **fields: object,
    ) -> None:
        """Create the objects.

        Args:
            workloads: Names of Deployments that opted in.
            stored: A `subscription` and a `workload` of an earlier process, instead of new ones.
            default_address: The address of the Infisical, unless the spec names one.
            budget: The restart budget of each process.
            fields: Of the subscription's spec.
        """
        self.calls: list[tuple[str, float]] = []
        self.cluster, self.infisical = FakeCluster(self._called), FakeInfisical()
        self.open_infisical: InfisicalOpener = self.infisical.open_session
        if stored is None:
            self.key = self.cluster.create_subscription(NAMESPACE, "app", _spec(fields))
        else:
            self.key = self.cluster.put_back(stored["subscription"], stored["workload"])
        for name in workloads:
            self.create(name)
        self.default_address, self.budget = default_address, budget or RestartBudget()
        self.has_digest_key = True
        self.runner: SubscriptionRunner | None = None
        self._task: asyncio.Task[None] | None = None

    # -- the process ----------------------------------------------------------------------------------

    async def start(self, seconds: float = SECONDS) -> None:
        """Start a process; it records a baseline if there is none."""
        dependencies = dependencies_of(
            self.cluster,
            self.open_infisical,
            self.default_address,
            digest_key=self._digest_key,
            budget=self.budget,
        )
        self.runner = SubscriptionRunner(dependencies=dependencies, key=self.key)
        self._task = asyncio.get_running_loop().create_task(self.runner.run())
        await asyncio.sleep(seconds)

    async def crash(self) -> None:
        """Kill the process at once."""
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.crash()

    # -- what people do -------------------------------------------------------------------------------

    def create(
        self, name: str, kind: WorkloadKind = DEPLOYMENT, *, uses: Iterable[str] = (), **words: str
    ) -> None:
        """A workload that opted in; `words` are annotations of the operator's group, with `_` for `-`."""
        more = {f"{GROUP}/{word.replace('_', '-')}": text for word, text in words.items()}
        self.cluster.create_workload(NAMESPACE, name, OPTED_IN | more, kind, uses)

    async def change(self, seconds: float = SECONDS) -> None:
        """A change in Infisical with its event, and some time after it."""
        self.infisical.change()
        await asyncio.sleep(seconds)

    async def edit(self, **fields: object) -> None:
        """An edit of the subscription, which the watch delivers."""
        assert self.runner is not None
        self.cluster.edit_subscription(self.key, _spec(fields))
        self.runner.spec_changed.set()
        await asyncio.sleep(SECONDS)

    async def ask(self, word: str, value: str, seconds: float = SECONDS) -> None:
        """An annotation on the subscription, which the watch delivers."""
        assert self.runner is not None
        self.cluster.annotate_subscription(self.key, {f"{GROUP}/{word}": value})
        self.runner.user_requests.put(UserRequests.of((await self.cluster.get(self.key)).annotations))
        await asyncio.sleep(seconds)

    def roll(self, progress: RolloutProgress, *names: str) -> None:
        """Set the progress of the rollouts of these Deployments."""
        for name in names:
            self.cluster.let_roll(NAMESPACE, name, progress)

    # -- what can be observed -------------------------------------------------------------------------

    def count(self, method: str) -> int:
        """How often a method of the API server was called."""
        return len(self.moments(method))

    def moments(self, method: str) -> list[float]:
        """When a method of the API server was called."""
        return [moment for name, moment in self.calls if name == method]

    def rollouts(self, *names: str) -> list[int]:
        """How often the pod template of each of these Deployments was changed."""
        return [self.cluster.rollouts_of(NAMESPACE, name) for name in names]

    @property
    def status(self) -> dict[str, Any]:
        """The stored status of the subscription."""
        return self.cluster.status_of(self.key)

    def condition(self, kind: str) -> tuple[str, str]:
        """Status and reason of a stored condition."""
        return condition_of(self.cluster, self.key, kind)

    def message(self, kind: str) -> str:
        """The message of a stored condition; empty if there is none."""
        conditions = self.status.get("conditions", [])
        return next((str(each["message"]) for each in conditions if each["type"] == kind), "")

    @property
    def event_reasons(self) -> list[str]:
        """The reasons of the Kubernetes Events on the subscription."""
        return [n.reason for n in self.cluster.notices if n.about.kind == "InfisicalEventSubscription"]

    # -- inside ---------------------------------------------------------------------------------------

    async def _called(self, method: str) -> None:
        self.calls.append((method, asyncio.get_running_loop().time()))
        await asyncio.sleep(0)

    async def _digest_key(self) -> DigestKey:
        if not self.has_digest_key:
            raise InfisicalError(Reason.KUBERNETES_API_ERROR, "The key of digests cannot be had.")
        return await a_digest_key()


class SupervisorHarness:
    """A supervisor of any number of subscriptions.

    Attributes:
        cluster: The API server.
        infisical: The Infisical, unless `open_infisical` opens another one.
        metrics: The metrics of the process.
        supervisor: The supervisor.
    """

    def __init__(
        self,
        shards: int = 1,
        held: Collection[int] = (0,),
        *,
        infisical: FakeInfisical | None = None,
        open_infisical: InfisicalOpener | None = None,
        **dependencies: Any,  # noqa: ANN401 - fields of Dependencies
    ) -> None:
        """Create the supervisor.

        Args:
            shards: How many shards there are.
            held: The shards that this replica holds from the beginning.
            infisical: The Infisical; an empty project if it is not given.
            open_infisical: What opens sessions instead.
            dependencies: Fields of `Dependencies`.
        """
        self.cluster, self.metrics = FakeCluster(), Metrics()
        self.infisical = FakeInfisical({}) if infisical is None else infisical
        opener = open_infisical or self.infisical.open_session
        made = dependencies_of(self.cluster, opener, metrics=self.metrics, **dependencies)
        self.supervisor = Supervisor(made, (), shards, held)

    def subscribe(self, name: str, spec: dict[str, Any], namespace: str = NAMESPACE) -> SubscriptionKey:
        """Create a subscription, which the watch delivers."""
        key = self.cluster.create_subscription(namespace, name, spec)
        self.supervisor.upsert(key, 1)
        return key

    def condition(self, key: SubscriptionKey, kind: str) -> tuple[str, str]:
        """Status and reason of a stored condition."""
        return condition_of(self.cluster, key, kind)


def condition_of(cluster: FakeCluster, key: SubscriptionKey, kind: str) -> tuple[str, str]:
    """Status and reason of a stored condition; empty strings if there is none."""
    conditions = cluster.status_of(key).get("conditions", [])
    return next(((c["status"], c["reason"]) for c in conditions if c["type"] == kind), ("", ""))


def _spec(fields: Mapping[str, object]) -> dict[str, Any]:
    return a_raw_spec(**{"debounceSeconds": 0, **fields})
