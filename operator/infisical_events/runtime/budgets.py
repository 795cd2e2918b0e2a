"""How many restarts this process makes at all, so that a flapping secret cannot flood the cluster.

The bounds are the installation's: each replica has the part of them that it has of the shards.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

_MINUTE = 60.0


@dataclass(kw_only=True, slots=True)
class Budget:
    """Restarts per minute and workloads rolling out at a time, over all subscriptions; 0 is no bound.

    `share` is the part of them, up to 1, that is for this process; at least one restart is.
    """

    per_minute: int = 0
    most_rolling: int = 0
    share: Callable[[], float] = lambda: 1.0
    now: Callable[[], float] = lambda: asyncio.get_running_loop().time()
    _made: deque[float] = field(default_factory=deque)
    _rolling: dict[str, frozenset[str]] = field(default_factory=dict)

    def take(self, subscription: str, workload: str) -> bool:
        """Whether one more restart may be made now; then it counts, and as rolling until that is told."""
        while self._made and self._made[0] <= self.now() - _MINUTE:
            self._made.popleft()
        rolling = frozenset[str]().union(*self._rolling.values())
        if self.per_minute and len(self._made) >= self._part(self.per_minute):
            return False
        if self.most_rolling and workload not in rolling and len(rolling) >= self._part(self.most_rolling):
            return False
        self._made.append(self.now())
        self._rolling[subscription] = self._rolling.get(subscription, frozenset()) | {workload}
        return True

    def _part(self, bound: int) -> int:
        return max(1, int(bound * self.share()))

    def rolls(self, subscription: str, workloads: frozenset[str]) -> None:
        """Tell which workloads (by uid) of a subscription roll out now."""
        if workloads:
            self._rolling[subscription] = workloads
        else:
            self._rolling.pop(subscription, None)
