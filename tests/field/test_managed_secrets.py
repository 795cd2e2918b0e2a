"""The Secrets that the operator writes, and the workloads that use them, in everyday use."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from infisical_events.core.status.reasons import Reason
from infisical_events.infisical.infisical_errors import FolderMissingError, InfisicalError
from infisical_events.kube.kubernetes_errors import KubernetesError, SecretRejectedError
from infisical_events.runtime.subscription.runner import SubscriptionRunner
from support.builders import a_partition, a_partition_state, an_entry
from support.fake_infisical import PARTITION, FakeInfisical
from support.harness import NAMESPACE, SubscriptionHarness, dependencies_of
from support.virtual_time import in_virtual_time

A, B = a_partition("/a"), a_partition("/b")
HOUR, DAY = 3600.0, 86400
FOLDER_MISSING = FolderMissingError(Reason.FOLDER_NOT_FOUND, "No such environment or folder.")


def an_own(name: str = "env", path: str = "/a", **fields: object) -> dict[str, Any]:
    """An entry of `spec.resync.secrets`."""
    return {"name": name, "environmentSlug": "prod", "secretPath": path, **fields}


class Shop(SubscriptionHarness):
    """A subscription of `prod:/a` and `prod:/b` that writes Secrets."""

    def __init__(self, *entries: Mapping[str, Any], timeout: int = 20, **fields: object) -> None:
        """Declare its Secrets; `env` of `prod:/a` by default."""
        resync = {"timeoutSeconds": timeout, "secrets": list(entries) or [an_own()]}
        events = [an_entry(path="/a"), an_entry(path="/b")]
        super().__init__(**{"resync": resync, "events": events, "resyncIntervalSeconds": DAY} | fields)
        self.infisical.partitions[B] = a_partition_state(OTHER=1)

    def data(self, name: str = "env") -> dict[str, str]:
        """The data of a Secret."""
        return dict(self.cluster.data_of(NAMESPACE, name))

    def warnings(self, reason: Reason) -> list[str]:
        """The notes of the Warnings with this reason."""
        return [notice.note for notice in self.cluster.notices if notice.reason == reason]

    def value_reads(self) -> int:
        """How often values were read."""
        return self.infisical.calls.count("read_values")


# -- a version is not content -------------------------------------------------------------------------


@in_virtual_time
async def test_a_comment_restarts_no_workload_of_an_own_secret() -> None:
    """Neither does metadata, nor the same value once more: the data is the same."""
    shop = Shop()
    shop.create("web", uses=["env"])
    async with shop:
        for _ in range(3):
            shop.infisical.comment()
            await asyncio.sleep(30)
    assert (shop.rollouts("web"), shop.status["lastSkip"]["reason"]) == ([0], "NoDataChange")
    assert shop.condition("RestartsComplete")[0] == "True"


@in_virtual_time
async def test_a_comment_writes_no_secret() -> None:
    """The Secret keeps its resourceVersion, so nothing that watches it is notified."""
    async with Shop() as shop:
        before = shop.cluster.secret_of(NAMESPACE, "env")
        shop.infisical.comment()
        await asyncio.sleep(30)
        assert shop.cluster.secret_of(NAMESPACE, "env") == before


@in_virtual_time
async def test_a_new_value_after_a_comment_restarts_once() -> None:
    """The comment does not hide it."""
    shop = Shop()
    shop.create("web", uses=["env"])
    async with shop:
        shop.infisical.comment()
        await asyncio.sleep(1)
        shop.infisical.values.clear()
        await shop.change(30)
    assert (shop.rollouts("web"), shop.data()) == ([1], {"KEY": "KEY 3"})


@in_virtual_time
async def test_an_edited_label_of_an_own_secret_is_no_new_content() -> None:
    """After an edit of the entry's labels a comment still restarts no workload."""
    shop = Shop()
    shop.create("web", uses=["env"])
    async with shop:
        resync = {"secrets": [an_own(labels={"team": "a"})]}
        await shop.edit(resync=resync, events=[an_entry(path="/a")])
        shop.infisical.comment()
        await asyncio.sleep(30)
    assert shop.rollouts("web") == [0]


@in_virtual_time
async def test_a_comment_restarts_no_workload_under_observe_values() -> None:
    """Workloads without Secrets, too: the digests of the values are equal."""
    shop = Shop(observe="Values", resync={})
    shop.infisical.partitions[A] = a_partition_state(KEY=("id", 1, "digest"))
    shop.create("web")
    async with shop:
        shop.infisical.put("KEY", ("id", 2, "digest"))
        await asyncio.sleep(30)
        assert (shop.rollouts("web"), shop.status["lastSkip"]["reason"]) == ([0], "NoDataChange")
        shop.infisical.put("KEY", ("id", 3, "another"))
        await asyncio.sleep(30)
    assert shop.rollouts("web") == [1]


