"""What Prometheus reads, and what it stops to read."""

import re
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

from infisical_events.api.specs import EventType
from infisical_events.api.statuses import Condition, ConditionStatus, ConditionType
from infisical_events.core.request_metrics import CODES
from infisical_events.core.restarts.pending_summary import PendingCount
from infisical_events.core.subscriptions import SubscriptionKey
from infisical_events.runtime.metrics import Metrics

APP = SubscriptionKey("team", "app", "uid-1")
ABOUT_APP = 'namespace="team",subscription="app"'
WEB = SubscriptionKey("team", "web", "uid-2")


SINCE = "infisical_events_oldest_pending_restart_timestamp_seconds"
MOMENT = datetime(2030, 1, 1, tzinfo=UTC)


def rendered(metrics: Metrics) -> list[str]:
    """The samples, without those of histograms in which nothing is."""
    text = metrics.render().decode()
    return [
        line
        for line in text.splitlines()
        if not line.startswith("#") and not re.search("_seconds_.* 0.0$", line)
    ]


def a_condition(kind: ConditionType, status: ConditionStatus) -> Condition:
    """A condition without anything that a metric could have."""
    return Condition(
        type=kind,
        status=status,
        reason="Watching",
        message="",
        observed_generation=1,
        last_transition_time=MOMENT,
    )


OF_THE_PROCESS = [
    f'infisical_events_build_info{{version="{version("infisical-events")}"}} 1.0',
    "infisical_events_subscriptions 0.0",
    "infisical_events_replicas 0.0",
    "infisical_events_event_loop_lag_seconds 0.0",
    "infisical_events_watch_lag_seconds 0.0",
    "infisical_events_project_streams 0.0",
]


def filled(key: SubscriptionKey) -> Metrics:
    """Metrics of a subscription to which everything has happened once."""
    metrics = Metrics()
    told_of(metrics, key)
    return metrics


def told_of(metrics: Metrics, key: SubscriptionKey) -> None:
    """Everything, once."""
    metrics.stream_connected(key)
    metrics.stream_reconnected(key)
    metrics.add_blind_seconds(key, 1.5)
    metrics.count_event(key, EventType.UPDATE, MOMENT, is_matched=True)
    metrics.count_reconcile(key, "ok")
    metrics.count_workload_result(key, "Restarted")
    metrics.set_pending(key, {"Paused": PendingCount(2, MOMENT)})


def test_rendered() -> None:
    """Each happening is a sample that names its subscription."""
    assert rendered(filled(APP)) == [
        *OF_THE_PROCESS[:-1],
        "infisical_events_project_streams 1.0",
        'infisical_events_stream_connected{namespace="team",subscription="app"} 1.0',
        f"infisical_events_stream_reconnects_total{{{ABOUT_APP}}} 1.0",
        f"infisical_events_stream_blind_seconds_total{{{ABOUT_APP}}} 1.5",
        f"infisical_events_last_event_timestamp_seconds{{{ABOUT_APP}}} 1.893456e+09",
        f'infisical_events_stream_events_total{{event="secret:update",matched="true",{ABOUT_APP}}} 1.0',
        'infisical_events_reconcile_total{namespace="team",result="ok",subscription="app"} 1.0',
        'infisical_events_workloads_total{namespace="team",result="Restarted",subscription="app"} 1.0',
        'infisical_events_pending_restarts{namespace="team",reason="Paused",subscription="app"} 2.0',
        SINCE + '{namespace="team",reason="Paused",subscription="app"} 1.893456e+09',
    ]


def test_disconnected() -> None:
    """A closed stream is 0."""
    metrics = filled(APP)
    metrics.stream_disconnected(APP)
    assert 'infisical_events_stream_connected{namespace="team",subscription="app"} 0.0' in rendered(metrics)


def test_restarts_that_are_no_longer_pending() -> None:
    """Only pending restarts have series, one for each reason; without pending restarts there is none."""
    metrics = filled(APP)
    metrics.set_pending(APP, {"Pending": PendingCount(1, MOMENT + timedelta(seconds=5))})
    assert [line.rpartition(" ")[2] for line in rendered(metrics) if "pending" in line] == [
        "1.0",
        "1.893456005e+09",
    ]
    metrics.set_pending(APP, {})
    metrics.set_pending(APP, {})
    assert not any("pending" in line for line in rendered(metrics))


def test_owed_again_after_it_was_forgotten() -> None:
    """The series of a subscription come back after a suspension, or after another replica served it."""
    metrics = filled(APP)
    metrics.forget(APP)
    metrics.set_pending(APP, {})
    metrics.set_pending(APP, {"Paused": PendingCount(1, MOMENT)})
    assert sum("pending" in line for line in rendered(metrics)) == 2


def test_forgotten() -> None:
    """A deleted subscription has no series; the others keep theirs."""
    metrics = filled(APP)
    told_of(metrics, WEB)
    metrics.forget(APP)
    assert not any("app" in line for line in rendered(metrics))
    assert sum("web" in line for line in rendered(metrics)) == 9


def test_forgotten_before_it_was_told_of() -> None:
    """A subscription without series can be forgotten."""
    metrics = Metrics()
    metrics.forget(APP)
    assert rendered(metrics) == OF_THE_PROCESS


def test_two_registries() -> None:
    """Two sets of metrics in one process do not meet."""
    assert rendered(filled(APP)) == rendered(filled(APP))


