"""What the process gives to every subscription that it serves."""

from dataclasses import dataclass, field

from infisical_events.core.egress.address_allowlist import EgressPolicy
from infisical_events.core.subscriptions import SubscriptionKey
from infisical_events.core.sync.value_digests import DigestKeySource
from infisical_events.runtime.clock import Clock
from infisical_events.runtime.limits.fair_scheduling import CooperativeScheduler
from infisical_events.runtime.limits.namespace_slots import NamespaceSlots
from infisical_events.runtime.limits.quarantine import Quarantine
from infisical_events.runtime.limits.reconnect_limiter import ReconnectLimiters
from infisical_events.runtime.limits.restart_budget import RestartBudget
from infisical_events.runtime.metrics import Metrics
from infisical_events.runtime.ports import Cluster, InfisicalOpener
from infisical_events.runtime.subscription_context import SubscriptionContext


@dataclass(frozen=True, kw_only=True, slots=True)
class Dependencies:
    """The systems outside, the configuration of the process, and the limits that subscriptions share."""

    cluster: Cluster
    open_infisical: InfisicalOpener
    clock: Clock
    metrics: Metrics
    default_address: str
    egress: EgressPolicy
    digest_key: DigestKeySource
    installation: str = ""
    budget: RestartBudget = field(default_factory=RestartBudget)
    reconnect_limiters: ReconnectLimiters = field(default_factory=ReconnectLimiters)
    namespace_slots: NamespaceSlots = field(default_factory=NamespaceSlots)
    scheduler: CooperativeScheduler = field(default_factory=CooperativeScheduler)
    quarantine: Quarantine = field(default_factory=Quarantine)

    def context_of(self, key: SubscriptionKey) -> SubscriptionContext:
        """The context of one subscription."""
        return SubscriptionContext(
            key=key,
            cluster=self.cluster,
            clock=self.clock,
            metrics=self.metrics,
            scheduler=self.scheduler,
            budget=self.budget,
            installation=self.installation,
        )
