"""The lease manager against an API server that resets, hangs, rejects and forgets, over real connections.

The durations are those of production divided by fifteen, so a Lease expires after a second.
"""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from kubernetes.aio.client import ApiClient, Configuration

from infisical_events.core.sharding.election import Elector, LeaseNames, LeaseTiming, Replica
from infisical_events.core.sharding.leases import Lease
from infisical_events.kube.http.api_client import KubeApi
from infisical_events.kube.kubernetes_errors import ConflictError
from infisical_events.kube.lease_client import LeaseClient
from infisical_events.runtime.clock import utc_now
from infisical_events.runtime.metrics import Metrics
from infisical_events.runtime.sharding.lease_manager import LeaseManager
from support.eventually import DeadlineExceededError, eventually_async
from support.scripted_leases import ScriptedLeases
from support.scripted_server import After, Answer, Request, answer, serving

PATH = "/apis/coordination.k8s.io/v1/namespaces/ops/leases"
TIMING = LeaseTiming(1.0)
HEALED = 10.0
ONE_ROUND_AND_ONE_UNDER_WAY = 2
"""Lists of Leases; a Lease expires after fifteen rounds, on a machine of any speed."""


class Cluster(ScriptedLeases):
    """Leases as the API server keeps them; `fault` may answer a request first."""

    def __init__(self) -> None:
        super().__init__()
        self.fault: Callable[[Request], Awaitable[Answer | None]] | None = None
        self.lists = 0

    async def __call__(self, request: Request) -> Answer:
        """Serve list, create, replace and delete, unless the fault answers."""
        if request.method == "GET":
            self.lists += 1
            assert "labelSelector=events.infisical.com/leases%3Dop" in request.target
        given = await self.fault(request) if self.fault else None
        return given or self.served(request)

    def holder(self, shard: int) -> str:
        """The name of the replica that holds the Lease of a shard; empty for none."""
        spec = self.leases.get(f"op-shard-{shard}", {}).get("spec", {})
        return str(spec.get("holderIdentity", "")).partition("_")[0]


@dataclass
class Serving:
    """The shards that a replica serves; `clashes` records shards that two replicas served at once."""

    name: str
    replicas: "list[Serving]"
    shards: set[int] = field(default_factory=set)
    clashes: list[str] = field(default_factory=list)

    def assign_shard(self, shard: int) -> None:
        """Begin."""
        self.clashes += [
            f"{shard}: {self.name}, {other.name}" for other in self.replicas if shard in other.shards
        ]
        self.shards.add(shard)

    def revoke_shard(self, shard: int) -> None:
        """End at once."""
        self.shards.discard(shard)

    async def wait_revoked(self, shard: int) -> None:
        """It has ended."""
        assert shard not in self.shards


class Fleet:
    """Replicas in one loop, each with a client and a wall clock of its own."""

    def __init__(self, url: str, stack: AsyncExitStack) -> None:
        self.url, self.stack = url, stack
        self.serving: list[Serving] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.lives = itertools.count(1)

    async def begin(
        self, name: str, shards: int = 1, clock: Callable[[], datetime] = utc_now
    ) -> tuple[Serving, LeaseManager]:
        """One more replica."""
        client = await self.stack.enter_async_context(ApiClient(Configuration(host=self.url)))
        kube = KubeApi(client, TIMING.answer)
        serving = Serving(name, self.serving)
        elector = Elector(Replica(name, str(next(self.lives))), LeaseNames("op", shards), TIMING)
        holder = LeaseManager(elector, LeaseClient(kube, "ops", "op"), serving, clock, Metrics())
        self.serving.append(serving)
        self.tasks[name] = asyncio.create_task(holder.run())
        return serving, holder

    async def end(self, name: str) -> None:
        """As by SIGTERM."""
        task = self.tasks.pop(name)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def shards(self) -> list[set[int]]:
        """The shards that each replica serves."""
        return [serving.shards for serving in self.serving]


