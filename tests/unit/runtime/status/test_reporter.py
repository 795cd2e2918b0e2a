"""People are told of what turned, once, and of nothing that did not."""

import asyncio

import pytest

from infisical_events.api.statuses import ConditionType
from infisical_events.core.status.reasons import Reason
from infisical_events.kube.kubernetes_errors import ForbiddenError
from infisical_events.runtime.status.reporter import Reporter
from infisical_events.runtime.status.status_builder import StatusBuilder
from support.builders import a_workload
from support.fake_cluster import FakeCluster, a_context
from support.virtual_time import EPOCH, in_virtual_time


@pytest.fixture
def cluster() -> FakeCluster:
    """A cluster that takes Kubernetes Events."""
    return FakeCluster()


@pytest.fixture
def status() -> StatusBuilder:
    """The status of one subscription."""
    return StatusBuilder({}, 1, lambda: EPOCH)


@pytest.fixture
def reporter(cluster: FakeCluster, status: StatusBuilder) -> Reporter:
    """The reporter of one subscription."""
    key = cluster.create_subscription("team", "app", {})
    return Reporter(a_context(cluster, key), status)


async def test_trouble_is_told_once(cluster: FakeCluster, reporter: Reporter) -> None:
    """A condition that turns bad is one Warning, however often it is found again."""
    for _ in range(3):
        await reporter.set_condition(ConditionType.OBSERVED, Reason.UNREACHABLE, "Away.", ok=False)
    [notice] = cluster.notices
    assert (notice.reason, notice.note, notice.is_warning) == ("Unreachable", "Away.", True)
    assert (notice.about.kind, notice.about.name) == ("InfisicalEventSubscription", "app")


async def test_other_trouble_is_news(cluster: FakeCluster, reporter: Reporter) -> None:
    """Another reason for the same bad condition is told as well."""
    await reporter.set_condition(ConditionType.OBSERVED, Reason.UNREACHABLE, "Away.", ok=False)
    await reporter.set_condition(ConditionType.OBSERVED, Reason.PERMISSION_DENIED, "No.", ok=False)
    assert [notice.reason for notice in cluster.notices] == ["Unreachable", "PermissionDenied"]


@pytest.mark.parametrize("ok", [True, None])
async def test_good_news_are_no_event(cluster: FakeCluster, reporter: Reporter, *, ok: bool | None) -> None:
    """A condition that is good or not known yet makes no Kubernetes Event."""
    await reporter.set_condition(ConditionType.OBSERVED, Reason.UP_TO_DATE, "All is well.", ok=ok)
    assert cluster.notices == []


async def test_stalled_is_trouble(cluster: FakeCluster, reporter: Reporter) -> None:
    """Stalled is the condition that is bad when it is true."""
    await reporter.set_condition(ConditionType.STALLED, Reason.INVALID_SPEC, "Mend it.", ok=True)
    assert [notice.is_warning for notice in cluster.notices] == [True]


async def test_suspended_is_no_trouble(cluster: FakeCluster, reporter: Reporter) -> None:
    """What the user has asked for is no Warning."""
    await reporter.set_condition(ConditionType.READY, Reason.SUSPENDED, "As asked.", ok=True)
    assert cluster.notices == []


async def test_skip(reporter: Reporter, status: StatusBuilder) -> None:
    """A skip is told in the status."""
    reporter.record_skip(Reason.KEYS_NOT_SELECTED, "Not selected.")
    skip = status.render().last_skip
    assert skip is not None
    assert (skip.reason, skip.message) == ("KeysNotSelected", "Not selected.")


async def test_workload(cluster: FakeCluster, reporter: Reporter) -> None:
    """A restart is told on the workload as well."""
    await reporter.emit_workload_event(a_workload("web"), Reason.RESTARTED, "Restarted.")
    [notice] = cluster.notices
    assert (notice.about.api_version, notice.about.kind, notice.about.name) == (
        "apps/v1",
        "Deployment",
        "web",
    )
    assert not notice.is_warning


