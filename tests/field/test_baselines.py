"""Baselines after a restored backup or a lost ledger: what records of restarts tell is compared."""

import asyncio

from infisical_events.api.resources import EXTERNAL_SECRET
from support.harness import NAMESPACE, SubscriptionHarness
from support.virtual_time import in_virtual_time

DATA_HASH = "reconcile.external-secrets.io/data-hash"


class Restored(SubscriptionHarness):
    """A Deployment whose Secret an ExternalSecret writes, and whose subscription can lose its status."""

    syncs = 0

    def __init__(self, **fields: object) -> None:
        super().__init__(cooldownSeconds=0, **fields)
        self.create("mail", uses=["env"])
        self.sync("1")

    def sync(self, content: str) -> None:
        """Write the Secret, and report it."""
        self.syncs += 1
        self.cluster.keep_secret(NAMESPACE, "env", {DATA_HASH: content})
        ready = {"type": "Ready", "status": "True"}
        status = {"conditions": [ready], "syncedResourceVersion": f"1-{self.syncs}"}
        self.cluster.put_source(
            NAMESPACE, EXTERNAL_SECRET, "env", spec={"target": {"name": "env"}}, status=status
        )

    async def changed_and_restarted(self) -> None:
        """One change, synced and restarted."""
        await self.change()
        self.sync("2")
        await asyncio.sleep(60.0)
        assert self.rollouts("mail") == [1]

    async def lose_ledger(self) -> None:
        """The process ends, and the ledger is gone as in a backup without status."""
        await self.crash()
        self.cluster.overwrite_status(self.key, {"ledger": None, "conditions": None})


@in_virtual_time
async def test_pods_that_a_record_shows_as_outdated_are_restarted_after_a_restore() -> None:
    """The Secret syncs after the baseline; the record says that the pods started with older content."""
    harness = Restored()
    await harness.start()
    await harness.changed_and_restarted()
    await harness.lose_ledger()
    harness.infisical.version += 1
    await harness.start()
    harness.sync("3")
    await asyncio.sleep(120.0)
    assert harness.rollouts("mail") == [2]
    await harness.crash()


@in_virtual_time
async def test_pods_with_the_newest_content_are_left_alone_after_a_restore() -> None:
    """A sync without other data restarts nothing, and nothing is told as pending."""
    harness = Restored()
    await harness.start()
    await harness.changed_and_restarted()
    await harness.lose_ledger()
    await harness.start()
    for _ in range(2):  # a provider that finds the same data is requested once more
        await asyncio.sleep(5.0)
        harness.sync("2")
    await asyncio.sleep(60.0)
    assert harness.rollouts("mail") == [1]
    assert harness.status["ledger"]["debts"] == []
    assert harness.condition("RestartsComplete") == ("True", "NoPendingRestarts")
    await harness.crash()


@in_virtual_time
async def test_a_first_baseline_restarts_nothing() -> None:
    """Without a record nothing is known of the pods; a sync after the baseline is no change of Infisical."""
    harness = Restored()
    async with harness:
        harness.sync("2")
        await asyncio.sleep(1200.0)
        assert harness.rollouts("mail") == [0]
        assert harness.count("request_sync") == 0
