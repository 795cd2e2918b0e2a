"""The guardian of a demo: takes its belongings away when the demo ends without having done so.

The demo starts it as `python -m infisical_demo.guarding` and ends it when it has cleaned up,
so that even a demo that was killed leaves nothing behind.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from infisical_demo.errors import DemoError
from infisical_demo.state_folder import Folder
from local_cluster import processes
from local_cluster.processes import Process


@contextmanager
def guarded(folder: Folder) -> Iterator[None]:
    """Have a guardian watch over this process until the context is left.

    If something is still to be taken away when the context is left by an error (a second Ctrl-C), the
    guardian stays and does it.
    """
    me = processes.identify(os.getpid())
    arguments = ("-m", __name__, str(folder.path), me.model_dump_json())
    guardian = processes.spawn(Path(sys.executable), arguments, os.environ, folder.log("guardian"))
    try:
        yield
    except BaseException:
        if folder.record is None:
            processes.kill(guardian)
        raise
    processes.kill(guardian)


def watch(process: Process) -> None:
    """Return when the process has ended."""
    while processes.state(process) != "gone":
        processes.wait_for_end(process)


def main(folder: str, watched: str) -> None:
    """Guard the demo in `folder`; `watched` is a `Process` as JSON."""
    watch(Process.model_validate_json(watched))
    here = Folder(Path(folder))
    with suppress(DemoError), here.locked():  # who holds the lock has cleaned up for us
        here.clean()


if __name__ == "__main__":
    main(*sys.argv[1:])
