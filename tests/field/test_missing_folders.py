"""Environments and folders that are renamed, deleted or never existed: not found is not empty."""

import asyncio
from typing import Any

import pytest

from infisical_events.core.paths.scopes import Folder, Scope
from infisical_events.core.snapshots.snapshots import Partition
from support.builders import a_partition_state, an_entry
from support.harness import SubscriptionHarness
from support.http_infisical import HttpHarness, HttpInfisical
from support.virtual_time import in_virtual_time

INTERVAL = 20
PAY = {"A": "1", "B": "1", "C": "1", "D": "1"}
BOTH = ("secret:update", "secret:delete")


class MissingFolderHarness(HttpHarness):
    """A subscription of `prod:/pay` with 4 keys there, read every 20 s over HTTP, and a workload."""

    def __init__(
        self,
        *events: str,
        path: str = "/pay",
        environment: str = "prod",
        is_go: bool = False,
        **fields: Any,  # noqa: ANN401 - of the spec
    ) -> None:
        entries = [an_entry(event, environment, path) for event in events or BOTH]
        server = HttpInfisical(is_go=is_go)
        super().__init__("web", server=server, events=entries, resyncIntervalSeconds=INTERVAL, **fields)
        self.server.set("prod", "/pay", **PAY)
        self.server.set("dev", "/pay", **PAY)

    async def wait(self, intervals: float = 5) -> None:
        """Long enough for some full reads, and for a suspect one to become decidable."""
        await asyncio.sleep(intervals * INTERVAL)


GENERATIONS = pytest.mark.parametrize("is_go", [False, True], ids=["node", "go"])


@GENERATIONS
@in_virtual_time
async def test_a_renamed_environment_restarts_no_workload_and_is_said(is_go: bool) -> None:  # noqa: FBT001
    """Its keys are kept, the condition is False with the new name, and there is one Warning."""
    async with MissingFolderHarness(is_go=is_go) as harness:
        await harness.wait()
        harness.server.rename_environment("prod", "production")
        await harness.wait()

        assert harness.rollouts("web") == [0]
        assert harness.condition("Observed") == ("False", "EnvironmentNotFound")
        assert "production:/pay" in harness.message()
        assert harness.warnings("EnvironmentNotFound") == 1
        assert harness.status["observation"]["keys"] == len(PAY)


@GENERATIONS
@in_virtual_time
async def test_a_change_in_a_renamed_environment_restarts_once(is_go: bool) -> None:  # noqa: FBT001
    """The secrets are read under the new slug, so a later change is not lost."""
    async with MissingFolderHarness(is_go=is_go) as harness:
        await harness.wait()
        harness.server.rename_environment("prod", "production")
        await harness.wait()
        harness.server.set("production", "/pay", A="2")
        await harness.wait()

        assert harness.rollouts("web") == [1]


@GENERATIONS
@in_virtual_time
async def test_a_renamed_folder_restarts_no_workload_and_is_followed(is_go: bool) -> None:  # noqa: FBT001
    """The condition names the folder that has the secrets, and a change there restarts."""
    async with MissingFolderHarness(is_go=is_go) as harness:
        await harness.wait()
        harness.server.rename_folder("prod", "/pay", "/pay-v2")
        await harness.wait()
        before = (harness.rollouts("web"), harness.condition("Observed"), harness.message())
        harness.server.set("prod", "/pay-v2", A="2")
        await harness.wait()

        assert before[:2] == ([0], ("False", "FolderNotFound"))
        assert "prod:/pay-v2" in before[2]
        assert harness.rollouts("web") == [1]


@in_virtual_time
async def test_a_renamed_parent_folder_is_followed() -> None:
    """The folder keeps its name below a parent with another name."""
    async with MissingFolderHarness(path="/shop/pay/**") as harness:
        harness.server.set("prod", "/shop/pay/cards", PIN="1")
        await harness.wait()
        harness.server.rename_folder("prod", "/shop", "/store")
        await harness.wait()
        harness.server.set("prod", "/store/pay/cards", PIN="2")
        await harness.wait()

        assert harness.rollouts("web") == [1]
        assert "prod:/store/pay" in harness.message()


