"""Which faults happen, how often and until when; drawn from the history's own random numbers."""

import asyncio
import random
from collections.abc import Mapping


class Crash(BaseException):
    """The process dies here: no handler of the program may see it, so it is no Exception."""


class Faults:
    """Rates between 0 and 1 by name, all 0 until set."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._rates: Mapping[str, float] = {}
        self.injected: list[tuple[float, str]] = []

    def set(self, rates: Mapping[str, float]) -> None:
        """Set the rates from now on."""
        self._rates = rates

    def injects(self, name: str) -> bool:
        """Whether this fault is injected here."""
        rate = self._rates.get(name, 0.0)
        happens = rate > 0 and self._rng.random() < rate
        if happens:
            self.injected.append((asyncio.get_running_loop().time(), name))
        return happens

    def latency(self) -> float:
        """Seconds that a call takes."""
        return self._rng.uniform(0, 5.0) if self.injects("slow_call") else self._rng.uniform(0.001, 0.03)

    async def crash_point(self, where: str) -> None:
        """A line at which the process may die."""
        if self.injects("crash"):
            raise Crash(where)


class Calm(Faults):
    """No fault, and no call takes time: the writes do not depend on the order of calls."""

    def set(self, rates: Mapping[str, float]) -> None:
        """Ignore the rates: no fault is injected."""

    def latency(self) -> float:
        """No time at all."""
        return 0.0


class Placed(Faults):
    """Faults at chosen places: every question "does it go wrong here?" has a number, in order.

    Attributes:
        asked: How many questions were asked before `until` seconds.
    """

    def __init__(self, places: frozenset[int], until: float) -> None:
        super().__init__(random.Random(0))  # noqa: S311 - a simulation
        self._places = places
        self._until = until
        self.asked = 0

    def injects(self, name: str) -> bool:
        """Whether this is one of the places."""
        now = asyncio.get_running_loop().time()
        if now > self._until:
            return False
        self.asked += 1
        if self.asked - 1 not in self._places:
            return False
        self.injected.append((now, name))
        return True
