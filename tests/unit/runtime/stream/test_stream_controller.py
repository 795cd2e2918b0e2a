"""One stream is kept open: what it says becomes wakes, and how it ends decides when it is tried again."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from itertools import pairwise

import pytest

from infisical_events.api.specs import Spec
from infisical_events.api.statuses import Condition, ConditionType
from infisical_events.core.snapshots.events import UnrecognizedFrame
from infisical_events.core.snapshots.selectors import selectors_of
from infisical_events.core.status.reasons import Reason
from infisical_events.infisical.event_stream import StreamItem
from infisical_events.infisical.infisical_errors import (
    InfisicalError,
    LoginError,
    StreamEndedError,
    StreamGivenUpError,
    StreamRefusedError,
)
from infisical_events.runtime.limits.reconnect_limiter import ReconnectLimiter
from infisical_events.runtime.metrics import Metrics
from infisical_events.runtime.status.reporter import Reporter
from infisical_events.runtime.status.status_builder import StatusBuilder
from infisical_events.runtime.stream.stream_controller import StreamController
from infisical_events.runtime.triggers import Trigger, TriggerQueue
from support.builders import a_spec, an_entry, an_event
from support.fake_cluster import FakeCluster, a_context
from support.fake_infisical import FakeInfisical, Stream
from support.virtual_time import EPOCH, in_virtual_time, virtual_now

END = StreamEndedError(Reason.STREAM_ENDED, "The stream ended.")


class Listening:
    """A listener beside an Infisical that behaves as given."""

    def __init__(
        self,
        *given: Stream | InfisicalError,
        spec: Spec | None = None,
        limiter: ReconnectLimiter | None = None,
        life: float = 1e12,
    ) -> None:
        cluster = FakeCluster()
        key = cluster.create_subscription("team", "app", {})
        self.cluster = cluster
        self.infisical = FakeInfisical(streams=given)
        self.status = StatusBuilder({}, 1, virtual_now)
        self.triggers = TriggerQueue(0.0)
        self.metrics = Metrics()
        context = a_context(cluster, key, metrics=self.metrics)
        self.listener = StreamController(
            context=context,
            infisical=self.infisical,
            selectors=selectors_of(spec or a_spec()),
            triggers=self.triggers,
            reporter=Reporter(context, self.status),
            limiter=limiter or ReconnectLimiter(),
            life=life,  # as long as it is endless, nothing replaces a stream
        )

    async def for_seconds(self, seconds: float) -> None:
        """Listen for a while."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.listener.run(), seconds)

    def condition(self, kind: ConditionType) -> Condition:
        """What is said of the stream or the login."""
        return next(condition for condition in self.status.conditions if condition.type is kind)


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
    assert await world.triggers.get(0.0) == Trigger(is_new=True, is_full=True)
    await listening


@in_virtual_time
async def test_selected_event() -> None:
    """An event that the spec selects is a reason to look, and kept for the look."""
    event = an_event("secret:update", "/a", "K")
    world = Listening(Stream((event,)))
    await world.for_seconds(1.0)
    [received] = (await world.triggers.get(0.0)).events
    assert received.event == event
    assert world.status.render().counters.events_matched == 1


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (an_event("secret:delete", "/a", "K"), Reason.EVENT_TYPE_NOT_SELECTED),
        (an_event("secret:update", "/b", "K"), Reason.PATH_NOT_SELECTED),
        (an_event("secret:update", "/a", "OTHER"), Reason.KEYS_NOT_SELECTED),
    ],
)
@in_virtual_time
async def test_event_that_is_not_selected(event: StreamItem, reason: Reason) -> None:
    """An event that the spec does not select is counted, told as skipped, and kept from the look."""
    spec = a_spec(an_entry("secret:update", "prod", "/a", "K*"))
    world = Listening(Stream((event,)), spec=spec)
    await world.for_seconds(1.0)
    status = world.status.render()
    assert status.last_skip is not None
    assert status.last_skip.reason == reason
    assert (status.counters.events_received, status.counters.events_matched) == (1, 0)
    assert (await world.triggers.get(0.0)).events == ()


@in_virtual_time
async def test_not_understood_is_a_reason_to_look() -> None:
    """What was not understood may have been a change: the state is looked at."""
    world = Listening(Stream((UnrecognizedFrame("the data is not JSON"),)))
    await world.triggers.get(0.0)
    await world.for_seconds(1.0)
    assert await world.triggers.get(0.0) == Trigger(is_new=True, is_full=True)


# -- when it is tried again ---------------------------------------------------------------------------


@in_virtual_time
async def test_healthy_stream_is_opened_again_at_once() -> None:
    """A stream that the server ends after its hour is back within half a second, each time."""
    world = Listening(Stream(lasts=3600.0))
    await world.for_seconds(100 * 3601.0)
    assert len(world.infisical.attempts) > 99
    assert max(pauses(world.infisical.attempts)) <= 3600.5
    assert world.status.render().stream.blind_seconds < 100


