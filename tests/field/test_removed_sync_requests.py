"""Another client takes back, refuses or ignores what a provider is asked: bounded, said, content decides."""

import asyncio

from infisical_events.api.resources import EXTERNAL_SECRET, INFISICAL_SECRET
from infisical_events.kube.kubernetes_errors import ConflictError, ForbiddenError
from support.harness import NAMESPACE
from support.provider_harness import READY, VERSION, ProviderHarness
from support.virtual_time import in_virtual_time

_MOST_PATCHES = 5


def a_team(**resync: object) -> ProviderHarness:
    """A Deployment whose Secret an ExternalSecret has synced."""
    team = ProviderHarness(resync={"timeoutSeconds": 20, "onTimeout": "Restart"} | resync)
    team.create("web", uses=["app-env"])
    team.external_secret()
    team.es_sync("app-env", "1")
    return team


@in_virtual_time
async def test_an_owner_that_removes_each_sync_request() -> None:
    """Requested twice; the new content restarts at once; one Warning names the field manager."""
    team = a_team()
    team.cluster.manage_source(NAMESPACE, EXTERNAL_SECRET, "app-env", "flux-controller")
    async with team:
        remover = asyncio.create_task(team.remove_requests(EXTERNAL_SECRET, "app-env", 900.0))
        await team.change(10.0)
        assert team.rollouts("web") == [0]
        team.es_sync("app-env", "2")
        await asyncio.sleep(3.0)
        assert team.rollouts("web") == [1]
        await asyncio.sleep(600.0)
        remover.cancel()
        assert team.count("request_sync") <= _MOST_PATCHES
        (warning,) = team.warnings
        assert "externalsecret/app-env" in warning
        assert "flux-controller" in warning
        assert "SyncRequestRemoved" in team.event_reasons


@in_virtual_time
async def test_removed_requests_and_no_sync_at_all() -> None:
    """The timeout runs from the first request: the restart is made, and once more with the content."""
    async with (team := a_team()):
        remover = asyncio.create_task(team.remove_requests(EXTERNAL_SECRET, "app-env", 900.0))
        await team.change(25.0)
        assert (team.rollouts("web"), team.count("request_sync")) == ([1], 2)
        await asyncio.sleep(300.0)
        team.es_sync("app-env", "2")
        await asyncio.sleep(30.0)
        remover.cancel()
        assert team.rollouts("web") == [2]
        assert team.count("request_sync") <= _MOST_PATCHES


@in_virtual_time
async def test_removed_requests_and_a_sync_with_the_same_data() -> None:
    """Although the acknowledgement is that of before, the time of the refresh shows the sync."""
    async with (team := a_team(onTimeout="Skip")):
        remover = asyncio.create_task(team.remove_requests(EXTERNAL_SECRET, "app-env", 300.0))
        await team.change(8.0)
        status = {
            "syncedResourceVersion": "1-1",
            "refreshTime": "2030-01-01T00:00:10Z",
            "conditions": [READY],
        }
        team.cluster.put_source(NAMESPACE, EXTERNAL_SECRET, "app-env", status=status)
        await asyncio.sleep(30.0)
        remover.cancel()
        assert (team.rollouts("web"), team.restarts_reason) == ([0], "NoPendingRestarts")
        assert team.status["lastSkip"]["reason"] == "NoDataChange"


@in_virtual_time
async def test_the_spec_of_an_infisical_secret_is_changed_a_few_times_only() -> None:
    """Whoever restores the object sees two patches, and the new content restarts."""
    team = ProviderHarness(resync={"timeoutSeconds": 20, "onTimeout": "Restart"})
    team.create("web", uses=["app-env"])
    team.cluster.put_source(
        NAMESPACE, INFISICAL_SECRET, "app", spec={"managedSecretReference": {"secretName": "app-env"}}
    )
    team.write("app-env", {VERSION: "1"})
    async with team:
        remover = asyncio.create_task(team.remove_requests(INFISICAL_SECRET, "app", 600.0))
        await team.change(10.0)
        team.write("app-env", {VERSION: "2"})
        await asyncio.sleep(5.0)
        assert team.rollouts("web") == [1]
        await asyncio.sleep(500.0)
        remover.cancel()
        assert team.count("request_sync") <= _MOST_PATCHES
        assert len(team.warnings) == 1


@in_virtual_time
async def test_further_changes_do_not_request_what_was_removed_twice() -> None:
    """For an hour the provider counts as one that cannot be requested."""
    async with (team := a_team()):
        remover = asyncio.create_task(team.remove_requests(EXTERNAL_SECRET, "app-env", 1800.0))
        for number in range(10):
            await team.change(60.0)
            team.es_sync("app-env", f"next {number}")
            await asyncio.sleep(60.0)
        remover.cancel()
        assert team.count("request_sync") <= _MOST_PATCHES
        assert team.event_reasons.count("SyncRequestRemoved") == 1


@in_virtual_time
async def test_an_admission_policy_refuses_the_sync_request() -> None:
    """It is tried five times at most, with growing pauses; then the timeout decides."""
    async with (team := a_team()):
        refusal = ForbiddenError("admission webhook denied the request")
        team.cluster.fail("request_sync", refusal, times=1000)
        await team.change(15.0)
        team.es_sync("app-env", "2")
        await asyncio.sleep(600.0)
        assert team.rollouts("web") == [1]
        assert team.count("request_sync") <= _MOST_PATCHES


@in_virtual_time
async def test_a_provider_that_syncs_after_all_its_requests_were_refused() -> None:
    """The workload was restarted too early; the new content restarts it again, without a request."""
    async with (team := a_team()):
        refusal = ForbiddenError("admission webhook denied the request")
        team.cluster.fail("request_sync", refusal, times=1000)
        await team.change(60.0)
        assert team.rollouts("web") == [1]
        team.es_sync("app-env", "2")
        await asyncio.sleep(600.0)
        assert team.rollouts("web") == [2]


@in_virtual_time
async def test_a_provider_that_is_modified_all_the_time() -> None:
    """Conflicts do not hold a restart longer than the timeout."""
    async with (team := a_team()):
        team.cluster.fail("request_sync", ConflictError("the object has been modified"), times=1000)
        await team.change(60.0)
        assert team.rollouts("web") == [1]


@in_virtual_time
async def test_a_request_that_is_removed_once_is_sent_again() -> None:
    """An edit that restores the object one time is no refusal: the sync is requested once more."""
    async with (team := a_team()):
        await team.change(1.0)
        team.cluster.annotate_source(
            NAMESPACE, EXTERNAL_SECRET, "app-env", {"events.infisical.com/resync-app": None}
        )
        await asyncio.sleep(10.0)
        assert team.has_request(EXTERNAL_SECRET, "app-env")
        team.es_sync("app-env", "2")
        await asyncio.sleep(5.0)
        assert (team.rollouts("web"), team.warnings) == ([1], [])
