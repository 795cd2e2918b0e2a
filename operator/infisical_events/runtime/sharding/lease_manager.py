"""Holds a fair share of the shards by Leases: one task reads, renews, acquires and releases them.

`core.sharding.election` decides; this module acts in time. A timer of the event loop revokes a shard
whose deadline has passed. This task could not: it may be waiting for a response at that moment.
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
from infisical_events.core.status.text import counted
from infisical_events.kube.kubernetes_errors import ConflictError, KubernetesError, NotFoundError
from infisical_events.runtime.clock import Clock
from infisical_events.runtime.metrics import Metrics

_JITTER = 0.2
"""Part of the polling interval that is random: replicas that start together must not stay in step."""

log = logging.getLogger(__name__)


class LeaseStore(Protocol):
    """Reads and writes Leases; every method raises KubernetesError."""

    async def list(self) -> tuple[Lease, ...]: ...  # noqa: D102 - as kube.lease_client.LeaseClient
    async def write(self, lease: Lease) -> Lease: ...  # noqa: D102
    async def remove(self, lease: Lease) -> None: ...  # noqa: D102


class ShardOwner(Protocol):
    """Serves the shards that are held."""

    def assign_shard(self, shard: int) -> None: ...  # noqa: D102 - as supervisor.Supervisor
    def revoke_shard(self, shard: int) -> None: ...  # noqa: D102
    async def wait_revoked(self, shard: int) -> None: ...  # noqa: D102


@dataclass(slots=True)
class HeldLease:
    """The Lease of a shard that this replica holds, or of its own membership."""

    lease: Lease
    sent: float
    """When the last successful renewal was sent, in seconds of the loop's clock."""
    deadline_timer: asyncio.TimerHandle | None = None


@dataclass(frozen=True, slots=True)
class _LeaseFailure:
    """A failed request for Leases: a constant message and its details."""

    message: str
    lease: str
    error: str

    def __str__(self) -> str:
        return f"{self.message}: {self.error}"


