"""The demo notices when it is not true: an operator restarts too much, too little, or silently."""

import io
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from rich.console import Console

from infisical_demo import observer
from infisical_demo.environment import WATCHED, World
from infisical_demo.infisical_client import Emitted
from infisical_demo.object_views import Condition, DeploymentView, SubscriptionView
from infisical_demo.object_watch import History, Objects
from infisical_demo.observer import Witness
from infisical_demo.report import Story
from infisical_demo.steps import Play


@pytest.fixture(autouse=True)
def _impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """In these tests everything happens at once or never."""
    monkeypatch.setattr(observer, "SECONDS", 0.05)
    monkeypatch.setattr(observer, "QUIET", 0.05)


@dataclass
class FakeWorld:
    """An Infisical, a cluster and an operator in one: `restarts` says how often it restarts per change."""

    restarts: Callable[[str, str], int]
    skip_reason: str = "KeysNotSelected"
    objects: Objects = field(default_factory=lambda: Objects(History(), History()))
    events: list[Emitted] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=lambda: {"received": 0, "matched": 0, "restarts": 0})
    resident: float = 50.0
    environment: str = "prod"
    is_dead: bool = False

    def __post_init__(self) -> None:
        """The workload runs, the subscription is served."""
        self._report_workload()
        self._report_subscription()

    def set_secrets(self, path: str, values: Mapping[str, str]) -> None:
        """Emit the event, and let the operator do what it does."""
        (key,) = values
        is_sent = path == WATCHED and not self.is_dead
        self.events.append(Emitted(time.monotonic(), "secret:update", (key,), int(is_sent)))
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

    def emitted(self, since: int) -> tuple[Emitted, ...]:
        """The events since."""
        return tuple(self.events[since:])

    def count_streams(self) -> int:
        """One, while the operator lives."""
        return int(not self.is_dead)

    def kill(self) -> None:
        """The operator dies."""
        self.is_dead = True

    def start(self) -> None:
        """The operator lives again, and finds what it has missed."""
        self.is_dead = False
        self._act()

    def require(self) -> None:
        """It has not ended by itself."""

    def shown(self, *arguments: str) -> str:
        """The command as typed."""
        return " ".join(arguments)

    def __call__(self, *_: str) -> str:
        """Kubectl."""
        return "1"

    def _report_workload(self) -> None:
        generation = self.counts["restarts"] + 1
        stamps = {"revision": f"e.{generation}"} if generation > 1 else {}
        view = DeploymentView(time.monotonic(), generation, generation, 2, 2, 2, 2, stamps, "DB_PASSWORD")
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


async def story_of(fake: FakeWorld) -> Story:
    """The whole demo, played in a fake world."""
    world = World(cast("Any", fake), cast("Any", fake), cast("Any", fake))
    story = Story(Console(file=io.StringIO()))
    await Play(world, Witness(fake.objects, cast("Any", fake)), story).run(updates=2)
    return story


def right(path: str, key: str) -> int:
    """One restart for what is selected, none for anything else."""
    return int(path == WATCHED and key.startswith("DB_"))


async def test_a_good_operator_makes_a_true_story() -> None:
    """Every expectation is met."""
    story = await story_of(FakeWorld(right))

    assert story.failures == ()
    assert story.checks == 11


async def test_a_second_restart_is_noticed() -> None:
    """Two rollouts for one change are not one."""
    story = await story_of(FakeWorld(lambda path, key: 2 * right(path, key)))

    assert (
        "Deployment payments is at generation 3 instead of 2: not one change, one rollout." in story.failures
    )


async def test_an_operator_that_restarts_for_everything_is_noticed() -> None:
    """A change elsewhere, and one of a key that is left out, must not restart."""
    story = await story_of(FakeWorld(lambda _path, _key: 1))

    assert sum("not no restart" in failure for failure in story.failures) >= 1
    assert any("KeysNotSelected" in failure for failure in story.failures)


async def test_an_operator_that_does_nothing_is_noticed() -> None:
    """A missing restart is named with the generation that was expected."""
    story = await story_of(FakeWorld(lambda _path, _key: 0))

    assert any("a restart of Deployment payments (generation 2) was not seen" in f for f in story.failures)


async def test_an_operator_that_does_not_say_why_not_is_noticed() -> None:
    """Nothing happened, and nobody knows why: that is a failure too."""
    story = await story_of(FakeWorld(right, skip_reason=""))

    assert any("the reason KeysNotSelected in status.lastSkip was not seen" in f for f in story.failures)
