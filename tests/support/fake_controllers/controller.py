"""What all fake controllers share: a mirror of their objects, a worker for each, and their triggers.

A fake controller is an asynchronous context manager for one kind in one namespace. It works like a real
controller: a predicate selects triggers, triggers during a delay are one reconcile, one worker reconciles an
object at a time, and a failed attempt is repeated after a while.
"""

import abc
import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import ClassVar, Self

import aiohttp

from support.fake_controllers.api_client import Api, ApiError
from support.fake_controllers.mirror import Mirror
from support.fake_controllers.options import PROMPT, FetchError, Options, Outcome, Try
from support.fake_controllers.resources import Object, Resource

_SLICE_SECONDS = 0.05


@dataclass(slots=True, eq=False)
class _Worker:
    """The task that reconciles one object."""

    called: asyncio.Event = field(default_factory=asyncio.Event)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    task: asyncio.Task[None] | None = None
    ended: float = 0.0
    is_unfinished: bool = False


class Controller(abc.ABC):
    """Reconciles the objects of one kind in one namespace until the block ends."""

    resource: ClassVar[Resource]

    def __init__(self, api: Api, namespace: str, options: Options = PROMPT) -> None:
        self.api = api
        self.namespace = namespace
        self.options = options
        self.tries: list[Try] = []
        self._failed = 0
        self._workers: dict[str, _Worker] = {}
        self._mirrors = [Mirror(api, self.resource.path(namespace), self._received)]
        self._root: asyncio.Task[None] | None = None
        self._group = asyncio.TaskGroup()

    # -- for tests ---------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._root = asyncio.create_task(self._run())
        listed = asyncio.create_task(self._listed())
        await asyncio.wait([self._root, listed], return_when=asyncio.FIRST_COMPLETED)
        if self._root.done():
            listed.cancel()
            await self._root
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._root is not None:
            self._root.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._root

    def configure(self, options: Options) -> None:
        """Change the options; the count of failed attempts starts again.

        A silent controller that becomes active reconciles everything, like one that was restarted.
        """
        resumes = self.options.silent and not options.silent
        self.options, self._failed = options, 0
        for worker in self._workers.values() if resumes else ():
            worker.called.set()

    async def sync_now(self, name: str | None = None) -> None:
        """Reconcile one object, or all, as its own interval would; return when it is done.

        At once, without the delay, and also if it is silent.
        """
        listing = await self.api.get(self.resource.path(self.namespace))
        names = [thing["metadata"]["name"] for thing in listing["items"]]
        for each in names if name is None else [name]:
            await self._try(self._worker(each), each, by_itself=True)

    # -- for each kind of controller -------------------------------------------------------------

    @abc.abstractmethod
    def is_trigger(self, before: Object | None, now: Object) -> bool:
        """Whether a change triggers a reconcile; `before` is None for a new object."""

    @abc.abstractmethod
    async def reconcile(self, thing: Object, *, by_itself: bool) -> Outcome:
        """Reconcile an object and write its status.

        `by_itself`: without a trigger. Raises ApiError.
        """

    def fail_if_due(self) -> None:
        """Raise FetchError in the first attempts if the options say so."""
        if self._failed < self.options.failing:
            self._failed += 1
            raise FetchError("status-code=502 the fake controller is set to fail")

    def pause(self) -> float:
        """Return the seconds between a trigger and its reconcile."""
        return self.options.pause()

    def call(self, name: str) -> None:
        """Reconcile an object as if it had been triggered."""
        if name in self._workers:
            self._workers[name].called.set()

    # -- the workers -------------------------------------------------------------------------------

    async def _run(self) -> None:
        async with self._group as group:
            for mirror in self._mirrors:
                group.create_task(mirror.follow())

    async def _listed(self) -> None:
        for mirror in self._mirrors:
            await mirror.listed.wait()

    def _received(self, before: Object | None, now: Object | None) -> None:
        if now is None:
            self._forget(before)
            return
        name = now["metadata"]["name"]
        worker = self._worker(name)
        if worker.task is None:
            worker.task = self._group.create_task(self._work(worker, name))
        if self.is_trigger(before, now):
            worker.called.set()

    def _forget(self, thing: Object | None) -> None:
        worker = self._workers.pop(thing["metadata"]["name"], None) if thing else None
        if worker and worker.task:
            worker.task.cancel()

    def _worker(self, name: str) -> _Worker:
        return self._workers.setdefault(name, _Worker())

    async def _work(self, worker: _Worker, name: str) -> None:
        while True:
            by_itself = not await self._wait_for_work(worker)
            if self.options.silent:
                worker.called.clear()
                continue
            await asyncio.sleep(self.pause())
            await self._try(worker, name, by_itself=by_itself)

    async def _wait_for_work(self, worker: _Worker) -> bool:
        """Wait until work is due: True if it was triggered, False if its time has come."""
        while not worker.called.is_set():
            if self._is_time(worker):
                return False
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SLICE_SECONDS):
                    await worker.called.wait()
        return True

    def _is_time(self, worker: _Worker) -> bool:
        if self.options.silent:
            return False
        waits = self.options.retry if worker.is_unfinished else self.options.interval
        return waits is not None and _now() >= worker.ended + waits

    async def _try(self, worker: _Worker, name: str, *, by_itself: bool) -> None:
        async with worker.lock:
            worker.called.clear()
            outcome = await self._attempt(name, by_itself=by_itself)
            worker.is_unfinished, worker.ended = not outcome.is_final, _now()

    async def _attempt(self, name: str, *, by_itself: bool) -> Outcome:
        try:
            thing = await self.api.find(self.resource.path(self.namespace, name))
            if thing is None or "deletionTimestamp" in thing["metadata"]:
                return Outcome.NOT_DUE
            outcome, why = await self.reconcile(thing, by_itself=by_itself), ""
        except (ApiError, aiohttp.ClientError, TimeoutError, OSError) as error:
            outcome, why = Outcome.REFUSED, str(error)
        if outcome not in {Outcome.NOT_DUE, Outcome.WAITING}:
            generation = thing["metadata"]["generation"] if thing else 0
            self.tries.append(Try(name, generation, outcome, why))
        return outcome


def _now() -> float:
    return asyncio.get_running_loop().time()
