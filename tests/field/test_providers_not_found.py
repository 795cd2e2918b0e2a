"""A provider that is not found the usual way: the Secret is waited for by its marks, or watched."""

import asyncio

import pytest

from infisical_events.api.resources import INFISICAL_SECRET, STATIC_SECRET
from infisical_events.core.sync.secret_metadata import FieldManager
from infisical_events.kube.kubernetes_errors import ForbiddenError
from support.builders import DEPLOYMENT, ROLLOUT
from support.harness import NAMESPACE
from support.provider_harness import DATA_HASH, VERSION, ProviderHarness
from support.virtual_time import in_virtual_time, virtual_now


@pytest.mark.parametrize("mark", [VERSION, DATA_HASH])
@in_virtual_time
async def test_a_source_in_another_namespace_is_waited_for_by_the_marks_of_its_secret(mark: str) -> None:
    """The restart comes with the new content, 45 s after the change, and once."""
    team = ProviderHarness()
    team.create("web", uses=["app-env"])
    team.write("app-env", {mark: "1"})
    async with team:
        await team.change(45.0)
        assert (team.rollouts("web"), team.restarts_reason) == ([0], "Resyncing")
        team.write("app-env", {mark: "2"})
        await asyncio.sleep(30.0)
        assert (team.rollouts("web"), team.restarts_reason) == ([1], "NoPendingRestarts")
        await asyncio.sleep(1200.0)
        assert team.rollouts("web") == [1]


@in_virtual_time
async def test_a_marked_secret_of_a_workload_that_is_younger_than_the_baseline() -> None:
    """What its pods started with is unknown: a write since the change counts."""
    team = ProviderHarness()
    async with team:
        team.write("app-env", {VERSION: "1"})
        team.create("web", uses=["app-env"])
        team.cluster.date_workload(NAMESPACE, "web", virtual_now())
        await asyncio.sleep(60.0)
        await team.change(30.0)
        assert team.rollouts("web") == [0]
        team.write("app-env", {VERSION: "2"})
        await asyncio.sleep(5.0)
        assert team.rollouts("web") == [1]


@in_virtual_time
async def test_a_marked_secret_that_never_changes_holds_no_longer_than_the_timeout() -> None:
    """Then it restarts with what there is, says so, and once more when the content comes."""
    team = ProviderHarness(resync={"timeoutSeconds": 60, "onTimeout": "Restart"})
    team.create("web", uses=["app-env"])
    team.write("app-env", {VERSION: "1"})
    async with team:
        await team.change(70.0)
        assert (team.rollouts("web"), "ResyncTimedOut" in team.event_reasons) == ([1], True)
        await asyncio.sleep(300.0)
        team.write("app-env", {VERSION: "2"})
        await asyncio.sleep(30.0)
        assert team.rollouts("web") == [2]


@pytest.mark.parametrize(
    "marks",
    [
        {"controller_kind": "SecretSync"},
        {"annotations": {"reflector.v1.k8s.emberstack.com/reflects": "platform/app-env"}},
    ],
)
@in_virtual_time
async def test_a_secret_that_an_unknown_controller_owns_is_waited_for(marks: dict[str, object]) -> None:
    """An owner or the annotation of a copy says that something writes it; its data are seen by their time."""
    team = ProviderHarness()
    team.create("web", uses=["app-env"])
    team.write("app-env", {}, by="sync-controller")
    team.cluster.mark_secret(NAMESPACE, "app-env", **marks)
    async with team:
        await team.change(20.0)
        assert team.rollouts("web") == [0]
        team.write("app-env", {}, by="sync-controller")
        team.cluster.mark_secret(NAMESPACE, "app-env", **marks)
        await asyncio.sleep(5.0)
        assert team.rollouts("web") == [1]


