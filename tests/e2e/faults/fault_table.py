"""The table of faults: what is injected, for how long, and when secrets change."""

import random
import signal
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from e2e.faults.fault_environment import FAKETIME, FaultEnvironment
from e2e.faults.fault_proxy import PLAIN, Treatment
from e2e.faults.interceptor import Rule

Begin = Callable[[FaultEnvironment, random.Random], object]
Heal = Callable[[FaultEnvironment], object]

_STATUS = "/apis/events.infisical.com/*/status"
_WORKLOADS = "/apis/apps/v1/namespaces/*/deployments/*"


class Moment(Enum):
    """When a round changes a secret: once, or at each of the fault's moments."""

    BEFORE = auto()
    """Up to 0.2 s before the fault, so that the fault hits the work in progress."""
    DURING = auto()
    AFTER = auto()
    """Immediately after the fault."""
    AROUND = auto()


_EACH = (Moment.DURING, Moment.BEFORE, Moment.AFTER, Moment.AROUND)
_OUTSIDE = (Moment.BEFORE, Moment.AFTER, Moment.AROUND)
"""For faults during which secrets cannot be changed."""


def _nothing(_: FaultEnvironment) -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault.

    `seconds` is its duration, `patience` how long a restart may take after its end, and `quiet` how long
    superfluous restarts are watched for. A fault that `is_exclusive` breaks the control plane, so it runs
    alone. `at_most` limits the rounds of a fault that takes long.
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


def _lines(treatment: Callable[[random.Random], Treatment]) -> Begin:
    return lambda environment, rng: environment.to_infisical.treat(treatment(rng))


def _lines_again(environment: FaultEnvironment) -> None:
    environment.to_infisical.treat(PLAIN)


def _killed(environment: FaultEnvironment, _: random.Random) -> None:
    environment.infisical.kill()


def _answers(**how: object) -> Begin:
    """Let reads, logins and subscribe requests fail, but not the changes of this program."""

    def begin(environment: FaultEnvironment, _: random.Random) -> None:
        environment.to_infisical.cut()
        for route in ("GET /api/*", "POST /api/v1/*"):
            environment.infisical.fail(route, **how)

    return begin


def _switched(**switches: object) -> Begin:
    return lambda environment, _: environment.infisical.admin("PUT", "/faults", switches)


def _switches_off(environment: FaultEnvironment) -> None:
    environment.infisical.heal()


