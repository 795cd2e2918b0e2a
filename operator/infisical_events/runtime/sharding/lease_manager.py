"""Holding a fair share of the shards by Leases: looked at, renewed, taken and given away in one task.

`core.electing` decides; here is what has to be done in time. A shard whose deadline passes is dropped by a
timer of the event loop, not by this task: it may be waiting for an answer just then.
"""

import asyncio
import logging
import random
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from infisical_events.core.sharding.election import Elector, LeaseViews, update_view
from infisical_events.core.sharding.leases import Lease, released, renewed, taken
from infisical_events.kube.kubernetes_errors import ConflictError, KubernetesError, NotFoundError
from infisical_events.runtime.clock import Clock
from infisical_events.runtime.metrics import Metrics

_JITTER = 0.2
"""Replicas that begin together shall not ask together for ever."""

log = logging.getLogger(__name__)


class LeaseStore(Protocol):
    """Where the Leases are; every method raises KubernetesError."""

    async def list(self) -> tuple[Lease, ...]: ...  # noqa: D102 - as kube.leases.Leases
    async def write(self, lease: Lease) -> Lease: ...  # noqa: D102
    async def remove(self, lease: Lease) -> None: ...  # noqa: D102


class ShardOwner(Protocol):
    """Who serves what is held."""

    def assign_shard(self, shard: int) -> None: ...  # noqa: D102 - as supervising.Supervisor
    def revoke_shard(self, shard: int) -> None: ...  # noqa: D102
    async def wait_revoked(self, shard: int) -> None: ...  # noqa: D102


@dataclass(slots=True)
class HeldLease:
    """A shard that is held, or one's own membership (no shard)."""

    lease: Lease
    sent: float
    """When the last renewal that succeeded was sent, in seconds of the loop's clock."""
    overdue: asyncio.TimerHandle | None = None


