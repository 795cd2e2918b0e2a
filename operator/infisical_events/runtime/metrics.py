"""Prometheus metrics on a registry of their own; `docs/metrics.md` explains each."""

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

    def heard(self, key: SubscriptionKey, event: EventType, *, is_matched: bool) -> None:
        """An event arrived."""
        self._heard.labels(key.namespace, key.name, event, str(is_matched).lower()).inc()

    def observed(self, key: SubscriptionKey, grade: str, keys: int) -> None:
        """Everything was looked at."""
        self._keys.remove_by_labels({"namespace": key.namespace, "subscription": key.name})
        self._keys.labels(key.namespace, key.name, grade).set(keys)
        self._observed.labels(key.namespace, key.name).set_to_current_time()

    def passed(self, key: SubscriptionKey, result: str) -> None:
        """A pass ended."""
        self._passes.labels(key.namespace, key.name, result).inc()

    def dealt(self, key: SubscriptionKey, result: str) -> None:
        """A workload was restarted, skipped or failed."""
        self._workloads.labels(key.namespace, key.name, result).inc()

    def forget(self, key: SubscriptionKey) -> None:
        """The subscription is gone, and its series with it."""
        labels = {"namespace": key.namespace, "subscription": key.name}
        for metric in (
            self._connected,
            self._heard,
            self._keys,
            self._observed,
            self._passes,
            self._workloads,
        ):
            metric.remove_by_labels(labels)

    def render(self) -> bytes:
        """The exposition text."""
        return generate_latest(self.registry)
