"""Starting and ending the components of one state folder.

Everything here works on what `records` has written down, under the lock that `clusters` holds.
"""

import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence

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
        raise errors.ClusterError(f"no cluster is up in {layout.state}")
    return record


def members(layout: Layout, record: Record) -> tuple[Component, ...]:
    """Return the components of a cluster in the order of their start."""
    return components.components(layout, record.ports, audit_log=record.audit_log)


def member(layout: Layout, name: str) -> Component:
    """Return one component by name.

    Raises:
        ClusterError: there is none of that name, or the cluster is not up.
    """
    known = {component.name: component for component in members(layout, current(layout))}
    if name not in known:
        raise errors.ClusterError(f"there is no component {name}, only {', '.join(known)}")
    return known[name]


def is_alive(record: Record, name: str) -> bool:
    """Tell whether the recorded process of that name is still the same process."""
    process = record.processes.get(name)
    return process is not None and processes.state(process) != "gone"


@contextlib.contextmanager
def locked(layout: Layout) -> Iterator[None]:
    """Be the only one who starts or ends anything in this state folder.

    Raises:
        ClusterError: somebody else does not come to an end.
    """
    layout.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with filelock.FileLock(layout.lock, timeout=_LOCK_SECONDS):
            yield
    except filelock.Timeout:
        raise errors.ClusterError(
            f"another process has been working on {layout.state} for {_LOCK_SECONDS:g} s"
        ) from None


def take_down(layout: Layout) -> bool:
    """End every process by force and remove the state; tell whether there was a cluster."""
    if not layout.record.exists():
        return False
    with locked(layout):
        record = cluster_record.load(layout.record)
        if record:
            # The guardian calls this too, and ends by itself.
            end([p for p in record.processes.values() if p.pid != os.getpid()])
            kubeconfigs.remove(record.kubeconfig)
            _clear(layout)
    return record is not None


def start_missing(layout: Layout, nodes: int, say: program_provider.Say) -> None:
    """Start what does not run and wait until a pod created now would be scheduled and run.

    The API server waits for etcd by itself, but the others give up on a missing API server, so
    they come after it.

    Raises:
        ClusterError: a component ends or does not get healthy.
    """
    everything = members(layout, current(layout))
    for number, component in enumerate(everything, start=1):
        launch(layout, component, say)
        if component.name == "kube-apiserver":
            wait_healthy(layout, component, needed=everything[:number])
    for component in everything:
        wait_healthy(layout, component, needed=everything)
    _settle(layout, everything, nodes)


def launch(layout: Layout, component: Component, say: program_provider.Say) -> None:
    """Start one component unless it runs; do not wait for it."""
    record, name = current(layout), component.name
    if is_alive(record, name):
        return
    process = spawn_recorded(
        layout, name, lambda: _spawn(layout, record, component.name, component.arguments)
    )
    say(f"{name}: started, pid {process.pid}")


def spawn_recorded(layout: Layout, name: str, spawn: Callable[[], Process]) -> Process:
    """Start a process and write it down, with no interrupt in between."""
    with processes.uninterrupted():
        process = spawn()
        cluster_record.save(layout.record, current(layout).having(name, process))
    return process


def wait_healthy(layout: Layout, component: Component, *, needed: Sequence[Component] = ()) -> None:
    """Wait until a component answers its health check.

    Raises:
        ClusterError: it or one of the `needed` ends instead, or it does not get healthy.
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
    """End whatever is started inside if it does not succeed, including by an interrupt."""
    before = current(layout)
    try:
        yield
    except BaseException:
        after = current(layout)
        started = {n: p for n, p in after.processes.items() if before.processes.get(n) != p}
        end(started.values())
        if not any(is_alive(after, name) for name in after.processes):
            layout.record.unlink()  # choices that did not work; the logs stay to be read
        raise


def end(victims: Iterable[Process]) -> None:
    """Kill processes, all at once: nothing they hold will be used again."""
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


def _spawn(layout: Layout, record: Record, name: str, arguments: Iterable[str]) -> Process:
    # Nothing of the caller's environment: no proxies, no credentials; and not ~/.kwok, which
    # kwok would read.
    environ = {"HOME": str(layout.state), "PATH": os.defpath}
    return processes.spawn(record.binaries / name, arguments, environ, layout.log(name))


def _settle(layout: Layout, everything: Sequence[Component], nodes: int) -> None:
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
    raise errors.ClusterError(f"{name} ended:\n{tail}\nThe whole log: {log}")
