"""Several subscriptions of one namespace that match the same change."""

import asyncio
from typing import Any

import pytest

from support.builders import a_raw_spec
from support.fake_infisical import FakeInfisical
from support.harness import NAMESPACE, OPTED_IN, SubscriptionHarness, SupervisorHarness
from support.virtual_time import in_virtual_time


async def _some_latency(_: str) -> None:
    await asyncio.sleep(0.01)


@in_virtual_time
async def test_a_second_installation_is_named() -> None:
    """Another writer of the status, after this one has written, is reported once by its Leases."""
    harness = SubscriptionHarness("web", cooldownSeconds=0)
    async with harness:
        for _ in range(3):
            harness.cluster.overwrite_status(harness.key, {"installation": "elsewhere/infisical-events"})
            await harness.change(60.0)
        warnings = [each.note for each in harness.cluster.notices if each.is_warning]
        assert harness.rollouts("web") == [3]
        assert len(warnings) == 1
        assert "elsewhere/infisical-events" in warnings[0]


@in_virtual_time
async def test_a_moved_installation_is_not_named() -> None:
    """What an installation wrote that was removed before this one started is no second writer."""
    harness = SubscriptionHarness("web", cooldownSeconds=0)
    harness.cluster.overwrite_status(harness.key, {"installation": "elsewhere/infisical-events"})
    async with harness:
        await harness.change(60.0)
        assert [each for each in harness.cluster.notices if each.is_warning] == []


async def rollouts_after_a_change(subscriptions: int, **fields: Any) -> int:  # noqa: ANN401 - of the spec
    """How often a Deployment without Secrets is restarted for one change that all subscriptions match."""
    harness = SupervisorHarness(infisical=FakeInfisical())
    harness.cluster.interpose = _some_latency
    harness.cluster.create_workload(NAMESPACE, "web", OPTED_IN)
    for number in range(subscriptions):
        harness.subscribe(f"subscription-{number}", a_raw_spec(**fields))
    await asyncio.sleep(5.0)
    harness.infisical.change()
    await asyncio.sleep(120.0)
    await harness.supervisor.close()
    return harness.cluster.rollouts_of(NAMESPACE, "web")


@pytest.mark.parametrize("action", ["Restart", "ResyncThenRestart"])
@pytest.mark.parametrize("cooldown", [0, 30])
@pytest.mark.parametrize("subscriptions", [2, 5])
def test_two_subscriptions_restart_a_workload_without_secrets_once(
    subscriptions: int, cooldown: int, action: str
) -> None:
    """A restart by a sibling covers a workload that has nothing to be synced, whatever the action."""
    run = in_virtual_time(rollouts_after_a_change)
    fields = {"action": action, "cooldownSeconds": cooldown, "debounceSeconds": 0}
    assert run(subscriptions, **fields) == 1