@in_virtual_time
async def test_stream_that_dies_young_is_no_hot_loop() -> None:
    """A server that ends each stream at once is not asked for another one without end."""
    world = Listening(Stream(lasts=0.0))
    await world.for_seconds(600.0)
    assert len(world.infisical.attempts) < 100
    assert max(pauses(world.infisical.attempts)) <= 30.0


@pytest.mark.parametrize(
    "reason", [Reason.UNREACHABLE, Reason.NAME_NOT_RESOLVED, Reason.SERVER_ERROR, Reason.TOKEN_REJECTED]
)
@in_virtual_time
async def test_server_that_is_away(reason: Reason) -> None:
    """A server that is away for a day is tried at least twice a minute, and heard again when it is back."""
    away = InfisicalError(reason, "No answer.")
    world = Listening(*[away] * 100, Stream())
    await world.for_seconds(86_400.0)
    assert max(pauses(world.infisical.attempts)) <= 30.0
    assert len(world.infisical.attempts) == 101


@pytest.mark.parametrize(
    ("error", "at_least"),
    [
        (InfisicalError(Reason.PLAN_LACKS_EVENT_SUBSCRIPTIONS, "No plan."), 300.0),
        (InfisicalError(Reason.EVENTS_NOT_SUPPORTED, "Too old."), 300.0),
        (InfisicalError(Reason.CONNECTION_LIMIT_REACHED, "Too many."), 60.0),
        (InfisicalError(Reason.PERMISSION_DENIED, "No right."), 60.0),
        (InfisicalError(Reason.PROJECT_NOT_FOUND, "No project."), 60.0),
        (InfisicalError(Reason.REQUEST_REJECTED, "Required."), 60.0),
        (InfisicalError(Reason.TLS_FAILED, "No trust."), 30.0),
        (InfisicalError(Reason.UNEXPECTED_RESPONSE, "A page."), 30.0),
        (InfisicalError(Reason.RATE_LIMITED, "Slow down.", 17.0), 17.0),
        (LoginError(Reason.CREDENTIALS_REJECTED, "Refused.", 60.0), 60.0),
    ],
)
@in_virtual_time
async def test_pace_fits_the_reason(error: InfisicalError, at_least: float) -> None:
    """What a person has to mend, or what the server wants to wait for, is waited for, and not given up."""
    world = Listening(error)
    await world.for_seconds(3600.0)
    assert at_least <= min(pauses(world.infisical.attempts))
    assert max(pauses(world.infisical.attempts)) <= at_least + 30.0


@in_virtual_time
async def test_subscriptions_do_not_retry_in_step() -> None:
    """A hundred streams that a server loses at once do not come back at once."""
    worlds = [Listening(Stream(lasts=100.0), Stream()) for _ in range(100)]
    await asyncio.gather(*(world.for_seconds(200.0) for world in worlds))
    moments = {world.infisical.attempts[1] for world in worlds}
    assert len(moments) > 90


FIVE_SECONDS = Stream(lasts=5.0)


def blind_seconds(world: Listening, lasts: float) -> list[float]:
    """For each time without any open stream, how long it was."""
    opened = world.infisical.attempts
    ends = [moment + lasts for moment in opened]
    return [max(0.0, later - max(ends[: n + 1])) for n, later in enumerate(opened[1:])]


@in_virtual_time
async def test_server_that_ends_streams_after_five_seconds() -> None:
    """After two ends at one age the next streams are replaced before it: no blind second for two minutes."""
    world = Listening(FIVE_SECONDS, life=3000.0)
    await world.for_seconds(120.0)
    first, second, *others = blind_seconds(world, 5.0)
    assert max(first, second) <= 0.5
    assert max(others) == 0.0
    assert len(world.infisical.attempts) <= 2 + 110 / 3.2


@in_virtual_time
async def test_proxy_that_is_mended() -> None:
    """An hour after a proxy stopped to cut streams, they live as long as ever."""
    world = Listening(*[Stream(lasts=60.0)] * 5, Stream(), life=3000.0)
    await world.for_seconds(3 * 86_400.0)
    assert [pause for pause in pauses(world.infisical.attempts[-50:]) if pause < 2400.0] == []


@in_virtual_time
async def test_short_lives_are_no_reason_to_look() -> None:
    """However often streams are replaced in time, the state is looked at for that once a minute at most."""
    world = Listening(FIVE_SECONDS, life=3000.0)
    rung = 0

    async def read_result() -> None:
        nonlocal rung
        while True:
            await asyncio.sleep(0.1)
            rung += (await world.triggers.get(0.0)).is_new

    looking = asyncio.create_task(read_result())
    await world.for_seconds(600.0)
    looking.cancel()
    assert 10 <= rung <= 14


