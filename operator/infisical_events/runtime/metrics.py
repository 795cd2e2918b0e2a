"""Prometheus metrics on a registry of their own; `docs/metrics.md` explains each."""

from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from infisical_events.api.specs import EventType
from infisical_events.kube.subscriptions import SubscriptionKey

_BY_SUBSCRIPTION = ("namespace", "subscription")


class Metrics:
    """All series; those of a subscription vanish with it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._subscriptions = Gauge(
            "infisical_events_subscriptions", "Subscriptions served.", registry=self.registry
        )
        self._connected = Gauge(
            "infisical_events_stream_connected",
            "1 while the stream is open.",
            _BY_SUBSCRIPTION,
            registry=self.registry,
        )
        self._reconnects = Counter(
            "infisical_events_stream_reconnects",
            "Streams had after one was lost.",
            _BY_SUBSCRIPTION,
            registry=self.registry,
        )
        self._blind = Counter(
            "infisical_events_stream_blind_seconds",
            "Seconds without an open stream.",
            _BY_SUBSCRIPTION,
            registry=self.registry,
        )
        self._last_event = Gauge(
            "infisical_events_last_event_timestamp_seconds",
            "When an event was heard last, in Unix time.",
            _BY_SUBSCRIPTION,
            registry=self.registry,
        )
        self._heard = Counter(
            "infisical_events_received",
            "Events heard.",
            (*_BY_SUBSCRIPTION, "event", "matched"),
            registry=self.registry,
        )
        self._keys = Gauge(
            "infisical_events_observed_keys",
            "Keys that are watched, imported ones included, by the grade of observation.",
            (*_BY_SUBSCRIPTION, "grade"),
            registry=self.registry,
        )
        self._observed = Gauge(
            "infisical_events_observed_timestamp_seconds",
            "When everything was looked at last.",
            _BY_SUBSCRIPTION,
            registry=self.registry,
        )
        self._passes = Counter(
            "infisical_events_passes",
            "Looks at Infisical, by result (a reason or ok).",
            (*_BY_SUBSCRIPTION, "result"),
            registry=self.registry,
        )
        self._workloads = Counter(
            "infisical_events_workloads",
            "Workloads dealt with, by result (Restarted or a reason).",
            (*_BY_SUBSCRIPTION, "result"),
            registry=self.registry,
        )

    def served(self, count: int) -> None:
        """How many subscriptions have a task."""
        self._subscriptions.set(count)

    def connected(self, key: SubscriptionKey) -> None:
        """A stream was opened."""
        self._connected.labels(key.namespace, key.name).set(1)

    def disconnected(self, key: SubscriptionKey) -> None:
        """A stream is over."""
        self._connected.labels(key.namespace, key.name).set(0)

    def reconnected(self, key: SubscriptionKey) -> None:
        """A stream was opened after one was lost."""
        self._reconnects.labels(key.namespace, key.name).inc()

    def was_blind(self, key: SubscriptionKey, seconds: float) -> None:
        """So long no stream was open, since that was told last."""
        self._blind.labels(key.namespace, key.name).inc(seconds)

    def heard(self, key: SubscriptionKey, event: EventType, at: datetime, *, is_matched: bool) -> None:
        """An event arrived."""
        self._last_event.labels(key.namespace, key.name).set(at.timestamp())
        self._heard.labels(key.namespace, key.name, event, str(is_matched).lower()).inc()

    def observed(self, key: SubscriptionKey, grade: str, keys: int, at: datetime) -> None:
        """Everything was looked at."""
        self._keys.remove_by_labels({"namespace": key.namespace, "subscription": key.name})
        self._keys.labels(key.namespace, key.name, grade).set(keys)
        self._observed.labels(key.namespace, key.name).set(at.timestamp())

    def passed(self, key: SubscriptionKey, result: str) -> None:
        """A pass ended."""
        self._passes.labels(key.namespace, key.name, result).inc()

    def dealt(self, key: SubscriptionKey, result: str) -> None:
        """A workload was restarted, skipped or failed."""
        self._workloads.labels(key.namespace, key.name, result).inc()

    def forget(self, key: SubscriptionKey) -> None:
        """The subscription is gone, and its series with it."""
        labels = {"namespace": key.namespace, "subscription": key.name}
        streams = (self._connected, self._reconnects, self._blind, self._last_event, self._heard)
        for metric in (*streams, self._keys, self._observed, self._passes, self._workloads):
            metric.remove_by_labels(labels)

    def render(self) -> bytes:
        """The exposition text."""
        return generate_latest(self.registry)
