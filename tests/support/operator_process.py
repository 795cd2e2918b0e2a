"""The operator as a process of its own, which a test starts, kills and starts again."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from support import charts
from support.eventually import eventually

_NAMELESS = (
    "import pwd, runpy; del pwd.getpwuid;"
    "runpy.run_module('infisical_events', run_name='__main__', alter_sys=True)"
)
"""The operator under a user without a name, as in a container."""
_NO_NAME = dict.fromkeys(("LOGNAME", "USER", "LNAME", "USERNAME"), "")
_START_SECONDS = 100.0


@dataclass(slots=True)
class OperatorProcess:
    """The operator's process. All lives of it write to one log file."""

    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    url: str
    process: subprocess.Popen[bytes] | None = None

    @classmethod
    def for_namespace(cls, namespace: str, kubeconfig: Path, folder: Path) -> "OperatorProcess":
        """Serve one namespace of a cluster, connect to loopback only, and log at level debug."""
        address = f"127.0.0.1:{free_port()}"
        flags = {
            "--kubeconfig": str(kubeconfig),
            "--namespace": namespace,
            "--allowed-address": "http://127.0.0.1:*",
            "--http-address": address,
            "--lease-namespace": namespace,
            "--identity": folder.name.lower().replace("_", "-").strip("-"),
            "--log-level": "debug",
        }
        arguments = [part for flag in flags.items() for part in flag]
        command = [sys.executable, "-m", "infisical_events", "run", *arguments]
        return cls(command, {}, folder / "operator.log", f"http://{address}")

    @classmethod
    def from_chart(
        cls, found: charts.Objects, kubectl: Callable[..., str], kubeconfig: Path, folder: Path
    ) -> "OperatorProcess":
        """Run as the pod of a rendered chart: its command line, variables and ServiceAccount."""
        ((account, home),) = ((key.name, key.namespace) for key in found if key.kind == "ServiceAccount")
        token = kubectl("create", "token", account, "-n", home).strip()
        own = folder / "operator.kubeconfig"
        own.write_text(charts.kubeconfig_with_token(kubeconfig.read_text(), token))
        program, *arguments = charts.operator_command(found)
        assert program == "infisical-events"
        address = f"127.0.0.1:{free_port()}"
        # What differs outside a pod. The last flag of a name counts, and loopback is enough here.
        outside = (
            f"--http-address={address}",
            f"--digest-key-secret={home}/infisical-events-digest-key",
            f"--lease-namespace={home}",
        )
        command = [sys.executable, "-c", _NAMELESS, *arguments, *outside]
        environment = (
            charts.operator_environment(found) | _NO_NAME | {"INFISICAL_EVENTS_KUBECONFIG": str(own)}
        )
        return cls(command, environment, folder / "operator.log", f"http://{address}")

    def start(self) -> None:
        """Start the process and wait until it is ready; raises AssertionError with the end of its log."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(  # noqa: S603 - our own operator
                self.command, env=os.environ | dict(self.environment), stdout=output, stderr=output
            )
        try:
            eventually(lambda: self._has_ended() or self._is_ready(), seconds=_START_SECONDS, pause=0.05)
            assert not self._has_ended(), "the operator has ended"
        except AssertionError as error:
            raise AssertionError(
                f"the operator is not ready: {error}; its log ends with:\n{self.log.read_text()[-3000:]}"
            ) from None

    def kill(self) -> None:
        """End the process by SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """End the process by SIGTERM; return its exit code."""
        return self._end(signal.SIGTERM)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the process if it runs."""
        if self.process is not None:
            self.process.send_signal(number)

    def get(self, path: str) -> str:
        """Return the answer of its HTTP server."""
        with urllib.request.urlopen(f"{self.url}{path}", timeout=5) as answer:  # noqa: S310 - loopback
            body: bytes = answer.read()
        return body.decode()

    def _has_ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def _is_ready(self) -> bool:
        try:
            return self.get("/readyz").startswith("ok\n")
        except OSError:
            return False

    def _end(self, number: signal.Signals) -> int:
        if self.process is None:
            return 0
        self.process.send_signal(number)
        code = self.process.wait(timeout=15)
        self.process = None
        return code


def free_port() -> int:
    """Return a loopback port that no process uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
