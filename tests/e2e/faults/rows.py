"""The faults, one named row each: what happens, for how long, and when something is changed meanwhile."""

import random
import signal
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from e2e.faults.intercepting import Rule
from e2e.faults.proxying import PLAIN, Manner
from e2e.faults.stages import FAKETIME, Stage

Begin = Callable[[Stage, random.Random], object]
Heal = Callable[[Stage], object]

_STATUS = "/apis/events.infisical.com/*/status"
_WORKLOADS = "/apis/apps/v1/namespaces/*/deployments/*"


class Moment(Enum):
    """When a try changes something: once, or at each of a row's moments."""

    BEFORE = auto()
    """Up to a fifth of a second before the fault, so that it strikes in the midst of the work."""
    DURING = auto()
    AFTER = auto()
    """At once after the fault."""
    AROUND = auto()


_EACH = (Moment.DURING, Moment.BEFORE, Moment.AFTER, Moment.AROUND)
_OUTSIDE = (Moment.BEFORE, Moment.AFTER, Moment.AROUND)
"""For faults during which nothing can be changed."""


def _nothing(_: Stage) -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One fault. `seconds` is how long it lasts, `patience` how long a restart may take after it is over.

    `quiet` is how long is watched for superfluous restarts. What `is_exclusive` breaks the control plane
    for everybody. `at_most` bounds the tries of what takes long.
    """

    name: str
    begin: Begin
    heal: Heal = _nothing
    seconds: float = 0.0
    moments: tuple[Moment, ...] = _EACH
    resync: int = 300
    patience: float = 120.0
    quiet: float = 3.0
    is_exclusive: bool = False
    is_intercepted: bool = False
    has_own_clock: bool = False
    at_most: int | None = None


# -- Infisical ------------------------------------------------------------------------------------


def _lines(manner: Callable[[random.Random], Manner]) -> Begin:
    return lambda stage, rng: stage.to_infisical.treat(manner(rng))


def _lines_again(stage: Stage) -> None:
    stage.to_infisical.treat(PLAIN)


def _gone(stage: Stage, _: random.Random) -> None:
    stage.infisical.kill()


def _answers(**how: object) -> Begin:
    """Reads, logins and subscriptions go wrong; changes do not, or nothing could be changed."""

    def begin(stage: Stage, _: random.Random) -> None:
        stage.to_infisical.cut()
        for route in ("GET /api/*", "POST /api/v1/*"):
            stage.infisical.fail(route, **how)

    return begin


def _switched(**switches: object) -> Begin:
    return lambda stage, _: stage.infisical.admin("PUT", "/faults", switches)


def _switches_off(stage: Stage) -> None:
    stage.infisical.heal()


INFISICAL = (
    Row(name="infisical-cut", begin=lambda stage, _: stage.to_infisical.cut()),
    Row(name="infisical-reset", begin=lambda stage, _: stage.to_infisical.reset()),
    Row(
        name="infisical-stalled-6s",
        begin=_lines(lambda _: Manner(holds=True)),
        heal=_lines_again,
        seconds=6,
    ),
    Row(
        name="infisical-dead-line",  # until the watchdog, 45 s
        begin=lambda stage, _: stage.to_infisical.freeze(),
        patience=180,
        at_most=2,
    ),
    Row(
        name="infisical-frame-truncated",
        begin=_lines(lambda rng: Manner(down=rng.randint(1, 250), resets=rng.random() < 0.5)),
        heal=_lines_again,
        seconds=1,
    ),
    Row(
        name="infisical-list-truncated",
        begin=_lines(lambda rng: Manner(down=rng.randint(300, 9000), resets=rng.random() < 0.5)),
        heal=_lines_again,
        seconds=3,
    ),
    Row(
        name="infisical-request-truncated",
        begin=_lines(lambda rng: Manner(up=rng.randint(1, 900))),
        heal=_lines_again,
        seconds=3,
    ),
    Row(name="infisical-slow-2s", begin=_lines(lambda _: Manner(delay=2)), heal=_lines_again, seconds=5),
    Row(
        name="infisical-throttled-2KBs",
        begin=_lines(lambda _: Manner(rate=2048)),
        heal=_lines_again,
        seconds=6,
    ),
    Row(
        name="infisical-refused-10s",
        begin=lambda stage, _: stage.to_infisical.refuse(),
        heal=lambda stage: stage.to_infisical.accept(),
        seconds=10,
    ),
    Row(
        name="infisical-rejected-6s",
        begin=lambda stage, _: (stage.to_infisical.treat(Manner(rejects=True)), stage.to_infisical.cut()),
        heal=_lines_again,
        seconds=6,
    ),
    Row(
        name="infisical-events-dropped",
        begin=_switched(dropEvents=1000),
        heal=_switches_off,
        seconds=1,
        resync=10,
    ),
    Row(name="infisical-events-doubled", begin=_switched(extraCopies=3), heal=_switches_off, seconds=2),
    Row(
        name="infisical-events-late-3s",
        begin=_switched(delayEvents=3),
        heal=_switches_off,
        seconds=1,
        quiet=6,
    ),
    Row(name="infisical-reads-stale-3s", begin=_switched(staleReads=3), seconds=1, quiet=6),
    Row(
        name="infisical-429-retry-after",
        begin=_answers(status=429, retryAfter=2),
        heal=_switches_off,
        seconds=5,
    ),
    Row(
        name="infisical-429",  # at a subscription it means the limit of connections: tried again in a minute
        begin=_answers(status=429),
        heal=_switches_off,
        seconds=5,
        patience=180,
        at_most=2,
    ),
    Row(name="infisical-500", begin=_answers(status=500), heal=_switches_off, seconds=5),
    Row(name="infisical-answers-5s-late", begin=_answers(delay=5), heal=_switches_off, seconds=4),
    Row(
        name="infisical-tokens-revoked",
        begin=lambda stage, _: (
            stage.infisical.admin("POST", "/tokens", {"action": "revoke"}),
            stage.infisical.log_in(),
            stage.to_infisical.cut(),
        ),
    ),
    Row(
        name="infisical-killed",
        begin=_gone,
        heal=lambda stage: stage.infisical.start(),
        seconds=1,
        moments=_OUTSIDE,
    ),
    Row(
        name="infisical-paused-5s",
        begin=lambda stage, _: stage.infisical.signal(signal.SIGSTOP),
        heal=lambda stage: stage.infisical.signal(signal.SIGCONT),
        seconds=5,
        moments=_OUTSIDE,
    ),
)

# -- the operator ---------------------------------------------------------------------------------


def _clock(seconds: float) -> Begin:
    return lambda stage, _: stage.step_clock(seconds)


def _both(stage: Stage, _: random.Random) -> None:
    stage.second.start()


def _killed_in_two(stage: Stage, rng: random.Random) -> None:
    """Both at once, and the first one dies."""
    stage.second.start()
    stage.operator.kill()
    del rng


def _first_again(stage: Stage) -> None:
    stage.operator.start()
    stage.second.kill()


OPERATOR = (
    Row(
        name="operator-killed",
        begin=lambda stage, _: stage.operator.kill(),
        heal=lambda stage: stage.operator.start(),
    ),
    Row(
        name="operator-terminated",
        begin=lambda stage, _: stage.operator.stop(),
        heal=lambda stage: stage.operator.start(),
    ),
    Row(
        name="operator-paused-5s",
        begin=lambda stage, _: stage.operator.process.send_signal(signal.SIGSTOP),
        heal=lambda stage: stage.operator.process.send_signal(signal.SIGCONT),
        seconds=5,
    ),
    Row(name="operators-two", begin=_both, heal=lambda stage: stage.second.stop(), seconds=3),
    Row(name="operators-handing-over", begin=_killed_in_two, heal=_first_again, seconds=1),
)
CLOCK = (
    Row(
        name="clock-back-5min",
        begin=_clock(-300),
        heal=lambda stage: stage.step_clock(0),
        seconds=3,
        has_own_clock=True,
    ),
    Row(
        name="clock-ahead-5min",
        begin=_clock(300),
        heal=lambda stage: stage.step_clock(0),
        seconds=3,
        has_own_clock=True,
    ),
)

# -- the API server -------------------------------------------------------------------------------


def _api_lines(manner: Callable[[random.Random], Manner]) -> Begin:
    return lambda stage, rng: stage.to_api.treat(manner(rng))


def _api_lines_again(stage: Stage) -> None:
    stage.to_api.treat(PLAIN)


def _ruled(*rules: Rule, cuts_watches: bool = False) -> Begin:
    def begin(stage: Stage, _: random.Random) -> None:
        stage.interceptor.rules = rules
        if cuts_watches:
            stage.interceptor.end_watches()

    return begin


def _unruled(stage: Stage) -> None:
    stage.interceptor.rules = ()


def _intercepted(name: str, *rules: Rule, cuts_watches: bool = False) -> Row:
    begin = _ruled(*rules, cuts_watches=cuts_watches)
    return Row(name=name, begin=begin, heal=_unruled, seconds=5, is_intercepted=True)


def _paused(component: str) -> Row:
    return Row(
        name=f"{component}-paused-5s",
        begin=lambda stage, _: stage.cluster.pause(component),
        heal=lambda stage: stage.cluster.resume(component),
        seconds=5,
        is_exclusive=True,
    )


API = (
    Row(name="api-cut", begin=lambda stage, _: stage.to_api.cut()),
    Row(name="api-reset", begin=lambda stage, _: stage.to_api.reset()),
    Row(
        name="api-stalled-8s",
        begin=_api_lines(lambda _: Manner(holds=True)),
        heal=_api_lines_again,
        seconds=8,
    ),
    Row(
        name="api-dead-line",
        begin=lambda stage, _: stage.to_api.freeze(),
        patience=180,
        at_most=2,
    ),
    Row(name="api-slow-1s", begin=_api_lines(lambda _: Manner(delay=1)), heal=_api_lines_again, seconds=5),
    Row(
        name="api-throttled-8KBs",
        begin=_api_lines(lambda _: Manner(rate=8192)),
        heal=_api_lines_again,
        seconds=6,
    ),
    Row(
        name="api-answer-truncated",
        begin=_api_lines(lambda rng: Manner(down=rng.randint(100, 12_000), resets=rng.random() < 0.5)),
        heal=_api_lines_again,
        seconds=4,
    ),
    Row(
        name="api-request-truncated",
        begin=_api_lines(lambda rng: Manner(up=rng.randint(100, 8000), resets=rng.random() < 0.5)),
        heal=_api_lines_again,
        seconds=4,
    ),
    Row(
        name="api-refused-10s",
        begin=lambda stage, _: stage.to_api.refuse(),
        heal=lambda stage: stage.to_api.accept(),
        seconds=10,
    ),
    Row(
        name="api-rejected-6s",
        begin=lambda stage, _: (stage.to_api.treat(Manner(rejects=True)), stage.to_api.cut()),
        heal=_api_lines_again,
        seconds=6,
    ),
    _intercepted("api-status-429", Rule("PATCH", _STATUS, status=429, retry_after=1)),
    _intercepted("api-status-500", Rule("PATCH", _STATUS, status=500)),
    _intercepted("api-restart-429", Rule("PATCH", _WORKLOADS, status=429, retry_after=1)),
    _intercepted("api-restart-500", Rule("PATCH", _WORKLOADS, status=500)),
    _intercepted("api-restart-answer-lost", Rule("PATCH", _WORKLOADS, is_lost=True)),
    _intercepted("api-status-answer-lost", Rule("PATCH", _STATUS, is_lost=True)),
    _intercepted("api-every-answer-lost", Rule("PATCH", "*", is_lost=True)),
    _intercepted("api-503", Rule("*", "*", status=503), cuts_watches=True),
    _intercepted("api-watch-expired", Rule("GET", "*", is_gone=True), cuts_watches=True),
    Row(
        name="api-killed",
        begin=lambda stage, _: stage.cluster.stop("kube-apiserver", force=True),
        heal=lambda stage: stage.cluster.start("kube-apiserver"),
        seconds=1,
        is_exclusive=True,
    ),
    _paused("kube-apiserver"),
    _paused("etcd"),
    Row(
        name="api-compacted",
        begin=lambda stage, _: (stage.cluster.compact(), stage.to_api.cut()),
        is_exclusive=True,
    ),
)

ROWS = (*INFISICAL, *OPERATOR, *(CLOCK if FAKETIME else ()), *API)