@in_virtual_time
async def test_a_folder_that_was_renamed_while_the_operator_was_down() -> None:
    """The stored state has the ids, so a new process recognises the secrets."""
    harness = MissingFolderHarness()
    await harness.start()
    await harness.wait()
    await harness.crash()
    harness.server.rename_folder("prod", "/pay", "/pay-v2")
    harness.server.set("prod", "/pay-v2", A="2")
    await harness.start()
    await harness.wait()
    await harness.crash()

    assert harness.rollouts("web") == [1]


@in_virtual_time
async def test_the_old_name_that_comes_back_counts_again() -> None:
    """After a rename back the condition is True, and only real changes restart."""
    async with MissingFolderHarness() as harness:
        await harness.wait()
        harness.server.rename_environment("prod", "production")
        await harness.wait()
        harness.server.rename_environment("production", "prod")
        await harness.wait()

        assert harness.condition("Observed") == ("True", "UpToDate")
        assert harness.rollouts("web") == [0]


@in_virtual_time
async def test_a_deleted_environment_is_no_deletion_of_its_keys() -> None:
    """Its keys are kept, although the spec selects deletions."""
    async with MissingFolderHarness() as harness:
        await harness.wait()
        del harness.server.folders["prod"]
        await harness.wait()

        assert harness.rollouts("web") == [0]
        assert harness.condition("Observed") == ("False", "EnvironmentNotFound")
        assert "4 known keys" in harness.message()


@in_virtual_time
async def test_a_deleted_folder_counts_where_deletions_are_selected() -> None:
    """Its parent's list confirms that it is gone: one restart for all keys."""
    async with MissingFolderHarness() as harness:
        await harness.wait()
        harness.server.delete_folder("prod", "/pay")
        await harness.wait()

        assert harness.rollouts("web") == [1]
        assert harness.condition("Observed") == ("True", "NothingWatched")


@in_virtual_time
async def test_a_deleted_folder_is_kept_where_only_updates_are_selected() -> None:
    """The folder comes back with another version of a key: that change is found."""
    async with MissingFolderHarness("secret:update") as harness:
        await harness.wait()
        folder = harness.server.folders["prod"].pop("/pay")
        await harness.wait()
        said = (harness.condition("Observed"), harness.warnings("FolderNotFound"), harness.rollouts("web"))
        harness.server.folders["prod"]["/pay"] = folder
        harness.server.set("prod", "/pay", sends_event=False, A="2")
        await harness.wait()

        assert said == (("False", "FolderNotFound"), 1, [0])
        assert harness.condition("Observed") == ("True", "UpToDate")
        assert harness.rollouts("web") == [1]


@in_virtual_time
async def test_a_folder_that_only_the_secret_list_misses_is_kept() -> None:
    """The parent's list still has it: the 404 is a mistake of a cache or a proxy."""
    async with MissingFolderHarness() as harness:
        await harness.wait()
        kept = harness.server.folders["prod"]["/pay"]
        harness.server.folders["prod"]["/pay/deep"] = {}
        del harness.server.folders["prod"]["/pay"]
        await harness.wait()
        said = (harness.rollouts("web"), harness.condition("Observed"))
        harness.server.folders["prod"]["/pay"] = kept
        await harness.wait()

        assert said == ([0], ("False", "FolderNotFound"))
        assert harness.rollouts("web") == [0]


@in_virtual_time
async def test_keys_that_events_reported_as_deleted_are_gone_with_their_folder() -> None:
    """Each deletion has its event, so the missing folder takes nothing back."""
    async with MissingFolderHarness("secret:delete") as harness:
        await harness.wait()
        for key in PAY:
            harness.server.remove("prod", "/pay", key)
        harness.server.delete_folder("prod", "/pay")
        await harness.wait()

        assert harness.rollouts("web") == [1]
        assert harness.condition("Observed") == ("True", "NothingWatched")


@in_virtual_time
async def test_a_managed_secret_of_a_renamed_folder_stays_and_restarts_no_workload() -> None:
    """The Secret keeps its content; a Warning and a condition say so, until the folder is back."""
    secrets = [{"name": "pay-env", "environmentSlug": "prod", "secretPath": "/pay"}]
    harness = MissingFolderHarness(resync={"timeoutSeconds": 20, "secrets": secrets})
    harness.create("api", uses=("pay-env",))
    async with harness:
        await harness.wait()
        assert harness.condition("SecretsSynced") == ("True", "SecretSynced")
        harness.server.rename_folder("prod", "/pay", "/pay-v2")
        await harness.wait(10)

        assert harness.rollouts("web", "api") == [0, 0]
        assert harness.warnings("SecretRejected") == 1
        assert harness.condition("RestartsComplete")[0] == "True"
        assert harness.condition("SecretsSynced") == ("False", "SecretRejected")
        harness.server.rename_folder("prod", "/pay-v2", "/pay")
        await harness.wait(10)
        assert harness.condition("SecretsSynced") == ("True", "SecretSynced")