@asynccontextmanager
async def a_fleet() -> AsyncIterator[tuple[Cluster, Fleet]]:
    """A fleet without replicas; at the end no shard was served by two replicas at once."""
    cluster = Cluster()
    async with serving(cluster) as server, AsyncExitStack() as stack:
        fleet = Fleet(server.url, stack)
        try:
            yield cluster, fleet
        finally:
            for name in tuple(fleet.tasks):
                await fleet.end(name)
        assert [serving.clashes for serving in fleet.serving if serving.clashes] == []


async def seconds_until(condition: Callable[[], object], seconds: float = HEALED) -> float:
    """Wait for a condition, and measure how many seconds that takes."""
    now = asyncio.get_running_loop().time
    started_at = now()
    await eventually_async(condition, seconds=seconds)
    return now() - started_at


async def test_alone() -> None:
    """A single replica holds all shards after its first round, and reports that."""
    async with a_fleet() as (cluster, fleet):
        served, holder = await fleet.begin("a", shards=3)
        assert await seconds_until(lambda: served.shards == {0, 1, 2}) < TIMING.duration
        assert holder.summary == "active: 3 of 3 shards held (0, 1, 2)"
        assert [cluster.holder(shard) for shard in range(3)] == ["a", "a", "a"]


async def test_sharing() -> None:
    """A replica that joins gets a fair share of the shards, and releases it when it leaves."""
    async with a_fleet() as (cluster, fleet):
        first, _ = await fleet.begin("a", shards=4)
        await eventually_async(lambda: len(first.shards) == 4)
        await fleet.begin("b", shards=4)
        await fleet.begin("c", shards=4)
        await eventually_async(lambda: sorted(map(len, fleet.shards())) == [1, 1, 2])
        await fleet.end("b")
        await eventually_async(lambda: sorted(map(len, fleet.shards())) == [0, 2, 2])
        await eventually_async(lambda: "op-replica-b" not in cluster.leases)


async def test_standing_by() -> None:
    """With one shard the second replica stands by, and reports that."""
    async with a_fleet() as (_, fleet):
        first, _ = await fleet.begin("a")
        await eventually_async(lambda: first.shards)
        second, holder = await fleet.begin("b")
        await eventually_async(lambda: holder.has_read_leases)
        assert holder.summary == "standby: 0 of 1 shard held"
        assert not second.shards


async def test_handing_over() -> None:
    """Another replica acquires a released shard in its next round, long before the Lease would expire."""
    rounds = [each for _ in range(_TRIES) if (each := await rounds_until_handed_over()) is not None]

    assert rounds, "no replica released its shard"
    assert min(rounds) <= ONE_ROUND_AND_ONE_UNDER_WAY


_TRIES = 3
"""A machine that stands still for a second keeps a replica from releasing, or another from its rounds."""


async def rounds_until_handed_over() -> int | None:
    """How often a second replica lists the Leases until it has the shard of the first; None if kept."""
    async with a_fleet() as (cluster, fleet):
        first, _ = await fleet.begin("a")
        await eventually_async(lambda: first.shards)
        second, holder = await fleet.begin("b")
        await eventually_async(lambda: holder.has_read_leases)
        await fleet.end("a")
        if cluster.holder(0) == "a":
            return None
        listed_before = cluster.lists
        await eventually_async(lambda: second.shards)
        return cluster.lists - listed_before


async def test_killed() -> None:
    """The shards of a replica that was killed are acquired when their Leases have expired."""
    async with a_fleet() as (cluster, fleet):
        cluster.leases = killed_at_work()
        second, _ = await fleet.begin("b")
        assert await seconds_until(lambda: second.shards) >= TIMING.duration


async def test_restarted_under_the_same_name() -> None:
    """A replica that restarts under its name does not wait for the expiry of its earlier Leases."""
    async with a_fleet() as (cluster, fleet):
        cluster.leases = killed_at_work()
        again, _ = await fleet.begin("dead")
        await eventually_async(lambda: again.shards)
        assert cluster.lists <= ONE_ROUND_AND_ONE_UNDER_WAY


def killed_at_work() -> dict[str, dict[str, Any]]:
    """The Leases of a replica `dead` that held the one shard."""
    spec = {"holderIdentity": "dead_0", "leaseDurationSeconds": 1, "renewTime": "2001-01-01T00:00:00.000000Z"}
    return {
        name: {"metadata": {"name": name, "uid": name, "resourceVersion": "x"}, "spec": spec}
        for name in ("op-shard-0", "op-replica-dead")
    }


