"""Restarts that another client takes back: an owning operator, kubectl, a rollback, an admission policy."""

import asyncio
from datetime import timedelta

import pytest

from infisical_events.core.workloads.pod_states import PodState
from support.harness import NAMESPACE, SubscriptionHarness
from support.virtual_time import EPOCH, in_virtual_time, virtual_now

REVISION = "events.infisical.com/revision-app"


def a_pod(name: str, age: timedelta = timedelta()) -> PodState:
    """A ready pod that was created so long ago."""
    return PodState(name, virtual_now() - age, {})


class Reverted(SubscriptionHarness):
    """A Deployment with two pods, and a client that takes annotations of its pod template away."""

    def __init__(self, **fields: object) -> None:
        super().__init__("web", cooldownSeconds=0, **fields)

    def put_pods(self, *pods: PodState) -> None:
        """The pods of the Deployment now."""
        self.cluster.put_pod_states(NAMESPACE, "web", *pods)

    def old_pods(self) -> None:
        """Two pods that are older than anything that happens."""
        self.put_pods(*(PodState(name, EPOCH - timedelta(hours=1), {}) for name in ("web-1", "web-2")))

    def strip(self, revision: str | None = None) -> None:
        """Another client writes the pod template without the revision, or with an older one."""
        metadata = {"metadata": {"annotations": {REVISION: revision}}}
        self.cluster.edit_workload(NAMESPACE, "web", {"template": metadata})

    @property
    def revision(self) -> str:
        """The revision on the pod template; empty if there is none."""
        template = self.cluster.workload_of(NAMESPACE, "web")["spec"]["template"]
        return str(template["metadata"]["annotations"].get(REVISION, ""))

    async def strip_for(self, seconds: float) -> None:
        """The other client looks twice a second, and removes what it does not know."""
        for _ in range(int(seconds * 2)):
            if self.revision:
                self.strip()
            await asyncio.sleep(0.5)

    @property
    def warnings(self) -> list[str]:
        """The reasons of Warnings, on the subscription and on the workload."""
        return [notice.reason for notice in self.cluster.notices if notice.is_warning]


@in_virtual_time
async def test_a_single_foreign_write_does_not_leave_pods_on_old_content() -> None:
    """The restart is made again after a pause, and done when all pods are new."""
    harness = Reverted()
    harness.old_pods()
    async with harness:
        await harness.change(1.0)
        harness.strip()
        await asyncio.sleep(10.0)
        assert harness.condition("RestartsComplete") == ("False", "RestartReverted")
        assert harness.warnings == ["RestartReverted", "RestartReverted"]
        await asyncio.sleep(60.0)
        assert harness.count("patch_workload") == 2
        harness.put_pods(a_pod("web-3"), a_pod("web-4"))
        await asyncio.sleep(10.0)
        assert harness.condition("RestartsComplete") == ("True", "NoPendingRestarts")


@in_virtual_time
async def test_an_owner_that_takes_every_restart_back_is_not_fought() -> None:
    """A handful of attempts for one change, never more than 5 an hour, and it is never told as done."""
    harness = Reverted()
    harness.old_pods()
    async with harness:
        await harness.change(1.0)
        await harness.strip_for(4 * 3600.0)
        assert 2 <= harness.count("patch_workload") <= 5
        assert harness.condition("RestartsComplete") == ("False", "RestartReverted")
        assert "is not made again" in harness.message("RestartsComplete")


@in_virtual_time
async def test_pods_that_are_all_new_need_no_revision() -> None:
    """Another template rolled out completely, for example by `helm upgrade`: done, without a Warning."""
    harness = Reverted()
    async with harness:
        await harness.change(1.0)
        harness.strip()
        harness.put_pods(a_pod("web-3"), a_pod("web-4"))
        await asyncio.sleep(60.0)
        assert (harness.count("patch_workload"), harness.warnings) == (1, [])
        assert harness.condition("RestartsComplete") == ("True", "NoPendingRestarts")


