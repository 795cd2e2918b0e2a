"""One task per subscription of the shards that are held: begun, told of a new spec, ended with its object.

What is seen of other shards is noted, so that a shard that is acquired is served at once.
"""

import asyncio
import functools
import logging
from collections.abc import Collection, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import chain

from infisical_events.core.restarts.user_requests import UserRequests
from infisical_events.core.sharding.assignment import shard_of
from infisical_events.core.subscriptions import ListedSubscription, SubscriptionKey
from infisical_events.kube.kubernetes_errors import KubernetesError
from infisical_events.runtime.limits.fair_queue import FairQueue
from infisical_events.runtime.subscription.dependencies import Dependencies
from infisical_events.runtime.subscription.runner import SubscriptionRunner

_SWEEP_PAUSE = 60.0
"""Seconds between sweeps for what a gap in the watch has hidden."""

_STEP, _AT_ONCE = 0.02, 10
"""Seconds between two starts once there are many, and how many need not wait for each other."""
_LONGEST_LAG = 180.0
"""Seconds for which the watch may leave untold what a sweep has found."""

_CANCEL_PAUSE = 1.0
_MOST_CANCELS = 5
"""How often, and after how many seconds each, a task is cancelled that does not end."""

_NO_REQUESTS = UserRequests()

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Seen:
    """An object as the watch told of it last."""

    key: SubscriptionKey
    generation: int
    requests: UserRequests


@dataclass(slots=True)
class _Served:
    runner: SubscriptionRunner
    task: asyncio.Task[None]
    generation: int


class WatchBehindError(Exception):
    """The watch is open and tells nothing: only another process will do."""