# -- nothing is watched ---------------------------------------------------------------------------------


@GENERATIONS
@in_virtual_time
async def test_an_environment_that_never_existed_is_said_from_the_start(is_go: bool) -> None:  # noqa: FBT001
    """A typing error in the slug is no silent baseline of nothing."""
    async with MissingFolderHarness(environment="prd", is_go=is_go) as harness:
        await harness.wait()

        assert harness.condition("Observed") == ("False", "EnvironmentNotFound")
        assert harness.condition("Ready") == ("False", "EnvironmentNotFound")
        assert "Environment prd does not exist" in harness.message()
        assert harness.warnings("EnvironmentNotFound") == 1


@in_virtual_time
async def test_a_folder_that_does_not_exist_yet_is_said_and_waited_for() -> None:
    """Its first keys are changes, and the Warning is not repeated."""
    async with MissingFolderHarness("secret:create", path="/new") as harness:
        await harness.wait()
        said = (harness.condition("Observed"), harness.warnings("NothingWatched"), harness.message())
        harness.server.set("prod", "/new", sends_event=False, FIRST="1")
        await harness.wait()

        assert said[:2] == (("True", "NothingWatched"), 1)
        assert "Folder prod:/new does not exist" in said[2]
        assert harness.condition("Observed") == ("True", "UpToDate")
        assert harness.rollouts("web") == [1]


@in_virtual_time
async def test_an_empty_folder_is_said() -> None:
    """Zero keys are not reported as plain UpToDate, also after a restart of the operator, once."""
    harness = MissingFolderHarness(path="/empty")
    harness.server.folders["prod"]["/empty"] = {}
    for _ in range(2):
        await harness.start()
        await harness.wait()
        await harness.crash()

    assert harness.condition("Observed") == ("True", "NothingWatched")
    assert harness.condition("Ready") == ("True", "Watching")
    assert harness.warnings("NothingWatched") == 1


# -- renamed, and never missing -----------------------------------------------------------------------


@in_virtual_time
async def test_a_renamed_folder_below_a_watched_one_restarts_no_workload() -> None:
    """The list of the watched folder has the same secrets under another path; the skip says so."""
    async with MissingFolderHarness("secret:create", *BOTH, path="/shop/**") as harness:
        harness.server.set("prod", "/shop/pay", PIN="1", CVC="1")
        await harness.wait()
        restarts = harness.rollouts("web")
        harness.server.rename_folder("prod", "/shop/pay", "/shop/pay-v2")
        await harness.wait()
        after_rename, skip = harness.rollouts("web"), harness.status["lastSkip"]["message"]
        harness.server.set("prod", "/shop/pay-v2", PIN="2")
        await harness.wait()

    assert after_rename == restarts
    assert "prod:/shop/pay was renamed to prod:/shop/pay-v2" in skip
    assert harness.rollouts("web") == [restarts[0] + 1]


@in_virtual_time
async def test_a_renamed_environment_that_is_imported_restarts_no_workload() -> None:
    """The importing folder has the same secrets from another place; a later change restarts."""
    scope = Scope(Folder("prod", "/a"))
    old, new = Partition(scope, Folder("dev", "/shared")), Partition(scope, Folder("develop", "/shared"))
    events = [an_entry(event, path="/a") for event in (*BOTH, "secret:import-mutation")]
    harness = SubscriptionHarness("web", events=events, resyncIntervalSeconds=INTERVAL)
    harness.infisical.partitions[old] = a_partition_state(TOKEN=1)
    async with harness:
        await asyncio.sleep(100)
        harness.infisical.partitions[new] = harness.infisical.partitions.pop(old)
        await asyncio.sleep(100)
        after_rename = harness.rollouts("web")
        harness.infisical.partitions[new] = a_partition_state(TOKEN=2)
        await asyncio.sleep(100)

    assert after_rename == [0]
    assert harness.rollouts("web") == [1]
