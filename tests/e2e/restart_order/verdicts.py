"""What a proof has shown, and the table that `make prove` ends with."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from e2e.faults.verdicts import aligned


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A row of the table.

    `runs` are acts that were played, `expected` and `restarts` what had to be and what was seen, over all
    Deployments, `killed` how often the operator died meanwhile, `most` how many rolled out at a time.
    A flaw is a sentence; `trouble` is what kept the proof from being played to its end.
    """

    name: str
    runs: int = 0
    expected: int = 0
    restarts: int = 0
    killed: int = 0
    most: int = 0
    seconds: float = 0.0
    flaws: Sequence[str] = ()
    trouble: str = ""

    @property
    def is_well(self) -> bool:
        """Nothing early, nothing lost, nothing doubled, everything played."""
        return not self.flaws and not self.trouble


def table(rows: Iterable[Shown]) -> str:
    """For people."""
    head = ("proof", "runs", "expected", "restarts", "killed", "most at a time", "seconds", "")
    return aligned([head, *(_cells(row) for row in rows)])


def _cells(row: Shown) -> tuple[str, ...]:
    said = row.trouble.partition("\n")[0] or f"{len(row.flaws)} flaws"
    return (
        row.name,
        str(row.runs),
        str(row.expected),
        str(row.restarts),
        str(row.killed or "-"),
        str(row.most or "-"),
        f"{row.seconds:.0f}",
        "" if row.is_well else f"FAILED {said}",
    )
