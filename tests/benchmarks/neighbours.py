# ruff: noqa: T201 - a program that prints
"""`make bench-neighbours`: how long a namespace of many subscriptions holds up the first change of another.

The operator's own supervisor and loops run in real time over an API server in memory and an Infisical that
answers at once: what is measured is what the operator itself does to the neighbour.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from infisical_events.api.specs import Spec
from infisical_events.core.credentials import CredentialsSource
from infisical_events.core.egress.address_allowlist import EgressPolicy
from infisical_events.runtime.clock import utc_now
from infisical_events.runtime.limits.namespace_slots import NamespaceSlots
from infisical_events.runtime.metrics import Metrics
from infisical_events.runtime.sharding.supervisor import Supervisor
from infisical_events.runtime.subscription.dependencies import Dependencies
from support.builders import a_raw_spec
from support.fake_cluster import FakeCluster, a_digest_key
from support.fake_infisical import FakeInfisical

_ADDRESS = "https://app.infisical.com"
_HOGS = (0, 100, 1_000, 10_000)
_SEATS = 1000


@asynccontextmanager
async def _a_world(team: FakeInfisical) -> AsyncIterator[tuple[FakeCluster, Supervisor]]:
    cluster, hog = FakeCluster(), FakeInfisical(clock=utc_now)

    @asynccontextmanager
    async def opened(_: str, __: str, spec: Spec, ___: CredentialsSource) -> AsyncIterator[FakeInfisical]:
        yield team if spec.project_id == "team" else hog

    world = Dependencies(
        cluster=cluster,
        open_infisical=opened,
        clock=utc_now,
        metrics=Metrics(),
        default_address=_ADDRESS,
        egress=EgressPolicy((_ADDRESS,)),
        digest_key=a_digest_key,
        namespace_slots=NamespaceSlots(_SEATS),
    )
    supervisor = Supervisor(world, ())
    try:
        yield cluster, supervisor
    finally:
        await supervisor.close()


async def _measured(hogs: int) -> tuple[float, float]:
    """Seconds until the other subscription listens, and from its change to its restart."""
    team = FakeInfisical(clock=utc_now)
    async with _a_world(team) as (cluster, supervisor):
        for number in range(hogs):
            _create(cluster, supervisor, "hog", f"app-{number}")
        cluster.create_workload("team", "web", {"events.infisical.com/auto-reload": "true"})
        begun = time.perf_counter()
        _create(cluster, supervisor, "team", "app")
        await team.listening.wait()
        listening = time.perf_counter()
        await asyncio.sleep(1.0)
        change = time.perf_counter()
        team.change()
        async with asyncio.timeout(120):
            while not cluster.rollouts_of("team", "web"):  # noqa: ASYNC110 - a state of the fake
                await asyncio.sleep(0.005)
        return listening - begun, time.perf_counter() - change


def _create(cluster: FakeCluster, supervisor: Supervisor, namespace: str, name: str) -> None:
    spec = a_raw_spec(projectId=namespace, debounceSeconds=0, action="Restart")
    key = cluster.create_subscription(namespace, name, spec)
    supervisor.upsert(key, 1)


def main() -> None:
    """Measure and print the table."""
    print(f"{'next door':>10} {'listening after s':>18} {'change to restart s':>20}")
    for hogs in _HOGS:
        listening, restart = asyncio.run(_measured(hogs))
        print(f"{hogs:>10} {listening:>18.2f} {restart:>20.2f}", flush=True)


if __name__ == "__main__":
    main()