@in_virtual_time
async def test_a_comment_that_is_found_without_its_event_restarts_no_workload() -> None:
    """The stream may be closed while somebody edits comments."""
    shop = Shop(observe="Values", resync={}, resyncIntervalSeconds=60)
    shop.infisical.partitions[A] = a_partition_state(KEY=("id", 1, "digest"))
    shop.create("web")
    async with shop:
        shop.infisical.partitions[A] = a_partition_state(KEY=("id", 2, "digest"))
        await asyncio.sleep(200)
    assert shop.rollouts("web") == [0]


@in_virtual_time
async def test_a_comment_is_not_read_for_again_under_observe_values() -> None:
    """Its new version is visible, so its event is answered by the first read."""
    shop = Shop(observe="Values", resync={})
    shop.infisical.partitions[A] = a_partition_state(KEY=("id", 1, "digest"))
    async with shop:
        before = len(shop.infisical.reads)
        shop.infisical.put("KEY", ("id", 2, "digest"))
        await asyncio.sleep(30)
        assert len(shop.infisical.reads) == before + 1


# -- own output is watched ----------------------------------------------------------------------------


@in_virtual_time
async def test_an_own_secret_that_a_person_deletes_is_back_within_a_minute() -> None:
    """Although the next full read is in a day; a Warning says so."""
    async with Shop() as shop:
        shop.cluster.delete_secret(NAMESPACE, "env")
        await asyncio.sleep(60)
        assert shop.data() == {"KEY": "KEY 1"}
        assert shop.warnings(Reason.SECRET_RESTORED) == ["secret/env was deleted: restored."]


@in_virtual_time
async def test_an_own_secret_that_a_person_edits_is_put_right_within_a_minute() -> None:
    """The Warning names the field manager and the key, not the value."""
    async with Shop() as shop:
        shop.cluster.edit_secret(NAMESPACE, "env", "kubectl-patch", KEY="9")
        await asyncio.sleep(60)
        assert shop.data() == {"KEY": "KEY 1"}
        assert shop.warnings(Reason.SECRET_RESTORED) == [
            "secret/env was edited by field manager kubectl-patch (data KEY): restored."
        ]


@in_virtual_time
async def test_a_key_that_is_removed_from_an_own_secret_is_back() -> None:
    """A key that another client adds stays its own."""
    async with Shop() as shop:
        shop.cluster.edit_secret(NAMESPACE, "env", KEY=None, MINE="x")
        await asyncio.sleep(60)
        assert shop.data() == {"KEY": "KEY 1", "MINE": "x"}


@in_virtual_time
async def test_an_own_secret_that_nobody_touches_costs_no_read_of_values() -> None:
    """Checks read metadata, twice a minute at least, and write nothing."""
    async with Shop() as shop:
        before = shop.value_reads(), shop.count("apply_secret")
        await asyncio.sleep(HOUR / 3)
        assert (shop.value_reads(), shop.count("apply_secret")) == before
        assert shop.count("claim_secret") >= 40


@in_virtual_time
async def test_a_subscription_without_own_secrets_checks_none() -> None:
    """A thousand of them put no load on the API server."""
    async with Shop(resync={}) as shop:
        await asyncio.sleep(HOUR)
        assert shop.count("claim_secret") + shop.count("secret_metadata") == 0


@in_virtual_time
async def test_a_client_that_edits_an_own_secret_again_and_again_is_not_fought() -> None:
    """It is corrected 5 times within an hour; the last Warning says what to do."""
    async with Shop() as shop:
        for _ in range(20):
            shop.cluster.edit_secret(NAMESPACE, "env", "argocd", KEY="9")
            await asyncio.sleep(60)
        warnings = shop.warnings(Reason.SECRET_RESTORED)
        assert len(warnings) == 5
        assert "number 5 within 1 hour" in warnings[-1]


@in_virtual_time
async def test_a_foreign_label_on_an_own_secret_is_no_reason_to_write_it() -> None:
    """Its resourceVersion changes, and nothing that the operator wrote."""
    async with Shop() as shop:
        before = shop.value_reads()
        shop.cluster.edit_secret(NAMESPACE, "env", MINE="x")
        await asyncio.sleep(120)
        assert (shop.value_reads(), shop.warnings(Reason.SECRET_RESTORED)) == (before, [])


