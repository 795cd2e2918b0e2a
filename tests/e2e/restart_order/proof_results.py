"""The result of a proof, and the table at the end of `make prove`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from e2e.faults.results import aligned


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofResult:
    """The result of one proof, a row of the table.

    `runs` counts runs, `expected` and `restarts` the required and observed restarts of all Deployments,
    `killed` the kills of the operator, `most` the largest number of rollouts at a time. A flaw is a
    sentence; `failure` is an error that ended the run early.
    """

    name: str
    runs: int = 0
    expected: int = 0
    restarts: int = 0
    killed: int = 0
    most: int = 0
    seconds: float = 0.0
    flaws: Sequence[str] = ()
    failure: str = ""

    @property
    def has_passed(self) -> bool:
        """Whether no restart is early, lost or doubled, and all runs are complete."""
        return not self.flaws and not self.failure


def table(rows: Iterable[ProofResult]) -> str:
    """Format the results as text."""
    head = ("proof", "runs", "expected", "restarts", "killed", "most at a time", "seconds", "")
    return aligned([head, *(_cells(row) for row in rows)])


def _cells(row: ProofResult) -> tuple[str, ...]:
    summary = row.failure.partition("\n")[0] or f"{len(row.flaws)} flaws"
    return (
        row.name,
        str(row.runs),
        str(row.expected),
        str(row.restarts),
        str(row.killed or "-"),
        str(row.most or "-"),
        f"{row.seconds:.0f}",
        "" if row.has_passed else f"FAILED {summary}",
    )