@in_virtual_time
async def test_an_unknown_controller_does_not_hold_up_a_provider_that_explains_the_change() -> None:
    """The Secret of a certificate beside the one of the change: the restart waits for the latter alone."""
    team = ProviderHarness(resync={"timeoutSeconds": 60, "onTimeout": "Skip"})
    team.create("web", uses=["app-env", "other"])
    team.external_secret("app-env")
    team.es_sync("app-env", "1")
    team.write("other", {}, by="some-controller")
    team.cluster.mark_secret(NAMESPACE, "other", controller_kind="SomeSecret")
    async with team:
        await team.change(5.0)
        team.es_sync("app-env", "2")
        await asyncio.sleep(5.0)
        assert (team.rollouts("web"), team.restarts_reason) == ([1], "NoPendingRestarts")


@in_virtual_time
async def test_a_secret_without_any_mark_is_watched_after_the_restart() -> None:
    """The restart is made at once, says nothing of who writes the Secret, and is made again, once."""
    team = ProviderHarness()
    team.create("web", uses=["by-hand"])
    team.write("by-hand", {}, by="kubectl-create")
    async with team:
        await team.change(5.0)
        assert team.rollouts("web") == [1]
        await asyncio.sleep(30.0)
        assert team.restarts_reason == "NoPendingRestarts"
        assert "Watching secret/by-hand" in team.message("RestartsComplete")
        assert "written by" not in team.notes
        await asyncio.sleep(120.0)
        team.write("by-hand", {}, by="kubectl-edit")
        await asyncio.sleep(30.0)
        assert team.rollouts("web") == [2]
        for _ in range(20):
            team.write("by-hand", {}, by="kubectl-edit")
            await asyncio.sleep(60.0)
        assert team.rollouts("web") == [2]
        assert team.warnings == []


@in_virtual_time
async def test_the_watch_of_an_unmarked_secret_ends_after_ten_minutes() -> None:
    """What is written later is no content of this change."""
    team = ProviderHarness()
    team.create("web", uses=["by-hand"])
    team.write("by-hand", {}, by="kubectl-create")
    async with team:
        await team.change(660.0)
        team.write("by-hand", {}, by="kubectl-edit")
        await asyncio.sleep(120.0)
        assert team.rollouts("web") == [1]
        assert team.status["ledger"]["debts"] == []


@in_virtual_time
async def test_a_config_map_of_an_infisical_secret_is_waited_for() -> None:
    """It has no version annotation before its first update: its data count."""
    team = ProviderHarness()
    team.create("web")
    source = [{"configMapRef": {"name": "cfg"}}]
    team.cluster.edit_workload(
        NAMESPACE, "web", {"template": {"spec": {"containers": [{"name": "c", "envFrom": source}]}}}
    )
    reference = {"configMapName": "cfg", "configMapNamespace": NAMESPACE, "creationPolicy": "Owner"}
    team.cluster.put_source(
        NAMESPACE, INFISICAL_SECRET, "cfg", spec={"managedKubeConfigMapReferences": [reference]}
    )
    team.cluster.keep_config_map(NAMESPACE, "cfg", {"KEY": "1"})
    generation = team.rollouts("web")[0]
    async with team:
        await team.change(45.0)
        assert team.rollouts("web") == [generation]
        team.cluster.keep_config_map(NAMESPACE, "cfg", {"KEY": "2"})
        await asyncio.sleep(15.0)
        assert team.rollouts("web") == [generation + 1]


@pytest.mark.parametrize(
    "volume",
    [
        {"name": "v", "configMap": {"name": "cfg"}},
        {"name": "v", "projected": {"sources": [{"configMap": {"name": "cfg"}}]}},
    ],
)
@in_virtual_time
async def test_a_config_map_of_a_static_secret_in_a_volume_is_waited_for(volume: dict[str, object]) -> None:
    """As a Secret: the acknowledged sync decides, and the same data restart nobody."""
    team = ProviderHarness()
    team.create("web")
    team.cluster.edit_workload(NAMESPACE, "web", {"template": {"spec": {"volumes": [volume]}}})
    metadata = {"labels": {"a": "b"}}
    target = {"name": "cfg", "namespace": NAMESPACE, "kind": "ConfigMap", "metadata": metadata}
    team.cluster.put_source(NAMESPACE, STATIC_SECRET, "cfg", spec={"targets": [target]})

    def sync(data: str) -> None:
        kind = "secrets.infisical.com/LastSuccessfulReconcileAt"
        done = {"type": kind, "status": "True", "message": virtual_now().isoformat()}
        team.cluster.keep_config_map(NAMESPACE, "cfg", {"KEY": data}, {VERSION: data})
        team.cluster.put_source(NAMESPACE, STATIC_SECRET, "cfg", status={"conditions": [done]})

    sync("1")
    generation = team.rollouts("web")[0]
    async with team:
        await team.change(30.0)
        assert team.rollouts("web") == [generation]
        sync("2")
        await asyncio.sleep(5.0)
        assert team.rollouts("web") == [generation + 1]


