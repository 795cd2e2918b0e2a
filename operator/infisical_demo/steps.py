"""The steps of the demo. Each one changes a secret in Infisical and checks the result at the API server.

"Exactly one restart" is the Deployment's generation: every change of its pod template raises it by 1.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from infisical_demo.environment import ELSEWHERE, WATCHED, DemoEnvironment
from infisical_demo.errors import NotSeenError
from infisical_demo.infisical_client import EmittedEvent
from infisical_demo.latency import summarize
from infisical_demo.manifests import NAME
from infisical_demo.object_views import DeploymentView
from infisical_demo.observer import QUIET, Observer
from infisical_demo.report import Report

_DEBOUNCES = (1, 0)
"""Values of `debounceSeconds` that are measured: the default, and no debounce."""
_WORKLOAD = f"deployment/{NAME}"


@dataclass(slots=True)
class Steps:
    """One run of the demo; `expected` is the generation that the Deployment must have by now."""

    environment: DemoEnvironment
    observer: Observer
    report: Report
    expected: int = 1

    async def run(self, updates: int) -> None:
        """Run all steps in order. After a failed step the next one starts from the current generation."""
        await self._step("Before the first change", self._check_baseline)
        await self._step("1. A secret changes: the workload restarts once", self._matching_change)
        await self._step("2. A secret in another folder changes: no restart", self._other_folder)
        await self._step(
            "3. A key that the subscription does not select changes: no restart", self._other_key
        )
        await self._step(
            "4. A secret changes while the operator is down: one restart", self._change_while_down
        )
        await self._step(f"5. Latency of {updates} updates, one at a time", lambda: self._measure(updates))
        await self._step("Totals", self._check_totals)

    async def _step(self, title: str, step: Callable[[], Awaitable[None]]) -> None:
        self.report.heading(title)
        try:
            await step()
        except NotSeenError as error:
            self.report.fail_check(f"{error}.")
            self.environment.operator.raise_if_ended()
            self.expected = self.observer.objects.workload.latest.generation

    async def _check_baseline(self) -> None:
        with self.report.waiting("waiting for the workload and the event stream"):
            workload = await self.observer.rolled_out(self.expected)
            subscription = await self.observer.serving()
        self.report.check(
            workload.generation == self.expected and not workload.revisions,
            f"{_WORKLOAD} runs {workload.available} pods. The first read of the secrets restarted nothing.",
            f"{_WORKLOAD} changed before the first change of a secret (generation {workload.generation}).",
        )
        self.report.pass_check(
            f"The subscription is Ready and its event stream is open. {subscription.message('Observed')}"
        )

    async def _matching_change(self) -> None:
        already = self.observer.objects.subscription.latest.matched
        mark = await asyncio.to_thread(self.environment.infisical.mark)
        since = await self._change(WATCHED, "DB_PASSWORD")
        with self.report.waiting("waiting for the restart"):
            self._report_event(await self.observer.emitted(mark), since)
            matched = await self.observer.matched(already)
            self.report.timed(
                matched.at - since,
                "matched",
                "the operator stored the change in the status, after a debounce of 1 s",
            )
            await self._report_restart(since)
        await self._check_unchanged("1 change, 1 restart")

    async def _other_folder(self) -> None:
        before = self.observer.objects.subscription.latest
        mark = await asyncio.to_thread(self.environment.infisical.mark)
        since = await self._change(ELSEWHERE, "DB_PASSWORD")
        event = await self.observer.emitted(mark)
        self._report_event(event, since)
        self.report.check(
            event.receivers == 0,
            f"Infisical sent no event: the subscription does not include {ELSEWHERE}.",
            f"Infisical sent the event to {_streams(event.receivers)}, "
            f"but the subscription does not include {ELSEWHERE}.",
        )
        await self._check_unchanged("no restart")
        now = self.observer.objects.subscription.latest
        self.report.check(
            now.received == before.received,
            f"The subscription received no event. {now.message('Observed')}",
            f"The number of received events rose by {now.received - before.received}; expected 0.",
        )

    async def _other_key(self) -> None:
        mark = await asyncio.to_thread(self.environment.infisical.mark)
        since = await self._change(WATCHED, "LOG_LEVEL")
        self._report_event(await self.observer.emitted(mark), since)
        with self.report.waiting("waiting for the skip reason"):
            view = await self.observer.skipped("KeysNotSelected", since)
        self.report.timed(view.at - since, "skipped", f"status.lastSkip.reason is {view.skip_reason}")
        await self._check_unchanged("no restart")
        self.report.check(
            "LOG_LEVEL" in view.skip_message,
            f"status.lastSkip.message gives the cause: {view.skip_message}",
            f"status.lastSkip.message does not name LOG_LEVEL: {view.skip_message}",
        )

    async def _change_while_down(self) -> None:
        self.environment.operator.kill()
        self.report.note("killed the operator (SIGKILL)")
        await self.observer.streams(0)
        mark = await asyncio.to_thread(self.environment.infisical.mark)
        since = await self._change(WATCHED, "DB_PASSWORD")
        self._report_event(await self.observer.emitted(mark), since)
        self.environment.operator.start()
        self.report.note("started the operator again; Infisical does not repeat the missed event")
        with self.report.waiting("waiting for the restart"):
            await self._report_restart(since)
        await self._check_unchanged("1 missed change, 1 restart")

    async def _measure(self, updates: int) -> None:
        rows = []
        for debounce in _DEBOUNCES:
            await self._set_debounce(debounce)
            with self.report.waiting(f"measuring with debounceSeconds {debounce}"):
                found = summarize([await self._one_latency() for _ in range(updates)])
            figures = (found.p50, found.p95, found.longest)
            rows.append((str(debounce), str(found.count), *(f"{figure:.0f} ms" for figure in figures)))
        self.report.note("time from the event in Infisical to the changed pod template, seen by a watch:")
        self.report.table(("debounceSeconds", "updates", "p50", "p95", "max"), rows)
        self.report.note(
            f"resident memory of the operator with 1 stream: {self.environment.operator.resident:.0f} MiB"
        )

    async def _check_totals(self) -> None:
        with self.report.waiting("waiting for the last rollout"):
            await self.observer.rolled_out(self.expected)
        restarts = self.expected - 1
        await self._check_unchanged(f"{restarts} matching changes, {restarts} restarts")
        counted, restarts = self.observer.objects.subscription.latest.restarts, self.expected - 1
        self.report.check(
            counted == restarts,
            f"status.counters.restarts agrees: {counted}.",
            f"status.counters.restarts is {counted}; the API server showed {restarts} restarts.",
        )
        self.report.command(self.environment.kubectl.command_line("get", "ies"))
        self.report.output(await asyncio.to_thread(self.environment.kubectl, "get", "ies"))

    async def _change(self, path: str, key: str) -> float:
        """Change one secret and print the equivalent command; return the time before the change."""
        environment = self.environment.infisical.environment_slug
        self.report.command(f"infisical-sandbox secrets set --env {environment} --path {path} {key}=…")
        return await self._set(path, key)

    async def _set(self, path: str, key: str) -> float:
        since = time.monotonic()
        await asyncio.to_thread(self.environment.infisical.set_secrets, path, {key: secrets.token_hex(8)})
        return since

    def _report_event(self, event: EmittedEvent, since: float) -> None:
        keys = ", ".join(event.keys)
        sent = f"sent to {_streams(event.receivers)}" if event.receivers else "no stream subscribes to it"
        self.report.timed(event.at - since, "event", f"{event.event} {keys}, {sent}")

    async def _report_restart(self, since: float) -> None:
        """Report one restart up to the complete rollout."""
        patched = await self._patched(since)
        revision = ", ".join(patched.revisions.values())
        self.report.timed(
            patched.at - since,
            "restart",
            f"{_WORKLOAD} has generation {patched.generation}, revision {revision}: {patched.reason}",
        )
        rolled = await self.observer.rolled_out(self.expected)
        pods = f"{rolled.updated} of {rolled.wanted} pods are updated and available"
        self.report.timed(rolled.at - since, "rollout", f"complete: {pods}")

    async def _patched(self, since: float) -> DeploymentView:
        before = self.expected
        self.expected += 1
        return await self.observer.patched(before, since)

    async def _one_latency(self) -> float:
        mark = await asyncio.to_thread(self.environment.infisical.mark)
        since = await self._set(WATCHED, "DB_PASSWORD")
        patched = await self._patched(since)
        return patched.at - (await self.observer.emitted(mark)).at

    async def _check_unchanged(self, what: str) -> None:
        """Check that the Deployment has the expected generation and keeps it."""
        expected = self.expected
        with self.report.waiting(f"waiting {QUIET:g} s for further restarts"):
            self.expected = await self.observer.generation_after_quiet(expected)
        self.report.check(
            self.expected == expected,
            f"{_WORKLOAD} still has generation {expected} after {QUIET:g} s: {what}.",
            f"{_WORKLOAD} has generation {self.expected} instead of {expected}. Expected: {what}.",
        )

    async def _set_debounce(self, seconds: int) -> None:
        patch = f'{{"spec":{{"debounceSeconds":{seconds}}}}}'
        arguments = ("patch", "ies", NAME, "--type=merge")
        self.report.command(self.environment.kubectl.command_line(*arguments, "-p", f"'{patch}'"))
        output = "--output=jsonpath={.metadata.generation}"
        generation = await asyncio.to_thread(self.environment.kubectl, *arguments, f"--patch={patch}", output)
        with self.report.waiting("waiting for the event stream"):
            await self.observer.serving(int(generation))


def _streams(count: int) -> str:
    return f"{count} open {'stream' if count == 1 else 'streams'}"
