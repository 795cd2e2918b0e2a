"""Starts and stops the components of one state folder.

All functions work on the cluster's record, under the lock that `cluster` holds.
"""

import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import filelock
import httpx

from local_cluster import (
    apiserver,
    cluster_record,
    components,
    errors,
    kubeconfigs,
    processes,
    program_provider,
    wait,
)
from local_cluster.cluster_record import Record
from local_cluster.components import Component
from local_cluster.processes import Process
from local_cluster.state_layout import Layout

GUARDIAN = "guardian"

# The usual start takes 4 s; this allows for a loaded machine with two cores.
_READY_SECONDS = 90.0
_LOCK_SECONDS = 120.0
_TAIL_LINES = 15
_TAIL_CHARACTERS = 300


def current(layout: Layout) -> Record:
    """Return the record of the cluster.

    Raises:
        ClusterError: the cluster is not up.
    """
    record = cluster_record.load(layout.record)
    if record is None:
        raise errors.ClusterError(f"no cluster is up in {layout.state}; start one with `cluster up`")
    return record


def members(layout: Layout, record: Record) -> tuple[Component, ...]:
    """Return the components of a cluster in the order of their start."""
    return components.components(layout, record.ports, audit_log=record.audit_log)


def member(layout: Layout, name: str) -> Component:
    """Return one component by name.

    Raises:
        ClusterError: no component has this name, or the cluster is not up.
    """
    known = {component.name: component for component in members(layout, current(layout))}
    if name not in known:
        raise errors.ClusterError(f"unknown component {name}; the components are {', '.join(known)}")
    return known[name]


def is_alive(record: Record, name: str) -> bool:
    """Return True if the recorded process of that name still exists."""
    process = record.processes.get(name)
    return process is not None and processes.state(process) != "gone"


@contextlib.contextmanager
def locked(layout: Layout) -> Iterator[None]:
    """Hold the state folder's lock for starts and stops.

    Raises:
        ClusterError: another process held the lock for 120 s.
    """
    layout.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with filelock.FileLock(layout.lock, timeout=_LOCK_SECONDS):
            yield
    except filelock.Timeout:
        raise errors.ClusterError(
            f"another process has held the lock {layout.lock} for more than {_LOCK_SECONDS:g} s. "
            "Wait until it ends, or stop it."
        ) from None


def take_down(layout: Layout) -> bool:
    """Kill all processes and remove the state; return True if a cluster was up."""
    if not layout.record.exists():
        return False
    with locked(layout):
        record = cluster_record.load(layout.record)
        if record:
            # The guardian process calls this function too, and ends by itself.
            end([p for p in record.processes.values() if p.pid != os.getpid()])
            kubeconfigs.remove(record.kubeconfig)
            _clear(layout)
    return record is not None


def start_missing(layout: Layout, nodes: int, say: program_provider.Say) -> None:
    """Start the missing components and wait until a new pod would be scheduled and run.

    The API server waits for etcd by itself. The other components exit without an API server, so they
    start after it.

    Raises:
        ClusterError: a component exits or does not become healthy.
    """
    everything = members(layout, current(layout))
    for number, component in enumerate(everything, start=1):
        launch(layout, component, say)
        if component.name == "kube-apiserver":
            wait_healthy(layout, component, needed=everything[:number])
    for component in everything:
        wait_healthy(layout, component, needed=everything)
    _wait_until_usable(layout, everything, nodes)


def launch(layout: Layout, component: Component, say: program_provider.Say) -> None:
    """Start one component unless it runs; return without waiting."""
    record, name = current(layout), component.name
    if is_alive(record, name):
        return
    # Without the caller's environment: no proxies and no credentials. HOME keeps kwok from ~/.kwok.
    environ = {"HOME": str(layout.state), "PATH": os.defpath}
    process = spawn(layout, name, record.binaries / name, component.arguments, environ)
    say(f"{name}: started, pid {process.pid}")


def spawn(
    layout: Layout, name: str, executable: Path, arguments: Iterable[str], environ: Mapping[str, str]
) -> Process:
    """Start a recorded process."""

    def record(process: Process) -> None:
        cluster_record.save(layout.record, current(layout).with_process(name, process))

    return processes.spawn(executable, arguments, environ, layout.log(name), record)


def wait_healthy(layout: Layout, component: Component, *, needed: Sequence[Component] = ()) -> None:
    """Wait until the health check of a component succeeds.

    Raises:
        ClusterError: the component or one of the `needed` exits, or it does not become healthy.
    """
    if not component.port:
        return
    with connect(layout, component) as client:
        _wait(
            layout,
            (*needed, component),
            lambda: apiserver.is_healthy(client, component.health),
            component.name,
        )


def connect(layout: Layout, component: Component) -> httpx.Client:
    """Return a client for the port of a component."""
    return apiserver.connect(component.port, layout.certificates)


@contextlib.contextmanager
def undone_on_failure(layout: Layout) -> Iterator[None]:
    """Kill the processes that were started inside the context if it raises, also after an interrupt."""
    before = current(layout)
    try:
        yield
    except BaseException:
        after = current(layout)
        started = {n: p for n, p in after.processes.items() if before.processes.get(n) != p}
        end(started.values())
        if not any(is_alive(after, name) for name in after.processes):
            layout.record.unlink()  # these options did not work; the logs stay
        raise


def end(victims: Iterable[Process]) -> None:
    """Kill processes, all at once."""
    for process in victims:
        processes.send(process, signal.SIGKILL)
    for process in victims:
        processes.kill(process)


def _clear(layout: Layout) -> None:
    layout.record.unlink()
    for path in layout.disposable:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _wait_until_usable(layout: Layout, everything: Sequence[Component], nodes: int) -> None:
    with connect(layout, member(layout, "kube-apiserver")) as client:
        for number in range(nodes):
            apiserver.create_node(client, f"node-{number}")
        _wait(layout, everything, lambda: apiserver.ready_nodes(client) >= nodes, "ready nodes")
        _wait(layout, everything, lambda: apiserver.takes_pods(client, "default"), "service accounts")


def _wait(layout: Layout, needed: Sequence[Component], condition: Callable[[], bool], what: str) -> None:
    def is_met() -> bool:
        for component in needed:
            _check_alive(layout, component.name)
        return condition()

    wait.until(is_met, seconds=_READY_SECONDS, what=f"{what} (logs in {layout.logs})")


def _check_alive(layout: Layout, name: str) -> None:
    if is_alive(current(layout), name):
        return
    log = layout.log(name)
    lines = log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
    tail = "\n".join(line[:_TAIL_CHARACTERS] for line in lines)
    raise errors.ClusterError(f"{name} exited. End of its log:\n{tail}\nThe whole log: {log}")
