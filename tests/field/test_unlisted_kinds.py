"""Kinds that cannot be listed: a missing right, a half-installed CRD, a broken conversion webhook."""

import asyncio

import pytest

from infisical_events.api.resources import WORKLOAD_KINDS
from infisical_events.kube.kubernetes_errors import ForbiddenError
from support.harness import SubscriptionHarness
from support.virtual_time import in_virtual_time

FORBIDDEN = 'rollouts.argoproj.io is forbidden: User "operator" cannot list resource "rollouts"'
ROLLOUT = next(kind for kind in WORKLOAD_KINDS if kind.kind == "Rollout")
STATEFUL_SET = next(kind for kind in WORKLOAD_KINDS if kind.kind == "StatefulSet")


def harness_without(kind: str) -> SubscriptionHarness:
    """A Deployment, a StatefulSet and a Rollout, of which one kind cannot be listed."""
    harness = SubscriptionHarness("web", cooldownSeconds=0)
    harness.create("db", STATEFUL_SET)
    harness.create("canary", ROLLOUT)
    harness.cluster.refuse_kind(kind, FORBIDDEN)
    return harness


def rollouts_of(harness: SubscriptionHarness) -> dict[str, int]:
    """How often the template or `restartAt` of each workload was changed."""
    kinds = {"web": WORKLOAD_KINDS[0], "db": STATEFUL_SET, "canary": ROLLOUT}
    return {name: harness.cluster.rollouts_of("team", name, kind) for name, kind in kinds.items()}


@in_virtual_time
async def test_a_new_subscription_watches_although_a_kind_cannot_be_listed() -> None:
    """The baseline is recorded, and the API server's words are told once, as a Warning and in a condition."""
    harness = harness_without("Rollout")
    async with harness:
        await asyncio.sleep(600.0)
        assert harness.condition("Ready") == ("True", "Watching")
        assert harness.condition("RestartsComplete") == ("False", "WorkloadsNotListed")
        [warning] = [each for each in harness.cluster.notices if each.is_warning]
        assert FORBIDDEN in warning.note


@pytest.mark.parametrize("kind", ["Rollout", "StatefulSet", "CronJob"])
@in_virtual_time
async def test_a_kind_that_cannot_be_listed_holds_up_no_other(kind: str) -> None:
    """Workloads of the other kinds are restarted at once; the condition says that something is pending."""
    harness = harness_without(kind)
    async with harness:
        await harness.change()
        expected = {"web": 1, "db": int(kind != "StatefulSet"), "canary": int(kind != "Rollout")}
        assert rollouts_of(harness) == expected
        assert harness.condition("RestartsComplete") == ("False", "WorkloadsNotListed")
        assert harness.condition("Ready")[0] == "True"


@pytest.mark.parametrize("outage", [30.0, 7200.0])
@in_virtual_time
async def test_a_change_waits_until_its_kind_can_be_listed(outage: float) -> None:
    """The restart is made once when the right is granted, also by another process."""
    harness = harness_without("Rollout")
    async with harness:
        await harness.change(outage)
    await harness.start()
    harness.cluster.refuse_kind("Rollout", None)
    await asyncio.sleep(60.0)
    assert rollouts_of(harness) == {"web": 1, "db": 1, "canary": 1}
    assert harness.condition("RestartsComplete") == ("True", "NoPendingRestarts")
    await asyncio.sleep(600.0)
    assert rollouts_of(harness) == {"web": 1, "db": 1, "canary": 1}
    await harness.crash()


@in_virtual_time
async def test_a_pending_restart_is_kept_while_its_kind_cannot_be_listed() -> None:
    """A workload that is not listed is not gone: its restart follows when the kind is listed again."""
    harness = SubscriptionHarness("web", cooldownSeconds=300)
    async with harness:
        await harness.change(60.0)
        await harness.change(60.0)
        harness.cluster.refuse_kind("Deployment", "conversion webhook failed")
        await asyncio.sleep(600.0)
        assert harness.rollouts("web") == [1]
        assert harness.condition("RestartsComplete") == ("False", "WorkloadsNotListed")
        harness.cluster.refuse_kind("Deployment", None)
        await asyncio.sleep(60.0)
        assert harness.rollouts("web") == [2]


@in_virtual_time
async def test_a_requested_restart_waits_until_its_kind_can_be_listed() -> None:
    """What a user requested is not lost for the workloads of that kind."""
    harness = harness_without("Rollout")
    async with harness:
        await harness.ask("restart-at", "now", 60.0)
        harness.cluster.refuse_kind("Rollout", None)
        await asyncio.sleep(60.0)
        assert rollouts_of(harness) == {"web": 1, "db": 1, "canary": 1}


@in_virtual_time
async def test_pending_restarts_are_never_told_as_complete_while_nothing_can_be_listed() -> None:
    """An API server that refuses every list makes the condition False, in its own words."""
    harness = SubscriptionHarness("web", cooldownSeconds=60)
    async with harness:
        await harness.change()
        await harness.change()
        harness.cluster.fail("list_workloads", ForbiddenError("deployments.apps is forbidden"), 1000)
        await asyncio.sleep(60.0)
        assert harness.condition("RestartsComplete") == ("False", "KubernetesAPIError")


@pytest.mark.parametrize("method", ["list_workloads", "list_providers"])
@in_virtual_time
async def test_a_baseline_that_the_api_server_holds_up_says_so(method: str) -> None:
    """What pods started with is read before the baseline: the condition quotes the API server meanwhile."""
    harness = SubscriptionHarness(action="ResyncThenRestart")
    harness.create("web", uses=["env"])
    harness.cluster.fail(method, ForbiddenError(FORBIDDEN), times=8)
    await harness.start(15.0)
    during = harness.condition("Ready"), harness.message("Observed")
    await asyncio.sleep(600.0)
    await harness.crash()

    assert during[0] == ("False", "KubernetesAPIError")
    assert FORBIDDEN in during[1]
    assert harness.condition("Ready") == ("True", "Watching")


@in_virtual_time
async def test_a_change_whose_workloads_cannot_be_listed_is_said() -> None:
    """Nothing is stored of it, and so nothing is pending; it is restarted once when the lists succeed."""
    harness = SubscriptionHarness("web", cooldownSeconds=0)
    async with harness:
        await asyncio.sleep(100.0)
        harness.cluster.fail("list_workloads", ForbiddenError(FORBIDDEN), times=8)
        await harness.change()
        during = harness.condition("Ready"), harness.rollouts("web")
        await asyncio.sleep(600.0)

        assert during == (("False", "KubernetesAPIError"), [0])
        assert harness.condition("Ready") == ("True", "Watching")
        assert harness.rollouts("web") == [1]