INFISICAL = (
    Fault(name="infisical-cut", begin=lambda environment, _: environment.to_infisical.cut()),
    Fault(name="infisical-reset", begin=lambda environment, _: environment.to_infisical.reset()),
    Fault(
        name="infisical-stalled-6s",
        begin=_lines(lambda _: Treatment(holds=True)),
        heal=_lines_again,
        seconds=6,
    ),
    Fault(
        name="infisical-dead-line",  # until the watchdog, 45 s
        begin=lambda environment, _: environment.to_infisical.freeze(),
        patience=180,
        at_most=2,
    ),
    Fault(
        name="infisical-frame-truncated",
        begin=_lines(lambda rng: Treatment(down=rng.randint(1, 250), resets=rng.random() < 0.5)),
        heal=_lines_again,
        seconds=1,
    ),
    Fault(
        name="infisical-list-truncated",
        begin=_lines(lambda rng: Treatment(down=rng.randint(300, 9000), resets=rng.random() < 0.5)),
        heal=_lines_again,
        seconds=3,
    ),
    Fault(
        name="infisical-request-truncated",
        begin=_lines(lambda rng: Treatment(up=rng.randint(1, 900))),
        heal=_lines_again,
        seconds=3,
    ),
    Fault(name="infisical-slow-2s", begin=_lines(lambda _: Treatment(delay=2)), heal=_lines_again, seconds=5),
    Fault(
        name="infisical-throttled-2KBs",
        begin=_lines(lambda _: Treatment(rate=2048)),
        heal=_lines_again,
        seconds=6,
    ),
    Fault(
        name="infisical-refused-10s",
        begin=lambda environment, _: environment.to_infisical.refuse(),
        heal=lambda environment: environment.to_infisical.accept(),
        seconds=10,
    ),
    Fault(
        name="infisical-rejected-6s",
        begin=lambda environment, _: (
            environment.to_infisical.treat(Treatment(rejects=True)),
            environment.to_infisical.cut(),
        ),
        heal=_lines_again,
        seconds=6,
    ),
    Fault(
        name="infisical-events-dropped",
        begin=_switched(dropEvents=1000),
        heal=_switches_off,
        seconds=1,
        resync=10,
    ),
    Fault(name="infisical-events-doubled", begin=_switched(extraCopies=3), heal=_switches_off, seconds=2),
    Fault(
        name="infisical-events-late-3s",
        begin=_switched(delayEvents=3),
        heal=_switches_off,
        seconds=1,
        quiet=6,
    ),
    Fault(name="infisical-reads-stale-3s", begin=_switched(staleReads=3), seconds=1, quiet=6),
    Fault(
        name="infisical-429-retry-after",
        begin=_answers(status=429, retryAfter=2),
        heal=_switches_off,
        seconds=5,
    ),
    Fault(
        name="infisical-429",  # at a subscription it means the limit of connections: tried again in a minute
        begin=_answers(status=429),
        heal=_switches_off,
        seconds=5,
        patience=180,
        at_most=2,
    ),
    Fault(name="infisical-500", begin=_answers(status=500), heal=_switches_off, seconds=5),
    Fault(name="infisical-answers-5s-late", begin=_answers(delay=5), heal=_switches_off, seconds=4),
    Fault(
        name="infisical-tokens-revoked",
        begin=lambda environment, _: (
            environment.infisical.admin("POST", "/tokens", {"action": "revoke"}),
            environment.infisical.log_in(),
            environment.to_infisical.cut(),
        ),
    ),
    Fault(
        name="infisical-killed",
        begin=_killed,
        heal=lambda environment: environment.infisical.start(),
        seconds=1,
        moments=_OUTSIDE,
    ),
    Fault(
        name="infisical-paused-5s",
        begin=lambda environment, _: environment.infisical.signal(signal.SIGSTOP),
        heal=lambda environment: environment.infisical.signal(signal.SIGCONT),
        seconds=5,
        moments=_OUTSIDE,
    ),
)

# -- the operator ---------------------------------------------------------------------------------


def _clock(seconds: float) -> Begin:
    return lambda environment, _: environment.step_clock(seconds)


def _both(environment: FaultEnvironment, _: random.Random) -> None:
    environment.second.start()


def _killed_in_two(environment: FaultEnvironment, rng: random.Random) -> None:
    """Run two operators, then kill the first one."""
    environment.second.start()
    environment.operator.kill()
    del rng


def _first_again(environment: FaultEnvironment) -> None:
    environment.operator.start()
    environment.second.kill()


OPERATOR = (
    Fault(
        name="operator-killed",
        begin=lambda environment, _: environment.operator.kill(),
        heal=lambda environment: environment.operator.start(),
    ),
    Fault(
        name="operator-terminated",
        begin=lambda environment, _: environment.operator.stop(),
        heal=lambda environment: environment.operator.start(),
    ),
    Fault(
        name="operator-paused-5s",
        begin=lambda environment, _: environment.operator.send_signal(signal.SIGSTOP),
        heal=lambda environment: environment.operator.send_signal(signal.SIGCONT),
        seconds=5,
    ),
    Fault(name="operators-two", begin=_both, heal=lambda environment: environment.second.stop(), seconds=3),
    Fault(name="operators-handing-over", begin=_killed_in_two, heal=_first_again, seconds=1),
)
CLOCK = (
    Fault(
        name="clock-back-5min",
        begin=_clock(-300),
        heal=lambda environment: environment.step_clock(0),
        seconds=3,
        has_own_clock=True,
    ),
    Fault(
        name="clock-ahead-5min",
        begin=_clock(300),
        heal=lambda environment: environment.step_clock(0),
        seconds=3,
        has_own_clock=True,
    ),
)

