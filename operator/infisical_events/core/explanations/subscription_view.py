"""One subscription as it is stored: its spec, its status and its ledger, as far as they can be read."""

from dataclasses import dataclass, field
from datetime import timedelta

from infisical_events.api.specs import Spec, parse_spec
from infisical_events.api.statuses import Condition, ConditionType, Status, WorkloadStatus, parse_status
from infisical_events.core.ledger.codec import readable_ledger
from infisical_events.core.ledger.ledger import Ledger
from infisical_events.core.restarts.planner import RestartPolicy
from infisical_events.core.snapshots.selectors import Selector, selectors_of
from infisical_events.core.subscriptions import StoredSubscription, SubscriptionKey


@dataclass(frozen=True, slots=True)
class SubscriptionView:
    """What the API server stores of one subscription.

    Attributes:
        key: Which object.
        generation: Of its spec.
        spec: None if it is invalid; `spec_error` says why.
        spec_error: As a sentence for people.
        selectors: One for each entry of `spec.events`.
        status: As of its last write.
        ledger: None if there is none yet, or if it cannot be read.
    """

    key: SubscriptionKey
    generation: int = 1
    spec: Spec | None = None
    spec_error: str = ""
    selectors: tuple[Selector, ...] = ()
    status: Status = field(default_factory=Status)
    ledger: Ledger | None = None

    @property
    def name(self) -> str:
        """Its name in its namespace."""
        return self.key.name

    @property
    def policy(self) -> RestartPolicy:
        """What the spec says about restarts."""
        spec = self.spec
        if spec is None:
            return RestartPolicy()
        cooldown = timedelta(seconds=spec.cooldown_seconds)
        return RestartPolicy(spec.action, cooldown, spec.resync.on_timeout)

    def condition(self, kind: ConditionType) -> Condition | None:
        """One of its conditions; None if it does not have it."""
        return next((each for each in self.status.conditions if each.type is kind), None)

    def workload(self, kind: str, name: str) -> WorkloadStatus | None:
        """What the status says of a workload; None if it says nothing."""
        statuses = self.status.workloads
        return next((each for each in statuses if (each.kind, each.name) == (kind, name)), None)


def subscription_view_of(key: SubscriptionKey, stored: StoredSubscription) -> SubscriptionView:
    """Read a stored subscription; what is unreadable is left out, or is an error of the spec."""
    status = parse_status(stored.status)
    try:
        spec = parse_spec(stored.spec)
        selectors = selectors_of(spec)
    except ValueError as error:
        return SubscriptionView(key, stored.generation, spec_error=str(error), status=status)
    return SubscriptionView(
        key=key,
        generation=stored.generation,
        spec=spec,
        selectors=selectors,
        status=status,
        ledger=readable_ledger(stored.status),
    )
