"""One task per subscription: begun, told of a new spec, ended with its object."""

import asyncio
import functools
import logging
from dataclasses import dataclass

from infisical_events.core.requests import Requests
from infisical_events.kube.errors import KubernetesError
from infisical_events.kube.subscriptions import SubscriptionKey
from infisical_events.runtime.following import Follower, World
from infisical_events.runtime.turns import Turns

_SWEEP_PAUSE = 60.0
"""Seconds between sweeps for what a gap in the watch has hidden."""

_STEP, _AT_ONCE = 0.02, 10
"""Seconds between two starts once there are many, and how many need not wait for each other."""

_NO_REQUESTS = Requests()

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Served:
    follower: Follower
    task: asyncio.Task[None]
    generation: int


class Supervisor:
    """All tasks, by uid: an object recreated under the same name is another one."""

    def __init__(self, world: World, namespaces: tuple[str, ...]) -> None:
        self._world = world
        self._namespaces = namespaces
        self._served: dict[str, _Served] = {}
        self._turns = Turns(_STEP, _AT_ONCE)

    def upsert(self, key: SubscriptionKey, generation: int, requests: Requests = _NO_REQUESTS) -> None:
        """An object was seen: serve it, or tell its task what is new about it. Never waits."""
        served = self._served.get(key.uid)
        if served is not None:
            served.follower.asked.put(requests)
        if served is None or served.task.done():
            self._begin(key, generation)
        elif served.generation != generation:
            served.generation = generation
            served.follower.respecced.set()

    def _begin(self, key: SubscriptionKey, generation: int) -> None:
        follower = Follower(world=self._world, key=key)
        task = asyncio.create_task(_run_in_turn(self._turns, follower), name=f"subscription {key}")
        task.add_done_callback(functools.partial(self._ended, key))
        self._served[key.uid] = _Served(follower, task, generation)
        self._count()

    def _ended(self, key: SubscriptionKey, task: asyncio.Task[None]) -> None:
        """Tell of a task that nobody here has ended: it found its object gone, or somebody cancelled it."""
        served = self._served.get(key.uid)
        if served is not None and served.task is task:
            error = None if task.cancelled() else task.exception()
            log.info("no longer served", extra={"subscription": str(key)}, exc_info=error)
        self._count()

    def remove(self, uid: str) -> None:
        """An object is gone: end its task."""
        served = self._served.pop(uid, None)
        if served is not None:
            # The task's last words are metrics too.
            served.task.add_done_callback(lambda _: self._forget(served.follower.key))
            served.task.cancel()
            self._count()

    async def close(self) -> None:
        """End all tasks and wait for them."""
        tasks = [served.task for served in self._served.values()]
        self._served.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def sweep_forever(self) -> None:
        """Mend what the watch did not tell, again and again until cancelled."""
        while True:
            await asyncio.sleep(_SWEEP_PAUSE)
            known = dict(self._served)
            try:
                living = await self._world.cluster.list_uids(self._namespaces)
            except KubernetesError as error:
                log.warning("sweep: %s", error)
            else:
                self._sweep(known, living)

    def _sweep(self, known: dict[str, _Served], living: frozenset[str]) -> None:
        """End tasks of objects that vanished unseen; begin those again that ended though theirs did not."""
        for uid, served in known.items():
            if uid not in living:
                self.remove(uid)
            elif served.task.done() and self._served.get(uid) is served:
                self._begin(served.follower.key, served.generation)

    def _forget(self, key: SubscriptionKey) -> None:
        """Drop the series, unless they are those of a namesake that is served by now."""
        if str(key) not in {str(served.follower.key) for served in self._served.values()}:
            self._world.metrics.forget(key)

    def _count(self) -> None:
        self._world.metrics.served(sum(not served.task.done() for served in self._served.values()))


async def _run_in_turn(turns: Turns, follower: Follower) -> None:
    await turns.take(follower.key.namespace)
    await follower.run()
