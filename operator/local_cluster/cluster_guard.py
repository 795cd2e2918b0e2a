"""The guardian process: takes a cluster down when another process ends, also after SIGKILL.

`Cluster.up(while_pid=...)` starts it as `python -m local_cluster.cluster_guard`, for example for a test
session.
"""

import os
import sys
from pathlib import Path

from local_cluster import component_runner, processes, state_layout
from local_cluster.processes import Process
from local_cluster.state_layout import Layout


def start(layout: Layout, watched: Process) -> None:
    """Start a guardian for the cluster in `layout`, unless it has one."""
    if component_runner.is_alive(component_runner.current(layout), component_runner.GUARDIAN):
        return
    arguments = ("-m", __name__, str(layout.state), watched.model_dump_json())
    environ = {"PATH": os.defpath, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    component_runner.spawn(layout, component_runner.GUARDIAN, Path(sys.executable), arguments, environ)


def watch(layout: Layout, watched: Process) -> None:
    """Return when `watched` has ended or the cluster is already down."""
    while processes.state(watched) != "gone" and layout.record.exists():
        processes.wait_for_end(watched)


def main(state: str, watched: str) -> None:
    """Guard the cluster in the folder `state`; `watched` is a `Process` as JSON."""
    layout = state_layout.Layout(Path(state))
    watch(layout, Process.model_validate_json(watched))
    component_runner.take_down(layout)


if __name__ == "__main__":
    main(*sys.argv[1:])
