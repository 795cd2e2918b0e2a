"""The class `Cluster`: start and stop the local control plane, and cause faults in tests.

All state is in the state folder: two processes with the same folder use the same cluster.
"""

import os
import signal
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from local_cluster import (
    apiserver,
    certificates,
    cluster_guard,
    cluster_record,
    component_runner,
    components,
    etcd,
    kubeconfigs,
    processes,
    program_provider,
    state_layout,
)
from local_cluster.cluster_record import Record
from local_cluster.components import Component
from local_cluster.program_provider import Say, Sources
from local_cluster.state_layout import Layout


@dataclass(frozen=True, slots=True)
class ComponentStatus:
    """The status of one component: `state` is running, unhealthy, paused or gone; `port` 0 is none."""

    name: str
    state: str
    pid: int
    port: int
    usage: processes.Usage | None


def _silent(_: str) -> None:
    pass


class Cluster:
    """A real Kubernetes control plane on loopback; kwok simulates its nodes and pods.

    `state_dir` is the folder of all its files (default: the user's state folder). `binaries` has
    precedence over the other `sources` of programs. A later `up` may raise `nodes`. `say` receives lines
    of progress. As a context manager it calls `up` on entry and `down` on exit.
    """

    def __init__(  # noqa: PLR0913 - the options of `cluster up`
        self,
        state_dir: Path | None = None,
        binaries: Path | None = None,
        *,
        nodes: int = 2,
        kubeconfig: Path | None = None,
        audit_log: bool = False,
        sources: Sources | None = None,
        say: Say = _silent,
    ) -> None:
        self._layout = Layout((state_dir or state_layout.default_state(os.environ)).absolute())
        self._sources = sources or program_provider.sources(os.environ, given=binaries)
        self._nodes = nodes
        self._kubeconfig = kubeconfig.absolute() if kubeconfig else self._layout.kubeconfig
        self._audit_log = audit_log
        self._say = say

    def __enter__(self) -> Self:
        return self.up()

    def __exit__(self, *_: object) -> None:
        self.down()

    @property
    def state_dir(self) -> Path:
        """The folder of all files of this cluster."""
        return self._layout.state

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig (group system:masters).

        Raises:
            ClusterError: the cluster is not up.
        """
        return component_runner.current(self._layout).kubeconfig

    @property
    def binaries(self) -> Path:
        """The folder with all programs, including kubectl and helm.

        Raises:
            ClusterError: the cluster is not up.
        """
        return component_runner.current(self._layout).binaries

    @property
    def audit_log(self) -> Path:
        """The audit log: JSON lines, metadata only; written if `audit_log` is true."""
        return self._layout.audit

    def log(self, name: str) -> Path:
        """Return the output file of a component."""
        return self._layout.log(name)

    def up(self, *, while_pid: int | None = None) -> Self:
        """Start the missing components and wait until pods can be scheduled and run; idempotent.

        With `while_pid` a guardian process takes the cluster down when that process ends. After an error
        or an interrupt the components that this call started are stopped again.

        Raises:
            ClusterError: a program is missing or a component does not become healthy.
        """
        binaries = program_provider.provide(self._sources, self._say)
        with component_runner.locked(self._layout):
            self._prepare(binaries)
            with component_runner.undone_on_failure(self._layout):
                if while_pid:
                    cluster_guard.start(self._layout, processes.identify(while_pid))
                component_runner.start_missing(self._layout, self._nodes, self._say)
        return self

    def down(self) -> bool:
        """Kill all processes and remove the state; return True if a cluster was up."""
        return component_runner.take_down(self._layout)

    def status(self) -> tuple[ComponentStatus, ...]:
        """Return the status of all components; empty if the cluster is not up."""
        record = cluster_record.load(self._layout.record)
        if not record:
            return ()
        members = component_runner.members(self._layout, record)
        return tuple(self._status(record, component) for component in members)

    def start(self, name: str) -> None:
        """Start a stopped component on its old port and wait until it is healthy.

        Raises:
            ClusterError: no such component, or it does not become healthy, or the cluster is not up.
        """
        component = component_runner.member(self._layout, name)
        with component_runner.locked(self._layout):
            component_runner.launch(self._layout, component, self._say)
            component_runner.wait_healthy(self._layout, component)

    def stop(self, name: str, *, force: bool = False) -> None:
        """Stop a component by SIGTERM, or by SIGKILL with `force`; return when it is gone.

        Raises:
            ClusterError: no such component, or the cluster is not up.
        """
        with component_runner.locked(self._layout):
            (processes.kill if force else processes.terminate)(self._process(name))

    def restart(self, name: str, *, force: bool = False) -> None:
        """Stop a component and start it again on its old port; return when it is healthy."""
        self.stop(name, force=force)
        self.start(name)

    def pause(self, name: str) -> None:
        """Pause a component by SIGSTOP: its sockets stay open and do not respond."""
        processes.send(self._process(name), signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Resume a paused component."""
        processes.send(self._process(name), signal.SIGCONT)

    def compact(self) -> None:
        """Compact etcd and empty the watch cache: a watch from an old resourceVersion gets 410 Gone.

        The watch cache is emptied by a restart of the API server.

        Raises:
            ClusterError: the compaction failed, or the cluster is not up.
        """
        port = component_runner.current(self._layout).ports["etcd"]
        with apiserver.connect(port, self._layout.certificates) as client:
            etcd.compact(client)
        self.restart("kube-apiserver")

    def _process(self, name: str) -> processes.Process:
        component_runner.member(self._layout, name)
        return component_runner.current(self._layout).processes[name]

    def _prepare(self, binaries: Path) -> None:
        record = self._choose(cluster_record.load(self._layout.record), binaries)
        folder = self._layout.certificates
        certificates.write(folder, datetime.fromtimestamp(time.time(), UTC))
        server = components.url(record.ports["kube-apiserver"])
        for name in components.CLIENTS:
            text = kubeconfigs.render(server, folder, name)
            kubeconfigs.write(self._layout.kubeconfigs / name, text)
        kubeconfigs.write(record.kubeconfig, kubeconfigs.render(server, folder, "admin"))
        cluster_record.save(self._layout.record, record)

    def _choose(self, old: Record | None, binaries: Path) -> Record:
        """Return the record to use: that of a cluster with a running process, otherwise a new one."""
        if old and any(component_runner.is_alive(old, name) for name in old.processes):
            if (old.kubeconfig, old.audit_log) != (self._kubeconfig, self._audit_log):
                self._say(
                    f"the cluster is already running with kubeconfig {old.kubeconfig}: "
                    "options --kubeconfig and --audit-log have no effect"
                )
            return old
        ports = old.ports if old and cluster_record.are_free(old.ports) else cluster_record.free_ports()
        return Record(binaries=binaries, kubeconfig=self._kubeconfig, ports=ports, audit_log=self._audit_log)

    def _status(self, record: Record, component: Component) -> ComponentStatus:
        process = record.processes.get(component.name)
        state = processes.state(process) if process else "gone"
        if state == "running" and not self._is_healthy(component):
            state = "unhealthy"
        usage = processes.usage(process) if process else None
        return ComponentStatus(component.name, state, process.pid if process else 0, component.port, usage)

    def _is_healthy(self, component: Component) -> bool:
        if not component.port:
            return True
        with component_runner.connect(self._layout, component) as client:
            return apiserver.is_healthy(client, component.health)
