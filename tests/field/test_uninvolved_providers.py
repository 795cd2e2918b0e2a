"""A provider that no change can reach: neither requested, nor waited for, nor counted."""

import asyncio

import pytest

from infisical_events.api.resources import CLUSTER_SECRET_STORE, EXTERNAL_SECRET, INFISICAL_SECRET
from support.harness import NAMESPACE
from support.provider_harness import VERSION, ProviderHarness
from support.virtual_time import in_virtual_time

GENERATOR = {"apiVersion": "generators.external-secrets.io/v1alpha1", "kind": "Password", "name": "p"}
FROM_GENERATOR = {"dataFrom": [{"sourceRef": {"generatorRef": GENERATOR}}]}


def a_team(on_timeout: str = "Skip", beside: str = "beside") -> ProviderHarness:
    """A Deployment with the Secret of the change, and another one."""
    team = ProviderHarness(resync={"timeoutSeconds": 20, "onTimeout": on_timeout})
    team.create("web", uses=["app-env", beside])
    team.external_secret()
    team.es_sync("app-env", "1")
    return team


async def expect_one_restart_with_new_data(team: ProviderHarness) -> None:
    """The other Secret is not requested, and the restart comes with the content of the first."""
    async with team:
        await team.change(5.0)
        assert team.has_request(EXTERNAL_SECRET, "app-env")
        assert not team.has_request(EXTERNAL_SECRET, "beside")
        team.es_sync("app-env", "2")
        await asyncio.sleep(60.0)
        assert (team.rollouts("web"), team.restarts_reason) == ([1], "NoPendingRestarts")
        assert team.warnings == []


@pytest.mark.parametrize("on_timeout", ["Skip", "Restart"])
@pytest.mark.parametrize(
    "spec",
    [
        {"refreshPolicy": "CreatedOnce", **FROM_GENERATOR},
        {"refreshPolicy": "OnChange", **FROM_GENERATOR},
        {"refreshPolicy": "CreatedOnce"},
        {"refreshInterval": "0"},
    ],
)
@in_virtual_time
async def test_a_generator_or_a_policy_without_refresh_beside(
    spec: dict[str, object], on_timeout: str
) -> None:
    """A new password would be made by a request: there is none."""
    team = a_team(on_timeout)
    team.external_secret("beside", **spec)
    team.es_sync("beside", "1")
    await expect_one_restart_with_new_data(team)


@pytest.mark.parametrize("kind", ["SecretStore", "ClusterSecretStore"])
@in_virtual_time
async def test_a_broken_external_secret_of_another_store_does_not_hold_the_workload(kind: str) -> None:
    """It reads from AWS, which no change in Infisical reaches."""
    team = a_team()
    store = {"secretStoreRef": {"name": "aws", "kind": kind}}
    team.external_secret(
        "beside", **store, data=[{"secretKey": "P", "remoteRef": {"key": "smtp"}}], dataFrom=[]
    )
    team.es_fail("beside")
    if kind == "ClusterSecretStore":
        team.store("aws", "aws", kind=CLUSTER_SECRET_STORE)
    else:
        team.store("aws", "aws")
    await expect_one_restart_with_new_data(team)


@in_virtual_time
async def test_a_broken_external_secret_that_names_other_keys_does_not_hold_the_workload() -> None:
    """Its store cannot be read, but its keys are not those of the change."""
    team = a_team()
    keys = [{"secretKey": "P", "remoteRef": {"key": "smtp"}}]
    team.external_secret("beside", secretStoreRef={"name": "aws"}, data=keys, dataFrom=[])
    team.es_fail("beside")
    await expect_one_restart_with_new_data(team)


@in_virtual_time
async def test_data_that_did_not_change_restart_nobody_although_a_token_is_another_each_time() -> None:
    """The token of a registry is not refreshed by a request, so it does not look like changed data."""
    team = a_team()
    team.external_secret("beside", **FROM_GENERATOR)
    team.es_sync("beside", "token 1")
    async with team:
        await team.change(2.0)
        team.es_sync("app-env", "1")
        await asyncio.sleep(2.0)
        team.es_sync("app-env", "1")
        await asyncio.sleep(30.0)
        assert (team.rollouts("web"), team.status["lastSkip"]["reason"]) == ([0], "NoDataChange")


