"""The operator as a real process, started as anybody would start it."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from infisical_demo.errors import DemoError
from infisical_demo.state_folder import Folder
from local_cluster import cluster_record, processes
from local_cluster.processes import Process

_NAME = "operator"
_SETTINGS = "INFISICAL_EVENTS_"
_LOG_LINES = 10


@dataclass(frozen=True, slots=True)
class Operator:
    """`infisical-events run` for one namespace of one cluster and one Infisical."""

    folder: Folder
    arguments: tuple[str, ...]
    port: int

    @classmethod
    def planned(cls, folder: Folder, kubeconfig: Path, namespace: str, address: str) -> "Operator":
        """An operator that is not started yet; its metrics will be at `port` of the loopback address."""
        port = cluster_record.free_ports(("operator",))["operator"]
        flags = {
            "--kubeconfig": str(kubeconfig),
            "--namespace": namespace,
            "--allowed-address": address,
            "--http-address": f"127.0.0.1:{port}",
            "--lease-namespace": namespace,
            "--identity": "demo",  # killed and begun anew, it goes on at once
        }
        return cls(folder, ("run", *(word for flag in flags.items() for word in flag)), port)

    @property
    def log(self) -> Path:
        """Where it logs."""
        return self.folder.log(_NAME)

    def start(self) -> None:
        """Start it; what it does is seen from outside."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)}
        # The Infisical of a demo is on this machine: no proxy stands in between.
        environ |= {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        command = ("-m", "infisical_events", *self.arguments)
        self.folder.spawn(_NAME, Path(sys.executable), command, environ)

    def kill(self) -> None:
        """End it by SIGKILL, as a lost machine would."""
        processes.kill(self._process)

    def require(self) -> None:
        """Raise DemoError when it has ended by itself."""
        if processes.state(self._process) == "gone":
            tail = "\n".join(self.log.read_text().splitlines()[-_LOG_LINES:])
            raise DemoError(f"the operator has ended; the end of its log:\n{tail}")

    @property
    def resident(self) -> float:
        """Its resident memory in MiB."""
        usage = processes.usage(self._process)
        return usage.resident if usage else 0.0

    @property
    def _process(self) -> Process:
        record = self.folder.record
        if record is None or _NAME not in record.processes:
            raise DemoError("the operator was not started")
        return record.processes[_NAME]
