"""What the machine and the API server add to each time: the operator is not measured by them.

The programs of a run share a machine, with one another and with others. So two things are taken off the time
of a change: for how long the thread of the operator's event loop was ready to run and did not get a processor
(schedstat, proc(5)), and what the API server takes for the requests that a change needs.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import httpx

from hostile.repeated import Repeated

REQUESTS_OF_A_CHANGE = 4
"""One after the other: the workloads, the ledger, the Deployment, its patch."""


def waited_for_processor(pid: int) -> float:
    """Seconds for which the main thread of a process has waited for a processor; 0 without the process."""
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[1]) / 1e9
    return 0.0


@dataclass
class ApiReference(Repeated):
    """Writes an object again and again, until the block ends.

    Attributes:
        write: Writes it; raises httpx.HTTPError.
        writes: The beginning (monotonic) and the duration of each write, in seconds.
    """

    write: Callable[[], object]
    writes: list[tuple[float, float]] = field(default_factory=list)
    pause: ClassVar[float] = 0.1

    def mean_since(self, begin: float) -> float:
        """The mean duration of the writes since a moment; 0 if there was none."""
        found = [seconds for at, seconds in tuple(self.writes) if at + seconds >= begin]
        return sum(found) / len(found) if found else 0.0

    def step(self) -> None:
        """Write once."""
        begun = time.monotonic()
        with suppress(httpx.HTTPError):  # a time-out is a long write
            self.write()
        self.writes.append((begun, time.monotonic() - begun))
