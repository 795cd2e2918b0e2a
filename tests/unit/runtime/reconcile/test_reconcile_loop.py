"""When the loop reads and restarts: at once, upon triggers, at intervals, and while something is open."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from typing import Any, cast

import pytest

from infisical_events.api.specs import Grade
from infisical_events.api.statuses import ConditionType
from infisical_events.core.ledger.acceptance import ReceivedEvent
from infisical_events.core.ledger.ledger import Header, Ledger
from infisical_events.core.ledger.observation_modes import ReadResult
from infisical_events.core.status.reasons import Reason
from infisical_events.core.subscriptions import StoredSubscription
from infisical_events.infisical.infisical_errors import InfisicalError, LoginError
from infisical_events.kube.kubernetes_errors import KubernetesError
from infisical_events.runtime.reconcile.reconcile_loop import ReconcileLoop
from infisical_events.runtime.reconcile.reconcile_report import ReadReport, ReconcileReporter
from infisical_events.runtime.reconcile.reconciler import Reconciler, ReconcileResult
from infisical_events.runtime.status.reporter import Reporter
from infisical_events.runtime.status.status_builder import StatusBuilder
from infisical_events.runtime.status.subscription_store import (
    LedgerConflictError,
    SpecChangedError,
    SubscriptionStore,
)
from infisical_events.runtime.triggers import TriggerQueue
from support.builders import an_event
from support.fake_cluster import FakeCluster, a_context
from support.virtual_time import EPOCH, in_virtual_time, virtual_now

INTERVAL = 300.0
QUIET = 1.0
EVENT = ReceivedEvent(an_event("secret:update", "/a", "K"), EPOCH)
AWAY = InfisicalError(Reason.UNREACHABLE, "No answer.")
SLOW_DOWN = InfisicalError(Reason.RATE_LIMITED, "Slow down.", 50.0)


def a_result(**values: Any) -> ReconcileResult:  # noqa: ANN401 - fields of a result
    """A read of which there is nothing to say."""
    header = Header("p-1", "https://i.example", Grade.EVENTS)
    ledger = Ledger(header, "epoch", seq=0, baselined_at=EPOCH, scopes=(), accepted={})
    report = ReadReport(ReadResult(header, (), ()), ledger)
    return ReconcileResult(report, **values)


class Scripted:
    """Reconciler and restart controller in one; calls end as given, the last of either again and again."""

    def __init__(self, reads: Iterable[ReconcileResult | Exception], rounds: Iterable[Any] = (None,)) -> None:
        self._reads, self._rounds = list(reads), list(rounds)
        self.reads: list[tuple[float, tuple[ReceivedEvent, ...]]] = []
        self.full_reads: list[bool] = []
        self.rounds: list[float] = []

    async def reconcile(self, received: tuple[ReceivedEvent, ...], *, is_full: bool) -> ReconcileResult:
        """A read that takes a while."""
        self.full_reads.append(is_full)
        self.reads.append((asyncio.get_running_loop().time(), received))
        await asyncio.sleep(0.01)
        return cast("ReconcileResult", _next(self._reads))

    async def run_round(self, _: object = None) -> float | None:
        """A round of restarts."""
        self.rounds.append(asyncio.get_running_loop().time())
        return cast("float | None", _next(self._rounds))


def _next(given: list[Any]) -> object:
    outcome = given.pop(0) if len(given) > 1 else given[0]
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


class Passed:
    """A loop over a scripted reconciler."""

    def __init__(self, reads: Iterable[ReconcileResult | Exception], rounds: Iterable[Any] = (None,)) -> None:
        cluster = FakeCluster()
        key = cluster.create_subscription("team", "app", {})
        self.reconciler = Scripted(reads, rounds)
        self.status = StatusBuilder({}, 1, virtual_now)
        context = a_context(cluster, key)
        self.triggers = TriggerQueue(QUIET)
        stored = StoredSubscription(key.uid, "1", 1, is_deleting=False, spec={}, status={})
        self.loop = ReconcileLoop(
            context=context,
            reconciler=cast("Reconciler", self.reconciler),
            reconcile_reporter=ReconcileReporter(context=context, reporter=Reporter(context, self.status)),
            restart_controller=cast("Any", self.reconciler),
            store=SubscriptionStore(context, stored, self.status),
            triggers=self.triggers,
            interval=INTERVAL,
        )
        self.loop.stream_attempted.set()

    async def for_seconds(self, seconds: float, events_at: Iterable[float] = ()) -> None:
        """Run for a while, with events at these moments."""
        loop = asyncio.get_running_loop()
        for moment in events_at:
            loop.call_at(moment, self.triggers.add, EVENT)
        with suppress(TimeoutError):
            await asyncio.wait_for(self.loop.run(), seconds)

    @property
    def moments(self) -> list[float]:
        """When Infisical was read."""
        return [moment for moment, _ in self.reconciler.reads]


@in_virtual_time
async def test_first_read_waits_for_the_stream() -> None:
    """It begins when the first stream is open, or could not be opened, and without one after a second."""
    opened = Passed([a_result()])
    opened.loop.stream_attempted.clear()
    asyncio.get_running_loop().call_at(0.3, opened.loop.stream_attempted.set)
    asyncio.get_running_loop().call_at(0.3, opened.triggers.add)
    await opened.for_seconds(10.0)
    assert opened.moments == [pytest.approx(0.3)]

    silent = Passed([a_result()])
    silent.loop.stream_attempted.clear()
    begun = asyncio.get_running_loop().time()
    await silent.for_seconds(10.0)
    assert [moment - begun for moment in silent.moments] == [pytest.approx(1.0)]


@in_virtual_time
async def test_first_read_is_at_once() -> None:
    """With a stream the first read is at once, and a round of restarts follows it."""
    passed = Passed([a_result()])
    await passed.for_seconds(10.0)
    assert passed.moments == [0.0]
    assert len(passed.reconciler.rounds) == 1


@in_virtual_time
async def test_interval() -> None:
    """Without a trigger Infisical is read at intervals, a little early at random against a herd."""
    passed = Passed([a_result()])
    await passed.for_seconds(30_000.0)
    assert 100 <= len(passed.moments) <= 112


@in_virtual_time
async def test_trigger() -> None:
    """A burst of triggers leads to one read after the debounce time, which gets the received events."""
    passed = Passed([a_result()])
    await passed.for_seconds(100.0, events_at=[50.0, 50.5])
    assert passed.moments == [0.0, 51.5]
    assert passed.reconciler.reads[-1][1] == (EVENT, EVENT)


@in_virtual_time
async def test_where_events_point_and_everywhere() -> None:
    """Events name folders; a new connection and the interval call for a full read."""
    passed = Passed([a_result(), a_result(is_full=False), a_result()])
    loop = asyncio.get_running_loop()
    loop.call_at(100.0, passed.triggers.add)
    await passed.for_seconds(450.0, events_at=[50.0])
    assert passed.moments[1:3] == [51.0, 101.0]
    assert passed.reconciler.full_reads == [True, False, True, True]
    assert 101.0 + 0.9 * INTERVAL <= passed.moments[3] <= 101.0 + INTERVAL + 1.0


@in_virtual_time
async def test_events_do_not_postpone_the_full_read() -> None:
    """However many events there are, full reads are as frequent as the spec says."""
    passed = Passed([a_result(), a_result(is_full=False)])
    await passed.for_seconds(INTERVAL + 10.0, events_at=range(5, int(INTERVAL) + 5, 5))
    assert True in passed.reconciler.full_reads[1:]


@in_virtual_time
async def test_a_full_read_that_failed_is_still_due() -> None:
    """An event does not make less of it."""
    passed = Passed([AWAY, a_result()])
    await passed.for_seconds(10.0, events_at=[0.5])
    assert passed.reconciler.full_reads[:2] == [True, True]


@in_virtual_time
async def test_not_shown_yet() -> None:
    """A change that has an event and did not show is read for again, with growing pauses, until it shows."""
    unshown = a_result(unshown_events=(EVENT,))
    passed = Passed([a_result(), unshown, unshown, unshown, unshown, a_result()])
    await passed.for_seconds(100.0, events_at=[49.0])
    assert passed.moments == pytest.approx([0.0, 50.0, 50.25, 50.75, 51.75, 53.75], abs=0.1)
    assert {received for _, received in passed.reconciler.reads[1:]} == {(EVENT,)}


@in_virtual_time
async def test_suspect_read() -> None:
    """A suspect read is repeated when it can be decided."""
    later = a_result(read_again_at=EPOCH + timedelta(seconds=60))
    passed = Passed([later, a_result()])
    await passed.for_seconds(100.0)
    assert passed.moments == pytest.approx([0.0, 60.25], abs=0.1)


@pytest.mark.parametrize("failure", [AWAY, KubernetesError("away"), LedgerConflictError()])
@in_virtual_time
async def test_failed_read(failure: Exception) -> None:
    """After a failure the next read is soon, and gets the same events."""
    passed = Passed([a_result(), failure, failure, a_result()])
    await passed.for_seconds(100.0, events_at=[49.0])
    assert len(passed.moments) == 4
    assert passed.moments[-1] < 54.0
    assert {received for _, received in passed.reconciler.reads[1:]} == {(EVENT,)}


@in_virtual_time
async def test_restarts_in_between() -> None:
    """Events that wait for the next read survive a round of restarts before it."""
    nothing_to_log_in_with = InfisicalError(Reason.SECRET_NOT_FOUND, "There is no Secret.")
    passed = Passed([a_result(), nothing_to_log_in_with, a_result()], [1.0])
    await passed.for_seconds(100.0, events_at=[49.0])
    assert [received for _, received in passed.reconciler.reads[:3]] == [(), (EVENT,), (EVENT,)]


@in_virtual_time
async def test_endless_failure() -> None:
    """A failure that lasts is tried at least once a minute, and not much more often."""
    passed = Passed([AWAY])
    await passed.for_seconds(6_000.0)
    assert 100 <= len(passed.moments) <= 300


@in_virtual_time
async def test_server_is_back() -> None:
    """After a long failure a new connection of the stream leads to a read at once."""
    passed = Passed([*[AWAY] * 20, a_result()])
    asyncio.get_running_loop().call_later(3_000.0, passed.triggers.add)
    await passed.for_seconds(3_002.0)
    assert passed.reconciler.reads[-1][0] >= 600.0
    assert len(passed.reconciler.reads) >= 21


@in_virtual_time
async def test_asked_to_wait() -> None:
    """While the server asks for a pause no event leads to a read, and no received event is lost."""
    passed = Passed([SLOW_DOWN, a_result()])
    await passed.for_seconds(100.0, events_at=range(1, 40, 2))
    [first, second] = passed.reconciler.reads
    assert 50.0 <= second[0] <= 52.0
    assert (first[1], len(second[1])) == ((), 20)


@in_virtual_time
async def test_acting_does_not_wait_for_infisical() -> None:
    """Pending restarts are worked on while Infisical is unavailable or asks for a pause."""
    passed = Passed([SLOW_DOWN], [1.0])
    await passed.for_seconds(20.0)
    assert len(passed.reconciler.rounds) >= 15


@in_virtual_time
async def test_restarts_again_when_asked_for() -> None:
    """Deferred and failed restarts are tried again after their pause, without another read."""
    passed = Passed([a_result()], [15.0, 15.0, None])
    await passed.for_seconds(100.0)
    assert [round(moment) for moment in passed.reconciler.rounds] == [0, 15, 30]
    assert len(passed.moments) == 1


@in_virtual_time
async def test_rejected_restarts() -> None:
    """A round of restarts that the API server rejects is tried again, and reads go on."""
    passed = Passed([a_result()], [KubernetesError("away"), LedgerConflictError(), None])
    await passed.for_seconds(100.0)
    assert len(passed.reconciler.rounds) == 3


@in_virtual_time
async def test_failures_with_successes_in_between_are_none_in_a_row() -> None:
    """A round that is rejected now and then is tried again within seconds, also long after a read."""
    passed = Passed([a_result()], [KubernetesError("away"), 1.0] * 20 + [None])
    await passed.for_seconds(INTERVAL * 0.8)
    assert len(passed.reconciler.rounds) == 41


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (AWAY, ConditionType.OBSERVED),
        (LoginError(Reason.CREDENTIALS_REJECTED, "Refused."), ConditionType.AUTHENTICATED),
        (InfisicalError(Reason.TOKEN_REJECTED, "Refused."), ConditionType.AUTHENTICATED),
    ],
)
@in_virtual_time
async def test_failure_is_reported(error: InfisicalError, kind: ConditionType) -> None:
    """A failed read is reported as a condition: of the login, or of the read."""
    passed = Passed([error])
    await passed.for_seconds(1.0)
    reasons = {condition.type: condition.reason for condition in passed.status.conditions}
    assert reasons[kind] == error.reason


@in_virtual_time
async def test_superseded() -> None:
    """A spec that is not the stored one any more ends the loop."""
    with pytest.raises(SpecChangedError):
        await Passed([SpecChangedError()]).loop.run()