@in_virtual_time
async def test_a_secret_to_merge_into_is_filled_when_it_appears() -> None:
    """With creationPolicy Merge another client creates it, perhaps later."""
    async with Shop(an_own(creationPolicy="Merge")) as shop:
        assert len(shop.warnings(Reason.SECRET_REJECTED)) == 1
        shop.cluster.hold_data(NAMESPACE, "env", {"THEIRS": "t"})
        await asyncio.sleep(60)
        assert shop.data() == {"THEIRS": "t", "KEY": "KEY 1"}


# -- refused for good is not slow ---------------------------------------------------------------------


@in_virtual_time
async def test_a_key_that_no_secret_can_have_restarts_no_workload() -> None:
    """One Warning names it; the rest of the folder is written and restarts as always."""
    shop = Shop()
    shop.create("web", uses=["env"])
    async with shop:
        shop.infisical.put("café", 1)
        await asyncio.sleep(120)
        assert (shop.rollouts("web"), shop.data()) == ([0], {"KEY": "KEY 1"})
        await shop.change(5)
        assert (shop.rollouts("web"), shop.data()) == ([1], {"KEY": "KEY 2"})
    (warning,) = shop.warnings(Reason.SECRET_REJECTED)
    assert "caf\\xe9" in warning
    assert shop.condition("RestartsComplete")[0] == "True"


def an_oversized() -> Shop:
    """A Secret that becomes larger than Kubernetes admits with the next value."""
    shop = Shop(timeout=20)
    shop.create("web", uses=["env"])
    return shop


async def exceed(shop: Shop) -> None:
    """Write a value that is too large."""
    shop.infisical.values[PARTITION.folder, "KEY"] = "x" * 1_100_000
    await shop.change(0)


@in_virtual_time
async def test_a_secret_that_is_too_large_restarts_no_workload() -> None:
    """The pods keep the data that they have, and the condition says what to do, within seconds."""
    async with an_oversized() as shop:
        await exceed(shop)
        await asyncio.sleep(15)
        assert shop.condition("RestartsComplete") == ("False", "SecretRejected")
        await asyncio.sleep(300)
        assert (shop.rollouts("web"), shop.data()) == ([0], {"KEY": "KEY 1"})
        assert len(shop.warnings(Reason.SECRET_REJECTED)) == 1


@in_virtual_time
async def test_a_secret_that_is_too_large_is_not_read_again_and_again() -> None:
    """Values that cannot be written are read once per change."""
    async with an_oversized() as shop:
        await exceed(shop)
        await asyncio.sleep(15)
        before = shop.value_reads()
        await asyncio.sleep(600)
        assert shop.value_reads() == before


@in_virtual_time
async def test_a_secret_that_fits_again_restarts_its_workloads_once() -> None:
    """The restart was pending all the time."""
    async with an_oversized() as shop:
        await exceed(shop)
        await asyncio.sleep(60)
        shop.infisical.values.clear()
        await shop.change(30)
        assert (shop.rollouts("web"), shop.data()) == ([1], {"KEY": "KEY 3"})
        assert shop.condition("RestartsComplete")[0] == "True"


@in_virtual_time
async def test_a_secret_that_an_edited_spec_makes_possible_restarts_its_workloads_once() -> None:
    """The edit selects fewer keys."""
    async with an_oversized() as shop:
        shop.infisical.put("PIN", 1)
        await asyncio.sleep(30)
        restarts = shop.rollouts("web")[0]
        shop.infisical.values[PARTITION.folder, "KEY"] = "x" * 1_100_000
        shop.infisical.put("KEY", 2)
        shop.infisical.put("PIN", 2)
        await asyncio.sleep(60)
        resync = {"secrets": [an_own(secretKeys=["PIN"])]}
        await shop.edit(resync=resync, events=[an_entry(path="/a"), an_entry(path="/b")])
        await asyncio.sleep(60)
        assert (shop.rollouts("web"), shop.data()) == ([restarts + 1], {"PIN": "PIN 2"})


