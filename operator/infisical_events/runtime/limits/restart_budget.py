"""Bounds the restarts of this process, so that a flapping secret cannot flood the cluster.

No namespace uses up the budget: it may use three restarts for each one that it leaves free. A single
namespace thus gets at most three quarters, two namespaces get three sevenths each, and a further one
finds some left. The bounds apply to the installation: each replica has the share of the budget that it
has of the shards.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from infisical_events.core.subscriptions import SubscriptionKey

_MINUTE = 60.0
_SHARE = 3
"""Restarts that a namespace may use for each one that is free."""


@dataclass(frozen=True, slots=True)
class _Made:
    moment: float
    namespace: str
    workload: str


@dataclass(frozen=True, slots=True)
class BudgetUsage:
    """What of one bound is used in this process; a limit of 0 is no bound."""

    used: int
    limit: int


@dataclass(kw_only=True, slots=True)
class RestartBudget:
    """Restarts per minute and workloads rolling out at a time, over all subscriptions; 0 is no bound.

    `is_shared` says whether several namespaces share the budget; `share` is the part of the bounds, up to
    1, that this process may use: at least one restart. `now` is a clock in seconds.
    """

    per_minute: int = 0
    most_rolling: int = 0
    is_shared: bool = True
    share: Callable[[], float] = lambda: 1.0
    now: Callable[[], float] = lambda: asyncio.get_running_loop().time()
    _made: deque[_Made] = field(default_factory=deque)
    _rolling: dict[SubscriptionKey, frozenset[str]] = field(default_factory=dict)

    def try_acquire(self, subscription: SubscriptionKey, workload: str) -> bool:
        """Whether one more restart may be made now; it then counts, and as rolling until `set_rolling`."""
        self._forget_old()
        namespace = subscription.namespace
        made = sum(each.namespace == namespace for each in self._made)
        if self.per_minute and not self._admits(made, self._part(self.per_minute) - len(self._made)):
            return False
        if self.most_rolling and not self._may_roll(namespace, workload):
            return False
        self._made.append(_Made(self.now(), namespace, workload))
        self._rolling[subscription] = self._rolling.get(subscription, frozenset()) | {workload}
        return True

    def restarted_since(self, moment: float) -> frozenset[str]:
        """The workloads (by uid) that this process tried to restart since a moment of the last minute."""
        return frozenset(each.workload for each in self._made if each.moment >= moment)

    def set_rolling(self, subscription: SubscriptionKey, workloads: frozenset[str]) -> None:
        """Replace the workloads (by uid) of a subscription that roll out now."""
        if workloads:
            self._rolling[subscription] = workloads
        else:
            self._rolling.pop(subscription, None)

    @property
    def restarts(self) -> BudgetUsage:
        """The restarts of the last minute, and this process's part of the bound."""
        self._forget_old()
        return BudgetUsage(len(self._made), self.per_minute and self._part(self.per_minute))

    @property
    def rollouts(self) -> BudgetUsage:
        """The workloads that roll out now, and this process's part of the bound."""
        rolling = frozenset[str]().union(*self._rolling.values())
        return BudgetUsage(len(rolling), self.most_rolling and self._part(self.most_rolling))

    def _forget_old(self) -> None:
        while self._made and self._made[0].moment <= self.now() - _MINUTE:
            self._made.popleft()

    def _may_roll(self, namespace: str, workload: str) -> bool:
        everywhere = frozenset[str]().union(*self._rolling.values())
        own = (found for key, found in self._rolling.items() if key.namespace == namespace)
        here = frozenset[str]().union(*own)
        return workload in everywhere or self._admits(
            len(here), self._part(self.most_rolling) - len(everywhere)
        )

    def _part(self, bound: int) -> int:
        return max(1, int(bound * self.share()))

    def _admits(self, own: int, free: int) -> bool:
        return free > 0 and (not self.is_shared or own < _SHARE * free)
