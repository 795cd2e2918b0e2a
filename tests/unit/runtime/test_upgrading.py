"""What earlier versions of the operator have left behind is gone on with: nothing is lost or done twice.

`tests/ledgers` has the objects as these versions stored them, when they were killed at the moments named.
All of them had seen version 1 of a key as the baseline, and then version 2.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import pytest

from infisical_events.api.specs import Spec
from infisical_events.core.credentials import CredentialsSource
from infisical_events.core.ledger.codec import FORMAT
from infisical_events.infisical.event_stream import StreamItem
from infisical_events.runtime.subscription.runner import SubscriptionRunner
from support.fake_cluster import FakeCluster, OneKey, a_world
from support.virtual_time import in_virtual_time

LEDGERS = Path(__file__).parents[2] / "ledgers"
FORMATS = (1, 2, 3)
ADDRESS = "https://i.example"
SINCE_SECONDS = 600.0
"""What was left is so old by then."""
LOOKED_SECONDS = 700.0
"""Longer than the interval between looks, and what follows one."""


class Silent(OneKey):
    """An Infisical with one key in one folder, that tells nothing by its streams."""

    version = 2

    @asynccontextmanager
    async def opened(
        self,
        address: str,  # noqa: ARG002 - of the port
        spec: Spec,  # noqa: ARG002
        credentials: CredentialsSource,  # noqa: ARG002
    ) -> AsyncIterator[Self]:
        """A session."""
        yield self

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[AsyncIterator[StreamItem]]:
        """An open stream."""
        yield _nothing()


async def _nothing() -> AsyncIterator[StreamItem]:
    await asyncio.Event().wait()
    yield  # type: ignore[misc]


class Upgraded:
    """A namespace as an earlier version has left it, and this version, which begins to serve it."""

    def __init__(self, number: int, scene: str) -> None:
        left = json.loads((LEDGERS / f"format-{number}.json").read_text())["scenes"][scene]
        self.cluster, self.infisical = FakeCluster(), Silent()
        self.key = self.cluster.put_back(left["subscription"], left["workload"])
        self.epoch = left["subscription"]["status"]["ledger"]["epoch"]
        self._before = self.cluster.rollouts_of("team", "web")

    async def __aenter__(self) -> Self:
        await asyncio.sleep(SINCE_SECONDS)
        dependencies = a_world(self.cluster, self.infisical.opened, ADDRESS)
        self._task = asyncio.get_running_loop().create_task(
            SubscriptionRunner(dependencies=dependencies, key=self.key).run()
        )
        await asyncio.sleep(LOOKED_SECONDS)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def change(self) -> None:
        """Another version of the key, and the time in which it is found."""
        self.infisical.version += 1
        await asyncio.sleep(LOOKED_SECONDS)

    @property
    def rollouts(self) -> int:
        """Since the upgrade."""
        return self.cluster.rollouts_of("team", "web") - self._before

    @property
    def ledger(self) -> dict[str, Any]:
        """As it is stored."""
        ledger: dict[str, Any] = self.cluster.status_of(self.key)["ledger"]
        return ledger

    @property
    def reasons(self) -> set[str]:
        """Of the Kubernetes Events."""
        return {notice.reason for notice in self.cluster.notices}


@pytest.mark.parametrize("number", FORMATS)
@in_virtual_time
async def test_an_upgrade_restarts_nothing_by_itself(number: int) -> None:
    """What was believed is believed on, and what changes afterwards is one restart, in the new format."""
    async with Upgraded(number, "settled") as team:
        assert team.rollouts == 0
        assert not {"BaselineRecorded", "MissedChangesFound"} & team.reasons

        await team.change()
        assert team.rollouts == 1
        assert (team.ledger["format"], team.ledger["epoch"]) == (FORMAT, team.epoch)
        assert (team.ledger["debts"], team.ledger["rollouts"]) == ([], [])


@pytest.mark.parametrize("number", FORMATS)
@in_virtual_time
async def test_what_was_owed_is_paid(number: int) -> None:
    """Written down and not done: it is done once, under the number that it had."""
    async with Upgraded(number, "owed") as team:
        assert team.rollouts == 1
        revisions = team.cluster.workload_of("team", "web")["spec"]["template"]["metadata"]["annotations"]
        assert list(revisions.values()) == [f"{team.epoch}.1"]
        assert (team.ledger["format"], team.ledger["debts"]) == (FORMAT, [])


@pytest.mark.parametrize("number", FORMATS)
@in_virtual_time
async def test_what_was_done_is_not_done_again(number: int) -> None:
    """Restarted, and killed before that was written down: the receipt tells."""
    async with Upgraded(number, "restarted") as team:
        assert team.rollouts == 0
        assert (team.ledger["format"], team.ledger["debts"]) == (FORMAT, [])


@pytest.mark.parametrize("number", FORMATS)
@in_virtual_time
async def test_what_is_held_stays_owed(number: int) -> None:
    """The restart of a paused workload is made when it is released, however many versions later."""
    async with Upgraded(number, "held") as team:
        assert (team.rollouts, len(team.ledger["debts"])) == (0, 1)

        team.cluster.annotate_workload("team", "web", {"events.infisical.com/paused": None})
        await asyncio.sleep(LOOKED_SECONDS)
        assert team.rollouts == 1
        assert (team.ledger["format"], team.ledger["debts"]) == (FORMAT, [])


@in_virtual_time
async def test_a_rollout_is_followed_on() -> None:
    """One that was under way is not begun again, and its end is told."""
    async with Upgraded(3, "rolling") as team:
        assert (team.rollouts, team.ledger["rollouts"]) == (0, [])
