"""What a try and a row have shown: pure counting, from what was changed and what was seen."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from e2e.faults.infisicals import Change
from e2e.faults.rollouts import Rollout


@dataclass(frozen=True, slots=True)
class Tried:
    """One try: what was changed, what had to be restarted, what was.

    `least` and `most` are restarts that are right: a change alone is one for each workload that it concerns,
    several that come together are between one and as many. `lost` names workloads that the last change
    did not reach, `doubled` those that were restarted too often. `longest` is seconds from a change to the
    restart that brought it. `struck` counts the connections and requests that the fault has met.
    """

    changes: int
    least: int
    most: int
    seen: int
    lost: tuple[str, ...] = ()
    doubled: tuple[str, ...] = ()
    longest: float = 0.0
    struck: int = 0


@dataclass(frozen=True, slots=True)
class Told:
    """A row of the table; `trouble` is what kept it from being played to its end."""

    name: str
    tries: tuple[Tried, ...]
    blind: int = 0
    trouble: str = ""

    @property
    def is_well(self) -> bool:
        """Nothing lost, nothing doubled, everything played."""
        return not self.trouble and not any(tried.lost or tried.doubled for tried in self.tries)


def is_reached(change: Change, rollouts: Iterable[Rollout], *, by_sight: bool) -> bool:
    """Whether some restart came after the change; by sight if the operator's clock cannot be believed."""
    return any(_is_after(rollout, change, by_sight=by_sight) for rollout in rollouts)


def judged(
    changes: Sequence[Change],
    rollouts: Sequence[Rollout],
    concerned: Mapping[str, Iterable[str]],
    *,
    by_sight: bool = False,
) -> Tried:
    """Judge a try; `concerned` are the workloads by the folder that concerns them."""
    owed = Counter(name for change in changes for name in concerned[change.path])
    seen: Counter[str] = Counter()
    for rollout in rollouts:
        seen[rollout.workload] += rollout.count
    lost, longest = [], 0.0
    for name in owed:
        mine = [change for change in changes if name in concerned[change.path]]
        theirs = [rollout for rollout in rollouts if rollout.workload == name]
        if not is_reached(mine[-1], theirs, by_sight=by_sight):
            lost.append(name)
        longest = max([longest, *(_waited(change, theirs, by_sight=by_sight) for change in mine)])
    return Tried(
        changes=len(changes),
        least=len(owed),
        most=owed.total(),
        seen=seen.total(),
        lost=tuple(sorted(lost)),
        doubled=tuple(sorted(name for name, count in seen.items() if count > owed[name])),
        longest=longest,
    )


def table(rows: Iterable[Told]) -> str:
    """For people."""
    head = (
        "fault",
        "tries",
        "struck",
        "changes",
        "expected",
        "seen",
        "lost",
        "double",
        "longest s",
        "blind s",
        "",
    )
    return aligned([head, *(_cells(row) for row in rows)])


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Rows of as many cells: the first to the left, numbers to the right, the last as it is."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(_line(line, widths) for line in lines)


def _cells(row: Told) -> tuple[str, ...]:
    least, most = (sum(getattr(tried, name) for tried in row.tries) for name in ("least", "most"))
    return (
        row.name,
        str(len(row.tries)),
        str(sum(tried.struck for tried in row.tries) or "-"),
        str(sum(tried.changes for tried in row.tries)),
        str(least) if least == most else f"{least}-{most}",
        str(sum(tried.seen for tried in row.tries)),
        str(sum(len(tried.lost) for tried in row.tries)),
        str(sum(len(tried.doubled) for tried in row.tries)),
        f"{max([tried.longest for tried in row.tries], default=0):.1f}",
        str(row.blind),
        "" if row.is_well else f"FAILED {row.trouble.partition(chr(10))[0]}".strip(),
    )


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *numbers, last = zip(cells, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(c.rjust(w) for c, w in numbers), last[0]]).rstrip()


def _is_after(rollout: Rollout, change: Change, *, by_sight: bool) -> bool:
    return rollout.seen_at >= change.monotonic if by_sight else rollout.patched_at >= change.wall


def _waited(change: Change, rollouts: Iterable[Rollout], *, by_sight: bool) -> float:
    later = [r.seen_at for r in rollouts if _is_after(r, change, by_sight=by_sight)]
    return max(0.0, min(later) - change.monotonic) if later else 0.0