@in_virtual_time
async def test_a_generator_beside_keys_of_infisical_in_one_external_secret() -> None:
    """A request would run the generator: its own sync is waited for, and its content restarts."""
    team = ProviderHarness(resync={"timeoutSeconds": 60, "onTimeout": "Skip"})
    team.create("web", uses=["app-env"])
    mixed = [{"extract": {"key": "/a"}}, {"sourceRef": {"generatorRef": GENERATOR}}]
    team.external_secret(dataFrom=mixed)
    team.es_sync("app-env", "1")
    async with team:
        await team.change(20.0)
        assert (team.rollouts("web"), team.count("request_sync")) == ([0], 0)
        team.es_sync("app-env", "2")
        await asyncio.sleep(5.0)
        assert team.rollouts("web") == [1]


@in_virtual_time
async def test_an_infisical_secret_of_another_folder_beside() -> None:
    """It is not requested, and its content counts as soon as it changes."""
    team = ProviderHarness(resync={"timeoutSeconds": 20, "onTimeout": "Skip"})
    team.create("web", uses=["app-env", "beside"])
    team.external_secret()
    team.es_sync("app-env", "1")
    scope = {"secretsScope": {"envSlug": "prod", "secretsPath": "/other"}}
    spec = {"authentication": {"universalAuth": scope}, "managedSecretReference": {"secretName": "beside"}}
    team.cluster.put_source(NAMESPACE, INFISICAL_SECRET, "beside", spec=spec)
    team.write("beside", {VERSION: "1"})
    async with team:
        await team.change(5.0)
        assert not team.has_request(INFISICAL_SECRET, "beside")
        team.es_sync("app-env", "2")
        await asyncio.sleep(5.0)
        assert team.rollouts("web") == [1]


@in_virtual_time
async def test_the_only_provider_counts_although_it_names_another_folder() -> None:
    """It may show the change by an import or a reference."""
    team = ProviderHarness(resync={"timeoutSeconds": 60, "onTimeout": "Skip"})
    team.create("web", uses=["app-env"])
    team.external_secret(dataFrom=[{"extract": {"key": "/shared"}}])
    team.es_sync("app-env", "1")
    async with team:
        await team.change(5.0)
        assert team.has_request(EXTERNAL_SECRET, "app-env")
        team.es_sync("app-env", "2")
        await asyncio.sleep(5.0)
        assert team.rollouts("web") == [1]


@in_virtual_time
async def test_a_workload_whose_only_secret_never_syncs_again_is_not_restarted_for_nothing() -> None:
    """Its Secret cannot have changed: no restart and no Warning, with the reason."""
    team = ProviderHarness(resync={"timeoutSeconds": 20, "onTimeout": "Restart"})
    team.create("web", uses=["app-env"])
    team.external_secret(refreshPolicy="CreatedOnce")
    team.es_sync("app-env", "1")
    async with team:
        await team.change(60.0)
        assert (team.rollouts("web"), team.warnings) == ([0], [])
        assert team.status["lastSkip"]["reason"] == "NoDataChange"
        assert "CreatedOnce never syncs again" in team.status["lastSkip"]["message"]


@in_virtual_time
async def test_a_workload_that_uses_no_secret_of_infisical_is_restarted_at_once() -> None:
    """It opted in, and may read Infisical by itself: the Secret of another store says nothing."""
    team = ProviderHarness(resync={"timeoutSeconds": 20, "onTimeout": "Skip"})
    team.create("web", uses=["app-env"])
    team.external_secret(secretStoreRef={"name": "aws"})
    team.store("aws", "aws")
    team.es_sync("app-env", "1")
    async with team:
        await team.change(5.0)
        assert (team.rollouts("web"), team.count("request_sync")) == ([1], 0)


@in_virtual_time
async def test_the_one_that_syncs_late_is_not_held_by_one_that_never_does() -> None:
    """After a restart with old content, the new content of one provider waits for no other."""
    team = ProviderHarness(resync={"timeoutSeconds": 20, "onTimeout": "Restart"})
    team.create("web", uses=["app-env", "beside"])
    for name in ("app-env", "beside"):
        team.external_secret(name)
        team.es_sync(name, "1")
    async with team:
        team.es_fail("beside")
        await team.change(30.0)
        assert team.rollouts("web") == [1]
        team.es_sync("app-env", "2")
        await asyncio.sleep(30.0)
        assert team.rollouts("web") == [2]
