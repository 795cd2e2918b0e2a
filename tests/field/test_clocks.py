"""Clocks that were wrong: times that another process or a person wrote are claims, not facts."""

import asyncio
import json
from datetime import datetime, timedelta

import pytest

from infisical_events.api import annotations
from infisical_events.api.specs import EventType
from infisical_events.core.snapshots.events import SecretEvent
from support.builders import an_entry
from support.fake_infisical import FOLDER
from support.harness import NAMESPACE, SubscriptionHarness
from support.virtual_time import EPOCH, in_virtual_time


def restarted_at(harness: SubscriptionHarness, moment: datetime, name: str = "web") -> None:
    """The restart record of another process, or of a person, on a Deployment."""
    record = json.dumps({"time": moment.isoformat(), "stamps": {}})
    harness.cluster.annotate_workload(NAMESPACE, name, {annotations.LAST_RESTART: record})


@pytest.mark.parametrize("ahead", [timedelta(seconds=30), timedelta(minutes=10), timedelta(days=26_000)])
@in_virtual_time
async def test_a_restart_recorded_in_the_future_is_no_cooldown(ahead: timedelta) -> None:
    """A clock that was ahead, or an annotation of the year 2099, holds up no restart."""
    harness = SubscriptionHarness("web", cooldownSeconds=20)
    restarted_at(harness, EPOCH + ahead)
    async with harness:
        await harness.change()
        assert harness.rollouts("web") == [1]


@pytest.mark.parametrize("time", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"])
@in_virtual_time
async def test_a_time_at_the_end_of_all_times_holds_up_nobody(time: str) -> None:
    """Whoever may edit one workload ends the restarts of no other one."""
    harness = SubscriptionHarness("web", "api", cooldownSeconds=20)
    record = json.dumps({"time": time, "stamps": {}})
    harness.cluster.annotate_workload(NAMESPACE, "web", {annotations.LAST_RESTART: record})
    async with harness:
        await harness.change()
        assert harness.rollouts("web", "api") == [1, 1]


@in_virtual_time
async def test_a_restart_in_the_past_is_a_cooldown() -> None:
    """The cooldown after a restart with a believable time is kept."""
    harness = SubscriptionHarness("web", cooldownSeconds=20)
    async with harness:
        restarted_at(harness, EPOCH + timedelta(seconds=4))
        await harness.change()
        assert harness.rollouts("web") == [0]
        await harness.change(20.0)
        assert harness.rollouts("web") == [1]


@in_virtual_time
async def test_a_restart_recorded_in_the_future_covers_no_import_event() -> None:
    """An event whose change is not visible restarts the workload although a record claims a later restart."""
    events = [an_entry("secret:import-mutation", path="/a")]
    harness = SubscriptionHarness("web", cooldownSeconds=0, events=events)
    restarted_at(harness, EPOCH + timedelta(minutes=10))
    async with harness:
        harness.infisical.send(SecretEvent(EventType.IMPORT_MUTATION, FOLDER, frozenset()))
        await asyncio.sleep(15.0)
        assert harness.rollouts("web") == [1]
