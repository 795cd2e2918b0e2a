"""What all parts of one subscription share: its key, the cluster, the clock and metrics."""

from dataclasses import dataclass, field

from infisical_events.core.subscriptions import SubscriptionKey
from infisical_events.runtime.clock import Clock
from infisical_events.runtime.limits.fair_scheduling import CooperativeScheduler
from infisical_events.runtime.limits.restart_budget import RestartBudget
from infisical_events.runtime.metrics import Metrics
from infisical_events.runtime.ports import Cluster


@dataclass(frozen=True, kw_only=True, slots=True)
class SubscriptionContext:
    """One subscription and its surroundings.

    Attributes:
        key: Which object is served.
        cluster: The API server.
        clock: The wall clock.
        metrics: The metrics of the process.
        scheduler: Runs long computations in slices, fairly among namespaces.
        budget: The restarts of the process.
        installation: What tells this installation of the operator from another one in the cluster.
    """

    key: SubscriptionKey
    cluster: Cluster
    clock: Clock
    metrics: Metrics
    scheduler: CooperativeScheduler = field(default_factory=CooperativeScheduler)
    budget: RestartBudget = field(default_factory=RestartBudget)
    installation: str = ""
