"""The conditions of all subscriptions as Prometheus series, read from their status at each scrape.

So a series is what the status says, whoever sets it, and a condition that is set costs nothing more.
"""

from collections.abc import Callable, Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from infisical_events.api.statuses import Condition

ReadConditions = Callable[[], tuple[Condition, ...]]
"""Returns the conditions of one subscription as of now; called in another thread."""

_NAME = "infisical_events_subscription_condition"
_DOCUMENTATION = (
    "1 for the present status (True, False, Unknown) of each condition; no series for the others."
)
LABELS = ("namespace", "subscription", "type", "status")


class ConditionCollector(Collector):
    """One series for each condition that a subscription has."""

    def __init__(self) -> None:
        self._sources: dict[tuple[str, str], ReadConditions] = {}

    def add(self, namespace: str, name: str, read: ReadConditions) -> None:
        """Read the conditions of a subscription from now on, in place of an earlier source."""
        self._sources[namespace, name] = read

    def remove(self, namespace: str, name: str) -> None:
        """The subscription has no series any more."""
        self._sources.pop((namespace, name), None)

    def describe(self) -> list[GaugeMetricFamily]:
        """The family without samples."""
        return [GaugeMetricFamily(_NAME, _DOCUMENTATION, labels=LABELS)]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The family as of now; the loop may change the sources meanwhile, in its own thread."""
        (family,) = self.describe()
        for name, read in self._sources.copy().items():
            for condition in read():
                family.add_metric((*name, condition.type, condition.status), 1.0)
        yield family
