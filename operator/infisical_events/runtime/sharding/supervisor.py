"""One task per subscription of the shards that are held: started, notified of a new spec, cancelled.

Objects of other shards are recorded as well, so that a shard is served as soon as it is acquired.
"""

import asyncio
import functools
import logging
from collections.abc import Collection, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import chain

from infisical_events.api.resources import API_VERSION, KIND
from infisical_events.core.restarts.user_requests import UserRequests
from infisical_events.core.sharding.assignment import shard_of
from infisical_events.core.status.kube_events import InvolvedObject, KubeEvent
from infisical_events.core.status.reasons import Reason
from infisical_events.core.status.text import counted
from infisical_events.core.subscriptions import ListedSubscription, SubscriptionKey
from infisical_events.kube.kubernetes_errors import KubernetesError
from infisical_events.runtime.limits.fair_scheduling import FairSemaphore
from infisical_events.runtime.limits.quarantine import pause_after, task_name_of
from infisical_events.runtime.subscription.dependencies import Dependencies
from infisical_events.runtime.subscription.runner import SubscriptionRunner
from infisical_events.runtime.tasks import child_task, wait_at_most

_RELIST_INTERVAL = 60.0
"""Seconds between two full lists of subscriptions, which find what a gap in the watch has hidden."""

_STARTS, _STARTS_OF_NAMESPACE = 16, 12
"""Subscriptions that start at once, in all and of one namespace."""
_START_SECONDS = 2.0
"""Seconds after which the next one starts, although Infisical has not answered."""
_ALONE_SECONDS = 20.0
"""The same for a subscription in quarantine."""
_ACQUITTED_SECONDS = 600.0
"""Seconds after which a subscription in quarantine has proved to be harmless."""
_MAX_WATCH_LAG = 180.0
"""Seconds after which the watch must have delivered an object that a list has shown."""

_CANCEL_PAUSE = 1.0
_MAX_CANCELS = 5
"""How often a task that does not stop is cancelled, and the seconds between two cancellations."""

_NO_REQUESTS = UserRequests()

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _WatchedObject:
    """An object as the watch delivered it last."""

    key: SubscriptionKey
    generation: int
    requests: UserRequests


@dataclass(slots=True)
class _RunningTask:
    """The task that serves a subscription, and the generation of the spec that it knows."""

    runner: SubscriptionRunner
    task: asyncio.Task[None]
    generation: int


class WatchBehindError(Exception):
    """The watch is open and delivers nothing: only a new process helps."""


