"""What a process uses, from proc(5)."""

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_MIB = 1024


def cpu_seconds(pid: int) -> float:
    """Seconds of processor time, in user and kernel mode, of all threads since the start of the process."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, after_name[11:13])) / _TICKS


def resident_mib(pid: int) -> float:
    """The resident memory in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / _MIB for line in lines if line.startswith("VmRSS:"))
