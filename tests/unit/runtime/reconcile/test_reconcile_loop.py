"""When it is looked and acted: at once, upon wakes, at intervals, and as long as something is open."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from typing import Any, cast

import pytest

from infisical_events.api.statuses import ConditionType
from infisical_events.core.ledger.acceptance import ReceivedEvent
from infisical_events.core.status.reasons import Reason
from infisical_events.core.subscriptions import StoredSubscription
from infisical_events.infisical.infisical_errors import InfisicalError, LoginError
from infisical_events.kube.kubernetes_errors import KubernetesError
from infisical_events.runtime.reconcile.reconcile_loop import ReconcileLoop
from infisical_events.runtime.reconcile.reconcile_report import ReconcileReporter
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


class Scripted:
    """Reconciler and settler in one, whose calls end as given; the last of either again and again."""

    def __init__(
        self, looks: Iterable[ReconcileResult | Exception], settlements: Iterable[Any] = (None,)
    ) -> None:
        self._looks, self._settlements = list(looks), list(settlements)
        self.looks: list[tuple[float, tuple[ReceivedEvent, ...]]] = []
        self.wholes: list[bool] = []
        self.settlements: list[float] = []

    async def reconcile(self, received: tuple[ReceivedEvent, ...], *, is_full: bool) -> ReconcileResult:
        """A look that takes a while."""
        self.wholes.append(is_full)
        self.looks.append((asyncio.get_running_loop().time(), received))
        await asyncio.sleep(0.01)
        return cast("ReconcileResult", _next(self._looks))

    async def run_round(self, _: object = None) -> float | None:
        """A settlement."""
        self.settlements.append(asyncio.get_running_loop().time())
        return cast("float | None", _next(self._settlements))


def _next(given: list[Any]) -> object:
    outcome = given.pop(0) if len(given) > 1 else given[0]
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


class Passed:
    """Passes over a scripted reconciler."""

    def __init__(
        self, looks: Iterable[ReconcileResult | Exception], settlements: Iterable[Any] = (None,)
    ) -> None:
        cluster = FakeCluster()
        key = cluster.create_subscription("team", "app", {})
        self.reconciler = Scripted(looks, settlements)
        self.status = StatusBuilder({}, 1, virtual_now)
        context = a_context(cluster, key)
        self.triggers = TriggerQueue(QUIET)
        stored = StoredSubscription(key.uid, "1", 1, is_deleting=False, spec={}, status={})
        self.passing = ReconcileLoop(
            context=context,
            reconciler=cast("Reconciler", self.reconciler),
            reconcile_reporter=ReconcileReporter(context=context, reporter=Reporter(context, self.status)),
            restart_controller=cast("Any", self.reconciler),
            store=SubscriptionStore(context, stored, self.status),
            triggers=self.triggers,
            interval=INTERVAL,
        )

    async def for_seconds(self, seconds: float, rings: Iterable[float] = ()) -> None:
        """Pass for a while, with events at these moments."""
        loop = asyncio.get_running_loop()
        for moment in rings:
            loop.call_at(moment, self.triggers.add, EVENT)
        with suppress(TimeoutError):
            await asyncio.wait_for(self.passing.run(), seconds)

    @property
    def moments(self) -> list[float]:
        """When it was looked."""
        return [moment for moment, _ in self.reconciler.looks]


@in_virtual_time
async def test_first_look_is_at_once() -> None:
    """The first look waits for nothing, and what is owed is settled after it."""
    passed = Passed([ReconcileResult()])
    await passed.for_seconds(10.0)
    assert passed.moments == [0.0]
    assert len(passed.reconciler.settlements) == 1


@in_virtual_time
async def test_interval() -> None:
    """Without a wake it is looked at intervals, a little early at random against a herd."""
    passed = Passed([ReconcileResult()])
    await passed.for_seconds(30_000.0)
    assert 100 <= len(passed.moments) <= 112


@in_virtual_time
async def test_wake() -> None:
    """A ring is answered by one look after the quiet time, which is handed what was heard."""
    passed = Passed([ReconcileResult()])
    await passed.for_seconds(100.0, rings=[50.0, 50.5])
    assert passed.moments == [0.0, 51.5]
    assert passed.reconciler.looks[-1][1] == (EVENT, EVENT)


@in_virtual_time
async def test_where_events_point_and_everywhere() -> None:
    """Events point somewhere; a new connection and the interval ask for a look at everything."""
    passed = Passed([ReconcileResult(), ReconcileResult(is_full=False), ReconcileResult()])
    loop = asyncio.get_running_loop()
    loop.call_at(100.0, passed.triggers.add)
    await passed.for_seconds(450.0, rings=[50.0])
    assert passed.moments[1:3] == [51.0, 101.0]
    assert passed.reconciler.wholes == [True, False, True, True]
    assert 101.0 + 0.9 * INTERVAL <= passed.moments[3] <= 101.0 + INTERVAL + 1.0


@in_virtual_time
async def test_events_do_not_put_off_the_look_at_everything() -> None:
    """However often events point somewhere: everything is looked at as often as was asked for."""
    passed = Passed([ReconcileResult(), ReconcileResult(is_full=False)])
    await passed.for_seconds(INTERVAL + 10.0, rings=range(5, int(INTERVAL) + 5, 5))
    assert True in passed.reconciler.wholes[1:]


@in_virtual_time
async def test_a_look_at_everything_that_failed_is_still_due() -> None:
    """An event does not make less of it."""
    passed = Passed([AWAY, ReconcileResult()])
    await passed.for_seconds(10.0, rings=[0.5])
    assert passed.reconciler.wholes[:2] == [True, True]


@in_virtual_time
async def test_not_shown_yet() -> None:
    """What was heard and did not show is looked for again, with growing pauses, until it shows."""
    unshown = ReconcileResult(unshown_events=(EVENT,))
    passed = Passed([ReconcileResult(), unshown, unshown, unshown, unshown, ReconcileResult()])
    await passed.for_seconds(100.0, rings=[49.0])
    assert passed.moments == pytest.approx([0.0, 50.0, 50.25, 50.75, 51.75, 53.75], abs=0.1)
    assert {received for _, received in passed.reconciler.looks[1:]} == {(EVENT,)}


@in_virtual_time
async def test_suspect_read() -> None:
    """What could not be believed is looked at again when it can be decided."""
    later = ReconcileResult(read_again_at=EPOCH + timedelta(seconds=60))
    passed = Passed([later, ReconcileResult()])
    await passed.for_seconds(100.0)
    assert passed.moments == pytest.approx([0.0, 60.25], abs=0.1)


@pytest.mark.parametrize("failure", [AWAY, KubernetesError("away"), LedgerConflictError()])
@in_virtual_time
async def test_failed_look(failure: Exception) -> None:
    """After a failure it is looked again soon, and what was heard is handed on."""
    passed = Passed([ReconcileResult(), failure, failure, ReconcileResult()])
    await passed.for_seconds(100.0, rings=[49.0])
    assert len(passed.moments) == 4
    assert passed.moments[-1] < 54.0
    assert {received for _, received in passed.reconciler.looks[1:]} == {(EVENT,)}


@in_virtual_time
async def test_settling_in_between() -> None:
    """What is kept for the next look is not lost to a settlement that comes before it."""
    nothing_to_log_in_with = InfisicalError(Reason.SECRET_NOT_FOUND, "There is no Secret.")
    passed = Passed([ReconcileResult(), nothing_to_log_in_with, ReconcileResult()], [1.0])
    await passed.for_seconds(100.0, rings=[49.0])
    assert [received for _, received in passed.reconciler.looks[:3]] == [(), (EVENT,), (EVENT,)]


@in_virtual_time
async def test_endless_failure() -> None:
    """A failure that lasts is tried at least once a minute, and not much more often."""
    passed = Passed([AWAY])
    await passed.for_seconds(6_000.0)
    assert 100 <= len(passed.moments) <= 300


@in_virtual_time
async def test_server_is_back() -> None:
    """After a long failure a new connection of the stream is a reason to look at once."""
    passed = Passed([*[AWAY] * 20, ReconcileResult()])
    asyncio.get_running_loop().call_later(3_000.0, passed.triggers.add)
    await passed.for_seconds(3_002.0)
    assert passed.reconciler.looks[-1][0] >= 600.0
    assert len(passed.reconciler.looks) >= 21


@in_virtual_time
async def test_asked_to_wait() -> None:
    """While the server wants us to wait no event makes us look, and nothing heard meanwhile is lost."""
    passed = Passed([SLOW_DOWN, ReconcileResult()])
    await passed.for_seconds(100.0, rings=range(1, 40, 2))
    [first, second] = passed.reconciler.looks
    assert 50.0 <= second[0] <= 52.0
    assert (first[1], len(second[1])) == ((), 20)


@in_virtual_time
async def test_acting_does_not_wait_for_infisical() -> None:
    """What is owed is settled while Infisical is away or wants us to wait."""
    passed = Passed([SLOW_DOWN], [1.0])
    await passed.for_seconds(20.0)
    assert len(passed.reconciler.settlements) >= 15


@in_virtual_time
async def test_settled_again_when_asked_for() -> None:
    """What is held or failed is tried again after the pause that was asked for, without another look."""
    passed = Passed([ReconcileResult()], [15.0, 15.0, None])
    await passed.for_seconds(100.0)
    assert [round(moment) for moment in passed.reconciler.settlements] == [0, 15, 30]
    assert len(passed.moments) == 1


@in_virtual_time
async def test_settlement_refused() -> None:
    """A settlement that the API server refuses is tried again, and looks go on."""
    passed = Passed([ReconcileResult()], [KubernetesError("away"), LedgerConflictError(), None])
    await passed.for_seconds(100.0)
    assert len(passed.reconciler.settlements) == 3


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (AWAY, ConditionType.OBSERVED),
        (LoginError(Reason.CREDENTIALS_REJECTED, "Refused."), ConditionType.AUTHENTICATED),
        (InfisicalError(Reason.TOKEN_REJECTED, "Refused."), ConditionType.AUTHENTICATED),
    ],
)
@in_virtual_time
async def test_blame(error: InfisicalError, kind: ConditionType) -> None:
    """A failed look is told as a condition: of the login, or of the observation."""
    passed = Passed([error])
    await passed.for_seconds(1.0)
    told = {condition.type: condition.reason for condition in passed.status.conditions}
    assert told[kind] == error.reason


@in_virtual_time
async def test_superseded() -> None:
    """A spec that is not the stored one any more ends the passes."""
    with pytest.raises(SpecChangedError):
        await Passed([SpecChangedError()]).passing.run()
