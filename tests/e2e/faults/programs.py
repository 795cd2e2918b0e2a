# ruff: noqa: T201 - for programs that print
"""What the programs of the tests share: progress, a scratch folder, a control plane, and an end by Ctrl-C."""

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

from e2e.faults import stages, waiting
from local_cluster import Cluster

_BEGUN = time.monotonic()
_printing = threading.Lock()


def say(line: str) -> None:
    """A line of progress."""
    with _printing:
        print(f"{time.monotonic() - _BEGUN:6.0f} s  {line}", flush=True)


def fits(name: str, only: str) -> bool:
    """Whether a name matches one of the patterns, which are separated by blanks."""
    return any(fnmatchcase(name, pattern) for pattern in only.split())


@contextmanager
def scratch(prefix: str) -> Iterator[Path]:
    """A folder for all that is written; one of a run that was stopped is of no interest."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def concluded(folder: Path, *, is_well: bool) -> int:
    """The exit code: what was written is kept, and said where, only if something is not well."""
    if is_well:
        shutil.rmtree(folder)
        return 0
    print(f"what was written is in {folder}")
    return 1


@contextmanager
def control_plane(folder: Path) -> Iterator[Cluster]:
    """One of this run alone; it does not outlive this process, however that ends."""
    cluster = Cluster(folder / "cluster")
    try:
        cluster.up(while_pid=os.getpid())
        stages.serve_resource(cluster)
        yield cluster
    finally:
        cluster.down()


def run(main: Callable[[], int]) -> None:
    """Exit with a program's code. Ctrl-C, SIGTERM and a closed terminal end everything that was started."""
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