class LeaseManager:
    """The Leases that this replica holds, as far as it knows; `run` keeps them."""

    def __init__(
        self, elector: Elector, store: LeaseStore, owner: ShardOwner, clock: Clock, metrics: Metrics
    ) -> None:
        self._elector = elector
        self._store = store
        self._owner = owner
        self._clock = clock
        self._metrics = metrics
        metrics.init_shards(elector.names.shards)
        self._view: LeaseViews | None = None
        self._held: dict[int, HeldLease] = {}
        self._membership: HeldLease | None = None
        self._reported: frozenset[_LeaseFailure] = frozenset()
        self._failures: set[_LeaseFailure] = set()

    @property
    def has_read_leases(self) -> bool:
        """Whether the Leases could be read at least once; a replica that cannot read them is not ready."""
        return self._view is not None

    @property
    def summary(self) -> str:
        """Which shards are held, for people who read /readyz."""
        total = counted(self._elector.names.shards, "shard")
        if not self.has_read_leases:
            return "; ".join(["waiting for Leases", *sorted(map(str, self._reported))])
        if not self._held:
            return f"standby: 0 of {total} held"
        return f"active: {len(self._held)} of {total} held ({', '.join(map(str, sorted(self._held)))})"

    @property
    def share(self) -> float:
        """The part of all shards that this replica holds, from 0 to 1."""
        return len(self._held) / self._elector.names.shards

    async def run(self) -> None:
        """Take part in the election until cancelled, then release everything."""
        poll = self._elector.timing.poll
        try:
            while True:
                await self._sync_leases()
                await asyncio.sleep(poll * random.uniform(1 - _JITTER, 1 + _JITTER))  # noqa: S311 - no secret
        finally:
            await self._shut_down()

    # -- one round ------------------------------------------------------------------------------------

    async def _sync_leases(self) -> None:
        try:
            await self._refresh()
        except KubernetesError as error:
            self._report("cannot read Leases", "", error)
        await self._renew_due()
        self._reported, self._failures = frozenset(self._failures), set()

    async def _refresh(self) -> None:
        """Read all Leases, then revoke, remove, release and acquire as the elector plans."""
        leases = await self._store.list()
        now = self._now()
        view = self._view = update_view(self._view, leases, now)
        self._adopt_versions(view)
        plan = self._elector.plan(view, self._held, now)
        self._metrics.set_replicas(len(self._elector.living(view, now)))
        for shard in plan.lost:
            self._lose_shard(shard, "another replica holds the Lease, or the Lease was deleted")
        for lease in plan.remove:
            await _ignore_errors(self._store.remove(lease))  # another replica may do so at the same time
        await self._release_all(plan.release)
        for shard in plan.acquire:
            await self._acquire(shard, view)

    def _adopt_versions(self, view: LeaseViews) -> None:
        """Take over resourceVersions that moved by a label, or by a write whose response was lost."""
        names = self._elector.names
        held_leases = {names.shard(shard): held_lease for shard, held_lease in self._held.items()}
        for name, held_lease in held_leases.items():
            if name in view:
                held_lease.lease = view[name].lease
        ours = view.get(names.replica(self._elector.replica.name))
        if ours is None or ours.lease.holder != self._elector.replica.holder:
            self._membership = None
        elif self._membership is not None:
            self._membership.lease = ours.lease

    async def _acquire(self, shard: int, view: LeaseViews) -> None:
        name = self._elector.names.shard(shard)
        known = view[name].lease if name in view else Lease(name=name)
        sent = self._now()
        try:
            lease = await self._store.write(self._with_own_record(known))
        except (ConflictError, NotFoundError):
            return  # another replica was faster; the next round reads who holds it
        except KubernetesError as error:
            self._report("cannot acquire Lease", name, error)
            return
        held_lease = self._held[shard] = HeldLease(lease, sent)
        if self._schedule_deadline(shard, held_lease):
            log.info("shard acquired", extra={"shard": shard, "lease": name})
            self._metrics.shard_acquired(shard)
            self._owner.assign_shard(shard)

    async def _release_all(self, shards: Iterable[int]) -> None:
        """End the tasks of the shards, then release their Leases; renew the other Leases in between."""
        for shard, held_lease in self._relinquish(shards).items():
            await self._release(shard, held_lease)
            await self._renew_due()

    async def _release(self, shard: int, held_lease: HeldLease) -> None:
        with suppress(TimeoutError):  # the Lease expires instead
            async with asyncio.timeout(self._elector.timing.answer):
                await self._owner.wait_revoked(shard)
                await _ignore_errors(self._store.write(released(held_lease.lease, self._clock())))
                log.info("shard released", extra={"shard": shard, "lease": held_lease.lease.name})

    # -- renewing -------------------------------------------------------------------------------------

    async def _renew_due(self) -> None:
        """Renew the Leases that are due: the own membership first, then shards, the oldest first."""
        if self._membership is None:
            await self._join()
        elif self._is_due(self._membership):
            await self._renew(self._membership)
        for shard, held_lease in sorted(self._held.items(), key=lambda item: item[1].sent):
            if (
                self._is_due(held_lease)
                and await self._renew(held_lease)
                and self._held.get(shard) is held_lease
            ):
                self._schedule_deadline(shard, held_lease)

    async def _join(self) -> None:
        name = self._elector.names.replica(self._elector.replica.name)
        known = (self._view or {}).get(name)
        sent = self._now()
        try:
            lease = await self._store.write(self._with_own_record(known.lease if known else Lease(name=name)))
        except KubernetesError as error:
            self._report("cannot write the Lease of this replica", name, error)
        else:
            self._membership = HeldLease(lease, sent)

    async def _renew(self, held_lease: HeldLease) -> bool:
        sent = self._now()
        try:
            held_lease.lease = await self._store.write(renewed(held_lease.lease, self._clock()))
        except KubernetesError as error:  # the next round reads who holds it, or the deadline passes
            self._report("failed to renew Lease", held_lease.lease.name, error)
            return False
        held_lease.sent = sent
        return True

    def _is_due(self, held_lease: HeldLease) -> bool:
        return self._now() - held_lease.sent >= self._elector.timing.renewal

    def _with_own_record(self, lease: Lease) -> Lease:
        return taken(lease, self._elector.replica.holder, self._elector.timing.duration, self._clock())

    # -- losing ---------------------------------------------------------------------------------------

    def _schedule_deadline(self, shard: int, held_lease: HeldLease) -> bool:
        """Schedule the deadline of a shard again; False, and the shard is lost, if it has passed already."""
        if held_lease.deadline_timer is not None:
            held_lease.deadline_timer.cancel()
        until = held_lease.sent + self._elector.timing.deadline
        if until <= self._now():
            self._lose_shard(shard, "the response came after the deadline")
            return False
        cause = "the Lease was not renewed before its deadline"
        held_lease.deadline_timer = asyncio.get_running_loop().call_at(until, self._lose_shard, shard, cause)
        return True

    def _lose_shard(self, shard: int, cause: str) -> None:
        """Stop serving a shard at once."""
        if self._revoke(shard, "lost") is not None:
            log.warning("shard lost", extra={"shard": shard, "reason": cause})

    def _revoke(self, shard: int, change: str) -> HeldLease | None:
        """Cancel the tasks of a shard; its Lease, or None if the shard was not held."""
        held_lease = self._held.pop(shard, None)
        if held_lease is None:
            return None
        if held_lease.deadline_timer is not None:
            held_lease.deadline_timer.cancel()
        self._owner.revoke_shard(shard)
        self._metrics.shard_dropped(shard, change)
        return held_lease

    def _relinquish(self, shards: Iterable[int]) -> dict[int, HeldLease]:
        """Cancel the tasks of the shards; the Leases of those that were held."""
        revoked = {shard: self._revoke(shard, "released") for shard in shards}
        return {shard: held_lease for shard, held_lease in revoked.items() if held_lease is not None}

    # -- shutting down --------------------------------------------------------------------------------

    async def _shut_down(self) -> None:
        """Cancel all tasks at once, then release the Leases; those that are not released in time expire."""
        held_leases = self._relinquish(tuple(self._held))
        with suppress(TimeoutError):
            async with asyncio.timeout(self._elector.timing.answer):
                if self._membership is not None:  # first, or others reserve a share for this replica
                    await _ignore_errors(self._store.remove(self._membership.lease))
                for shard in held_leases:
                    await self._owner.wait_revoked(shard)
                for held_lease in held_leases.values():
                    await _ignore_errors(self._store.write(released(held_lease.lease, self._clock())))
        log.info("lease manager stopped", extra={"released_shards": list(held_leases)})

    def _report(self, message: str, lease: str, error: KubernetesError) -> None:
        """Log a failure once, and not again in each round in which it goes on."""
        failure = _LeaseFailure(message, lease, str(error))
        if failure not in self._reported | self._failures:
            log.warning(
                message, extra={"lease": lease, "error": failure.error} if lease else {"error": failure.error}
            )
        self._failures.add(failure)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


async def _ignore_errors(request: Coroutine[Any, Any, object]) -> None:
    """Make a request whose failure does no harm: another replica, or the expiry, does the same."""
    with suppress(KubernetesError):
        await request
