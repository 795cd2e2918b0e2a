"""Watches the Deployment and the subscription at the API server, the demo's only source about the cluster."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from aiohttp import ClientError
from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.watch import Watch

from infisical_demo import object_views
from infisical_demo.errors import DemoError, NotSeenError
from infisical_demo.object_views import DeploymentView, SubscriptionView


class _Seen(Protocol):
    @property
    def at(self) -> float: ...


View = TypeVar("View", bound=_Seen)


class History(Generic[View]):
    """All observed versions of one object, in order."""

    def __init__(self) -> None:
        self._views: list[View] = []
        self._news = asyncio.Event()
        self._end: DemoError | None = None

    def end(self, error: DemoError) -> None:
        """End the history: waiting callers get this error."""
        self._end = error
        self._news.set()

    def add(self, view: View) -> None:
        """Append a version."""
        self._views.append(view)
        self._news.set()

    @property
    def latest(self) -> View:
        """The newest version."""
        return self._views[-1]

    async def first(
        self, holds: Callable[[View], bool], *, seconds: float, what: str, since: float = 0
    ) -> View:
        """The first version observed at `since` or later for which `holds` is true.

        Raises:
            NotSeenError: no such version within `seconds`; the message names `what`.
            DemoError: the watch failed.
        """
        checked = 0
        try:
            async with asyncio.timeout(seconds):
                while True:
                    self._news.clear()
                    fresh = self._views[checked:]
                    checked += len(fresh)
                    for view in fresh:
                        if view.at >= since and holds(view):
                            return view
                    if self._end is not None:
                        raise self._end
                    await self._news.wait()
        except TimeoutError:
            raise NotSeenError(f"{what} was not observed within {seconds:g} s") from None


@dataclass(frozen=True, slots=True)
class WatchedObjects:
    """The observed versions of the workload and of the subscription."""

    workload: History[DeploymentView]
    subscription: History[SubscriptionView]


@asynccontextmanager
async def watch_objects(kubeconfig: Path, namespace: str, name: str) -> AsyncIterator[WatchedObjects]:
    """Watch the Deployment and the subscription of this name until the context is left."""
    seen = WatchedObjects(History(), History())
    async with await _connected(kubeconfig) as connection:
        one = {"namespace": namespace, "field_selector": f"metadata.name={name}"}
        deployments = client.AppsV1Api(connection).list_namespaced_deployment
        custom = {"group": object_views.GROUP, "version": object_views.VERSION, "plural": object_views.PLURAL}
        subscriptions = client.CustomObjectsApi(connection).list_namespaced_custom_object
        tasks = (
            asyncio.create_task(_follow(seen.workload, object_views.deployment, deployments, one)),
            asyncio.create_task(
                _follow(seen.subscription, object_views.subscription, subscriptions, custom | one)
            ),
        )
        try:
            yield seen
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _connected(kubeconfig: Path) -> client.ApiClient:
    connection: client.ApiClient = await config.new_client_from_config(  # type: ignore[no-untyped-call] # theirs
        str(kubeconfig), persist_config=False
    )
    return connection


async def _follow(
    history: History[View],
    parse: Callable[[Mapping[str, Any], float], View],
    listing: Callable[..., Any],
    which: Mapping[str, str],
) -> None:
    try:
        async with Watch() as watch:  # type: ignore[no-untyped-call] # theirs
            async for event in watch.stream(listing, **which):
                history.add(parse(event["raw_object"], time.monotonic()))
    except (ApiException, ClientError, OSError) as error:
        history.end(DemoError(f"the watch at the API server failed: {error}"))