@pytest.mark.parametrize(
    "error",
    [
        FOLDER_MISSING,
        InfisicalError(Reason.PERMISSION_DENIED, "You are not allowed to read values."),
    ],
    ids=["the folder is missing", "its values are hidden"],
)
@in_virtual_time
async def test_values_that_cannot_be_read_until_a_person_acts_restart_no_workload(
    error: InfisicalError,
) -> None:
    """The Secret stays as it is; one Warning; a read each 30 s until it succeeds, then one restart."""
    shop = Shop()
    shop.create("web", uses=["env"])
    async with shop:
        shop.infisical.fail("read_values", error)
        await shop.change(15)
        before = shop.value_reads()
        await asyncio.sleep(300)
        assert (shop.rollouts("web"), shop.data()) == ([0], {"KEY": "KEY 1"})
        assert shop.condition("RestartsComplete") == ("False", "SecretRejected")
        assert 9 <= shop.value_reads() - before <= 13
        assert len(shop.warnings(Reason.SECRET_REJECTED)) == 1
        shop.infisical.recover("read_values")
        await asyncio.sleep(65)
        assert (shop.rollouts("web"), shop.data()) == ([1], {"KEY": "KEY 2"})
        assert shop.condition("RestartsComplete")[0] == "True"


@in_virtual_time
async def test_a_secret_of_another_owner_restarts_no_workload_until_it_is_free() -> None:
    """Then it is written within a minute, and the pending restart is made."""
    shop = Shop()
    shop.create("web", uses=["env"])
    shop.cluster.hold_data(NAMESPACE, "env", {"THEIRS": "t"})
    async with shop:
        await shop.change(120)
        assert (shop.rollouts("web"), shop.data()) == ([0], {"THEIRS": "t"})
        assert len(shop.warnings(Reason.SECRET_REJECTED)) == 1
        shop.cluster.delete_secret(NAMESPACE, "env")
        await asyncio.sleep(60)
        assert (shop.rollouts("web"), shop.data()) == ([1], {"KEY": "KEY 2"})


@in_virtual_time
async def test_a_secret_that_the_api_server_rejects_is_written_after_it_was_replaced() -> None:
    """An immutable Secret, for example, has to be deleted; values are not read until then."""
    shop = Shop()
    shop.create("web", uses=["env"])
    async with shop:
        shop.cluster.fail("apply_secret", SecretRejectedError("secret/env is immutable: delete it."))
        await shop.change(15)
        before = shop.value_reads()
        await asyncio.sleep(120)
        assert (shop.rollouts("web"), shop.value_reads()) == ([0], before)
        shop.cluster.delete_secret(NAMESPACE, "env")
        await asyncio.sleep(60)
        assert (shop.rollouts("web"), shop.data()) == ([1], {"KEY": "KEY 2"})


@pytest.mark.parametrize("on_timeout", ["Restart", "Skip"])
@in_virtual_time
async def test_a_refused_entry_holds_up_no_change_of_another_folder(on_timeout: str) -> None:
    """A workload that uses both Secrets is restarted at once when the good one changes."""
    entries = [an_own("sec-a", "/a"), an_own("sec-b", "/b")]
    shop = Shop(resync={"timeoutSeconds": 60, "onTimeout": on_timeout, "secrets": entries})
    shop.create("both", uses=["sec-a", "sec-b"])
    shop.create("one", uses=["sec-b"])
    async with shop:
        await exceed(shop)
        await asyncio.sleep(70)
        assert shop.rollouts("both", "one") == [0, 0]
        shop.infisical.put("OTHER", 2, B)
        await asyncio.sleep(5)
        assert shop.rollouts("both", "one") == [1, 1]
        await asyncio.sleep(300)
        assert shop.rollouts("both", "one") == [1, 1]
        assert shop.condition("RestartsComplete") == ("False", "SecretRejected")
        shop.infisical.values.clear()
        await shop.change(30)
        assert shop.rollouts("both") == [2]
        assert shop.condition("RestartsComplete")[0] == "True"


@in_virtual_time
async def test_a_refused_entry_is_no_reason_to_wait_after_a_change_of_another_folder() -> None:
    """It was refused before the first change, so nothing of it is missing in the pods."""
    entries = [an_own("sec-a", "/a"), an_own("sec-b", "/b")]
    shop = Shop(*entries)
    shop.create("both", uses=["sec-a", "sec-b"])
    shop.infisical.values[PARTITION.folder, "KEY"] = "x" * 1_100_000
    async with shop:
        shop.infisical.put("OTHER", 2, B)
        await asyncio.sleep(10)
        assert shop.rollouts("both") == [1]
        assert shop.condition("RestartsComplete")[0] == "True"


@in_virtual_time
async def test_a_restart_that_a_user_requests_does_not_wait_for_a_refused_secret() -> None:
    """It is made with the Secrets as they are."""
    async with an_oversized() as shop:
        await exceed(shop)
        await asyncio.sleep(60)
        await shop.ask("restart-at", "1", seconds=10)
        assert shop.rollouts("web") == [1]


