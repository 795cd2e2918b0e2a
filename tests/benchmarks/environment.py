"""What a part of the bench runs in: a real control plane, an Infisical with TLS, the operator's process.

The operator runs as a ServiceAccount, because the audit log has all requests of those only.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.api_calls import AuditLog
from benchmarks.process_usage import cpu_seconds, resident_mib
from e2e.faults import fault_environment, waiting
from e2e.faults.fault_environment import AdminApi, created_namespace, free_port, operator_process_for
from e2e.faults.infisical_process import InfisicalProcess
from hostile.attack_process import OWN_TREE
from local_cluster import Cluster, certificates
from support import charts
from support.manifests import Manifest
from support.operator_process import OperatorProcess

_HOME, _ACCOUNT = "bench", "infisical-events"
_FLAGS = (
    *("--allowed-address", "https://127.0.0.1:*"),
    # The bench measures what the operator can do, so nothing limits it.
    *("--max-restarts-per-minute", "0"),
    *("--max-concurrent-rollouts", "0"),
    *("--max-subscriptions-per-namespace", "0"),
)
_WINDOW_SECONDS = 3.0
_BUSY = 0.15
"""Of a core: an operator that takes more is not at rest."""
_EVEN = 0.8
"""The ratio of two windows below which the later one takes clearly less."""
_LITTLE = 0.01
"""Of a core."""

Say = Callable[[str], None]


@dataclass(slots=True)
class Bench:
    """What all parts share. `folder` has their files, `tls` the certificates of the Infisical."""

    cluster: Cluster
    api: AdminApi
    folder: Path
    tls: Path
    token: str
    say: Say

    @contextmanager
    def infisical(self, name: str, *options: str) -> Iterator[InfisicalProcess]:
        """An Infisical that listens with TLS, until the block ends."""
        folder = self.folder / name
        folder.mkdir()
        process = InfisicalProcess(folder, free_port(), options, certificates=self.tls)
        process.url = f"https://127.0.0.1:{process.port}"
        try:
            process.start()
            yield process
        finally:
            process.kill()

    @contextmanager
    def operator(self, namespace: str, name: str) -> Iterator["MeasuredOperator"]:
        """The operator for one namespace, not started; it ends with the block."""
        folder = self.folder / f"operator-{name}"
        kubeconfig = self.api.kubeconfig(self.folder / f"kubeconfig-{name}", self.api.port)
        kubeconfig.write_text(charts.kubeconfig_with_token(kubeconfig.read_text(), self.token))
        with operator_process_for(namespace, kubeconfig, folder, level="info") as process:
            process.command = [*process.command, *_FLAGS]
            process.environment = {**OWN_TREE, "SSL_CERT_FILE": str(self.tls / "ca.crt")}
            yield MeasuredOperator(process)

    def namespace(self, name: str, objects: Sequence[Manifest]) -> contextlib.AbstractContextManager[str]:
        """A namespace with these objects, until the block ends."""
        return created_namespace(self.api, f"bench-{name}", objects)

    def audit_log(self) -> AuditLog:
        """The operator's calls of the API server, from now on."""
        log = AuditLog(self.cluster.audit_log, f"system:serviceaccount:{_HOME}:{_ACCOUNT}")
        log.new_calls()
        return log


@dataclass(frozen=True, slots=True)
class MeasuredOperator:
    """The operator's process, and what it uses."""

    process: OperatorProcess

    @property
    def pid(self) -> int:
        """The process id; raises AssertionError if it does not run."""
        assert self.process.process is not None, "the operator does not run"
        return self.process.process.pid

    @property
    def cpu(self) -> float:
        """Seconds of processor time since the start of the process."""
        return cpu_seconds(self.pid)

    @property
    def resident(self) -> float:
        """Resident memory in MiB."""
        return resident_mib(self.pid)

    def load(self, seconds: float) -> float:
        """The share of a core that it takes over so many seconds from now."""
        before = self.cpu
        waiting.pause(seconds)
        return (self.cpu - before) / seconds

    def wait_at_rest(self, seconds: float) -> None:
        """Wait until it takes little processor time, and not clearly less than shortly before."""
        last = [float("inf")]

        def is_at_rest() -> bool:
            before = last[0]
            last[0] = self.load(_WINDOW_SECONDS)
            return last[0] < _LITTLE or (last[0] < _BUSY and last[0] >= _EVEN * before)

        waiting.wait_until(is_at_rest, seconds=seconds, what="the operator is at rest")


def bench_in(cluster: Cluster, folder: Path, say: Say) -> Bench:
    """Make the ServiceAccount of the operator and the certificates of the Infisical."""
    tls = folder / "tls"
    certificates.write(tls, datetime.now(UTC))  # noqa: TID251 - TLS compares it with the real clock
    for command in (
        ("create", "namespace", _HOME),
        ("create", "serviceaccount", _ACCOUNT, "-n", _HOME),
        (
            "create",
            "clusterrolebinding",
            _HOME,
            "--clusterrole=cluster-admin",
            f"--serviceaccount={_HOME}:{_ACCOUNT}",
        ),
    ):
        fault_environment.kubectl(cluster, *command)
    token = fault_environment.kubectl(cluster, "create", "token", _ACCOUNT, "-n", _HOME, "--duration=12h")
    return Bench(cluster, AdminApi(cluster), folder, tls, token.strip(), say)
