"""Errors that end the watch for a while, and errors that end the process."""

import aiohttp
import kopf
import pytest
from kopf._cogs.clients.errors import APINotFoundError  # noqa: TID251 - kopf has no public name for it

from infisical_events.runtime.app.bootstrap import _is_cut_off, _sample_budget
from infisical_events.runtime.limits.restart_budget import RestartBudget
from infisical_events.runtime.metrics import Metrics


async def _ended(error: Exception | None) -> None:
    if error is not None:
        raise error


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (APINotFoundError(None, status=404, headers={}), "APINotFoundError"),
        (APINotFoundError("x" * 10_000, status=404, headers={}), "x" * 100),
        (kopf.LoginError("ran out of credentials"), "ran out of credentials"),
        (aiohttp.ClientPayloadError(), "ClientPayloadError"),
    ],
)
async def test_cut_off(error: Exception, text: str, caplog: pytest.LogCaptureFixture) -> None:
    """The log has one short reason why the cluster ended the watch, and the watch starts again."""
    assert await _is_cut_off(_ended(error))
    [record] = caplog.records
    assert record.message == "watch of subscriptions ended; restarting it"
    assert text in record.error
    assert len(record.error) <= 500


async def test_stopped() -> None:
    """A watch that ends without an error was stopped by a signal."""
    assert not await _is_cut_off(_ended(None))


async def test_defect() -> None:
    """A defect is raised."""
    with pytest.raises(ZeroDivisionError):
        await _is_cut_off(_ended(ZeroDivisionError()))


def test_budgets_are_sampled() -> None:
    """Both budgets, and the limit of the one that has a limit."""
    metrics = Metrics()
    _sample_budget(metrics, RestartBudget(per_minute=4, now=lambda: 0.0))
    text = metrics.render().decode()
    assert [line for line in text.splitlines() if line.startswith("infisical_events_budget")] == [
        'infisical_events_budget_used{budget="restarts"} 0.0',
        'infisical_events_budget_used{budget="rollouts"} 0.0',
        'infisical_events_budget_limit{budget="restarts"} 4.0',
    ]
