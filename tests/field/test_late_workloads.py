"""Workloads that are created, recreated or opted in while a change waits for the sync of their Secret."""

import asyncio

import pytest

from infisical_events.api import annotations
from infisical_events.api.resources import EXTERNAL_SECRET
from support.harness import NAMESPACE, SubscriptionHarness
from support.virtual_time import in_virtual_time

DATA_HASH = "reconcile.external-secrets.io/data-hash"


class SlowProvider(SubscriptionHarness):
    """A Deployment whose Secret an ExternalSecret writes, and syncs when the test says so."""

    def __init__(self, timeout: int = 600, **fields: object) -> None:
        super().__init__(cooldownSeconds=0, resync={"timeoutSeconds": timeout}, **fields)
        self.create("app", uses=["env"])
        self.sync("1")

    def sync(self, content: str) -> None:
        """Write the Secret, and report it."""
        self.cluster.keep_secret(NAMESPACE, "env", {DATA_HASH: content})
        status = {"conditions": [{"type": "Ready", "status": "True"}], "syncedResourceVersion": content}
        spec = {"target": {"name": "env"}}
        self.cluster.put_source(NAMESPACE, EXTERNAL_SECRET, "env", spec=spec, status=status)


@in_virtual_time
async def test_a_workload_that_is_created_before_the_sync_is_restarted_after_it() -> None:
    """Its pods have started with the old Secret."""
    harness = SlowProvider()
    async with harness:
        await harness.change()
        harness.create("late", uses=["env"])
        await asyncio.sleep(60.0)
        assert harness.rollouts("app", "late") == [0, 0]
        harness.sync("2")
        await asyncio.sleep(60.0)
        assert harness.rollouts("app", "late") == [1, 1]


@in_virtual_time
async def test_a_workload_that_opts_in_before_the_sync_is_restarted_after_it() -> None:
    """An annotation that is added while a change waits makes the workload part of it."""
    harness = SlowProvider()
    harness.create("late", uses=["env"])
    harness.cluster.annotate_workload(NAMESPACE, "late", {annotations.AUTO_RELOAD: None})
    async with harness:
        await harness.change(60.0)
        harness.cluster.annotate_workload(NAMESPACE, "late", {annotations.AUTO_RELOAD: "true"})
        await asyncio.sleep(60.0)
        harness.sync("2")
        await asyncio.sleep(60.0)
        assert harness.rollouts("app", "late") == [1, 1]


@pytest.mark.parametrize("gap", [0.0, 10.0])
@in_virtual_time
async def test_a_workload_that_is_recreated_before_the_sync_is_restarted_after_it(gap: float) -> None:
    """`kubectl replace --force` gives it another uid, and its pods the old Secret."""
    harness = SlowProvider()
    async with harness:
        await harness.change()
        harness.cluster.delete_workload(NAMESPACE, "app")
        await asyncio.sleep(gap)
        harness.create("app", uses=["env"])
        await asyncio.sleep(60.0)
        harness.sync("2")
        await asyncio.sleep(60.0)
        assert harness.rollouts("app") == [1]


@in_virtual_time
async def test_a_workload_that_is_created_after_the_sync_is_not_restarted() -> None:
    """Nothing waits any more when it appears."""
    harness = SlowProvider()
    async with harness:
        await harness.change()
        harness.sync("2")
        await asyncio.sleep(60.0)
        harness.create("late", uses=["env"])
        await asyncio.sleep(600.0)
        assert harness.rollouts("app", "late") == [1, 0]


@in_virtual_time
async def test_a_workload_that_starts_by_itself_does_not_join() -> None:
    """With the action Restart nothing is synced first, so new pods have the newest content."""
    harness = SlowProvider()
    async with harness:
        await harness.change()
        harness.create("late", uses=["env"], action="Restart")
        await asyncio.sleep(60.0)
        harness.sync("2")
        await asyncio.sleep(60.0)
        assert harness.rollouts("app", "late") == [1, 0]


@in_virtual_time
async def test_a_paused_workload_does_not_draw_new_ones_into_an_old_change() -> None:
    """A restart that is held for an hour says nothing about the pods of a workload that is created then."""
    harness = SlowProvider()
    harness.create("held", uses=["env"], paused="true")
    async with harness:
        await harness.change()
        harness.sync("2")
        await asyncio.sleep(3600.0)
        harness.create("late", uses=["env"])
        await asyncio.sleep(600.0)
        assert harness.rollouts("app", "held", "late") == [1, 0, 0]


@in_virtual_time
async def test_workloads_whose_list_has_failed_do_not_join() -> None:
    """They were restarted for the change that is still waited for before their kind could not be listed."""
    harness = SlowProvider(timeout=15)
    harness.create("other")
    async with harness:
        await harness.change(30.0)
        harness.cluster.refuse_kind("Deployment", "conversion webhook failed")
        await asyncio.sleep(90.0)
        harness.cluster.refuse_kind("Deployment", None)
        await asyncio.sleep(90.0)
        assert harness.rollouts("app", "other") == [1, 1]
