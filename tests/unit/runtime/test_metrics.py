"""What Prometheus reads, and what it stops to read."""

from datetime import UTC, datetime, timedelta

from infisical_events.api.specs import EventType
from infisical_events.core.restarts.pending_summary import PendingCount
from infisical_events.kube.subscription_client import SubscriptionKey
from infisical_events.runtime.metrics import Metrics

APP = SubscriptionKey("team", "app", "uid-1")
ABOUT_APP = 'namespace="team",subscription="app"'
WEB = SubscriptionKey("team", "web", "uid-2")


SINCE = "infisical_events_oldest_pending_restart_timestamp_seconds"
MOMENT = datetime(2030, 1, 1, tzinfo=UTC)


def rendered(metrics: Metrics) -> list[str]:
    """The samples, without the times at which counters were created."""
    text = metrics.render().decode()
    return [line for line in text.splitlines() if not line.startswith("#") and "_created" not in line]


OF_THE_PROCESS = [
    "infisical_events_subscriptions 0.0",
    "infisical_events_replicas 0.0",
    "infisical_events_event_loop_lag_seconds 0.0",
    "infisical_events_watch_lag_seconds 0.0",
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
        *OF_THE_PROCESS,
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
