"""How many restarts this process makes at all, so that a flapping secret cannot flood the cluster.

No namespace takes all: one may have three for each that it leaves free. A single one comes to three
quarters so, two to three sevenths each, and something is left for who comes anew. The bounds are the
installation's: each replica has the part of them that it has of the shards.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

_MINUTE = 60.0
_SHARE = 3
"""How many a namespace may have for each that is free."""


@dataclass(kw_only=True, slots=True)
class RestartBudget:
    """Restarts per minute and workloads rolling out at a time, over all subscriptions; 0 is no bound.

    `is_shared` tells whether several namespaces have to get along; `share` is the part of the bounds, up
    to 1, that is for this process: at least one restart is.
    """

    per_minute: int = 0
    most_rolling: int = 0
    is_shared: bool = True
    share: Callable[[], float] = lambda: 1.0
    now: Callable[[], float] = lambda: asyncio.get_running_loop().time()
    _made: deque[tuple[float, str]] = field(default_factory=deque)
    _rolling: dict[str, frozenset[str]] = field(default_factory=dict)

    def try_acquire(self, subscription: str, workload: str) -> bool:
        """Whether one more restart may be made now; then it counts, and as rolling until that is told."""
        while self._made and self._made[0][0] <= self.now() - _MINUTE:
            self._made.popleft()
        namespace = _namespace_of(subscription)
        made = sum(maker == namespace for _, maker in self._made)
        if self.per_minute and not self._admits(made, self._part(self.per_minute) - len(self._made)):
            return False
        if self.most_rolling and not self._may_roll(namespace, workload):
            return False
        self._made.append((self.now(), namespace))
        self._rolling[subscription] = self._rolling.get(subscription, frozenset()) | {workload}
        return True

    def set_rolling(self, subscription: str, workloads: frozenset[str]) -> None:
        """Tell which workloads (by uid) of a subscription roll out now."""
        if workloads:
            self._rolling[subscription] = workloads
        else:
            self._rolling.pop(subscription, None)

    def _may_roll(self, namespace: str, workload: str) -> bool:
        everywhere = frozenset[str]().union(*self._rolling.values())
        own = (found for name, found in self._rolling.items() if _namespace_of(name) == namespace)
        here = frozenset[str]().union(*own)
        return workload in everywhere or self._admits(
            len(here), self._part(self.most_rolling) - len(everywhere)
        )

    def _part(self, bound: int) -> int:
        return max(1, int(bound * self.share()))

    def _admits(self, own: int, free: int) -> bool:
        return free > 0 and (not self.is_shared or own < _SHARE * free)


def _namespace_of(subscription: str) -> str:
    return subscription.partition("/")[0]