# -- the API server -------------------------------------------------------------------------------


def _api_lines(treatment: Callable[[random.Random], Treatment]) -> Begin:
    return lambda environment, rng: environment.to_api.treat(treatment(rng))


def _api_lines_again(environment: FaultEnvironment) -> None:
    environment.to_api.treat(PLAIN)


def _ruled(*rules: Rule, cuts_watches: bool = False) -> Begin:
    def begin(environment: FaultEnvironment, _: random.Random) -> None:
        environment.interceptor.rules = rules
        if cuts_watches:
            environment.interceptor.end_watches()

    return begin


def _unruled(environment: FaultEnvironment) -> None:
    environment.interceptor.rules = ()


def _intercepted(name: str, *rules: Rule, cuts_watches: bool = False) -> Fault:
    begin = _ruled(*rules, cuts_watches=cuts_watches)
    return Fault(name=name, begin=begin, heal=_unruled, seconds=5, is_intercepted=True)


def _paused(component: str) -> Fault:
    return Fault(
        name=f"{component}-paused-5s",
        begin=lambda environment, _: environment.cluster.pause(component),
        heal=lambda environment: environment.cluster.resume(component),
        seconds=5,
        is_exclusive=True,
    )


API = (
    Fault(name="api-cut", begin=lambda environment, _: environment.to_api.cut()),
    Fault(name="api-reset", begin=lambda environment, _: environment.to_api.reset()),
    Fault(
        name="api-stalled-8s",
        begin=_api_lines(lambda _: Treatment(holds=True)),
        heal=_api_lines_again,
        seconds=8,
    ),
    Fault(
        name="api-dead-line",
        begin=lambda environment, _: environment.to_api.freeze(),
        patience=180,
        at_most=2,
    ),
    Fault(
        name="api-slow-1s", begin=_api_lines(lambda _: Treatment(delay=1)), heal=_api_lines_again, seconds=5
    ),
    Fault(
        name="api-throttled-8KBs",
        begin=_api_lines(lambda _: Treatment(rate=8192)),
        heal=_api_lines_again,
        seconds=6,
    ),
    Fault(
        name="api-answer-truncated",
        begin=_api_lines(lambda rng: Treatment(down=rng.randint(100, 12_000), resets=rng.random() < 0.5)),
        heal=_api_lines_again,
        seconds=4,
    ),
    Fault(
        name="api-request-truncated",
        begin=_api_lines(lambda rng: Treatment(up=rng.randint(100, 8000), resets=rng.random() < 0.5)),
        heal=_api_lines_again,
        seconds=4,
    ),
    Fault(
        name="api-refused-10s",
        begin=lambda environment, _: environment.to_api.refuse(),
        heal=lambda environment: environment.to_api.accept(),
        seconds=10,
    ),
    Fault(
        name="api-rejected-6s",
        begin=lambda environment, _: (
            environment.to_api.treat(Treatment(rejects=True)),
            environment.to_api.cut(),
        ),
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
    Fault(
        name="api-killed",
        begin=lambda environment, _: environment.cluster.stop("kube-apiserver", force=True),
        heal=lambda environment: environment.cluster.start("kube-apiserver"),
        seconds=1,
        is_exclusive=True,
    ),
    _paused("kube-apiserver"),
    _paused("etcd"),
    Fault(
        name="api-compacted",
        begin=lambda environment, _: (environment.cluster.compact(), environment.to_api.cut()),
        is_exclusive=True,
    ),
)

FAULTS = (*INFISICAL, *OPERATOR, *(CLOCK if FAKETIME else ()), *API)
