"""What the owner of a workload reads in `kubectl describe`: restarts, and restarts that stay pending."""

import pytest

from infisical_events.core.status.reasons import Reason
from infisical_events.kube.kubernetes_errors import InvalidError
from support.harness import SubscriptionHarness
from support.virtual_time import in_virtual_time


def events_on(harness: SubscriptionHarness, name: str) -> list[tuple[str, str]]:
    """Reason and note of each Event on a workload."""
    return [(each.reason, each.note) for each in harness.cluster.notices if each.about.name == name]


@in_virtual_time
async def test_a_restart_names_its_change() -> None:
    """The Event outlives no hour, but it is there when the pods are replaced."""
    async with SubscriptionHarness("web") as harness:
        await harness.change()

    ((reason, note),) = events_on(harness, "web")
    assert (reason, "secret:update prod:/a KEY" in note) == (Reason.RESTARTED, True)


@in_virtual_time
async def test_a_paused_workload_has_its_pending_restart_once() -> None:
    """However many changes follow, who paused the workload reads once what is pending."""
    harness = SubscriptionHarness()
    harness.create("web", paused="true")
    async with harness:
        await harness.change()
        await harness.change(60)

    reasons = [reason for reason, _ in events_on(harness, "web")]
    assert reasons[0] == Reason.PAUSED
    assert len(reasons) <= 2, "one for each change at most"


@pytest.mark.parametrize("message", ["admission webhook denied it"])
@in_virtual_time
async def test_a_failed_restart_is_on_the_workload(message: str) -> None:
    """The API server's words are on the workload as well as on the subscription."""
    harness = SubscriptionHarness("web")
    harness.cluster.fail("patch_workload", InvalidError(message))
    async with harness:
        await harness.change(60)

    failed = [note for reason, note in events_on(harness, "web") if reason == Reason.RESTART_FAILED]
    assert [message in note for note in failed] == [True]
    assert harness.rollouts("web") == [1]