class Supervisor:
    """All tasks, by uid: an object that is created again under the same name is another object.

    `shards` is the number of shards, `held` are those that are served from the start: by default all.
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
        self._watched: dict[str, _WatchedObject] = {}
        self._running: dict[str, _RunningTask] = {}
        self._starts = FairSemaphore(_STARTS, _STARTS_OF_NAMESPACE)
        # The loop holds no reference to a task: without this one it may be collected while it ends.
        self._ending: dict[str, set[asyncio.Task[None]]] = {}
        self._missing: dict[tuple[str, int], int] = {}

    # -- events of the watch --------------------------------------------------------------------------

    def upsert(self, key: SubscriptionKey, generation: int, requests: UserRequests = _NO_REQUESTS) -> None:
        """Record an object; if its shard is held, start its task or notify it of changes. Never waits."""
        watched = self._watched[key.uid] = _WatchedObject(key, generation, requests)
        if self._is_ours(key.uid):
            self._start_or_notify(watched)

    def remove(self, uid: str) -> None:
        """An object was deleted: cancel its task."""
        self._watched.pop(uid, None)
        self._cancel(uid)

    # -- changes of the Leases ------------------------------------------------------------------------

    def assign_shard(self, shard: int) -> None:
        """This replica holds a shard from now on: start a task for each of its objects. Never waits."""
        self._held.add(shard)
        for watched in self._objects_of(shard):
            self._start_or_notify(watched)

    def revoke_shard(self, shard: int) -> None:
        """This replica no longer holds a shard: its tasks are cancelled when this returns, and end soon."""
        self._held.discard(shard)
        for watched in self._objects_of(shard):
            self._cancel(watched.key.uid)

    def holds(self, shard: int) -> bool:
        """Whether this replica serves a shard."""
        return shard in self._held

    async def wait_revoked(self, shard: int) -> None:
        """Wait until all tasks of a revoked shard have ended."""
        ours = [tasks for uid, tasks in self._ending.items() if shard_of(uid, self._shards) == shard]
        await _wait_stopped(frozenset(chain.from_iterable(ours)))

    # -- end and periodic list ------------------------------------------------------------------------

    async def close(self) -> None:
        """Cancel all tasks and wait for their end."""
        self._watched.clear()
        for uid in tuple(self._running):
            self._cancel(uid)
        await _wait_stopped(frozenset(chain.from_iterable(self._ending.values())))

    async def relist_forever(self) -> None:
        """Compare the tasks with a list of all subscriptions at intervals, until cancelled.

        Raises:
            WatchBehindError: the watch has not delivered a listed object for too long.
        """
        while True:
            await asyncio.sleep(_RELIST_INTERVAL)
            known = frozenset(self._watched)
            try:
                listed = await self._dependencies.cluster.list_subscriptions(self._namespaces)
            except KubernetesError as error:
                log.warning("periodic resync failed", extra={"error": str(error)})
            else:
                self._compare(known, listed)

    def _compare(self, known: frozenset[str], listed: tuple[ListedSubscription, ...]) -> None:
        """Cancel the tasks of objects that are not listed; restart tasks that ended before their object."""
        for uid in known - {one.key.uid for one in listed}:
            self.remove(uid)
        for uid in [uid for uid, running in self._running.items() if running.task.done()]:
            self._start(self._watched[uid])
        self._check_watch_lag([(one.key.uid, one.generation) for one in listed if self._is_missing(one)])

    def _is_missing(self, listed: ListedSubscription) -> bool:
        """Whether the watch has not delivered this object, or not in this generation."""
        watched = self._watched.get(listed.key.uid)
        return watched is None or watched.generation < listed.generation

    def _check_watch_lag(self, missing: Iterable[tuple[str, int]]) -> None:
        """Raise WatchBehindError when the watch lags behind several lists in a row; one is normal."""
        self._missing = {one: self._missing.get(one, -1) + 1 for one in missing}
        lag = _RELIST_INTERVAL * max(self._missing.values(), default=0)
        self._dependencies.metrics.set_watch_lag(lag)
        if lag >= _MAX_WATCH_LAG:
            raise WatchBehindError(
                f"the watch is {lag:g} s behind the list of subscriptions; the process must be restarted"
            )

    # -- tasks ----------------------------------------------------------------------------------------

    def _is_ours(self, uid: str) -> bool:
        return shard_of(uid, self._shards) in self._held

    def _objects_of(self, shard: int) -> Iterable[_WatchedObject]:
        return [watched for uid, watched in self._watched.items() if shard_of(uid, self._shards) == shard]

    def _start_or_notify(self, watched: _WatchedObject) -> None:
        running = self._running.get(watched.key.uid)
        if running is not None:
            running.runner.user_requests.put(watched.requests)
        if running is None or running.task.done():
            self._start(watched)
        elif running.generation != watched.generation:
            running.generation = watched.generation
            running.runner.spec_changed.set()

    def _start(self, watched: _WatchedObject) -> None:
        key, former = watched.key, frozenset(self._ending.get(watched.key.uid, ()))
        runner = SubscriptionRunner(dependencies=self._dependencies, key=key)
        task = asyncio.create_task(self._run_queued(former, runner), name=task_name_of(str(key)))
        task.add_done_callback(functools.partial(self._log_end, key))
        self._running[key.uid] = _RunningTask(runner, task, watched.generation)
        self._update_metrics()

    async def _run_queued(self, former: frozenset[asyncio.Task[None]], runner: SubscriptionRunner) -> None:
        """Run a subscription when few others are starting and earlier tasks of the same object have ended."""
        admitted = asyncio.Event()
        start = child_task(self._admit(runner, admitted))
        try:
            await admitted.wait()
            await _wait_stopped(former)
            await runner.run()
        finally:
            start.cancel()

    async def _admit(self, runner: SubscriptionRunner, admitted: asyncio.Event) -> None:
        """Admit a start when it is its turn, and the next one when this one is over; suspects start alone."""
        quarantine, name = self._dependencies.quarantine, str(runner.key)
        if not (deaths := quarantine.deaths(name)):
            async with self._starts.permit(runner.key.namespace):
                admitted.set()
                await wait_at_most(runner.started, _START_SECONDS)
            return
        await self._report_quarantine(runner.key, deaths)
        await asyncio.sleep(pause_after(deaths))
        async with quarantine.alone:
            admitted.set()
            await wait_at_most(runner.started, _ALONE_SECONDS)
        await asyncio.sleep(_ACQUITTED_SECONDS)
        quarantine.acquit(name)

    async def _report_quarantine(self, key: SubscriptionKey, deaths: int) -> None:
        """The object itself is not read yet: its size may be what ended the operator."""
        note = (
            f"The operator ended {counted(deaths, 'time')} in a row while busy with this subscription, which "
            f"starts after all others, in {pause_after(deaths):g} s. Check how large its project is."
        )
        fields = key.log_fields(reason=Reason.QUARANTINED.value, detail=note)
        log.warning("subscription in quarantine", extra=fields)
        about = InvolvedObject(API_VERSION, KIND, key.namespace, key.name, key.uid)
        event = KubeEvent(about, Reason.QUARANTINED, note, is_warning=True)
        try:
            await self._dependencies.cluster.emit_event(event)
        except KubernetesError as error:
            log.warning("failed to write Kubernetes Event", extra=key.log_fields(error=str(error)))

    def _log_end(self, key: SubscriptionKey, task: asyncio.Task[None]) -> None:
        """Log the end of a task that was not cancelled here, such as one whose object was deleted."""
        running = self._running.get(key.uid)
        if running is not None and running.task is task:
            error = None if task.cancelled() else task.exception()
            log.info("subscription task ended", extra=key.log_fields(), exc_info=error)
        self._update_metrics()

    def _cancel(self, uid: str) -> None:
        """Cancel a task. It still writes metrics while it ends, so its series are removed afterwards."""
        running = self._running.pop(uid, None)
        if running is not None:
            self._ending.setdefault(uid, set()).add(running.task)
            running.task.add_done_callback(functools.partial(self._forget, running.runner.key))
            running.task.cancel()
            self._update_metrics()

    def _forget(self, key: SubscriptionKey, task: asyncio.Task[None]) -> None:
        """Remove the series, unless another object of the same name is served by now."""
        left = self._ending[key.uid]
        left.discard(task)
        if not left:
            del self._ending[key.uid]
        if str(key) not in {str(running.runner.key) for running in self._running.values()}:
            self._dependencies.metrics.forget(key)

    def _update_metrics(self) -> None:
        self._dependencies.metrics.set_subscriptions(
            sum(not running.task.done() for running in self._running.values())
        )


async def _wait_stopped(tasks: AbstractSet[asyncio.Task[None]]) -> None:
    """Wait for cancelled tasks; cancel those again that do not stop, and log that.

    A library that implements its time-outs by cancellation can mistake our cancellation for its own, as
    the total time-out of aiohttp does. Without a second one such a task would go on serving a shard that
    another replica holds, and an object that comes back would wait for its end without a limit. A task
    that survives all cancellations is abandoned; the ledger rejects what it still tries to write.
    """
    for _ in range(_MAX_CANCELS):
        if not tasks:
            return
        _, tasks = await asyncio.wait(tasks, timeout=_CANCEL_PAUSE)
        if tasks:
            log.warning(
                "subscription tasks did not stop after cancellation; cancelling again",
                extra={"tasks": len(tasks)},
            )
        for task in tasks:
            task.cancel()
    if tasks:
        log.warning("subscription tasks abandoned; they do not stop", extra={"tasks": len(tasks)})
