"""Samples of the operator's process and of its Lease, while an attack lasts."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import httpx

from hostile.figures import Stall
from hostile.repeated import Repeated


def reset_peak(pid: int) -> int:
    """Reset the kernel's maximum of resident memory (proc(5), clear_refs); return the present amount."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return _memory(pid, "VmRSS")


def peak(pid: int) -> int:
    """The maximum resident memory in bytes since the reset, which samples could miss; 0 without a process."""
    try:
        return _memory(pid, "VmHWM")
    except OSError:
        return 0


def _memory(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0


def stalls_in(file: Path, since: float) -> tuple[Stall, ...]:
    """The stalls that the probe has reported since a moment (monotonic), the longest one first."""
    lines = file.read_text().splitlines() if file.exists() else []
    found = [entry for entry in map(json.loads, lines) if entry["at"] >= since]
    found.sort(key=lambda entry: -entry["stall"])
    return tuple(Stall(entry["stall"], entry["place"]) for entry in found)


@dataclass
class OperatorSampler(Repeated):
    """Reads the Lease and the memory twice a second, until the block ends.

    Attributes:
        pid: The process.
        read: Reads the Lease; raises httpx.HTTPError.
        rss: The maximum resident memory in bytes; the last one that was seen of a process that has ended.
        holders: All pairs of holder and number of transitions.
        gap: The longest time in seconds by which a renewal was late.
    """

    pid: int
    read: Callable[[], dict[str, Any]]
    rss: int = 0
    holders: set[tuple[str, int]] = field(default_factory=set)
    gap: float = 0.0
    pause: ClassVar[float] = 0.5

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self.rss = max(self.rss, peak(self.pid))

    @property
    def is_kept(self) -> bool:
        """Whether the Lease was seen, always with one holder and with the same number of transitions."""
        return len(self.holders) == 1 and all(holder for holder, _ in self.holders)

    def step(self) -> None:
        """Take one sample."""
        self.rss = max(self.rss, peak(self.pid))
        with suppress(httpx.HTTPError):  # the next sample shows the same
            self._add(self.read()["spec"])

    def _add(self, spec: dict[str, Any]) -> None:
        self.holders.add((spec.get("holderIdentity") or "", spec.get("leaseTransitions") or 0))
        self.gap = max(self.gap, time.time() - datetime.fromisoformat(spec["renewTime"]).timestamp())
