"""The guardian: takes a cluster down when the process that wanted it ends, however it ends.

`Cluster.up(while_pid=...)` starts it as `python -m local_cluster.guarding`. A test
session killed by SIGKILL leaves nothing behind this way.
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
    component_runner.spawn_recorded(
        layout,
        component_runner.GUARDIAN,
        lambda: processes.spawn(
            Path(sys.executable), arguments, environ, layout.log(component_runner.GUARDIAN)
        ),
    )


def watch(layout: Layout, watched: Process) -> None:
    """Return when `watched` has ended or the cluster is down without us."""
    while processes.state(watched) != "gone" and layout.record.exists():
        processes.wait_for_end(watched)


def main(state: str, watched: str) -> None:
    """Guard the cluster in the folder `state`; `watched` is a `Process` as JSON."""
    layout = state_layout.Layout(Path(state))
    watch(layout, Process.model_validate_json(watched))
    component_runner.take_down(layout)


if __name__ == "__main__":
    main(*sys.argv[1:])
