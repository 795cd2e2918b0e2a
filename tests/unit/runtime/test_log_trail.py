"""A change can be followed through the log, from its event to the end of the rollout."""

import logging

import pytest

from infisical_events.core.workloads.rollout_progress import RolloutProgress
from support.harness import SubscriptionHarness
from support.virtual_time import in_virtual_time


def lines(caplog: pytest.LogCaptureFixture, message: str) -> list[dict[str, object]]:
    """The fields of all lines with this message."""
    return [vars(record) for record in caplog.records if record.message == message]


@in_virtual_time
async def test_a_change_has_one_trail(caplog: pytest.LogCaptureFixture) -> None:
    """The event's number leads to the pending restart, and its revision to the restart and the rollout."""
    with caplog.at_level(logging.INFO):
        async with SubscriptionHarness("web") as harness:
            await harness.change()
            harness.roll(RolloutProgress.COMPLETE, "web")
            await harness.change()
    received, pending = lines(caplog, "received event"), lines(caplog, "recording pending restart")
    restarted, ended = lines(caplog, "restarted workload"), lines(caplog, "rollout ended")

    assert [line["event"] for line in received] == [1, 2]
    assert [line["events"] for line in pending] == ["1", "2"]
    assert len({line["revision"] for line in pending}) == 2
    for trail in (restarted, ended):
        assert [line["revision"] for line in trail] == [line["revision"] for line in pending]
        assert {line["workload"] for line in trail} == {"deployment/web"}
