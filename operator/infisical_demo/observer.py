"""Waits for events, restarts and rollouts, each with a deadline; an error names what is missing."""

import asyncio
import contextlib
import time
from dataclasses import dataclass

from infisical_demo.errors import NotSeenError
from infisical_demo.infisical_client import EmittedEvent, LocalInfisical
from infisical_demo.manifests import NAME
from infisical_demo.object_views import DeploymentView, SubscriptionView
from infisical_demo.object_watch import WatchedObjects

SECONDS = 30.0
"""How long an expected observation may take, in seconds."""
QUIET = 3.0
"""How long a further restart is waited for, in seconds: three times the debounce."""
_POLL_PAUSE = 0.02


@dataclass(frozen=True, slots=True)
class Observer:
    """Waits for states of Infisical and of the API server; every method may raise NotSeenError.

    `since` is a time of the monotonic clock: earlier observations do not count.
    """

    objects: WatchedObjects
    infisical: LocalInfisical

    async def emitted(self, mark: int) -> EmittedEvent:
        """The first event after a mark of the server's journal."""
        deadline = time.monotonic() + SECONDS
        while not (events := await asyncio.to_thread(self.infisical.emitted, mark)):
            await _pause(deadline, "an event from the local Infisical")
        return events[0]

    async def streams(self, count: int) -> None:
        """Wait until this number of event streams is open at the local Infisical."""
        deadline = time.monotonic() + SECONDS
        while await asyncio.to_thread(self.infisical.count_streams) != count:
            await _pause(deadline, f"the expected number of open event streams ({count})")

    async def serving(self, generation: int = 0) -> SubscriptionView:
        """The subscription with at least this generation, Ready and Streaming."""
        return await self.objects.subscription.first(
            lambda view: (
                view.generation >= generation and view.is_true("Ready") and view.is_true("Streaming")
            ),
            seconds=SECONDS,
            what="a subscription that is Ready and Streaming",
        )

    async def matched(self, already: int) -> SubscriptionView:
        """The subscription after it counted one more matching event."""
        return await self.objects.subscription.first(
            lambda view: view.matched > already,
            seconds=SECONDS,
            what="a higher status.counters.eventsMatched",
        )

    async def skipped(self, reason: str, since: float) -> SubscriptionView:
        """The subscription with this reason in `status.lastSkip`."""
        return await self.objects.subscription.first(
            lambda view: view.skip_reason == reason,
            since=since,
            seconds=SECONDS,
            what=f"reason {reason} in status.lastSkip",
        )

    async def patched(self, before: int, since: float) -> DeploymentView:
        """The workload with a later generation than before."""
        return await self.objects.workload.first(
            lambda view: view.generation > before,
            since=since,
            seconds=SECONDS,
            what=f"a restart of deployment/{NAME} (generation {before + 1})",
        )

    async def rolled_out(self, generation: int) -> DeploymentView:
        """The workload with at least this generation and a complete rollout."""
        return await self.objects.workload.first(
            lambda view: view.generation >= generation and view.is_rolled_out,
            seconds=SECONDS,
            what=f"a complete rollout of deployment/{NAME} (generation {generation})",
        )

    async def generation_after_quiet(self, generation: int) -> int:
        """The generation of the workload after `QUIET` seconds, or earlier as soon as it changes."""
        with contextlib.suppress(NotSeenError):
            await self.objects.workload.first(
                lambda view: view.generation > generation, seconds=QUIET, what="a further restart"
            )
        return self.objects.workload.latest.generation


async def _pause(deadline: float, what: str) -> None:
    if time.monotonic() > deadline:
        raise NotSeenError(f"{what} was not observed within {SECONDS:g} s")
    await asyncio.sleep(_POLL_PAUSE)
