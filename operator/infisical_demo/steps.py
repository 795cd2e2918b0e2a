"""What is shown. Each scene changes something in Infisical and looks, at the API server, what follows.

"Exactly one restart" is the Deployment's generation: every change of its pod template raises it by one.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from infisical_demo.environment import ELSEWHERE, WATCHED, World
from infisical_demo.errors import NotSeenError
from infisical_demo.infisical_client import Emitted
from infisical_demo.latency import summary
from infisical_demo.manifests import NAME
from infisical_demo.object_views import DeploymentView
from infisical_demo.observer import QUIET, Witness
from infisical_demo.report import Story

_DEBOUNCES = (1, 0)
"""The default of `debounceSeconds`, and none."""


@dataclass(slots=True)
class Play:
    """One performance; `expected` is the generation that the Deployment must have by now."""

    world: World
    witness: Witness
    story: Story
    expected: int = 1

    async def run(self, updates: int) -> None:
        """All scenes in order; one that fails is told, and the next one begins from what is there."""
        await self._scene("Before", self._begin)
        await self._scene(
            "1. A secret changes: the workload that uses it is rolled out", self._matching_change
        )
        await self._scene("2. A secret changes in another folder: nothing happens", self._other_folder)
        await self._scene(
            "3. A key changes that the subscription leaves out: nothing happens", self._other_key
        )
        await self._scene(
            "4. A secret changes while the operator is dead: one restart", self._change_while_dead
        )
        await self._scene(f"5. {updates} changes, one after the other", lambda: self._measure(updates))
        await self._scene("The books", self._balance)

    async def _scene(self, title: str, scene: Callable[[], Awaitable[None]]) -> None:
        self.story.heading(title)
        try:
            await scene()
        except NotSeenError as error:
            self.story.fail(f"{error}.")
            self.world.operator.require()
            self.expected = self.witness.objects.workload.latest.generation

    async def _begin(self) -> None:
        with self.story.waiting("waiting for the workload to run and the stream to open"):
            workload = await self.witness.rolled_out(self.expected)
            subscription = await self.witness.serving()
        self.story.check(
            workload.generation == self.expected and not workload.stamps,
            f"Deployment {NAME} runs {workload.available} pods and was not restarted: the first sight "
            "of the secrets is a baseline.",
            f"Deployment {NAME} was changed before anything happened (generation {workload.generation}).",
        )
        self.story.meet(f"The subscription is Ready, its stream is open. {subscription.message('Observed')}")

    async def _matching_change(self) -> None:
        already = self.witness.objects.subscription.latest.matched
        mark = await asyncio.to_thread(self.world.infisical.mark)
        since = await self._change(WATCHED, "DB_PASSWORD")
        with self.story.waiting("following the change"):
            self._tell_event(await self.witness.emitted(mark), since)
            matched = await self.witness.matched(already)
            self.story.happened(
                matched.at - since,
                "matched",
                "after debounceSeconds (1) of quiet, and written down before anything is done",
            )
            await self._tell_restart(since)
        await self._check_still("one change, one rollout")

    async def _other_folder(self) -> None:
        before = self.witness.objects.subscription.latest
        mark = await asyncio.to_thread(self.world.infisical.mark)
        since = await self._change(ELSEWHERE, "DB_PASSWORD")
        event = await self.witness.emitted(mark)
        self._tell_event(event, since)
        self.story.check(
            event.receivers == 0,
            "Infisical told nobody: the subscription asks for other folders.",
            f"Infisical told {event.receivers} streams although none asks for {ELSEWHERE}.",
        )
        await self._check_still("no restart")
        now = self.witness.objects.subscription.latest
        self.story.check(
            now.received == before.received,
            f"The subscription says why not: {now.message('Observed')}",
            f"The subscription counts {now.received - before.received} events that it must not have got.",
        )

    async def _other_key(self) -> None:
        mark = await asyncio.to_thread(self.world.infisical.mark)
        since = await self._change(WATCHED, "LOG_LEVEL")
        self._tell_event(await self.witness.emitted(mark), since)
        with self.story.waiting("waiting for the operator to say why not"):
            view = await self.witness.skipped("KeysNotSelected", since)
        self.story.happened(view.at - since, "skipped", f"status.lastSkip: {view.skip_reason}")
        await self._check_still("no restart")
        self.story.check(
            "LOG_LEVEL" in view.skip_message,
            f"The subscription says why not: {view.skip_message}",
            f"The subscription speaks of something else: {view.skip_message}",
        )

    async def _change_while_dead(self) -> None:
        self.world.operator.kill()
        self.story.note("the operator was ended by SIGKILL")
        await self.witness.streams(0)
        mark = await asyncio.to_thread(self.world.infisical.mark)
        since = await self._change(WATCHED, "DB_PASSWORD")
        self._tell_event(await self.witness.emitted(mark), since)
        self.world.operator.start()
        self.story.note("it is started again; nobody tells it what it has missed")
        with self.story.waiting("following the change"):
            await self._tell_restart(since)
        await self._check_still("one missed change, one rollout")

    async def _measure(self, updates: int) -> None:
        rows = []
        for debounce in _DEBOUNCES:
            await self._set_debounce(debounce)
            with self.story.waiting(f"measuring with debounceSeconds {debounce}"):
                found = summary([await self._one_latency() for _ in range(updates)])
            figures = (found.p50, found.p95, found.longest)
            rows.append((str(debounce), str(found.count), *(f"{figure:.0f} ms" for figure in figures)))
        self.story.note(
            "from the event that Infisical emits to the patched pod template, as a watch sees it:"
        )
        self.story.table(("debounceSeconds", "updates", "p50", "p95", "longest"), rows)
        self.story.note(
            f"resident memory of the operator, one stream: {self.world.operator.resident:.0f} MiB"
        )

    async def _balance(self) -> None:
        with self.story.waiting("waiting for the last rollout"):
            await self.witness.rolled_out(self.expected)
        await self._check_still(f"{self.expected - 1} changes to act on, as many rollouts")
        counted, restarts = self.witness.objects.subscription.latest.restarts, self.expected - 1
        self.story.check(
            counted == restarts,
            f"The subscription counts the same: {counted} restarts.",
            f"The subscription counts {counted} restarts, and {restarts} were seen.",
        )
        self.story.command(self.world.kubectl.shown("get", "ies"))
        self.story.quote(await asyncio.to_thread(self.world.kubectl, "get", "ies"))

    async def _change(self, path: str, key: str) -> float:
        """Change one secret, and say how a person would do it; return the moment before."""
        environment = self.world.infisical.environment
        self.story.command(f"infisical-sandbox secrets set --env {environment} --path {path} {key}=…")
        return await self._set(path, key)

    async def _set(self, path: str, key: str) -> float:
        since = time.monotonic()
        await asyncio.to_thread(self.world.infisical.set_secrets, path, {key: secrets.token_hex(8)})
        return since

    def _tell_event(self, event: Emitted, since: float) -> None:
        heard = f"{event.receivers} open stream" if event.receivers else "nobody, no open stream asks for it"
        self.story.happened(
            event.at - since, "event", f"{event.event} of {', '.join(event.keys)}, to {heard}"
        )

    async def _tell_restart(self, since: float) -> None:
        """Follow one restart to the complete rollout."""
        patched = await self._patched(since)
        stamp = ", ".join(patched.stamps.values())
        told = f"Deployment {NAME}: generation {patched.generation}, receipt {stamp}"
        self.story.happened(patched.at - since, "restart", f"{told}, because of {patched.reason}")
        rolled = await self.witness.rolled_out(self.expected)
        told = f"{rolled.updated} of {rolled.wanted} pods are new and available"
        self.story.happened(rolled.at - since, "rollout", f"complete: {told}")

    async def _patched(self, since: float) -> DeploymentView:
        before = self.expected
        self.expected += 1
        return await self.witness.patched(before, since)

    async def _one_latency(self) -> float:
        mark = await asyncio.to_thread(self.world.infisical.mark)
        since = await self._set(WATCHED, "DB_PASSWORD")
        patched = await self._patched(since)
        return patched.at - (await self.witness.emitted(mark)).at

    async def _check_still(self, what: str) -> None:
        """Check that the generation is the expected one and stays so."""
        expected = self.expected
        with self.story.waiting(f"watching for {QUIET:g} s that nothing more happens"):
            self.expected = await self.witness.generation_after_quiet(expected)
        self.story.check(
            self.expected == expected,
            f"Deployment {NAME} stays at generation {expected} for {QUIET:g} s: {what}.",
            f"Deployment {NAME} is at generation {self.expected} instead of {expected}: not {what}.",
        )

    async def _set_debounce(self, seconds: int) -> None:
        patch = f'{{"spec":{{"debounceSeconds":{seconds}}}}}'
        arguments = ("patch", "ies", NAME, "--type=merge")
        self.story.command(self.world.kubectl.shown(*arguments, "-p", f"'{patch}'"))
        output = "--output=jsonpath={.metadata.generation}"
        generation = await asyncio.to_thread(self.world.kubectl, *arguments, f"--patch={patch}", output)
        with self.story.waiting("waiting for the stream"):
            await self.witness.serving(int(generation))