async def resetting(_: Request) -> Answer | None:
    """Every connection is reset."""
    return Answer((), After.RESET)


async def hanging(_: Request) -> Answer | None:
    """No response ever comes."""
    return Answer((), After.SILENCE)


async def failing(_: Request) -> Answer | None:
    """The API server fails."""
    return answer(503, {"message": "etcd is away", "code": 503})


@pytest.mark.parametrize("fault", [resetting, hanging, failing])
async def test_giving_up_in_time(fault: Callable[[Request], Awaitable[Answer | None]]) -> None:
    """A replica that cannot renew stops before others may start, and goes on after the fault."""
    async with a_fleet() as (cluster, fleet):
        served, holder = await fleet.begin("a")
        await eventually_async(lambda: served.shards)
        cluster.fault = fault
        assert await seconds_until(lambda: not served.shards) < TIMING.duration
        assert holder.summary == "standby: 0 of 1 shard held"
        cluster.fault = None
        await eventually_async(lambda: served.shards)


async def test_cut_off() -> None:
    """When only the holder is cut off, it stops first and another replica starts afterwards."""
    async with a_fleet() as (cluster, fleet):
        first, _ = await fleet.begin("a")
        await eventually_async(lambda: first.shards)
        second, holder = await fleet.begin("b")
        await eventually_async(lambda: holder.has_read_leases)

        async def cutting(request: Request) -> Answer | None:
            """Writes in the name of `a` get no response; lists do."""
            return Answer((), After.SILENCE) if b'"a_' in request.body else None

        cluster.fault = cutting
        assert TIMING.deadline / 2 < await seconds_until(lambda: second.shards) < 3 * TIMING.duration
        assert not first.shards


@pytest.mark.parametrize("after", [After.RESET, After.SILENCE])
async def test_short_faults_cost_nothing(after: After) -> None:
    """One renewal without a response, and one whose response is lost, do not lose a shard."""
    async with a_fleet() as (cluster, fleet):
        served, _ = await fleet.begin("a")
        await eventually_async(lambda: served.shards)
        faults = 0

        async def once_in_a_while(request: Request) -> Answer | None:
            nonlocal faults
            if request.method != "PUT" or faults >= 2:
                return None
            faults += 1
            if faults == 1:
                cluster.served(request)  # done, and the response is lost
            return Answer((), after)

        served.revoke_shard = lambda _: pytest.fail("revoked")  # type: ignore[method-assign] # must not be called
        cluster.fault = once_in_a_while
        await eventually_async(lambda: faults == 2)
        renewals = len(cluster.leases) + next(cluster.versions)
        await eventually_async(lambda: next(cluster.versions) > renewals + 10)
        del served.revoke_shard
        assert served.shards == {0}


async def test_a_faster_one() -> None:
    """A Lease that another replica acquires between list and write is left to that replica."""
    async with a_fleet() as (cluster, fleet):

        async def snatching(request: Request) -> Answer | None:
            if request.method == "POST" and request.json()["metadata"]["name"] == "op-shard-0":
                cluster.leases |= {"op-shard-0": killed_at_work()["op-shard-0"]}
                cluster.fault = None
            return None

        cluster.fault = snatching
        served, _ = await fleet.begin("a")
        await eventually_async(lambda: cluster.holder(0) == "dead")
        assert not served.shards
        await eventually_async(lambda: served.shards)


async def test_taken_away() -> None:
    """When another replica holds the Lease, or it was deleted, the next round revokes the shard."""
    async with a_fleet() as (cluster, fleet):
        served, _ = await fleet.begin("a")
        await eventually_async(lambda: served.shards)
        cluster.leases["op-shard-0"] = killed_at_work()["op-shard-0"]
        assert await seconds_until(lambda: not served.shards) < TIMING.deadline
        await eventually_async(lambda: served.shards)
        del cluster.leases["op-shard-0"]
        await eventually_async(lambda: not served.shards)
        await eventually_async(lambda: served.shards)