@pytest.mark.parametrize(
    "end",
    [
        StreamRefusedError(Reason.STREAM_ENDED, "The permission was withdrawn."),
        StreamGivenUpError(Reason.STREAM_ENDED, "Nothing was heard."),
    ],
)
@in_virtual_time
async def test_ends_that_teach_nothing(end: InfisicalError) -> None:
    """That the server withdrew a permission, or fell silent, says nothing of how old streams get."""
    world = Listening(Stream(lasts=45.0, end=end), life=3000.0)
    await world.for_seconds(600.0)
    assert min(pauses(world.infisical.attempts)) >= 45.0


@in_virtual_time
async def test_permission_that_is_lost_at_each_check() -> None:
    """A role that may subscribe and then fails at the server's check is not asked for in a hot loop."""
    refusal = StreamRefusedError(Reason.STREAM_ENDED, "The permission was withdrawn.")
    world = Listening(Stream(lasts=1.0, end=refusal))
    await world.for_seconds(3600.0)
    assert len(world.infisical.attempts) < 400
    assert max(pauses(world.infisical.attempts)) <= 31.0


@in_virtual_time
async def test_permission_that_could_not_be_checked_once() -> None:
    """After a single failure of the server's check the stream is back within half a second."""
    refusal = StreamRefusedError(Reason.STREAM_ENDED, "The permission could not be checked.")
    world = Listening(Stream(lasts=300.0, end=refusal), Stream())
    await world.for_seconds(600.0)
    assert max(pauses(world.infisical.attempts)) <= 300.5


# -- many subscriptions of one address ----------------------------------------------------------------

AWAY = InfisicalError(Reason.UNREACHABLE, "No answer.")


def outage(
    limiter: ReconnectLimiter, until: float, *, count: int, error: InfisicalError = AWAY
) -> list[Listening]:
    """Subscriptions of a server that is away until then."""
    worlds = [Listening(Stream(), limiter=limiter) for _ in range(count)]
    for world in worlds:
        world.infisical.fail("stream", error, until)
    return worlds


def back_after(worlds: list[Listening], until: float) -> list[float]:
    """How many seconds after its return each has its stream, in order."""
    return sorted(world.infisical.attempts[-1] - until for world in worlds)


@pytest.mark.parametrize("reason", [Reason.UNREACHABLE, Reason.SERVER_ERROR, Reason.NAME_NOT_RESOLVED])
@in_virtual_time
async def test_server_is_back(reason: Reason) -> None:
    """Three hundred streams to a server that was away are back within eight seconds, without a herd."""
    worlds = outage(ReconnectLimiter(), 100.0, count=300, error=InfisicalError(reason, "Away."))
    await asyncio.gather(*(world.for_seconds(150.0) for world in worlds))
    moments = back_after(worlds, 100.0)
    assert moments[0] >= 0.0
    assert moments[-1] <= 8.0
    assert max(sum(begin <= moment < begin + 1.0 for moment in moments) for begin in moments) <= 100


@in_virtual_time
async def test_one_of_two_is_back() -> None:
    """As soon as one subscription has a stream that lives, the other does not sit out its own pause."""
    for _ in range(20):
        begun = asyncio.get_running_loop().time()
        worlds = outage(ReconnectLimiter(), begun + 500.0, count=2)
        await asyncio.gather(*(world.for_seconds(600.0) for world in worlds))
        first, second = back_after(worlds, begun + 500.0)
        assert second - first <= 2.5


@pytest.mark.parametrize(
    "error",
    [
        InfisicalError(Reason.PLAN_LACKS_EVENT_SUBSCRIPTIONS, "No plan."),
        InfisicalError(Reason.PERMISSION_DENIED, "No right."),
        InfisicalError(Reason.TLS_FAILED, "No trust."),
        InfisicalError(Reason.RATE_LIMITED, "Slow down.", 120.0),
        InfisicalError(Reason.SERVER_ERROR, "Busy.", 120.0),
    ],
)
@in_virtual_time
async def test_not_let_go(error: InfisicalError) -> None:
    """What a person has to mend, or what a server asked to wait for, is waited for, whoever is back."""
    limiter = ReconnectLimiter()
    refused, others = Listening(error, limiter=limiter), outage(limiter, 10.0, count=5)
    alone = Listening(error)
    await asyncio.gather(*(world.for_seconds(100.0) for world in (refused, alone, *others)))
    assert len(others[0].infisical.attempts) > 1
    assert min([*pauses(refused.infisical.attempts), 100.0]) >= 30.0


