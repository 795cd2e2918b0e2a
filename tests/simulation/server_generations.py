"""Infisical servers of several generations, upgraded or rolled back while the operator reads them.

`generation_session` sends the requests of the operator's real session here. What differs by generation is
that of `infisical_sandbox.server.domain.generations`, and one generation more: `old` is a server from before
the Events API, which has neither that route nor the newer ones of lists, folders and projects. The operator
supports it by its older routes.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from infisical_sandbox.server.domain.generations import BY_NAME, E3, Generation

if TYPE_CHECKING:
    from simulation.infisical_model import InfisicalModel

OLD = "old"

_BUS_LOSS = 0.5
"""The share of events that do not reach a stream while replicas of two generations share the bus."""


@dataclass(frozen=True, slots=True)
class ServerGeneration:
    """What a client meets of a generation; `contract` is that of the local Infisical."""

    name: str
    contract: Generation
    is_old: bool = False

    @property
    def has_events(self) -> bool:
        """Whether it has the Events API."""
        return not self.is_old


GENERATIONS: Mapping[str, ServerGeneration] = {
    OLD: ServerGeneration(OLD, E3, is_old=True),
    **{name: ServerGeneration(name, contract) for name, contract in BY_NAME.items()},
}
"""By name: `old`, `e3`, `e4`, `go`."""


OF_LINE = ("starting", "mesh", "gateway", "backend")
"""Troubles in which something in between answers every request of a replica."""

OF_SERVER = ("membership", "describe", "role", "plan", "request")
"""Troubles in which Infisical itself refuses: the permissions, the plan or the identity are not migrated."""

TROUBLES = ("", "unrouted", "port", *OF_LINE, *OF_SERVER)
"""What goes wrong with the replicas of a new generation for a while.

With `unrouted` their web framework does not have its routes yet; with `port` the load balancer sends
subscribe requests to the Go port, whose router does not have the route.
"""


@dataclass(frozen=True, slots=True)
class Said:
    """What a replica answered other than its data: a trouble, `no route`, `token` or `missing`."""

    at: float
    what: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """A time in which all replicas have one trouble."""

    what: str
    since: float
    until: float


@dataclass(slots=True)
class OpenStream:
    """The generation of the replica that serves a stream, and how to end it."""

    generation: ServerGeneration
    end: Callable[[], None]


@dataclass(slots=True)
class Servers:
    """The replicas behind one address: of one generation or, during an upgrade, of two.

    Attributes:
        current: The newer generation, and the only one outside of a rolling upgrade.
        whole_since: Since when, at last, all replicas have one generation and no trouble.
        said: Everything that was answered other than with data.
        troubles: The times in which no replica is without a trouble.
    """

    infisical: "InfisicalModel"
    current: ServerGeneration
    rng: random.Random
    whole_since: float = 0.0
    said: list[Said] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    streams: list[OpenStream] = field(default_factory=list)
    _former: ServerGeneration | None = None
    _mixed_until: float = 0.0
    _trouble: str = ""
    _trouble_until: float = 0.0

    def upgrade(self, name: str, mixed: float, trouble: str, seconds: float) -> None:
        """Replace the replicas by those of another generation, also by those of an older one.

        For `mixed` seconds replicas of both answer alternately. For `seconds` the new ones have a trouble.
        """
        now = _now()
        self._former, self.current = self.current, GENERATIONS[name]
        self._mixed_until = now + mixed
        self._trouble, self._trouble_until = trouble, now + seconds
        if self.troubles and self.troubles[-1].until > now:
            self.troubles[-1] = replace(self.troubles[-1], until=now)
        self.troubles.append(Trouble(trouble, now + mixed, now + seconds))
        self.whole_since = max(self.whole_since, now + max(mixed, seconds if trouble else 0.0))
        asyncio.get_running_loop().call_later(mixed, self._end_streams_of_others, self.current)

    @property
    def is_mixed(self) -> bool:
        """Whether replicas of two generations answer now."""
        return _now() < self._mixed_until

    def picked(self) -> ServerGeneration:
        """The generation of the replica that gets the next request."""
        if self._former is not None and self.is_mixed and self.rng.random() < 0.5:
            return self._former
        return self.current

    def trouble_of(self, generation: ServerGeneration) -> str:
        """What is wrong with the replicas of this generation now."""
        is_new = generation is self.current or not self.is_mixed
        return self._trouble if is_new and _now() < self._trouble_until else ""

    def note(self, what: str) -> None:
        """An answer that is no data."""
        self.said.append(Said(_now(), what))

    def loses_event(self) -> bool:
        """Whether an event does not reach a stream: replicas drop what another generation published."""
        return self.is_mixed and self.rng.random() < _BUS_LOSS

    def _end_streams_of_others(self, generation: ServerGeneration) -> None:
        for stream in tuple(self.streams):
            if stream.generation is not generation and self.current is generation:
                stream.end()


def _now() -> float:
    return asyncio.get_running_loop().time()
