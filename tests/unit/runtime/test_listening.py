"""One stream is kept open: what it says becomes wakes, and how it ends decides when it is tried again."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from factories import a_spec, an_entry, an_event
from fakes import FakeCluster
from infisical_events.api.specs import Spec
from infisical_events.api.statuses import Condition, ConditionType
from infisical_events.core.events import NotUnderstood
from infisical_events.core.folders import Folder
from infisical_events.core.matching import selectors_of
from infisical_events.core.observations import Observation
from infisical_events.core.reasons import Reason
from infisical_events.core.scopes import Scope
from infisical_events.infisical.errors import InfisicalError, LoginError, StreamEndedError
from infisical_events.infisical.streaming import Hearing
from infisical_events.runtime.boards import Board
from infisical_events.runtime.listening import Listener
from infisical_events.runtime.metrics import Metrics
from infisical_events.runtime.reporting import Reporter
from infisical_events.runtime.wakes import Wakes
from virtual_time import in_virtual_time, virtual_now

END = StreamEndedError(Reason.STREAM_ENDED, "The stream ended.")


@dataclass(frozen=True)
class Stream:
    """A stream on which this is heard, and which ends like this after so many seconds."""

    hearings: tuple[Hearing, ...] = ()
    lasts: float = 1e9
    end: InfisicalError = END


@dataclass
class Streams:
    """An Infisical whose subscriptions end in these streams or refusals; the last one again and again."""

    given: list[Stream | InfisicalError]
    opened: list[float] = field(default_factory=list)

    async def login(self) -> None:
        """Not needed to listen."""

    async def project_id(self) -> str:
        """The project's id."""
        return "p"

    async def observe(self, scopes: tuple[Scope, ...]) -> Observation:
        """Nobody looks."""
        raise NotImplementedError

    async def is_gone(self, folder: Folder, key: str) -> bool:
        """Nobody asks."""
        raise NotImplementedError

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[AsyncIterator[Hearing]]:
        """The next one."""
        self.opened.append(asyncio.get_running_loop().time())
        given = self.given.pop(0) if len(self.given) > 1 else self.given[0]
        if isinstance(given, InfisicalError):
            raise given
        yield _heard(given)


async def _heard(stream: Stream) -> AsyncIterator[Hearing]:
    for hearing in stream.hearings:
        yield hearing
    await asyncio.sleep(stream.lasts)
    raise stream.end


