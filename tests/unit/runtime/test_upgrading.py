"""The operator continues from the ledgers of earlier versions: no restart is lost or made twice.

`tests/ledgers` has the objects as these versions stored them when they were killed in the named situation.
All of them had recorded version 1 of a key as the baseline, and had then read version 2.
"""

import asyncio
import json
from pathlib import Path
from typing import Any, Self

import pytest

from infisical_events.core.ledger.codec import FORMAT
from support.harness import SubscriptionHarness
from support.virtual_time import in_virtual_time

LEDGERS = Path(__file__).parents[2] / "ledgers"
FORMATS = (1, 2, 3)
SINCE_SECONDS = 600.0
"""The age of the stored objects when this version starts."""
READ_SECONDS = 700.0
"""Longer than the interval between two reads and the restart after one."""


class Upgraded(SubscriptionHarness):
    """The objects that an earlier version has stored, and a process of this version that serves them."""

    def __init__(self, number: int, case: str) -> None:
        stored = json.loads((LEDGERS / f"format-{number}.json").read_text())["scenes"][case]
        super().__init__(stored=stored, default_address="https://i.example")
        self.infisical.version = 2
        self.epoch = stored["subscription"]["status"]["ledger"]["epoch"]
        self._before = self.cluster.rollouts_of("team", "web")

    async def __aenter__(self) -> Self:
        await asyncio.sleep(SINCE_SECONDS)
        await self.start(READ_SECONDS)
        return self

    async def change(self, seconds: float = READ_SECONDS) -> None:
        """Another version of the key without an event, and the time in which a read finds it."""
        self.infisical.version += 1
        await asyncio.sleep(seconds)

    @property
    def restarts(self) -> int:
        """How many restarts this version has made."""
        return self.cluster.rollouts_of("team", "web") - self._before

    @property
    def ledger(self) -> dict[str, Any]:
        """The stored ledger."""
        ledger: dict[str, Any] = self.status["ledger"]
        return ledger


@pytest.mark.parametrize("number", FORMATS)
@in_virtual_time
async def test_an_upgrade_restarts_nothing_by_itself(number: int) -> None:
    """The accepted state is kept, and a later change causes one restart, in the new format."""
    async with Upgraded(number, "settled") as harness:
        assert harness.restarts == 0
        assert not {"BaselineRecorded", "MissedChangesFound"} & {
            notice.reason for notice in harness.cluster.notices
        }

        await harness.change()
        assert harness.restarts == 1
        assert (harness.ledger["format"], harness.ledger["epoch"]) == (FORMAT, harness.epoch)
        assert (harness.ledger["debts"], harness.ledger["rollouts"]) == ([], [])


@pytest.mark.parametrize("number", FORMATS)
@in_virtual_time
async def test_a_pending_restart_is_made(number: int) -> None:
    """A restart that was stored and not made is made once, under its stored number."""
    async with Upgraded(number, "owed") as harness:
        assert harness.restarts == 1
        revisions = harness.cluster.workload_of("team", "web")["spec"]["template"]["metadata"]["annotations"]
        assert list(revisions.values()) == [f"{harness.epoch}.1"]
        assert (harness.ledger["format"], harness.ledger["debts"]) == (FORMAT, [])


@pytest.mark.parametrize("number", FORMATS)
@in_virtual_time
async def test_a_restart_is_not_repeated(number: int) -> None:
    """After a crash between restart and ledger write, the restart record prevents a second one."""
    async with Upgraded(number, "restarted") as harness:
        assert harness.restarts == 0
        assert (harness.ledger["format"], harness.ledger["debts"]) == (FORMAT, [])


@pytest.mark.parametrize("number", FORMATS)
@in_virtual_time
async def test_a_paused_restart_stays_pending(number: int) -> None:
    """The restart of a paused workload is made after the pause ends, also by a later version."""
    async with Upgraded(number, "held") as harness:
        assert (harness.restarts, len(harness.ledger["debts"])) == (0, 1)

        harness.cluster.annotate_workload("team", "web", {"events.infisical.com/paused": None})
        await asyncio.sleep(READ_SECONDS)
        assert harness.restarts == 1
        assert (harness.ledger["format"], harness.ledger["debts"]) == (FORMAT, [])


@in_virtual_time
async def test_a_rollout_is_tracked_to_its_end() -> None:
    """A rollout under way is not started again, and its end is recorded."""
    async with Upgraded(3, "rolling") as harness:
        assert (harness.restarts, harness.ledger["rollouts"]) == (0, [])
