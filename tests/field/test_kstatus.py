"""What `helm --wait`, Flux and other tools that follow kstatus conclude from a subscription."""

from datetime import timedelta
from typing import Any

import pytest

from infisical_events.core.status.reasons import Reason
from infisical_events.infisical.infisical_errors import InfisicalError, LoginError
from support.fake_infisical import FakeInfisical
from support.harness import SubscriptionHarness
from support.kstatus import kstatus
from support.virtual_time import EPOCH, in_virtual_time

GENERATION = 1


def verdict(harness: SubscriptionHarness, generation: int = GENERATION, **metadata: str) -> str:
    """Of the stored object."""
    stored: dict[str, Any] = {
        "metadata": {"generation": generation, **metadata},
        "status": {"observedGeneration": -1} | harness.status,  # the default of the CRD
    }
    return kstatus(stored)


@in_virtual_time
async def test_an_object_that_no_operator_has_seen_is_in_progress() -> None:
    """Without an operator `helm --wait` does not succeed."""
    assert verdict(SubscriptionHarness("web")) == "InProgress"


@pytest.mark.parametrize(
    "fields", [{}, {"mode": "DryRun"}, {"suspend": True}, {"observe": "Events"}], ids=str
)
@in_virtual_time
async def test_what_was_asked_for_is_current(fields: dict[str, Any]) -> None:
    """Served, dry run, suspended and event-only are what the user asked for."""
    async with SubscriptionHarness("web", **fields) as harness:
        assert verdict(harness) == "Current"


@in_virtual_time
async def test_polling_is_current() -> None:
    """Without event streams changes reach the workloads later, but they do."""
    harness = SubscriptionHarness("web")
    harness.infisical = FakeInfisical(
        streams=[InfisicalError(Reason.PLAN_LACKS_EVENT_SUBSCRIPTIONS, "The plan lacks events.")]
    )
    harness.open_infisical = harness.infisical.open_session
    async with harness:
        assert verdict(harness) == "Current"


@in_virtual_time
async def test_pending_restarts_are_no_matter_of_the_subscription() -> None:
    """A workload that is paused, or rolls out, does not hold up an installation."""
    harness = SubscriptionHarness("web")
    harness.create("held", paused="true")
    async with harness:
        await harness.change()
        assert harness.status["pendingRestarts"] == 1
        assert verdict(harness) == "Current"


@in_virtual_time
async def test_a_spec_that_cannot_be_served_has_failed() -> None:
    """No retry helps before the spec changes."""
    async with SubscriptionHarness("web", address="https://collector.example") as harness:
        assert harness.condition("Stalled") == ("True", "AddressNotAllowed")
        assert verdict(harness) == "Failed"


@in_virtual_time
async def test_a_failed_login_is_in_progress() -> None:
    """It is retried, and a corrected Secret heals it."""
    harness = SubscriptionHarness("web")
    harness.infisical.fail("login", LoginError(Reason.CREDENTIALS_REJECTED, "Rejected."))
    async with harness:
        assert verdict(harness) == "InProgress"
        harness.infisical.recover("login")


@in_virtual_time
async def test_a_new_spec_is_in_progress_until_it_is_served() -> None:
    """The verdict about the old generation says nothing of the new one."""
    async with SubscriptionHarness("web") as harness:
        assert verdict(harness, GENERATION + 1) == "InProgress"
        await harness.edit(suspend=True)
        assert verdict(harness, GENERATION + 1) == "Current"
        await harness.edit(suspend=False)
        assert verdict(harness, GENERATION + 2) == "Current"


@in_virtual_time
async def test_a_deleted_object_is_terminating() -> None:
    """Whatever its conditions say."""
    async with SubscriptionHarness("web") as harness:
        deleted = (EPOCH + timedelta(seconds=1)).isoformat()
        assert verdict(harness, deletionTimestamp=deleted) == "Terminating"
