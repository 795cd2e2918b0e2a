"""Waiting for what has to happen, each with a deadline and a name for what was missed."""

import asyncio
import contextlib
import time
from dataclasses import dataclass

from infisical_demo.errors import NotSeenError
from infisical_demo.infisical_client import Emitted, LocalInfisical
from infisical_demo.manifests import NAME
from infisical_demo.object_views import DeploymentView, SubscriptionView
from infisical_demo.object_watch import Objects

SECONDS = 30.0
"""How long something that has to happen is waited for."""
QUIET = 3.0
"""How long something that must not happen is waited for: three times the debounce."""
_POLL_PAUSE = 0.02


@dataclass(frozen=True, slots=True)
class Witness:
    """Sees what happens in Infisical and at the API server; every method may raise NotSeenError.

    `since` is a moment of the monotonic clock: what was seen earlier does not count.
    """

    objects: Objects
    infisical: LocalInfisical

    async def emitted(self, mark: int) -> Emitted:
        """The first event after a mark of the server's journal."""
        deadline = time.monotonic() + SECONDS
        while not (events := await asyncio.to_thread(self.infisical.emitted, mark)):
            await _pause(deadline, "an event of the local Infisical")
        return events[0]

    async def streams(self, count: int) -> None:
        """That many event streams are open at the local Infisical."""
        deadline = time.monotonic() + SECONDS
        while await asyncio.to_thread(self.infisical.count_streams) != count:
            await _pause(deadline, f"{count} open streams at the local Infisical")

    async def serving(self, generation: int = 0) -> SubscriptionView:
        """The subscription, at least of this generation, served and with an open stream."""
        return await self.objects.subscription.first(
            lambda view: (
                view.generation >= generation and view.is_true("Ready") and view.is_true("Streaming")
            ),
            seconds=SECONDS,
            what="a subscription that is Ready and Streaming",
        )

    async def matched(self, already: int) -> SubscriptionView:
        """The subscription, having counted one more event that matches."""
        return await self.objects.subscription.first(
            lambda view: view.matched > already,
            seconds=SECONDS,
            what="an event counted in status.counters.eventsMatched",
        )

    async def skipped(self, reason: str, since: float) -> SubscriptionView:
        """The subscription, having said for this reason why nothing is done."""
        return await self.objects.subscription.first(
            lambda view: view.skip_reason == reason,
            since=since,
            seconds=SECONDS,
            what=f"the reason {reason} in status.lastSkip",
        )

    async def patched(self, before: int, since: float) -> DeploymentView:
        """The workload, of a later generation than before."""
        return await self.objects.workload.first(
            lambda view: view.generation > before,
            since=since,
            seconds=SECONDS,
            what=f"a restart of Deployment {NAME} (generation {before + 1})",
        )

    async def rolled_out(self, generation: int) -> DeploymentView:
        """The workload of at least this generation, all its pods new and available."""
        return await self.objects.workload.first(
            lambda view: view.generation >= generation and view.is_rolled_out,
            seconds=SECONDS,
            what=f"a complete rollout of Deployment {NAME} (generation {generation})",
        )

    async def generation_after_quiet(self, generation: int) -> int:
        """The generation of the workload a while later; at once if it has moved."""
        with contextlib.suppress(NotSeenError):
            await self.objects.workload.first(
                lambda view: view.generation > generation, seconds=QUIET, what="a further restart"
            )
        return self.objects.workload.latest.generation


async def _pause(deadline: float, what: str) -> None:
    if time.monotonic() > deadline:
        raise NotSeenError(f"{what} was not seen within {SECONDS:g} s")
    await asyncio.sleep(_POLL_PAUSE)