@in_virtual_time
async def test_a_rollback_by_a_person_is_not_undone() -> None:
    """The template has the revision of the restart before: pods on old content are told, and left alone."""
    harness = Reverted()
    harness.old_pods()
    async with harness:
        await harness.change(1.0)
        first = harness.revision
        await asyncio.sleep(60.0)
        await harness.change(1.0)
        harness.strip(first)
        await asyncio.sleep(4 * 3600.0)
        assert harness.count("patch_workload") == 2
        assert harness.condition("RestartsComplete") == ("False", "RestartReverted")
        assert "rollback" in harness.message("RestartsComplete")


@in_virtual_time
async def test_a_rollback_is_over_when_its_pods_are_replaced() -> None:
    """A person restarts the workload later: nothing is pending any more."""
    harness = Reverted()
    harness.old_pods()
    async with harness:
        await harness.change(1.0)
        await asyncio.sleep(60.0)
        await harness.change(1.0)
        harness.strip("older.1")
        await asyncio.sleep(60.0)
        harness.put_pods(a_pod("web-3"), a_pod("web-4"))
        await asyncio.sleep(60.0)
        assert harness.condition("RestartsComplete") == ("True", "NoPendingRestarts")


@in_virtual_time
async def test_a_policy_that_strips_the_patch_is_told_at_once() -> None:
    """The API server answers 200 with the old template: that is no restart, and none is counted."""
    harness = Reverted()
    harness.old_pods()
    harness.cluster.strips_templates = True
    async with harness:
        await harness.change(2.0)
        assert harness.warnings == ["RestartReverted", "RestartReverted"]
        assert "Restarted" not in harness.event_reasons
        assert harness.status["counters"]["restarts"] == 0
        await asyncio.sleep(4 * 3600.0)
        assert 2 <= harness.count("patch_workload") <= 5
        assert harness.condition("RestartsComplete") == ("False", "RestartReverted")


@in_virtual_time
async def test_a_policy_that_is_corrected_lets_the_restart_through() -> None:
    """The next attempt is made without a new change."""
    harness = Reverted()
    harness.old_pods()
    harness.cluster.strips_templates = True
    async with harness:
        await harness.change(2.0)
        harness.cluster.strips_templates = False
        await asyncio.sleep(60.0)
        assert harness.rollouts("web") == [1]
        assert "Restarted" in harness.event_reasons


@in_virtual_time
async def test_a_process_that_starts_anew_goes_on() -> None:
    """That a restart was taken back, and how often, is stored."""
    harness = Reverted()
    harness.old_pods()
    async with harness:
        await harness.change(1.0)
        harness.strip()
        await asyncio.sleep(5.0)
    await harness.start()
    await asyncio.sleep(60.0)
    assert harness.count("patch_workload") == 2
    await harness.crash()


@in_virtual_time
async def test_a_new_change_is_restarted_although_an_old_one_was_given_up() -> None:
    """Attempts are counted for one change, not for the workload."""
    harness = Reverted()
    harness.old_pods()
    async with harness:
        await harness.change(1.0)
        await harness.strip_for(2 * 3600.0)
        attempts = harness.count("patch_workload")
        await harness.change(10.0)
        assert harness.count("patch_workload") == attempts + 1


@pytest.mark.parametrize("on_reverted", ["Warn", "DeletePods"])
@in_virtual_time
async def test_old_pods_are_evicted_only_on_request(on_reverted: str) -> None:
    """With `onReverted: DeletePods` one pod after the other, while all others are ready."""
    harness = Reverted(rollout={"onReverted": on_reverted})
    harness.old_pods()
    async with harness:
        await harness.change(1.0)
        await harness.strip_for(120.0)
        evicted = harness.count("evict_pod")
        assert evicted == (2 if on_reverted == "DeletePods" else 0)
        assert (harness.condition("RestartsComplete")[0] == "True") is (on_reverted == "DeletePods")