class LeaseManager:
    """What this replica holds, as far as it knows; `run` keeps it so."""

    def __init__(
        self, candidacy: Elector, store: LeaseStore, server: ShardOwner, clock: Clock, metrics: Metrics
    ) -> None:
        self._candidacy = candidacy
        self._store = store
        self._server = server
        self._clock = clock
        self._metrics = metrics
        metrics.init_shards(candidacy.names.shards)
        self._view: LeaseViews | None = None
        self._held: dict[int, HeldLease] = {}
        self._membership: HeldLease | None = None
        self._troubles: frozenset[str] = frozenset()
        self._new_troubles: set[str] = set()

    @property
    def has_looked(self) -> bool:
        """Whether the Leases could be read at all; a replica that cannot is of no use."""
        return self._view is not None

    @property
    def summary(self) -> str:
        """What is held, for people."""
        total = self._candidacy.names.shards
        if not self.has_looked:
            return "; ".join(["waiting for Leases", *sorted(self._troubles)])
        if not self._held:
            return f"standing by: other replicas hold the shards ({total})"
        return f"holding shards {', '.join(map(str, sorted(self._held)))} of {total}"

    @property
    def share(self) -> float:
        """The part of all shards that is held."""
        return len(self._held) / self._candidacy.names.shards

    async def run(self) -> None:
        """Take part until cancelled, then give everything away."""
        poll = self._candidacy.timing.poll
        try:
            while True:
                await self._turn()
                await asyncio.sleep(poll * random.uniform(1 - _JITTER, 1 + _JITTER))  # noqa: S311 - no secret
        finally:
            await self._leave()

    # -- one turn -------------------------------------------------------------------------------------

    async def _turn(self) -> None:
        try:
            await self._look()
        except KubernetesError as error:
            self._tell(f"Leases cannot be read: {error}")
        await self._renew()
        self._troubles, self._new_troubles = frozenset(self._new_troubles), set()

    async def _look(self) -> None:
        leases = await self._store.list()
        now = self._now()
        view = self._view = update_view(self._view, leases, now)
        self._adopt(view)
        plan = self._candidacy.plan(view, self._held, now)
        self._metrics.set_replicas(len(self._candidacy.living(view, now)))
        for shard in plan.lost:
            self._lose(shard, "somebody else has it")
        for lease in plan.remove:
            await _tried(self._store.remove(lease))  # another replica may do so at the same time
        await self._give(plan.release)
        for shard in plan.acquire:
            await self._take(shard, view)

    def _adopt(self, view: LeaseViews) -> None:
        """Take over versions that others have moved by labels, or we by writes whose answer was lost."""
        names = self._candidacy.names
        held_leases = {names.shard(shard): held_lease for shard, held_lease in self._held.items()}
        for name, held_lease in held_leases.items():
            if name in view:
                held_lease.lease = view[name].lease
        ours = view.get(names.replica(self._candidacy.replica.name))
        if ours is None or ours.lease.holder != self._candidacy.replica.holder:
            self._membership = None
        elif self._membership is not None:
            self._membership.lease = ours.lease

    async def _take(self, shard: int, view: LeaseViews) -> None:
        name = self._candidacy.names.shard(shard)
        known = view[name].lease if name in view else Lease(name=name)
        sent = self._now()
        try:
            lease = await self._store.write(self._ours(known))
        except (ConflictError, NotFoundError):
            return  # another replica was faster; the next look tells
        except KubernetesError as error:
            self._tell(f"Lease {name} cannot be taken: {error}")
            return
        held_lease = self._held[shard] = HeldLease(lease, sent)
        if self._arm(shard, held_lease):
            log.info("shard %d acquired", shard)
            self._metrics.shard_acquired(shard)
            self._server.assign_shard(shard)

    async def _give(self, shards: Iterable[int]) -> None:
        """End what runs for shards, and only then let others have them; what is kept is renewed meanwhile."""
        for shard, held_lease in self._given_up(shards).items():
            await self._hand_over(shard, held_lease)
            await self._renew()

    async def _hand_over(self, shard: int, held_lease: HeldLease) -> None:
        with suppress(TimeoutError):  # it expires instead
            async with asyncio.timeout(self._candidacy.timing.answer):
                await self._server.wait_revoked(shard)
                await _tried(self._store.write(released(held_lease.lease, self._clock())))
                log.info("shard %d released", shard)

    # -- renewing -------------------------------------------------------------------------------------

    async def _renew(self) -> None:
        """Whatever is due: the oldest first, oneself before all else."""
        if self._membership is None:
            await self._join()
        elif self._is_due(self._membership):
            await self._prolong(self._membership)
        for shard, held_lease in sorted(self._held.items(), key=lambda item: item[1].sent):
            if (
                self._is_due(held_lease)
                and await self._prolong(held_lease)
                and self._held.get(shard) is held_lease
            ):
                self._arm(shard, held_lease)

    async def _join(self) -> None:
        name = self._candidacy.names.replica(self._candidacy.replica.name)
        known = (self._view or {}).get(name)
        sent = self._now()
        try:
            lease = await self._store.write(self._ours(known.lease if known else Lease(name=name)))
        except KubernetesError as error:
            self._tell(f"Lease {name} cannot be written: {error}")
        else:
            self._membership = HeldLease(lease, sent)

    async def _prolong(self, held_lease: HeldLease) -> bool:
        sent = self._now()
        try:
            held_lease.lease = await self._store.write(renewed(held_lease.lease, self._clock()))
        except KubernetesError as error:  # the next look tells, or the deadline
            self._tell(f"Lease {held_lease.lease.name} is not renewed: {error}")
            return False
        held_lease.sent = sent
        return True

    def _is_due(self, held_lease: HeldLease) -> bool:
        return self._now() - held_lease.sent >= self._candidacy.timing.renewal

    def _ours(self, lease: Lease) -> Lease:
        return taken(lease, self._candidacy.replica.holder, self._candidacy.timing.duration, self._clock())

    # -- losing ---------------------------------------------------------------------------------------

    def _arm(self, shard: int, held_lease: HeldLease) -> bool:
        """Set the deadline of a shard anew; False, and it is lost, when the answer came after it."""
        if held_lease.overdue is not None:
            held_lease.overdue.cancel()
        until = held_lease.sent + self._candidacy.timing.deadline
        if until <= self._now():
            self._lose(shard, "the answer came too late")
            return False
        why = "it could not be renewed in time"
        held_lease.overdue = asyncio.get_running_loop().call_at(until, self._lose, shard, why)
        return True

    def _lose(self, shard: int, why: str) -> None:
        """Stop acting for a shard at once."""
        if self._drop(shard, "lost") is not None:
            log.warning("shard %d lost: %s", shard, why)

    def _drop(self, shard: int, change: str) -> HeldLease | None:
        """What was held of a shard, if it was; its tasks are cancelled."""
        held_lease = self._held.pop(shard, None)
        if held_lease is None:
            return None
        if held_lease.overdue is not None:
            held_lease.overdue.cancel()
        self._server.revoke_shard(shard)
        self._metrics.shard_dropped(shard, change)
        return held_lease

    # -- leaving --------------------------------------------------------------------------------------

    async def _leave(self) -> None:
        """End everything at once, then let others have it; what cannot be told in time expires."""
        held_leases = self._given_up(tuple(self._held))
        with suppress(TimeoutError):
            async with asyncio.timeout(self._candidacy.timing.answer):
                if self._membership is not None:  # first, or others keep a share for us
                    await _tried(self._store.remove(self._membership.lease))
                for shard in held_leases:
                    await self._server.wait_revoked(shard)
                for held_lease in held_leases.values():
                    await _tried(self._store.write(released(held_lease.lease, self._clock())))
        log.info("left; shards released: %s", ", ".join(map(str, held_leases)) or "none")

    def _given_up(self, shards: Iterable[int]) -> dict[int, HeldLease]:
        """What was held of the shards; all that runs for them is cancelled."""
        dropped = {shard: self._drop(shard, "released") for shard in shards}
        return {shard: held_lease for shard, held_lease in dropped.items() if held_lease is not None}

    def _tell(self, trouble: str) -> None:
        """Say what is wrong once, and not at each turn."""
        if trouble not in self._troubles | self._new_troubles:
            log.warning("%s", trouble)
        self._new_troubles.add(trouble)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


async def _tried(request: Coroutine[Any, Any, object]) -> None:
    """Make a request that another replica, or time, does as well."""
    with suppress(KubernetesError):
        await request
