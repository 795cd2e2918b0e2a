"""One task per subscription: begun, told of a new spec, ended with its object."""

import asyncio
import logging
from dataclasses import dataclass

from infisical_events.kube.errors import KubernetesError
from infisical_events.kube.subscriptions import SubscriptionKey
from infisical_events.runtime.following import Follower, World

_SWEEP_PAUSE = 300.0
"""Seconds between sweeps for objects whose deletion a gap in the watch has hidden."""

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

    def upsert(self, key: SubscriptionKey, generation: int) -> None:
        """An object was seen: serve it, or tell its task that the spec changed. Never waits."""
        served = self._served.get(key.uid)
        if served is not None and not served.task.done():
            if served.generation != generation:
                served.generation = generation
                served.follower.respecced.set()
            return
        follower = Follower(world=self._world, key=key)
        task = asyncio.create_task(follower.run(), name=f"subscription {key}")
        self._served[key.uid] = _Served(follower, task, generation)
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
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._served.clear()

    async def sweep_forever(self) -> None:
        """End tasks of objects that vanished unseen, again and again until cancelled."""
        while True:
            await asyncio.sleep(_SWEEP_PAUSE)
            known = set(self._served)
            try:
                living = await self._world.cluster.list_uids(self._namespaces)
            except KubernetesError as error:
                log.warning("sweep: %s", error)
                continue
            for uid in known - living:
                self.remove(uid)

    def _forget(self, key: SubscriptionKey) -> None:
        """Drop the series, unless they are those of a namesake that is served by now."""
        if str(key) not in {str(served.follower.key) for served in self._served.values()}:
            self._world.metrics.forget(key)

    def _count(self) -> None:
        self._world.metrics.served(len(self._served))