@in_virtual_time
async def test_a_failure_that_passes_is_waited_for_as_before() -> None:
    """An API server that is down for a moment is slow, not a refusal."""
    shop = Shop()
    shop.create("web", uses=["env"])
    async with shop:
        shop.cluster.fail("apply_secret", KubernetesError("etcdserver: request timed out"), times=3)
        await shop.change(20)
        assert (shop.rollouts("web"), shop.data()) == ([1], {"KEY": "KEY 2"})


@in_virtual_time
async def test_no_pods_start_with_what_a_person_wrote_into_an_own_secret() -> None:
    """The Secret is edited after it was written, while the workload waits: it is put right before."""
    shop = Shop(cooldownSeconds=0)
    shop.create("web", uses=["env"], paused="true")
    async with shop:
        await shop.change(5.0)
        content = shop.data()
        shop.cluster.edit_secret(NAMESPACE, "env", **dict.fromkeys(content, "by hand"))
        shop.cluster.annotate_workload(NAMESPACE, "web", {"events.infisical.com/paused": None})
        for _ in range(300):
            await asyncio.sleep(0.1)
            if any(shop.rollouts("web")):
                break

        assert (shop.rollouts("web"), shop.data()) == ([1], content)


@in_virtual_time
async def test_a_server_that_lags_is_not_read_without_a_pause() -> None:
    """A replica shows the state before the last change: the Secret waits, and Infisical is spared."""
    shop = Shop()
    async with shop:
        await shop.change()
        shop.infisical.version = 1
        shop.cluster.delete_secret(NAMESPACE, "env")
        before = len(shop.infisical.reads)
        await asyncio.sleep(40.0)
        assert 0 < len(shop.infisical.reads) - before < 10
        shop.infisical.version = 2
        await asyncio.sleep(30.0)
        assert shop.data() == {"KEY": "KEY 2"}


@in_virtual_time
async def test_a_secret_that_waits_for_a_state_to_be_accepted_says_so() -> None:
    """A new key without its event is accepted when reads can lag no more: until then a condition names it."""
    async with Shop(resyncIntervalSeconds=30) as shop:
        shop.infisical.partitions[A] = a_partition_state(KEY=1, LOST=1)
        shop.cluster.delete_secret(NAMESPACE, "env")
        await asyncio.sleep(45.0)
        assert shop.condition("SecretsSynced") == ("False", "Resyncing")
        assert "secret/env" in shop.message("SecretsSynced")
        await asyncio.sleep(75.0)
        assert shop.condition("SecretsSynced") == ("True", "SecretSynced")


@in_virtual_time
async def test_a_newer_state_after_a_demanded_wait_is_no_timeout() -> None:
    """The first read after the wait shows a change that is not accepted yet: the wait is kept."""
    shop = Shop(timeout=30)
    shop.create("web", uses=["env"])
    async with shop:
        limit = InfisicalError(Reason.RATE_LIMITED, "Wait.", retry_after=60.0)
        shop.infisical.fail("read_values", limit, 60.0)
        await shop.change(50.0)
        shop.infisical.version += 1
        await asyncio.sleep(60.0)

        assert (shop.rollouts("web"), shop.data()) == ([1], {"KEY": "KEY 3"})


@in_virtual_time
async def test_a_read_that_lags_for_seconds_delays_a_secret_by_seconds() -> None:
    """Two reads in a row show the state of before the change; the Secret does not wait for the next check."""
    async with Shop() as shop:
        shop.infisical.lag(4.0)
        await shop.change(12.0)
        assert shop.data() == {"KEY": "KEY 2"}


# -- two processes ------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_second_process_takes_no_secret_back() -> None:
    """Its memory is older than the stored ledger, and so is what a replica that lags shows it."""
    shop, lagging = Shop(resyncIntervalSeconds=30), FakeInfisical()
    lagging.partitions = dict(shop.infisical.partitions)
    async with shop:
        second = SubscriptionRunner(
            dependencies=dependencies_of(shop.cluster, lagging.open_session), key=shop.key
        )
        task = asyncio.create_task(second.run())
        await asyncio.sleep(45.0)
        await shop.change()
        new = shop.data()
        for _ in range(50):  # while the read may still lag
            assert shop.data() == new
            await asyncio.sleep(1.0)
        task.cancel()

    assert new == {"KEY": "KEY 2"}
    assert shop.warnings(Reason.SECRET_RESTORED) == []
