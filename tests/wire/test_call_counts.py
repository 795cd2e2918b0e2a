"""How much the operator asks of the API server and of Infisical: counts that depend on no machine.

Everything is counted at the wire, for one subscription with one Deployment. The numbers are upper bounds:
lower them when an improvement makes fewer calls, and never raise one without a reason in its commit.
"""

import asyncio
import logging
from base64 import b64encode
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from infisical_events.core.subscriptions import SubscriptionKey
from infisical_events.runtime.app.bootstrap import infisical_opener
from infisical_events.runtime.app.digest_keys import DigestKeys
from infisical_events.runtime.app.kube_cluster import KubeCluster
from infisical_events.runtime.clock import utc_now
from infisical_events.runtime.limits.fair_scheduling import CooperativeScheduler
from infisical_events.runtime.metrics import Metrics
from infisical_events.runtime.sharding.supervisor import Supervisor
from infisical_events.runtime.subscription.dependencies import Dependencies
from infisical_sandbox.server import Controls, Options, Sandbox
from support import manifests
from support.eventually import eventually_async
from support.fake_cluster import a_digest_key
from support.http_cluster import HttpCluster
from support.infisical_sessions import LOOPBACK

NAMESPACE = "team"
FOLDER = "/payments"
SECONDS = 30.0
QUIET_SECONDS = 2.5
"""Longer than debounce, status pause and one repeated read together."""
WORKLOAD_LISTS = {
    f"LIST {kind}": 1 for kind in ("deployments", "statefulsets", "daemonsets", "cronjobs", "jobs")
}
DISCOVERY = {
    "GET /apis/argoproj.io": 1,
    "GET /apis/argoproj.io/v1alpha1": 1,
    "GET /apis/external-secrets.io": 1,
    "GET /apis/external-secrets.io/v1": 1,
    "GET /apis/secrets.infisical.com": 2,
    "GET /apis/secrets.infisical.com/v1alpha1": 1,
    "GET /apis/secrets.infisical.com/v1beta1": 1,
}
"""Of a process, not of a subscription."""
FIRST_START = (
    WORKLOAD_LISTS
    | DISCOVERY
    | {
        "GET infisicaleventsubscriptions": 1,
        "GET secrets": 1,
        "GET deployments": 1,
        "PATCH infisicaleventsubscriptions/status": 2,
        "POST events": 1,
    }
)
RESTART = {"GET infisicaleventsubscriptions": 1, "GET secrets": 1}
CHANGE = WORKLOAD_LISTS | {
    "GET infisicaleventsubscriptions": 1,
    "GET deployments": 2,
    "PATCH infisicaleventsubscriptions/status": 3,
    "PATCH deployments": 1,
    "POST events": 2,
}
INFISICAL_START = {
    "POST /api/v1/auth/universal-auth/login": 1,
    "GET /api/v4/secrets": 1,
    "POST /api/v1/events/subscribe/project-events": 1,
}
"""The first read begins when the stream is open, so nothing happens between them."""
TASKS_OF_A_STREAM = 8


@dataclass(slots=True)
class Environment:
    """An API server and an Infisical over HTTP, and what they were asked."""

    cluster: HttpCluster
    sandbox: Sandbox
    seen: int = 0

    def subscribe(self, number: int = 1) -> None:
        """Create subscriptions to the folder, and what they need."""
        self.cluster.create(NAMESPACE, _encoded(manifests.credentials(self.sandbox)))
        for each in range(number):
            conditions = {"environmentSlug": "prod", "secretPath": FOLDER}
            self.cluster.create(
                NAMESPACE, manifests.subscription(self.sandbox, f"app-{each}", conditions=conditions)
            )

    def generation(self) -> int:
        """The generation of the Deployment: one more for each restart."""
        return int(self.cluster.find("deployments", "api")["metadata"]["generation"])

    def new_calls(self) -> Counter[str]:
        """The calls of the API server since the last time."""
        calls = self.cluster.calls_since(self.seen)
        self.seen += calls.total()
        return calls

    async def wait_quiet(self, streams: int = 1) -> None:
        """Wait until the streams are open, and nothing has been asked for some time."""
        await eventually_async(lambda: self._streams() == streams, seconds=SECONDS)
        clock, last = asyncio.get_running_loop().time, (0, 0.0)

        def is_quiet() -> bool:
            nonlocal last
            count = len(self.cluster.server.requests)
            if count != last[0]:
                last = (count, clock())
            return clock() - last[1] > QUIET_SECONDS

        await eventually_async(is_quiet, seconds=SECONDS)

    def _streams(self) -> int:
        return self.sandbox.do_blocking(Controls.count_streams)


