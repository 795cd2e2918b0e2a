"""The demo detects an operator that restarts too often, too rarely, or without a reason."""

import io
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from rich.console import Console

from infisical_demo import observer
from infisical_demo.environment import WATCHED, DemoEnvironment
from infisical_demo.infisical_client import EmittedEvent
from infisical_demo.object_views import Condition, DeploymentView, SubscriptionView
from infisical_demo.object_watch import History, WatchedObjects
from infisical_demo.observer import Observer
from infisical_demo.report import Report
from infisical_demo.steps import Steps


@pytest.fixture(autouse=True)
def _short_deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    """In these tests everything happens at once or never."""
    monkeypatch.setattr(observer, "SECONDS", 0.05)
    monkeypatch.setattr(observer, "QUIET", 0.05)


@dataclass
class FakeEnvironment:
    """An Infisical, a cluster and an operator in one: `restarts` says how often it restarts per change."""

    restarts: Callable[[str, str], int]
    skip_reason: str = "KeysNotSelected"
    objects: WatchedObjects = field(default_factory=lambda: WatchedObjects(History(), History()))
    events: list[EmittedEvent] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=lambda: {"received": 0, "matched": 0, "restarts": 0})
    resident: float = 50.0
    environment_slug: str = "prod"
    is_dead: bool = False

    def __post_init__(self) -> None:
        """The workload runs, the subscription is served."""
        self._report_workload()
        self._report_subscription()

    def set_secrets(self, path: str, values: Mapping[str, str]) -> None:
        """Emit the event, and let the operator do what it does."""
        (key,) = values
        is_sent = path == WATCHED and not self.is_dead
        self.events.append(EmittedEvent(time.monotonic(), "secret:update", (key,), int(is_sent)))
        self.counts["received"] += is_sent
        self.counts["matched"] += is_sent and key.startswith("DB_")
        self._missed = (path, key)
        if not self.is_dead:
            self._act()

    def _act(self) -> None:
        count = self.restarts(*self._missed)
        skip = "" if count else self.skip_reason
        self._report_subscription(skip, f"{self._missed[1]} was not selected")
        for _ in range(count):
            self.counts["restarts"] += 1
            self._report_workload()
        self._report_subscription(skip, f"{self._missed[1]} was not selected")

    def mark(self) -> int:
        """The events so far."""
        return len(self.events)

    def emitted(self, since: int) -> tuple[EmittedEvent, ...]:
        """The events since."""
        return tuple(self.events[since:])

    def count_streams(self) -> int:
        """One, while the operator lives."""
        return int(not self.is_dead)

    def kill(self) -> None:
        """Kill the operator."""
        self.is_dead = True

    def start(self) -> None:
        """Start the operator again; it detects the missed change."""
        self.is_dead = False
        self._act()

    def raise_if_ended(self) -> None:
        """It has not ended by itself."""

    def command_line(self, *arguments: str) -> str:
        """The command as typed."""
        return " ".join(arguments)

    def __call__(self, *_: str) -> str:
        """Kubectl."""
        return "1"

    def _report_workload(self) -> None:
        generation = self.counts["restarts"] + 1
        revisions = {"revision": f"e.{generation}"} if generation > 1 else {}
        view = DeploymentView(time.monotonic(), generation, generation, 2, 2, 2, 2, revisions, "DB_PASSWORD")
        self.objects.workload.add(view)

    def _report_subscription(self, reason: str = "", message: str = "") -> None:
        conditions = {
            name: Condition("True", "Good", "2 keys", 1) for name in ("Ready", "Streaming", "Observed")
        }
        now = time.monotonic()
        view = SubscriptionView(
            at=now,
            generation=1,
            conditions=conditions,
            skip_reason=reason,
            skip_message=message,
            **self.counts,
        )
        self.objects.subscription.add(view)


async def report_of(fake: FakeEnvironment) -> Report:
    """The report of the whole demo in a fake environment."""
    environment = DemoEnvironment(cast("Any", fake), cast("Any", fake), cast("Any", fake))
    report = Report(Console(file=io.StringIO()))
    await Steps(environment, Observer(fake.objects, cast("Any", fake)), report).run(updates=2)
    return report


def right(path: str, key: str) -> int:
    """One restart for what is selected, none for anything else."""
    return int(path == WATCHED and key.startswith("DB_"))


async def test_a_correct_operator_passes_all_checks() -> None:
    """All 11 checks pass."""
    report = await report_of(FakeEnvironment(right))

    assert report.failures == ()
    assert report.checks == 11


async def test_a_second_restart_is_noticed() -> None:
    """Two restarts for one change fail the check, with both generations in the message."""
    report = await report_of(FakeEnvironment(lambda path, key: 2 * right(path, key)))

    assert (
        "deployment/payments has generation 3 instead of 2. Expected: 1 change, 1 restart." in report.failures
    )


async def test_an_operator_that_restarts_for_everything_is_noticed() -> None:
    """A change elsewhere, and one of a key that is left out, must not restart."""
    report = await report_of(FakeEnvironment(lambda _path, _key: 1))

    assert sum("Expected: no restart." in failure for failure in report.failures) >= 1
    assert any("KeysNotSelected" in failure for failure in report.failures)


async def test_an_operator_that_does_nothing_is_noticed() -> None:
    """A missing restart is named with the generation that was expected."""
    report = await report_of(FakeEnvironment(lambda _path, _key: 0))

    assert any(
        "a restart of deployment/payments (generation 2) was not observed" in f for f in report.failures
    )


async def test_a_missing_skip_reason_is_noticed() -> None:
    """A skipped change without a reason in the status fails the check."""
    report = await report_of(FakeEnvironment(right, skip_reason=""))

    assert any("reason KeysNotSelected in status.lastSkip was not observed" in f for f in report.failures)
