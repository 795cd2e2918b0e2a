"""Prometheus metrics on a registry of their own; `docs/metrics.md` explains each."""

from collections.abc import Mapping
from datetime import datetime
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from infisical_events.api.specs import EventType
from infisical_events.core.restarts.pending_summary import PendingCount
from infisical_events.core.subscriptions import SubscriptionKey

Kind = TypeVar("Kind", Counter, Gauge)

_BY_SUBSCRIPTION = ("namespace", "subscription")


class Metrics:
    """All series; those of a subscription vanish with it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._series: list[Counter | Gauge] = []
        self._subscriptions = self._of_all(Gauge, "subscriptions", "Subscriptions served.")
        self._held = self._of_all(Gauge, "shard_held", "1 while this replica holds the shard.", "shard")
        self._changes = self._of_all(
            Counter, "shard_changes", "Shards that came or went, by how (acquired, released, lost).", "change"
        )
        self._replicas = self._of_all(Gauge, "replicas", "Replicas that share, as this one sees it.")
        self._loop_lag = self._of_all(
            Gauge, "event_loop_lag_seconds", "How late the event loop was at most in the last minute."
        )
        self._watch_lag = self._of_all(
            Gauge, "watch_lag_seconds", "For how long the watch has not told what lists show."
        )
        self._connected = self._of_each(Gauge, "stream_connected", "1 while the stream is open.")
        self._reconnects = self._of_each(Counter, "stream_reconnects", "Streams had after one was lost.")
        self._blind = self._of_each(Counter, "stream_blind_seconds", "Seconds without an open stream.")
        self._last_event = self._of_each(
            Gauge, "last_event_timestamp_seconds", "When an event was heard last, in Unix time."
        )
        self._received = self._of_each(Counter, "stream_events", "Events heard.", "event", "matched")
        self._keys = self._of_each(
            Gauge,
            "observed_keys",
            "Keys that are watched, imported ones included, by the grade of observation.",
            "grade",
        )
        self._observed = self._of_each(
            Gauge, "last_full_read_timestamp_seconds", "When everything was looked at last."
        )
        self._passes = self._of_each(
            Counter, "reconcile", "Looks at Infisical, by result (a reason or ok).", "result"
        )
        self._workloads = self._of_each(
            Counter, "workloads", "Workloads dealt with, by result (Restarted or a reason).", "result"
        )
        self._owed = self._of_each(
            Gauge,
            "pending_restarts",
            "Workloads that are owed a restart, by why it is not made yet.",
            "reason",
        )
        self._owed_since = self._of_each(
            Gauge,
            "oldest_pending_restart_timestamp_seconds",
            "Since when the first of them is owed one, in Unix time.",
            "reason",
        )
        self._owed_for: dict[tuple[str, str], frozenset[str]] = {}

    def _of_all(self, kind: type[Kind], name: str, documentation: str, *labels: str) -> Kind:
        """A metric of the process."""
        return kind(f"infisical_events_{name}", documentation, labels, registry=self.registry)

    def _of_each(self, kind: type[Kind], name: str, documentation: str, *labels: str) -> Kind:
        """A metric of each subscription, whose series are forgotten with it."""
        every = (*_BY_SUBSCRIPTION, *labels)
        metric = kind(f"infisical_events_{name}", documentation, every, registry=self.registry)
        self._series.append(metric)
        return metric

    def set_subscriptions(self, count: int) -> None:
        """How many subscriptions have a task."""
        self._subscriptions.set(count)

    def init_shards(self, count: int) -> None:
        """How many shards there are; none is held yet."""
        for shard in range(count):
            self._held.labels(shard).set(0)

    def shard_acquired(self, shard: int) -> None:
        """A shard is held from now on."""
        self._held.labels(shard).set(1)
        self._changes.labels("acquired").inc()

    def shard_dropped(self, shard: int, change: str) -> None:
        """A shard is not held any more: it was `released` or `lost`."""
        self._held.labels(shard).set(0)
        self._changes.labels(change).inc()

    def set_replicas(self, count: int) -> None:
        """How many replicas share, this one among them."""
        self._replicas.set(count)

    def set_event_loop_lag(self, seconds: float) -> None:
        """How late the event loop was at most within the last minute."""
        self._loop_lag.set(seconds)

    def set_watch_lag(self, seconds: float) -> None:
        """For how long the watch has not told something that sweeps find; 0 when it is even with them."""
        self._watch_lag.set(seconds)

    def stream_connected(self, key: SubscriptionKey) -> None:
        """A stream was opened."""
        self._connected.labels(key.namespace, key.name).set(1)

    def stream_disconnected(self, key: SubscriptionKey) -> None:
        """A stream is over."""
        self._connected.labels(key.namespace, key.name).set(0)

    def stream_reconnected(self, key: SubscriptionKey) -> None:
        """A stream was opened after one was lost."""
        self._reconnects.labels(key.namespace, key.name).inc()

    def add_blind_seconds(self, key: SubscriptionKey, seconds: float) -> None:
        """So long no stream was open, since that was told last."""
        self._blind.labels(key.namespace, key.name).inc(seconds)

    def count_event(self, key: SubscriptionKey, event: EventType, at: datetime, *, is_matched: bool) -> None:
        """An event arrived."""
        self._last_event.labels(key.namespace, key.name).set(at.timestamp())
        self._received.labels(key.namespace, key.name, event, str(is_matched).lower()).inc()

    def set_observed(self, key: SubscriptionKey, grade: str, keys: int, at: datetime) -> None:
        """Everything was looked at."""
        self._keys.remove_by_labels({"namespace": key.namespace, "subscription": key.name})
        self._keys.labels(key.namespace, key.name, grade).set(keys)
        self._observed.labels(key.namespace, key.name).set(at.timestamp())

    def count_reconcile(self, key: SubscriptionKey, result: str) -> None:
        """A pass ended."""
        self._passes.labels(key.namespace, key.name, result).inc()

    def count_workload_result(self, key: SubscriptionKey, result: str) -> None:
        """A workload was restarted, skipped or failed."""
        self._workloads.labels(key.namespace, key.name, result).inc()

    def set_pending(self, key: SubscriptionKey, owed: Mapping[str, PendingCount]) -> None:
        """What is owed now, by reason; what is not named is not owed any more."""
        place = key.namespace, key.name
        for reason in self._owed_for.pop(place, frozenset()) - owed.keys():
            self._owed.remove(*place, reason)
            self._owed_since.remove(*place, reason)
        for reason, each in owed.items():
            self._owed.labels(*place, reason).set(each.count)
            self._owed_since.labels(*place, reason).set(each.since.timestamp())
        if owed:
            self._owed_for[place] = frozenset(owed)

    def forget(self, key: SubscriptionKey) -> None:
        """The subscription is gone, and its series with it."""
        self._owed_for.pop((key.namespace, key.name), None)
        labels = {"namespace": key.namespace, "subscription": key.name}
        for metric in self._series:
            metric.remove_by_labels(labels)

    def render(self) -> bytes:
        """The exposition text."""
        return generate_latest(self.registry)