class Listening:
    """A listener beside an Infisical that behaves as given."""

    def __init__(self, *given: Stream | InfisicalError, spec: Spec | None = None) -> None:
        cluster = FakeCluster()
        key = cluster.create_subscription("team", "app", {})
        self.cluster = cluster
        self.streams = Streams(list(given))
        self.board = Board({}, 1, virtual_now)
        self.wakes = Wakes(1.0)
        self.metrics = Metrics()
        self.listener = Listener(
            infisical=self.streams,
            selectors=selectors_of(spec or a_spec()),
            wakes=self.wakes,
            reporter=Reporter(cluster, key, self.board),
            metrics=self.metrics,
            clock=virtual_now,
            life=1e12,  # what replaces a stream is tested beside `relaying`
        )

    async def for_seconds(self, seconds: float) -> None:
        """Listen for a while."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.listener.run(), seconds)

    def condition(self, kind: ConditionType) -> Condition:
        """What is said of the stream or the login."""
        return next(condition for condition in self.board.conditions if condition.type is kind)


def pauses(moments: Iterable[float]) -> list[float]:
    """The times in between."""
    return [later - earlier for earlier, later in pairwise(moments)]


# -- what is heard ------------------------------------------------------------------------------------


@in_virtual_time
async def test_connect_is_a_reason_to_look() -> None:
    """An open stream is told as a condition, and what happened before it is looked for."""
    world = Listening(Stream())
    listening = asyncio.create_task(world.for_seconds(10.0))
    await asyncio.sleep(1.0)
    assert world.condition(ConditionType.STREAMING).reason == "Connected"
    assert world.wakes.is_rung
    assert world.wakes.take() == ()
    await listening


@in_virtual_time
async def test_selected_event() -> None:
    """An event that the spec selects is a reason to look, and kept for the look."""
    event = an_event("secret:update", "/a", "K")
    world = Listening(Stream((event,)))
    await world.for_seconds(1.0)
    [heard] = world.wakes.take()
    assert heard.event == event
    assert world.board.snapshot().counters.events_matched == 1


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (an_event("secret:delete", "/a", "K"), Reason.EVENT_TYPE_NOT_SELECTED),
        (an_event("secret:update", "/b", "K"), Reason.PATH_NOT_SELECTED),
        (an_event("secret:update", "/a", "OTHER"), Reason.KEYS_NOT_SELECTED),
    ],
)
@in_virtual_time
async def test_event_that_is_not_selected(event: Hearing, reason: Reason) -> None:
    """An event that the spec does not select is counted, told as skipped, and kept from the look."""
    spec = a_spec(an_entry("secret:update", "prod", "/a", "K*"))
    world = Listening(Stream((event,)), spec=spec)
    await world.for_seconds(1.0)
    status = world.board.snapshot()
    assert status.last_skip is not None
    assert status.last_skip.reason == reason
    assert (status.counters.events_received, status.counters.events_matched) == (1, 0)
    assert world.wakes.take() == ()


@in_virtual_time
async def test_not_understood_is_a_reason_to_look() -> None:
    """What was not understood may have been a change: the state is looked at."""
    world = Listening(Stream((NotUnderstood("the data is not JSON"),)))
    world.wakes.take()
    await world.for_seconds(1.0)
    assert world.wakes.is_rung
    assert world.wakes.take() == ()


# -- when it is tried again ---------------------------------------------------------------------------


@in_virtual_time
async def test_healthy_stream_is_opened_again_at_once() -> None:
    """A stream that the server ends after its hour is back within half a second, each time."""
    world = Listening(Stream(lasts=3600.0))
    await world.for_seconds(100 * 3601.0)
    assert len(world.streams.opened) > 99
    assert max(pauses(world.streams.opened)) <= 3600.5
    assert world.board.snapshot().stream.blind_seconds < 100


@in_virtual_time
async def test_stream_that_dies_young_is_no_hot_loop() -> None:
    """A server that ends each stream at once is not asked for another one without end."""
    world = Listening(Stream(lasts=0.0))
    await world.for_seconds(600.0)
    assert len(world.streams.opened) < 100
    assert max(pauses(world.streams.opened)) <= 30.0


@in_virtual_time
async def test_server_that_is_away() -> None:
    """A server that is away for a day is tried at least twice a minute, and heard again when it is back."""
    away = InfisicalError(Reason.UNREACHABLE, "No answer.")
    world = Listening(*[away] * 100, Stream())
    await world.for_seconds(86_400.0)
    assert max(pauses(world.streams.opened)) <= 30.0
    assert len(world.streams.opened) == 101


@pytest.mark.parametrize(
    ("error", "at_least"),
    [
        (InfisicalError(Reason.PLAN_LACKS_EVENT_SUBSCRIPTIONS, "No plan."), 300.0),
        (InfisicalError(Reason.CONNECTION_LIMIT_REACHED, "Too many."), 60.0),
        (InfisicalError(Reason.RATE_LIMITED, "Slow down.", 17.0), 17.0),
        (LoginError(Reason.CREDENTIALS_REFUSED, "Refused.", 60.0), 60.0),
    ],
)
@in_virtual_time
async def test_pace_fits_the_reason(error: InfisicalError, at_least: float) -> None:
    """What a person has to mend, or what the server wants to wait for, is waited for, and not given up."""
    world = Listening(error)
    await world.for_seconds(3600.0)
    assert at_least <= min(pauses(world.streams.opened))
    assert max(pauses(world.streams.opened)) <= at_least + 30.0


@in_virtual_time
async def test_subscriptions_do_not_retry_in_step() -> None:
    """A hundred streams that a server loses at once do not come back at once."""
    worlds = [Listening(Stream(lasts=100.0), Stream()) for _ in range(100)]
    await asyncio.gather(*(world.for_seconds(200.0) for world in worlds))
    moments = {world.streams.opened[1] for world in worlds}
    assert len(moments) > 90


# -- what is told -------------------------------------------------------------------------------------


@in_virtual_time
async def test_end_is_told() -> None:
    """A stream that ended is a condition; one that cannot be had is an Event; the blind time counts."""
    world = Listening(Stream(lasts=10.0), InfisicalError(Reason.UNREACHABLE, "No answer."))
    await world.for_seconds(100.0)
    assert world.condition(ConditionType.STREAMING).reason == "Unreachable"
    assert [notice.reason for notice in world.cluster.notices] == ["Unreachable"]
    assert world.board.snapshot().stream.blind_seconds >= 89
    assert world.board.snapshot().stream.connected_since is None


@in_virtual_time
async def test_refused_login_is_told_as_such() -> None:
    """Without a login the stream says where to look, and the login says what is wrong."""
    world = Listening(LoginError(Reason.CREDENTIALS_REFUSED, "Refused.", 60.0))
    await world.for_seconds(10.0)
    assert world.condition(ConditionType.AUTHENTICATED).message == "Refused."
    assert "see condition Authenticated" in world.condition(ConditionType.STREAMING).message


@in_virtual_time
async def test_metrics_follow() -> None:
    """The gauge is 1 while the stream is open and 0 after it."""
    world = Listening(Stream(lasts=10.0), InfisicalError(Reason.UNREACHABLE, "No answer."))
    listening = asyncio.create_task(world.for_seconds(100.0))
    await asyncio.sleep(5.0)
    assert b'stream_connected{namespace="team",subscription="app"} 1.0' in world.metrics.render()
    await listening
    assert b'stream_connected{namespace="team",subscription="app"} 0.0' in world.metrics.render()