@in_virtual_time
async def test_fifty_outages_leave_nothing() -> None:
    """After fifty deaths and returns of a server there are as many tasks and series as after the first."""
    silent = StreamGivenUpError(Reason.STREAM_ENDED, "Nothing was heard.")
    limiter, course = ReconnectLimiter(), [Stream(lasts=61.0, end=silent), AWAY, AWAY, AWAY]
    worlds = [Listening(*course * 50, Stream(), limiter=limiter) for _ in range(20)]
    listening = [asyncio.create_task(world.for_seconds(9_000.0)) for world in worlds]
    await asyncio.sleep(100.0)
    tasks, series = len(asyncio.all_tasks()), len(worlds[0].metrics.render().splitlines())
    await asyncio.sleep(8_000.0)
    assert {len(world.infisical.attempts) for world in worlds} == {201}
    assert len(asyncio.all_tasks()) == tasks
    assert len(worlds[0].metrics.render().splitlines()) == series
    await asyncio.gather(*listening)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@in_virtual_time
async def test_accepted_and_closed_at_once() -> None:
    """A server that accepts each stream and ends it at once lets nobody go: pauses go on growing."""
    limiter = ReconnectLimiter()
    worlds = [Listening(Stream(lasts=0.5), limiter=limiter) for _ in range(50)]
    await asyncio.gather(*(world.for_seconds(600.0) for world in worlds))
    assert max(len(world.infisical.attempts) for world in worlds) < 100


# -- what is told -------------------------------------------------------------------------------------


@in_virtual_time
async def test_end_is_told() -> None:
    """A stream that ended is a condition; one that cannot be had is an Event; the blind time counts."""
    world = Listening(Stream(lasts=10.0), InfisicalError(Reason.UNREACHABLE, "No answer."))
    await world.for_seconds(100.0)
    assert world.condition(ConditionType.STREAMING).reason == "Unreachable"
    assert [notice.reason for notice in world.cluster.notices] == ["Unreachable"]
    assert world.status.render().stream.blind_seconds >= 89
    assert world.status.render().stream.connected_since is None


@in_virtual_time
async def test_refused_login_is_told_as_such() -> None:
    """Without a login the stream says where to look, and the login says what is wrong."""
    world = Listening(LoginError(Reason.CREDENTIALS_REJECTED, "Refused.", 60.0))
    await world.for_seconds(10.0)
    assert world.condition(ConditionType.AUTHENTICATED).message == "Refused."
    assert "See condition Authenticated" in world.condition(ConditionType.STREAMING).message


@in_virtual_time
async def test_metrics_follow() -> None:
    """The gauge is 1 while the stream is open and 0 after it."""
    world = Listening(Stream(lasts=10.0), InfisicalError(Reason.UNREACHABLE, "No answer."))
    listening = asyncio.create_task(world.for_seconds(100.0))
    await asyncio.sleep(5.0)
    assert b'stream_connected{namespace="team",subscription="app"} 1.0' in world.metrics.render()
    await listening
    assert b'stream_connected{namespace="team",subscription="app"} 0.0' in world.metrics.render()


@in_virtual_time
async def test_slow_pace_is_told() -> None:
    """Who reads that a person has to mend something also reads when it will be noticed."""
    world = Listening(InfisicalError(Reason.PLAN_LACKS_EVENT_SUBSCRIPTIONS, "No plan."))
    await world.for_seconds(1.0)
    told = world.condition(ConditionType.STREAMING).message
    assert told == "No plan. Retrying every 5 minutes."


@in_virtual_time
async def test_blindness_is_counted_while_it_lasts() -> None:
    """Seconds without a stream are counted at each try, and not only when there is one again."""
    world = Listening(Stream(lasts=10.0), AWAY)
    await world.for_seconds(100.0)
    assert 60.0 <= sample(world, "infisical_events_stream_blind_seconds_total") <= 90.0


@in_virtual_time
async def test_reconnects_are_counted() -> None:
    """A stream that is had after one was lost is a reconnect, and the time in between was blind."""
    world = Listening(Stream(lasts=10.0), AWAY, AWAY, Stream())
    await world.for_seconds(100.0)
    blind = sample(world, "infisical_events_stream_blind_seconds_total")
    assert blind == pytest.approx(world.infisical.attempts[-1] - 10.0)
    assert sample(world, "infisical_events_stream_reconnects_total") == 1.0


@in_virtual_time
async def test_last_event_is_timed() -> None:
    """The moment of the newest event is a metric, whether the spec selects it or not."""
    world = Listening(Stream((an_event("secret:update", "/elsewhere", "K"),)))
    await asyncio.sleep(7.0)
    await world.for_seconds(10.0)
    at = (EPOCH + timedelta(seconds=7)).timestamp()
    assert sample(world, "infisical_events_last_event_timestamp_seconds") == at


def sample(world: Listening, name: str) -> float:
    """A metric of the subscription."""
    labels = {"namespace": "team", "subscription": "app"}
    return world.metrics.registry.get_sample_value(name, labels) or 0.0