class Supervisor:
    """All tasks, by uid: an object recreated under the same name is another one.

    `shards` is how many there are, `held` those of them that are served from the beginning: all that there
    is, unless told otherwise.
    """

    def __init__(
        self,
        dependencies: Dependencies,
        namespaces: tuple[str, ...],
        shards: int = 1,
        held: Collection[int] = (0,),
    ) -> None:
        self._dependencies = dependencies
        self._namespaces = namespaces
        self._shards = shards
        self._held = set(held)
        self._seen: dict[str, _Seen] = {}
        self._served: dict[str, _Served] = {}
        self._turns = FairQueue(_STEP, _AT_ONCE)
        # The loop itself keeps no task alive: one that nobody knows may be collected while it ends.
        self._ending: dict[str, set[asyncio.Task[None]]] = {}
        self._untold: dict[tuple[str, int], int] = {}

    # -- what the watch tells -------------------------------------------------------------------------

    def upsert(self, key: SubscriptionKey, generation: int, requests: UserRequests = _NO_REQUESTS) -> None:
        """An object was seen: serve it if it is ours, or tell its task what is new about it. Never waits."""
        seen = self._seen[key.uid] = _Seen(key, generation, requests)
        if self._is_ours(key.uid):
            self._serve(seen)

    def remove(self, uid: str) -> None:
        """An object is gone: end its task."""
        self._seen.pop(uid, None)
        self._end(uid)

    # -- what the Leases tell -------------------------------------------------------------------------

    def assign_shard(self, shard: int) -> None:
        """A shard is ours from now on: serve all that was seen of it. Never waits."""
        self._held.add(shard)
        for seen in self._of(shard):
            self._serve(seen)

    def revoke_shard(self, shard: int) -> None:
        """A shard is not ours any more: its tasks are cancelled when this returns, and end soon."""
        self._held.discard(shard)
        for seen in self._of(shard):
            self._end(seen.key.uid)

    async def wait_revoked(self, shard: int) -> None:
        """Wait until nothing runs any more for a shard that was dropped."""
        ours = [tasks for uid, tasks in self._ending.items() if shard_of(uid, self._shards) == shard]
        await _gone(frozenset(chain.from_iterable(ours)))

    # -- what ends it all -----------------------------------------------------------------------------

    async def close(self) -> None:
        """End all tasks and wait for them; nothing is noted any more."""
        self._seen.clear()
        for uid in tuple(self._served):
            self._end(uid)
        await _gone(frozenset(chain.from_iterable(self._ending.values())))

    async def sweep_forever(self) -> None:
        """Mend what the watch did not tell, again and again until cancelled; raises WatchBehindError."""
        while True:
            await asyncio.sleep(_SWEEP_PAUSE)
            known = frozenset(self._seen)
            try:
                listed = await self._dependencies.cluster.list_subscriptions(self._namespaces)
            except KubernetesError as error:
                log.warning("sweep: %s", error)
            else:
                self._sweep(known, listed)

    def _sweep(self, known: frozenset[str], listed: tuple[ListedSubscription, ...]) -> None:
        """End tasks of objects that vanished unseen; begin those again that ended though theirs did not."""
        for uid in known - {one.key.uid for one in listed}:
            self.remove(uid)
        for uid in [uid for uid, served in self._served.items() if served.task.done()]:
            self._begin(self._seen[uid])
        self._judge_watch([(one.key.uid, one.generation) for one in listed if self._is_news(one)])

    def _is_news(self, listed: ListedSubscription) -> bool:
        seen = self._seen.get(listed.key.uid)
        return seen is None or seen.generation < listed.generation

    def _judge_watch(self, news: Iterable[tuple[str, int]]) -> None:
        """A watch may be a moment behind a list, and not several sweeps."""
        self._untold = {one: self._untold.get(one, -1) + 1 for one in news}
        lag = _SWEEP_PAUSE * max(self._untold.values(), default=0)
        self._dependencies.metrics.set_watch_lag(lag)
        if lag >= _LONGEST_LAG:
            raise WatchBehindError(f"the watch has not told for {lag:g} s what a list of subscriptions shows")

    # -- tasks ----------------------------------------------------------------------------------------

    def _is_ours(self, uid: str) -> bool:
        return shard_of(uid, self._shards) in self._held

    def _of(self, shard: int) -> Iterable[_Seen]:
        return [seen for uid, seen in self._seen.items() if shard_of(uid, self._shards) == shard]

    def _serve(self, seen: _Seen) -> None:
        served = self._served.get(seen.key.uid)
        if served is not None:
            served.runner.user_requests.put(seen.requests)
        if served is None or served.task.done():
            self._begin(seen)
        elif served.generation != seen.generation:
            served.generation = seen.generation
            served.runner.spec_changed.set()

    def _begin(self, seen: _Seen) -> None:
        key, former = seen.key, frozenset(self._ending.get(seen.key.uid, ()))
        runner = SubscriptionRunner(dependencies=self._dependencies, key=key)
        task = asyncio.create_task(_run_in_turn(former, self._turns, runner), name=f"subscription {key}")
        task.add_done_callback(functools.partial(self._ended, key))
        self._served[key.uid] = _Served(runner, task, seen.generation)
        self._count()

    def _ended(self, key: SubscriptionKey, task: asyncio.Task[None]) -> None:
        """Tell of a task that nobody here has ended: it found its object gone, or somebody cancelled it."""
        served = self._served.get(key.uid)
        if served is not None and served.task is task:
            error = None if task.cancelled() else task.exception()
            log.info("no longer served", extra={"subscription": str(key)}, exc_info=error)
        self._count()

    def _end(self, uid: str) -> None:
        """Cancel a task. Its last words are metrics, so its series go when it has ended."""
        served = self._served.pop(uid, None)
        if served is not None:
            self._ending.setdefault(uid, set()).add(served.task)
            served.task.add_done_callback(functools.partial(self._forget, served.runner.key))
            served.task.cancel()
            self._count()

    def _forget(self, key: SubscriptionKey, task: asyncio.Task[None]) -> None:
        """Drop the series, unless they are those of a namesake that is served by now."""
        left = self._ending[key.uid]
        left.discard(task)
        if not left:
            del self._ending[key.uid]
        if str(key) not in {str(served.runner.key) for served in self._served.values()}:
            self._dependencies.metrics.forget(key)

    def _count(self) -> None:
        self._dependencies.metrics.set_subscriptions(
            sum(not served.task.done() for served in self._served.values())
        )


async def _run_in_turn(
    former: frozenset[asyncio.Task[None]], turns: FairQueue, runner: SubscriptionRunner
) -> None:
    """Follow when former tasks of the same object have ended, and it is this one's turn."""
    await turns.acquire(runner.key.namespace)
    await _gone(former)
    await runner.run()


async def _gone(tasks: AbstractSet[asyncio.Task[None]]) -> None:
    """Wait for tasks that were cancelled; those that outlive it are cancelled again, which is told.

    A library that ends its own timeouts by cancelling who waits can take our cancellation for its own, as
    the total timeout of aiohttp does. Without a second one such a task would serve on for a shard that
    another replica has, and an object that comes back would wait for its end for ever. One that outlives
    all of them is left to itself; what it still tries is refused by the ledger.
    """
    for _ in range(_MOST_CANCELS):
        if not tasks:
            return
        _, tasks = await asyncio.wait(tasks, timeout=_CANCEL_PAUSE)
        if tasks:
            log.warning("%d tasks outlive their cancellation: they are cancelled again", len(tasks))
        for task in tasks:
            task.cancel()
    if tasks:
        log.warning("%d tasks do not end", len(tasks))
