"""What is measured during an attack, the bounds, and the table: pure functions of numbers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from e2e.faults.results import aligned

_MIB = 1024 * 1024
_MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """The largest figures that an attack may cause.

    Attributes:
        rss: Bytes of resident memory of the operator: the limit of the chart's container.
        stall: Seconds for which the event loop stands still.
        neighbour: Seconds from a change in the neighbour's Infisical to the patch of its Deployment.
        log: Bytes of log per minute.
        lease_gap: Seconds between two renewals of the Lease, a third of its duration before it is lost.
        events_at_once, events_per_minute: Kubernetes Events of one subscription.
    """

    rss: float = 256 * _MIB
    stall: float = 0.25
    neighbour: float = 2.0
    log: float = 1_000_000
    lease_gap: float = 10.0
    events_at_once: float = 5
    events_per_minute: float = 5


@dataclass(frozen=True, slots=True)
class Stall:
    """One stall of the event loop: its length in seconds, and the innermost frames of the loop."""

    seconds: float
    place: str


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured from the beginning of an attack to its end.

    Attributes:
        seconds: How long it lasted.
        changes: For each change of the neighbour, the seconds that the operator took to patch its Deployment.
        gross: The same with the time that the machine and the API server took.
        unserved: Changes of the neighbour that were not acted on at all.
        rss_before, rss: Bytes of resident memory at the beginning, and the maximum.
        stalls: The stalls, the longest one first.
        is_same_process: Whether the process of the beginning still runs.
        lease_gap: The longest time between two renewals of the Lease, in seconds.
        is_lease_kept: Whether the Lease had the same holder all the time and never changed hands.
        log: Bytes of log.
        events: The largest number of Kubernetes Events of one subscription.
        leaks: What was found of the canaries, and forbidden connections.
        is_applied: Whether the attack was applied completely.
    """

    seconds: float
    changes: tuple[float, ...]
    rss: int
    gross: tuple[float, ...] = ()
    rss_before: int = 0
    unserved: int = 0
    stalls: tuple[Stall, ...] = ()
    is_same_process: bool = True
    lease_gap: float = 0.0
    is_lease_kept: bool = True
    log: int = 0
    events: int = 0
    leaks: tuple[str, ...] = ()
    is_applied: bool = True

    @property
    def slowest(self) -> float:
        """Seconds of the neighbour's slowest change; infinite if one was not acted on, or none was made."""
        return float("inf") if self.unserved or not self.changes else max(self.changes)

    @property
    def longest_stall(self) -> float:
        """Seconds of the longest stall."""
        return max((stall.seconds for stall in self.stalls), default=0.0)

    @property
    def log_per_minute(self) -> float:
        """Bytes of log per minute; an attack of less than a minute is not extrapolated."""
        return self.log / max(1.0, self.seconds / _MINUTE)


@dataclass(frozen=True, slots=True)
class AttackResult:
    """A row of the table; `failure` is an error of the program that ended the attack early."""

    name: str
    figures: Figures | None = None
    broken: tuple[str, ...] = ()
    failure: str = ""

    @property
    def holds(self) -> bool:
        """Whether it was measured and no bound is broken."""
        return self.figures is not None and not self.broken and not self.failure

    @property
    def progress(self) -> str:
        """One line: the verdict and the most important figures, so that an interrupted run has shown them."""
        verdict = f"{self.name}: {self.verdict.partition(chr(10))[0]}"
        if self.figures is None:
            return verdict
        rss, stall = self.figures.rss / _MIB, self.figures.longest_stall * 1000
        return f"{verdict} ({self.figures.slowest:.2f} s, {rss:.0f} MiB, {stall:.0f} ms)"

    @property
    def verdict(self) -> str:
        """`holds`, the names of the broken bounds, or the error."""
        return "holds" if self.holds else ", ".join((*self.broken, *filter(None, [self.failure])))


@dataclass(frozen=True, slots=True)
class _Check:
    name: str
    is_broken: bool


def broken_bounds(figures: Figures, bounds: Bounds) -> tuple[str, ...]:
    """The names of the bounds that the figures break."""
    events = bounds.events_at_once + bounds.events_per_minute * figures.seconds / _MINUTE
    checks = (
        _Check("attack not applied", not figures.is_applied),
        _Check("process ended", not figures.is_same_process),
        _Check("RSS", figures.rss > bounds.rss),
        _Check("stall", figures.longest_stall > bounds.stall),
        _Check("neighbour", figures.slowest > bounds.neighbour),
        _Check("Lease", not figures.is_lease_kept or figures.lease_gap > bounds.lease_gap),
        _Check("log", figures.log_per_minute > bounds.log),
        _Check("Events", figures.events > events),
    )
    return (*(check.name for check in checks if check.is_broken), *(f"leak {leak}" for leak in figures.leaks))


def table(results: Iterable[AttackResult]) -> str:
    """Format the results as text."""
    head = (
        "attack",
        "neighbour s",
        "gross s",
        "RSS MiB",
        "from MiB",
        "stall ms",
        "Lease",
        "log KiB/min",
        "Events",
        "verdict",
    )
    return aligned([head, *(_cells(result) for result in results)])


def places(results: Iterable[AttackResult], longer_than: float, most: int = 3) -> str:
    """The places of the code in which the loop stood still for too long, by attack."""
    lines = [
        f"{result.name}: {stall.seconds * 1000:.0f} ms in {stall.place or 'an unknown place'}"
        for result in results
        for stall in (result.figures.stalls if result.figures else ())[:most]
        if stall.seconds > longer_than
    ]
    return "\n".join(lines)


def _cells(result: AttackResult) -> Sequence[str]:
    figures = result.figures
    if figures is None:
        return (result.name, *["-"] * 8, f"FAILED {result.verdict.partition(chr(10))[0]}")
    return (
        result.name,
        f"{figures.slowest:.2f}",
        f"{max(figures.gross, default=0):.2f}",
        f"{figures.rss / _MIB:.0f}",
        f"{figures.rss_before / _MIB:.0f}",
        f"{figures.longest_stall * 1000:.0f}",
        "kept" if figures.is_lease_kept else "LOST",
        f"{figures.log_per_minute / 1024:.0f}",
        str(figures.events),
        result.verdict if result.holds else f"BROKEN {result.verdict}",
    )
