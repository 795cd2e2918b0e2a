"""The results of rounds and faults: pure functions of the changes and the observed restarts."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from e2e.faults.infisical_process import Change
from e2e.faults.rollout_watcher import Rollout


@dataclass(frozen=True, slots=True)
class RoundResult:
    """One round: how many changes, how many restarts are correct, how many were observed.

    `least` and `most` bound the correct number of restarts: one change causes one restart of each workload
    in its folder, several changes at once between one restart and one for each change. `lost` has workloads
    without a restart after their last change, `doubled` those with more restarts than changes. `longest` is
    the longest time in seconds from a change to its restart. `affected` counts the connections and requests
    that the fault disturbed.
    """

    changes: int
    least: int
    most: int
    seen: int
    lost: tuple[str, ...] = ()
    doubled: tuple[str, ...] = ()
    longest: float = 0.0
    affected: int = 0


@dataclass(frozen=True, slots=True)
class FaultResult:
    """The result of one fault, a row of the table; `failure` is an error that ended its run early."""

    name: str
    rounds: tuple[RoundResult, ...]
    blind: int = 0
    failure: str = ""

    @property
    def has_passed(self) -> bool:
        """Whether no restart is lost or doubled and all rounds were run."""
        return not self.failure and not any(result.lost or result.doubled for result in self.rounds)


def is_reached(change: Change, rollouts: Iterable[Rollout], *, uses_seen_time: bool) -> bool:
    """Whether a restart follows the change; by the time of observation if the operator's clock is wrong."""
    return any(_is_after(rollout, change, uses_seen_time=uses_seen_time) for rollout in rollouts)


def evaluate(
    changes: Sequence[Change],
    rollouts: Sequence[Rollout],
    workloads_by_folder: Mapping[str, Iterable[str]],
    *,
    uses_seen_time: bool = False,
) -> RoundResult:
    """Compute the result of a round."""
    expected = Counter(name for change in changes for name in workloads_by_folder[change.path])
    seen: Counter[str] = Counter()
    for rollout in rollouts:
        seen[rollout.workload] += rollout.count
    lost, longest = [], 0.0
    for name in expected:
        mine = [change for change in changes if name in workloads_by_folder[change.path]]
        theirs = [rollout for rollout in rollouts if rollout.workload == name]
        if not is_reached(mine[-1], theirs, uses_seen_time=uses_seen_time):
            lost.append(name)
        longest = max([longest, *(_waited(change, theirs, uses_seen_time=uses_seen_time) for change in mine)])
    return RoundResult(
        changes=len(changes),
        least=len(expected),
        most=expected.total(),
        seen=seen.total(),
        lost=tuple(sorted(lost)),
        doubled=tuple(sorted(name for name, count in seen.items() if count > expected[name])),
        longest=longest,
    )


def table(faults: Iterable[FaultResult]) -> str:
    """Format the results as text."""
    head = (
        "fault",
        "rounds",
        "affected",
        "changes",
        "expected",
        "seen",
        "lost",
        "double",
        "longest s",
        "blind s",
        "",
    )
    return aligned([head, *(_cells(fault) for fault in faults)])


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Format rows of cells: the first left-aligned, numbers right-aligned, the last as it is."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(_line(line, widths) for line in lines)


def _cells(fault: FaultResult) -> tuple[str, ...]:
    least, most = (sum(getattr(result, name) for result in fault.rounds) for name in ("least", "most"))
    return (
        fault.name,
        str(len(fault.rounds)),
        str(sum(result.affected for result in fault.rounds) or "-"),
        str(sum(result.changes for result in fault.rounds)),
        str(least) if least == most else f"{least}-{most}",
        str(sum(result.seen for result in fault.rounds)),
        str(sum(len(result.lost) for result in fault.rounds)),
        str(sum(len(result.doubled) for result in fault.rounds)),
        f"{max([result.longest for result in fault.rounds], default=0):.1f}",
        str(fault.blind),
        "" if fault.has_passed else f"FAILED {fault.failure.partition(chr(10))[0]}".strip(),
    )


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *numbers, last = zip(cells, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(c.rjust(w) for c, w in numbers), last[0]]).rstrip()


def _is_after(rollout: Rollout, change: Change, *, uses_seen_time: bool) -> bool:
    return rollout.seen_at >= change.monotonic if uses_seen_time else rollout.patched_at >= change.wall


def _waited(change: Change, rollouts: Iterable[Rollout], *, uses_seen_time: bool) -> float:
    later = [r.seen_at for r in rollouts if _is_after(r, change, uses_seen_time=uses_seen_time)]
    return max(0.0, min(later) - change.monotonic) if later else 0.0