async def _no_key() -> str:
    raise NotImplementedError


def _encoded(secret: manifests.Manifest) -> manifests.Manifest:
    return secret | {
        "data": {key: b64encode(text.encode()).decode() for key, text in secret["stringData"].items()}
    }


@pytest.fixture
async def environment() -> AsyncIterator[Environment]:
    """One Deployment that opted in, and one secret."""
    async with Sandbox.in_thread(Options(connection_limit=1000)) as sandbox, HttpCluster.running() as cluster:
        await sandbox.do(Controls.set_secrets, "prod", FOLDER, {"KEY": "first"})
        workload = manifests.workload()
        workload["spec"]["replicas"] = 1
        cluster.create(NAMESPACE, workload)
        yield Environment(cluster, sandbox)


@asynccontextmanager
async def process(environment: Environment) -> AsyncIterator[None]:
    """The operator's loops as in a process of its own: it knows what is stored."""
    async with environment.cluster.client() as kube:
        dependencies = Dependencies(
            cluster=KubeCluster(kube, utc_now, ("operator", "key")),
            open_infisical=infisical_opener(DigestKeys(_no_key), LOOPBACK, CooperativeScheduler()),
            clock=utc_now,
            metrics=Metrics(),
            default_address=environment.sandbox.url,
            egress=LOOPBACK,
            digest_key=a_digest_key,
        )
        supervisor = Supervisor(dependencies, ())
        for path, stored in tuple(environment.cluster.objects.items()):
            if "/infisicaleventsubscriptions/" in path:
                metadata = stored["metadata"]
                key = SubscriptionKey(NAMESPACE, metadata["name"], metadata["uid"])
                supervisor.upsert(key, metadata["generation"])
        try:
            yield
        finally:
            await supervisor.close()


def too_many(calls: Counter[str], bounds: Mapping[str, int]) -> dict[str, int]:
    """By how much calls are more than their bound."""
    return dict(calls - Counter(bounds))


async def test_calls_of_a_first_start(environment: Environment) -> None:
    """A new subscription costs the API server so many calls until its baseline is recorded."""
    environment.subscribe()
    async with process(environment):
        await environment.wait_quiet()

    calls = environment.new_calls()
    assert too_many(calls, FIRST_START) == {}


async def test_calls_of_a_restart(environment: Environment) -> None:
    """A process that finds a subscription without changes makes so many calls."""
    environment.subscribe()
    async with process(environment):
        await environment.wait_quiet()
    environment.new_calls()
    async with process(environment):
        await environment.wait_quiet()

    calls = environment.new_calls()
    assert too_many(calls, RESTART) == {}


async def test_calls_of_a_change(environment: Environment) -> None:
    """One change of one workload costs so many calls, until its rollout is followed to its end."""
    environment.subscribe()
    async with process(environment):
        await environment.wait_quiet()
        environment.new_calls()
        await environment.sandbox.do(Controls.set_secrets, "prod", FOLDER, {"KEY": "second"})
        await eventually_async(lambda: environment.generation() == 2, seconds=SECONDS)
        await environment.wait_quiet()

    calls = environment.new_calls()
    assert too_many(calls, CHANGE) == {}
    assert environment.generation() == 2


async def test_infisical_calls_of_a_start(environment: Environment, caplog: pytest.LogCaptureFixture) -> None:
    """A subscription costs Infisical so many requests until its stream is open and its state is read."""
    environment.subscribe()
    for _ in ("first start", "restart"):
        caplog.clear()
        with caplog.at_level(logging.INFO, "infisical_sandbox.requests"):
            async with process(environment):
                await environment.wait_quiet()
            # The line of a request is written at its end, also that of a stream.
            await eventually_async(lambda: "subscribe" in caplog.text, seconds=SECONDS)
        lines = [r.getMessage() for r in caplog.records if r.name == "infisical_sandbox.requests"]

        calls = Counter(" ".join(line.split()[:2]) for line in lines)
        assert too_many(calls, INFISICAL_START) == {}


async def test_tasks_of_a_stream(environment: Environment) -> None:
    """Each subscription with an open stream has so many tasks."""
    counts = []
    for number in (2, 12):
        environment.subscribe(number)
        async with process(environment):
            await environment.wait_quiet(number)
            counts.append(len(asyncio.all_tasks()) - environment.cluster.server.connections)

    few, many = counts
    assert (many - few) / 10 <= TASKS_OF_A_STREAM
