"""The operator as a process: `infisical-events run`."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from infisical_demo.errors import DemoError
from infisical_demo.state_folder import StateFolder
from local_cluster import cluster_record, processes
from local_cluster.processes import Process

_NAME = "operator"
_SETTINGS = "INFISICAL_EVENTS_"
_LOG_LINES = 10


@dataclass(frozen=True, slots=True)
class Operator:
    """`infisical-events run` for one namespace of one cluster and one Infisical."""

    folder: StateFolder
    arguments: tuple[str, ...]
    port: int

    @classmethod
    def prepare(cls, folder: StateFolder, kubeconfig: Path, namespace: str, address: str) -> "Operator":
        """Return an operator that is not started yet; its metrics will be at `port` on 127.0.0.1."""
        port = cluster_record.free_ports(("operator",))["operator"]
        flags = {
            "--kubeconfig": str(kubeconfig),
            "--namespace": namespace,
            "--allowed-address": address,
            "--http-address": f"127.0.0.1:{port}",
            "--lease-namespace": namespace,
            "--identity": "demo",  # after a kill the new process takes its Leases at once
        }
        return cls(folder, ("run", *(word for flag in flags.items() for word in flag)), port)

    @property
    def log(self) -> Path:
        """The log file."""
        return self.folder.log(_NAME)

    def start(self) -> None:
        """Start the process; return without waiting for it to become ready."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)}
        # The demo's Infisical is on this machine and never behind a proxy.
        environ |= {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        command = ("-m", "infisical_events", *self.arguments)
        self.folder.spawn(_NAME, Path(sys.executable), command, environ)

    def kill(self) -> None:
        """End the process by SIGKILL, like the loss of a machine."""
        processes.kill(self._process)

    def raise_if_ended(self) -> None:
        """Raise DemoError if the process exited by itself."""
        if processes.state(self._process) == "gone":
            tail = "\n".join(self.log.read_text().splitlines()[-_LOG_LINES:])
            raise DemoError(f"the operator exited. End of its log:\n{tail}")

    @property
    def resident(self) -> float:
        """The resident memory in MiB."""
        usage = processes.usage(self._process)
        return usage.resident if usage else 0.0

    @property
    def _process(self) -> Process:
        record = self.folder.record
        if record is None or _NAME not in record.processes:
            raise DemoError("the operator is not started")
        return record.processes[_NAME]
