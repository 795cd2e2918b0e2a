"""The guardian process of a demo: cleans up after a demo that was killed.

The demo starts it as `python -m infisical_demo.demo_guard` and ends it after its own cleanup.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from infisical_demo.errors import DemoError
from infisical_demo.state_folder import StateFolder
from local_cluster import processes
from local_cluster.processes import Process


@contextmanager
def guard(folder: StateFolder) -> Iterator[None]:
    """Run a guardian process while the context is open.

    If an error such as a second Ctrl-C leaves the cleanup unfinished, the guardian stays and finishes it.
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
    here = StateFolder(Path(folder))
    with suppress(DemoError), here.locked():  # the holder of the lock cleans up itself
        here.clean()


if __name__ == "__main__":
    main(*sys.argv[1:])