def a_pair(team: ProviderHarness, on_rollout: dict[str, str], on_deployment: dict[str, str]) -> None:
    """A Rollout whose pod template is that of a Deployment with the same name."""
    team.cluster.create_workload(NAMESPACE, "app", on_deployment, DEPLOYMENT, ["app-env"])
    team.cluster.create_workload(NAMESPACE, "app", on_rollout, ROLLOUT)
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "app"}
    team.cluster.edit_workload(NAMESPACE, "app", {"workloadRef": reference, "template": None}, ROLLOUT)


ON, OFF = {"events.infisical.com/auto-reload": "true"}, {"events.infisical.com/auto-reload": "false"}


@pytest.mark.parametrize(("on_rollout", "on_deployment"), [(ON, OFF), (ON, ON), ({}, ON)])
@in_virtual_time
async def test_a_rollout_and_the_deployment_of_its_template_are_one_workload(
    on_rollout: dict[str, str], on_deployment: dict[str, str]
) -> None:
    """The Rollout is restarted, once, with the new content; the Deployment's template never changes."""
    team = ProviderHarness()
    a_pair(team, on_rollout, on_deployment)
    team.external_secret("app-env")
    team.es_sync("app-env", "1")
    async with team:
        await team.change(45.0)
        assert "restartAt" not in team.cluster.workload_of(NAMESPACE, "app", ROLLOUT)["spec"]
        team.es_sync("app-env", "2")
        await asyncio.sleep(5.0)
        assert team.cluster.workload_of(NAMESPACE, "app", ROLLOUT)["spec"]["restartAt"]
        assert (team.count("patch_workload"), team.rollouts("app")) == (1, [0])


@in_virtual_time
async def test_a_pair_whose_deployment_is_paused_is_held() -> None:
    """The annotations of both count."""
    team = ProviderHarness()
    a_pair(team, ON, {"events.infisical.com/paused": "true"})
    async with team:
        await team.change(30.0)
        assert team.count("patch_workload") == 0


@in_virtual_time
async def test_field_managers_say_that_a_controller_keeps_writing_a_secret() -> None:
    """Data that a controller wrote after the creation are waited for; those of a deploy tool are not."""
    for manager, restarts in (("secret-syncer", 0), ("helm", 1)):
        team = ProviderHarness()
        team.create("web", uses=["app-env"])
        team.write("app-env", {})
        written = FieldManager(manager, virtual_now(), writes_data=True)
        made = virtual_now().replace(year=2029)
        team.cluster.mark_secret(NAMESPACE, "app-env", created_at=made, managers=(written,))
        async with team:
            await team.change(20.0)
            assert team.rollouts("web") == [restarts], manager


@in_virtual_time
async def test_a_secret_without_marks_is_not_needed_for_the_restart() -> None:
    """Neither the right to read it nor the key of digests holds up the workload."""
    team = ProviderHarness()
    team.create("web", uses=["by-hand"])
    team.write("by-hand", {}, by="kubectl-create")
    async with team:
        team.has_digest_key = False
        await team.change(5.0)
        assert team.rollouts("web") == [1]
        team.cluster.fail("secret_metadata", ForbiddenError("secrets is forbidden"), times=1000)
        await team.change(5.0)
        assert team.rollouts("web") == [2]