def test_shards() -> None:
    """All shards have a series, held or not, and their changes are counted."""
    metrics = Metrics()
    metrics.init_shards(2)
    metrics.shard_acquired(0)
    metrics.shard_acquired(1)
    metrics.shard_dropped(1, "lost")
    assert [line for line in rendered(metrics) if "shard" in line] == [
        'infisical_events_shard_held{shard="0"} 1.0',
        'infisical_events_shard_held{shard="1"} 0.0',
        'infisical_events_shard_changes_total{change="acquired"} 2.0',
        'infisical_events_shard_changes_total{change="lost"} 1.0',
    ]


# -- conditions -----------------------------------------------------------------------------------


def conditions_in(metrics: Metrics) -> list[str]:
    """The labels of the conditions."""
    return [line.partition("{")[2] for line in rendered(metrics) if "_subscription_condition" in line]


def test_conditions_are_those_of_the_moment() -> None:
    """One series for each condition, with its present status; the former status has none."""
    metrics = Metrics()
    conditions = [a_condition(ConditionType.READY, ConditionStatus.FALSE)]
    metrics.watch_conditions(APP, lambda: tuple(conditions))
    before = conditions_in(metrics)
    conditions[:] = [
        a_condition(ConditionType.READY, ConditionStatus.TRUE),
        a_condition(ConditionType.STREAMING, ConditionStatus.UNKNOWN),
    ]

    assert before == ['namespace="team",status="False",subscription="app",type="Ready"} 1.0']
    assert conditions_in(metrics) == [
        'namespace="team",status="True",subscription="app",type="Ready"} 1.0',
        'namespace="team",status="Unknown",subscription="app",type="Streaming"} 1.0',
    ]


def test_conditions_remain_without_activity() -> None:
    """What is not served has its conditions and nothing else; what is deleted has nothing."""
    metrics = filled(APP)
    metrics.watch_conditions(APP, lambda: (a_condition(ConditionType.STALLED, ConditionStatus.TRUE),))
    metrics.forget_activity(APP)
    assert [line for line in rendered(metrics) if "app" in line] == [
        line for line in rendered(metrics) if "Stalled" in line
    ]
    metrics.forget(APP)
    assert rendered(metrics) == OF_THE_PROCESS


# -- of the process -------------------------------------------------------------------------------


def test_streams_of_the_largest_project() -> None:
    """The project with most open streams counts, whoever has them; no project is a label."""
    metrics = Metrics()
    for number in range(5):
        project = ("https://app.infisical.com", "shop" if number < 3 else "other")
        metrics.stream_connected(SubscriptionKey("team", str(number), str(number)), project)
    assert "infisical_events_project_streams 3.0" in rendered(metrics)
    metrics.stream_disconnected(SubscriptionKey("team", "0", "0"))
    metrics.forget(SubscriptionKey("team", "1", "1"))
    assert "infisical_events_project_streams 2.0" in rendered(metrics)
    assert not any("shop" in line for line in rendered(metrics))


def test_budgets() -> None:
    """They are set right before a rendering; a budget without a limit has no series of it."""
    metrics = Metrics()
    metrics.add_sampler(lambda: metrics.set_budget("restarts", 3, 30))
    metrics.add_sampler(lambda: metrics.set_budget("rollouts", 1, 0))
    assert not any("budget" in line for line in rendered(metrics))
    metrics.sample()
    assert [line for line in rendered(metrics) if "budget" in line] == [
        'infisical_events_budget_used{budget="restarts"} 3.0',
        'infisical_events_budget_used{budget="rollouts"} 1.0',
        'infisical_events_budget_limit{budget="restarts"} 30.0',
    ]


def test_durations() -> None:
    """A clock that went back gives no negative duration."""
    metrics = Metrics()
    metrics.observe_detection(-1.0)
    metrics.observe_restart(2.0)
    metrics.observe_rollout(7.0)
    found = rendered(metrics)
    assert "infisical_events_detection_latency_seconds_count 1.0" in found
    assert 'infisical_events_detection_latency_seconds_bucket{le="0.05"} 1.0' in found
    assert "infisical_events_restart_latency_seconds_sum 2.0" in found
    assert "infisical_events_rollout_duration_seconds_sum 7.0" in found


def test_requests() -> None:
    """A request is one sample of the counter and one of the histogram of its method."""
    metrics = Metrics()
    metrics.infisical_requests.total.labels("GET", "200").inc()
    metrics.infisical_requests.seconds.labels("GET").observe(0.2)
    metrics.kubernetes_requests.total.labels("WATCH", "error").inc()
    found = rendered(metrics)
    assert 'infisical_events_infisical_requests_total{code="200",method="GET"} 1.0' in found
    assert 'infisical_events_infisical_request_duration_seconds_sum{method="GET"} 0.2' in found
    assert 'infisical_events_kubernetes_requests_total{code="error",verb="WATCH"} 1.0' in found


def test_codes_are_few() -> None:
    """A server that sends every status there is creates a bounded number of series."""
    assert (CODES[200], CODES[429], CODES[418], CODES[599]) == ("200", "429", "4xx", "5xx")
    assert len(set(CODES.values())) <= 30


def test_skipped_changes() -> None:
    """They count by reason only."""
    metrics = Metrics()
    metrics.count_skipped_change("NoMatchingWorkload")
    assert 'infisical_events_skipped_changes_total{reason="NoMatchingWorkload"} 1.0' in rendered(metrics)


def test_process() -> None:
    """The process and its Python are exposed, once they are asked for."""
    metrics = Metrics()
    metrics.add_process_collectors()
    names = {family.name for family in metrics.registry.collect()}
    assert {
        "process_resident_memory_bytes",
        "process_cpu_seconds",
        "process_open_fds",
        "python_info",
    } <= names


def test_no_times_of_creation() -> None:
    """A counter has no second series that says when it began."""
    assert "_created" not in filled(APP).render().decode()