async def test_events_are_best_effort(
    cluster: FakeCluster, reporter: Reporter, status: StatusBuilder
) -> None:
    """A Kubernetes Event that cannot be written holds nothing up."""
    cluster.fail("emit_event", ForbiddenError("RBAC"))
    await reporter.set_condition(ConditionType.OBSERVED, Reason.UNREACHABLE, "Away.", ok=False)
    assert status.conditions


@pytest.mark.parametrize("odd", ["a\nb", "\u202eb", "\x00", "\x1b[2J", "\u2066", "a" * 1_000_000])
async def test_foreign_text_steers_no_terminal(
    cluster: FakeCluster, reporter: Reporter, status: StatusBuilder, odd: str
) -> None:
    """Conditions, skips and Kubernetes Events are printable and short, whatever they have to tell of."""
    await reporter.set_condition(ConditionType.OBSERVED, Reason.UNREACHABLE, odd, ok=False)
    reporter.record_skip(Reason.NO_CHANGE_FOUND, odd)
    await reporter.emit_workload_event(a_workload(), Reason.RESTARTED, odd)
    rendered = status.render()
    assert rendered.last_skip is not None
    told = [notice.note for notice in cluster.notices] + [
        condition.message for condition in rendered.conditions
    ]
    for text in (*told, rendered.last_skip.message):
        assert text.isprintable()
        assert len(text) < 5000


async def test_whether_a_reason_is_shown(reporter: Reporter) -> None:
    """A reason is shown while a condition has it."""
    assert not reporter.has_reason(Reason.UNREACHABLE)
    await reporter.set_condition(ConditionType.OBSERVED, Reason.UNREACHABLE, "Away.", ok=False)
    assert reporter.has_reason(Reason.UNREACHABLE)
    await reporter.set_condition(ConditionType.OBSERVED, Reason.UP_TO_DATE, "Back.", ok=True)
    assert not reporter.has_reason(Reason.UNREACHABLE)


async def test_last_handled_reconcile_at(reporter: Reporter) -> None:
    """The last handled value of the annotation is known from the status."""
    assert reporter.last_handled_reconcile_at is None
    reporter.record_handled(last_handled_reconcile_at="today")
    assert reporter.last_handled_reconcile_at == "today"


async def test_quiet_update(cluster: FakeCluster, reporter: Reporter) -> None:
    """A condition can be updated without a Kubernetes Event; whether it is new is returned."""
    found = [
        reporter.update_condition(
            ConditionType.RESTARTS_COMPLETE, ok=False, reason=Reason.COOLING_DOWN, message="Later."
        )
        for _ in range(2)
    ]
    assert (found, cluster.notices) == ([True, False], [])


@in_virtual_time
async def test_events_about_the_subscription() -> None:
    """However often conditions change, there are at most ten Events in any minute."""
    cluster, moments = FakeCluster(), list[float]()
    key = cluster.create_subscription("team", "app", {})
    reporter = Reporter(a_context(cluster, key), StatusBuilder({}, 1, lambda: EPOCH))
    for _ in range(600):
        before = len(cluster.notices)
        await reporter.emit_event(Reason.UNREACHABLE, "No response.", is_warning=True)
        moments += [asyncio.get_running_loop().time()] * (len(cluster.notices) - before)
        await asyncio.sleep(0.3)

    assert max(sum(begin <= moment < begin + 60.0 for moment in moments) for begin in moments) in {9, 10}


@in_virtual_time
async def test_a_flood_of_events_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    """Two minutes with a hundred Events a second: enough for a large restart, then ten a minute."""
    cluster = FakeCluster()
    key = cluster.create_subscription("team", "app", {})
    reporter = Reporter(a_context(cluster, key), StatusBuilder({}, 1, lambda: EPOCH))
    for _ in range(120):
        for _ in range(100):
            await reporter.emit_workload_event(a_workload(), Reason.RESTART_BUDGET_EXHAUSTED, "Held.")
        await asyncio.sleep(1)

    assert 200 <= len(cluster.notices) <= 221
    said = [record.getMessage() for record in caplog.records]
    assert said.count("too many Kubernetes Events, leaving some out") <= 21
