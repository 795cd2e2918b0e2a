"""Prometheus metrics on a registry of their own; `docs/metrics.md` explains each.

What tenants can make many of, such as hosts, paths and projects, is no label. Histograms are of the process:
a series for each bucket and subscription would be too many.
"""

from collections import Counter as Tally
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime
from importlib.metadata import version
from typing import Final, TypeVar, cast

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from infisical_events.api.specs import EventType
from infisical_events.core.request_metrics import RequestMetrics
from infisical_events.core.restarts.pending_summary import PendingCount
from infisical_events.core.subscriptions import SubscriptionKey
from infisical_events.runtime.condition_collector import ConditionCollector, ReadConditions

_REQUEST_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_DETECTION_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_RESTART_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400)
_ROLLOUT_BUCKETS: Final = (5, 10, 20, 30, 60, 120, 300, 600, 1200, 3600)
"""Upper bounds in seconds."""

Kind = TypeVar("Kind", Counter, Gauge)

_BY_SUBSCRIPTION = ("namespace", "subscription")

_Name = tuple[str, str]
"""Namespace and name of a subscription: another one of the same name has the same series."""

_Place = tuple[Counter | Gauge, tuple[str, ...]]
"""A metric and the values of its labels."""


class Metrics:
    """All series; those of a subscription are removed with it."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # theirs
        self.registry = CollectorRegistry()
        self._of_process(Gauge, "build_info", "1, with the version of the operator.", "version").labels(
            version("infisical-events")
        ).set(1)
        self._subscriptions = self._of_process(
            Gauge, "subscriptions", "Subscriptions that this replica serves."
        )
        self._held = self._of_process(
            Gauge, "shard_held", "1 while this replica holds the Lease of the shard.", "shard"
        )
        self._shard_changes = self._of_process(
            Counter,
            "shard_changes",
            "Changes of held shards, by change (acquired, released, lost).",
            "change",
        )
        self._replicas = self._of_process(
            Gauge, "replicas", "Replicas that share the shards, as this replica sees them."
        )
        self._loop_lag = self._of_process(
            Gauge, "event_loop_lag_seconds", "Maximum delay of the event loop in the last minute, in seconds."
        )
        self._watch_lag = self._of_process(
            Gauge,
            "watch_lag_seconds",
            "Seconds for which the watch has not delivered an object that a list shows.",
        )
        self._budget_used = self._of_process(
            Gauge,
            "budget_used",
            "Restarts of the last minute, and workloads that roll out, of this replica.",
            "budget",
        )
        self._budget_limit = self._of_process(
            Gauge, "budget_limit", "This replica's part of each bound; absent without one.", "budget"
        )
        self._of_process(
            Gauge, "project_streams", "Open streams of this replica to the project that has most of them."
        ).set_function(self._most_streams)
        self._skips = self._of_process(
            Counter,
            "skipped_changes",
            "Changes and events that led to no pending restart after a read, by reason.",
            "reason",
        )
        self._detection = self._histogram(
            "detection_latency_seconds",
            "Seconds from the first event of a change to its pending restart.",
            _DETECTION_BUCKETS,
        )
        self._restart_latency = self._histogram(
            "restart_latency_seconds",
            "Seconds from the pending restart to the patch of the workload.",
            _RESTART_BUCKETS,
        )
        self._rollout_duration = self._histogram(
            "rollout_duration_seconds",
            "Seconds from the restart of a workload to the good end of its rollout.",
            _ROLLOUT_BUCKETS,
        )
        self.infisical_requests = self._requests("infisical", "method", "Requests to Infisical")
        self.kubernetes_requests = self._requests("kubernetes", "verb", "Requests to the API server")
        self._conditions = ConditionCollector()
        self.registry.register(self._conditions)
        self._connected = self._of_subscription(
            Gauge, "stream_connected", "1 while the event stream is open."
        )
        self._reconnects = self._of_subscription(
            Counter, "stream_reconnects", "Streams opened after one was lost."
        )
        self._blind = self._of_subscription(
            Counter, "stream_blind_seconds", "Seconds without an open stream."
        )
        self._last_event = self._of_subscription(
            Gauge, "last_event_timestamp_seconds", "Time of the newest received event, in Unix time."
        )
        self._received = self._of_subscription(
            Counter,
            "stream_events",
            "Events received, by type and by whether they match the subscription.",
            "event",
            "matched",
        )
        self._keys = self._of_subscription(
            Gauge,
            "observed_keys",
            "Keys that are watched, imported ones included, by observation mode.",
            "grade",
        )
        self._observed = self._of_subscription(
            Gauge,
            "last_full_read_timestamp_seconds",
            "Time of the last full read of Infisical, in Unix time.",
        )
        self._reconciliations = self._of_subscription(
            Counter, "reconcile", "Reconciliations, by result (ok or a reason).", "result"
        )
        self._workloads = self._of_subscription(
            Counter, "workloads", "Workloads handled, by result (Restarted or a reason).", "result"
        )
        self._pending = self._of_subscription(
            Gauge,
            "pending_restarts",
            "Workloads with a pending restart, by the reason why they wait.",
            "reason",
        )
        self._oldest_pending = self._of_subscription(
            Gauge,
            "oldest_pending_restart_timestamp_seconds",
            "Time since which the oldest pending restart waits, in Unix time.",
            "reason",
        )
        self._of_subscriptions: dict[_Name, dict[_Place, Counter | Gauge]] = {}
        """The series of each subscription."""
        self._streams: dict[_Name, tuple[str, str]] = {}
        """The address and project of each open stream."""
        self._samplers: list[Callable[[], None]] = []

    def _of_process(self, kind: type[Kind], name: str, documentation: str, *labels: str) -> Kind:
        """A metric of the process."""
        return kind(f"infisical_events_{name}", documentation, labels, registry=self.registry)

    def _histogram(
        self, name: str, documentation: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        """A histogram of the process, in seconds."""
        full_name = f"infisical_events_{name}"
        return Histogram(full_name, documentation, labels, registry=self.registry, buckets=buckets)

    def _requests(self, server: str, method: str, what: str) -> RequestMetrics:
        """Requests to a server by method and code, and their seconds by method."""
        name = f"{server}_request"
        total = self._of_process(Counter, f"{name}s", f"{what}, by {method} and code.", method, "code")
        documentation = f"Seconds of {what[0].lower()}{what[1:]}, by {method}."
        seconds = self._histogram(f"{name}_duration_seconds", documentation, _REQUEST_BUCKETS, method)
        return RequestMetrics(total, seconds)

    def _of_subscription(self, kind: type[Kind], name: str, documentation: str, *labels: str) -> Kind:
        """A metric of each subscription, whose series are removed with it."""
        return self._of_process(kind, name, documentation, *_BY_SUBSCRIPTION, *labels)

    def add_process_collectors(self) -> None:
        """Expose the memory, processor time and file descriptors of the process, and its Python."""
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    def add_sampler(self, sample: Callable[[], None]) -> None:
        """Call a function before each rendering, in the event loop."""
        self._samplers.append(sample)

    def sample(self) -> None:
        """Set what is only set for a scrape; to be called in the event loop, before `render`."""
        for sample in self._samplers:
            sample()

    def set_budget(self, budget: str, used: int, limit: int) -> None:
        """Set what is used of a budget of this replica, and the limit; 0 is no limit."""
        self._budget_used.labels(budget).set(used)
        if limit:
            self._budget_limit.labels(budget).set(limit)

    def observe_detection(self, seconds: float) -> None:
        """Record the seconds from the first event of a change to its pending restart."""
        self._detection.observe(max(0.0, seconds))

    def observe_restart(self, seconds: float) -> None:
        """Record the seconds from a pending restart to the patch of its workload."""
        self._restart_latency.observe(max(0.0, seconds))

    def observe_rollout(self, seconds: float) -> None:
        """Record the seconds from a restart to the good end of its rollout."""
        self._rollout_duration.observe(max(0.0, seconds))

    def count_skipped_change(self, reason: str) -> None:
        """Count a change that was read, or an event whose change was not found, without a restart."""
        self._skips.labels(reason).inc()

    def set_subscriptions(self, count: int) -> None:
        """Set the number of subscriptions that have a task."""
        self._subscriptions.set(count)

    def init_shards(self, count: int) -> None:
        """Create the series of all shards; none is held yet."""
        for shard in range(count):
            self._held.labels(shard).set(0)

    def shard_acquired(self, shard: int) -> None:
        """Record that this replica holds a shard from now on."""
        self._held.labels(shard).set(1)
        self._shard_changes.labels("acquired").inc()

    def shard_dropped(self, shard: int, change: str) -> None:
        """Record that this replica no longer holds a shard: it was `released` or `lost`."""
        self._held.labels(shard).set(0)
        self._shard_changes.labels(change).inc()

    def set_replicas(self, count: int) -> None:
        """Set the number of replicas that share the shards, this one included."""
        self._replicas.set(count)

    def set_event_loop_lag(self, seconds: float) -> None:
        """Set the maximum delay of the event loop within the last minute."""
        self._loop_lag.set(seconds)

    def set_watch_lag(self, seconds: float) -> None:
        """Set the seconds for which the watch has not delivered a listed object; 0 when it has all."""
        self._watch_lag.set(seconds)

    def stream_connected(self, key: SubscriptionKey, project: tuple[str, str] = ("", "")) -> None:
        """Record that the stream is open; `project` is its address and its name or id there."""
        self._series(self._connected, key).set(1)
        self._streams[_name_of(key)] = project

    def stream_disconnected(self, key: SubscriptionKey) -> None:
        """Record that the stream is closed."""
        self._series(self._connected, key).set(0)
        self._streams.pop(_name_of(key), None)

    def _most_streams(self) -> float:
        """The streams of the project with most of them; called in another thread."""
        return max(Tally(self._streams.copy().values()).values(), default=0)

    def stream_reconnected(self, key: SubscriptionKey) -> None:
        """Count a stream that was opened after one was lost."""
        self._series(self._reconnects, key).inc()

    def add_blind_seconds(self, key: SubscriptionKey, seconds: float) -> None:
        """Add seconds without an open stream."""
        self._series(self._blind, key).inc(seconds)

    def count_event(self, key: SubscriptionKey, event: EventType, at: datetime, *, is_matched: bool) -> None:
        """Count a received event."""
        self._series(self._last_event, key).set(at.timestamp())
        self._series(self._received, key, event, str(is_matched).lower()).inc()

    def set_observed(self, key: SubscriptionKey, grade: str, keys: int, at: datetime) -> None:
        """Record a full read with the number of keys and the observation mode."""
        self._remove_others(self._keys, key, {grade})
        self._series(self._keys, key, grade).set(keys)
        self._series(self._observed, key).set(at.timestamp())

    def count_reconcile(self, key: SubscriptionKey, result: str) -> None:
        """Count a reconciliation."""
        self._series(self._reconciliations, key, result).inc()

    def count_workload_result(self, key: SubscriptionKey, result: str) -> None:
        """Count a workload that was restarted, was skipped or failed."""
        self._series(self._workloads, key, result).inc()

    def set_pending(self, key: SubscriptionKey, pending: Mapping[str, PendingCount]) -> None:
        """Replace the pending restarts by reason; the series of all other reasons are removed."""
        for metric in (self._pending, self._oldest_pending):
            self._remove_others(metric, key, pending.keys())
        for reason, each in pending.items():
            self._series(self._pending, key, reason).set(each.count)
            self._series(self._oldest_pending, key, reason).set(each.since.timestamp())

    def watch_conditions(self, key: SubscriptionKey, read: ReadConditions) -> None:
        """Expose the conditions that a function returns, until the subscription is forgotten."""
        self._conditions.add(key.namespace, key.name, read)

    def forget(self, key: SubscriptionKey) -> None:
        """Remove all series of a deleted subscription."""
        self._conditions.remove(key.namespace, key.name)
        self.forget_activity(key)

    def forget_activity(self, key: SubscriptionKey) -> None:
        """Remove all series but the conditions of a subscription that is not served."""
        self._streams.pop(_name_of(key), None)
        for metric, labels in self._of_subscriptions.pop(_name_of(key), {}):
            metric.remove(*labels)

    def _series(self, metric: Kind, key: SubscriptionKey, *labels: str) -> Kind:
        """The series of a subscription with these labels; recorded, since the library would search for it."""
        found = self._of_subscriptions.setdefault(_name_of(key), {})
        place = (metric, (key.namespace, key.name, *labels))
        if place not in found:
            found[place] = metric.labels(*place[1])
        return cast("Kind", found[place])

    def _remove_others(self, metric: Gauge, key: SubscriptionKey, kept: AbstractSet[str]) -> None:
        """Remove the series of a metric of a subscription, but for those whose last label is kept."""
        found = self._of_subscriptions.get(_name_of(key), {})
        for place in [place for place in found if place[0] is metric and place[1][-1] not in kept]:
            del found[place]
            metric.remove(*place[1])

    def render(self) -> bytes:
        """The metrics in the text format of Prometheus."""
        return generate_latest(self.registry)


def _name_of(key: SubscriptionKey) -> _Name:
    return key.namespace, key.name
