# ruff: noqa: T201 - for programs that print
"""What the test programs share: progress, a scratch folder, a control plane, and Ctrl-C."""

import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TextIO

from e2e.faults import fault_environment, waiting
from local_cluster import Cluster

_BEGUN = time.monotonic()
_printing = threading.Lock()


def say(line: str, *, to: TextIO | None = None) -> None:
    """Print a line of progress, on standard output unless another stream is given."""
    with _printing:
        print(f"{time.monotonic() - _BEGUN:6.0f} s  {line}", file=to, flush=True)


def matches(name: str, only: str) -> bool:
    """Whether a name matches one of the patterns, which are separated by spaces."""
    return any(fnmatchcase(name, pattern) for pattern in only.split())


@contextmanager
def scratch_folder(prefix: str) -> Iterator[Path]:
    """Provide a folder for logs; it is removed if the run is interrupted."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def exit_code(folder: Path, *, has_passed: bool) -> int:
    """Return the exit code; keep the folder, and print its path, only after a failure."""
    if has_passed:
        shutil.rmtree(folder)
        return 0
    print(f"logs and results are in {folder}")
    return 1


@contextmanager
def control_plane(folder: Path, *, audit_log: bool = False) -> Iterator[Cluster]:
    """Provide a control plane for this run; it ends with this process."""
    cluster = Cluster(folder / "cluster", audit_log=audit_log)
    try:
        cluster.up(while_pid=os.getpid())
        fault_environment.install_crd(cluster)
        yield cluster
    finally:
        cluster.down()


def run(main: Callable[[], int]) -> None:
    """Run a program and exit with its code. Ctrl-C, SIGTERM and SIGHUP end all its processes."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        code = main()
    except (KeyboardInterrupt, waiting.StoppedError):
        say("stopped")
        code = 130
    sys.stdout.flush()
    os._exit(code) if waiting.STOP.is_set() else sys.exit(code)


def _interrupt(*_: object) -> None:
    waiting.STOP.set()
    raise KeyboardInterrupt