async def test_labelled() -> None:
    """A label on a Lease changes its resourceVersion and revokes nothing."""
    async with a_fleet() as (cluster, fleet):
        served, _ = await fleet.begin("a")
        await eventually_async(lambda: served.shards)
        served.revoke_shard = lambda _: pytest.fail("revoked")  # type: ignore[method-assign] # must not be called
        for lease in cluster.leases.values():
            lease["metadata"]["resourceVersion"] += "-labelled"
        before = json.dumps(cluster.leases["op-shard-0"]["spec"])
        await eventually_async(lambda: before != json.dumps(cluster.leases["op-shard-0"]["spec"]))
        del served.revoke_shard


async def test_wall_clocks_decide_nothing() -> None:
    """Wall clocks that are years apart, and jump with each reading, decide nothing."""
    steps = itertools.cycle([timedelta(0), timedelta(days=900), timedelta(days=-900)])
    async with a_fleet() as (_, fleet):
        first, _ = await fleet.begin("a", clock=lambda: utc_now() + next(steps))
        await eventually_async(lambda: first.shards)
        second, holder = await fleet.begin("b", clock=lambda: utc_now() - next(steps))
        await eventually_async(lambda: holder.has_read_leases)
        with suppress(DeadlineExceededError):
            await eventually_async(lambda: not first.shards or second.shards, seconds=2 * TIMING.duration)
        assert (first.shards, second.shards) == ({0}, set())


async def test_forbidden(caplog: pytest.LogCaptureFixture) -> None:
    """Without the right to Leases a replica is not ready, serves nothing, and logs the error once."""
    async with a_fleet() as (cluster, fleet):

        async def forbidding(_: Request) -> Answer | None:
            return answer(403, {"message": "leases is forbidden", "code": 403})

        cluster.fault = forbidding
        served, holder = await fleet.begin("a")
        await eventually_async(lambda: "forbidden" in holder.summary)
        with suppress(DeadlineExceededError):
            await eventually_async(
                lambda: served.shards or holder.has_read_leases, seconds=TIMING.duration / 2
            )
        assert not holder.has_read_leases
    errors = [record.error for record in caplog.records if record.message == "cannot read Leases"]
    assert errors == ["leases is forbidden"]
    assert holder.summary.startswith("waiting for Leases")


async def test_old_leases_are_removed() -> None:
    """Leases of replicas that died long ago are removed."""
    async with a_fleet() as (cluster, fleet):
        cluster.leases = killed_at_work()
        await fleet.begin("a")
        await eventually_async(lambda: "op-replica-dead" not in cluster.leases)
        assert "op-shard-0" in cluster.leases


async def test_leases_are_swapped_not_overwritten() -> None:
    """A write or a removal of an outdated version is a conflict."""
    cluster = Cluster()
    async with serving(cluster) as server, ApiClient(Configuration(host=server.url)) as client:
        leases = LeaseClient(KubeApi(client, 5.0), "ops", "op")
        first = await leases.write(Lease(name="op-shard-0", holder="a_1", duration=15, renewed="r"))
        second = await leases.write(first)
        assert await leases.list() == (second,)
        with pytest.raises(ConflictError):
            await leases.write(first)
        with pytest.raises(ConflictError):
            await leases.remove(first)
        await leases.remove(second)
        assert await leases.list() == ()


async def test_a_slow_release_does_not_stop_renewals() -> None:
    """While a release waits for slow tasks, the other Leases are renewed."""
    async with a_fleet() as (_, fleet):
        first, _ = await fleet.begin("a", shards=6)
        await eventually_async(lambda: len(first.shards) == 6)
        dropped: list[int] = []

        async def slow(shard: int) -> None:
            dropped.append(shard)
            await asyncio.sleep(TIMING.answer)

        first.wait_revoked = slow  # type: ignore[method-assign] # ends late
        second, _ = await fleet.begin("b", shards=6)
        third, _ = await fleet.begin("c", shards=6)
        kept = set()
        await eventually_async(
            lambda: kept.add(frozenset(first.shards)) or len(second.shards | third.shards) == 4
        )  # type: ignore[func-returns-value]
        assert len(dropped) == 4
        assert min(map(len, kept)) == 2
