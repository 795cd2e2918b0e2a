"""Sets up what the demo runs in: a cluster, a local Infisical, the applied manifests and the operator."""

import os
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infisical_demo import manifests
from infisical_demo.errors import DemoError
from infisical_demo.infisical_client import LocalInfisical
from infisical_demo.kubectl import Kubectl, found_kubectl
from infisical_demo.operator_process import Operator
from infisical_demo.report import Report
from infisical_demo.state_folder import Namespace, Record, StateFolder
from local_cluster import Cluster, processes, program_provider, programs, wait

_INFISICAL = "infisical"
_INFISICAL_SECONDS = 30
_LOG_LINES = 10

WATCHED = "/payments"
"""The folder of the sample subscription, which includes its subfolders."""
ELSEWHERE = "/billing"
"""A folder that the sample subscription does not include."""


@dataclass(frozen=True, slots=True)
class DemoEnvironment:
    """What the steps use."""

    kubectl: Kubectl
    infisical: LocalInfisical
    operator: Operator


def build(folder: StateFolder, kubeconfig: Path | None, report: Report) -> DemoEnvironment:
    """Start all parts of the demo; `kubeconfig` names a cluster to use instead of the local one.

    Raises:
        DemoError, ClusterError: a part does not start; the folder's record holds the parts that did.
    """
    kubectl = (
        _local_cluster(folder, report) if kubeconfig is None else _foreign_cluster(folder, kubeconfig, report)
    )
    infisical = _infisical(folder, report)
    _apply(kubectl, infisical, folder, report)
    operator = Operator.prepare(folder, kubectl.kubeconfig, kubectl.namespace, infisical.url)
    operator.start()
    report.command(f"infisical-events {' '.join(operator.arguments)}")
    return DemoEnvironment(kubectl, infisical, operator)


def _local_cluster(folder: StateFolder, report: Report) -> Kubectl:
    cluster = Cluster(say=report.note)
    # A local cluster that runs already is used and not stopped afterwards.
    if not any(component.state == "running" for component in cluster.status()):
        folder.save(Record(cluster=cluster.state_dir))
    with _timed(report, "started a Kubernetes control plane on this machine", "starting the control plane"):
        cluster.up()
    return _namespace(folder, cluster.binaries / "kubectl", cluster.kubeconfig, report)


def _foreign_cluster(folder: StateFolder, kubeconfig: Path, report: Report) -> Kubectl:
    wanted = tuple(program for program in programs.PROGRAMS if program.name == "kubectl")
    kubectl = found_kubectl() or (
        program_provider.provide(program_provider.sources(os.environ), report.note, wanted) / "kubectl"
    )
    view = Kubectl(kubectl, kubeconfig, "default")
    server = view("config", "view", "--minify", "--output=jsonpath={.clusters[0].cluster.server}")
    report.note(f"using the cluster {server} from {kubeconfig}")
    return _namespace(folder, kubectl, kubeconfig, report)


def _namespace(folder: StateFolder, binary: Path, kubeconfig: Path, report: Report) -> Kubectl:
    kubectl = Kubectl(binary, kubeconfig.absolute(), f"demo-{secrets.token_hex(2)}")
    record = folder.record or Record()
    made = Namespace(kubectl=binary, kubeconfig=kubectl.kubeconfig, name=kubectl.namespace)
    folder.save(record.model_copy(update={"namespace": made}))
    report.command(f"kubectl create namespace {kubectl.namespace}")
    kubectl("create", "namespace", kubectl.namespace)
    return kubectl


def _infisical(folder: StateFolder, report: Report) -> LocalInfisical:
    ready_file = folder.path / "infisical.json"
    arguments = (
        "-m",
        "infisical_sandbox.server",
        "--port=0",
        f"--ready-file={ready_file}",
        "--admin",
        "--quiet",
    )
    with _timed(report, "started a local Infisical", "starting a local Infisical"):
        process = folder.spawn(_INFISICAL, Path(sys.executable), arguments, dict(os.environ))
        wait.until(
            lambda: ready_file.exists() or processes.state(process) == "gone",
            seconds=_INFISICAL_SECONDS,
            what="the local Infisical",
        )
    if not ready_file.exists():
        tail = "\n".join(folder.log(_INFISICAL).read_text().splitlines()[-_LOG_LINES:])
        raise DemoError(f"the local Infisical exited during the start. End of its log:\n{tail}")
    infisical = LocalInfisical.read(ready_file)
    infisical.set_secrets(WATCHED, {"DB_PASSWORD": secrets.token_hex(8), "LOG_LEVEL": "info"})
    infisical.set_secrets(ELSEWHERE, {"DB_PASSWORD": secrets.token_hex(8)})
    return infisical


def _apply(kubectl: Kubectl, infisical: LocalInfisical, folder: StateFolder, report: Report) -> None:
    files = manifests.write_manifests(infisical, folder.path / "manifests")
    report.command("kubectl apply -f crds/")
    report.output(kubectl("apply", "-f", str(manifests.CRDS)))
    established = 'jsonpath={.status.conditions[?(@.type=="Established")].status}'
    asked = ("get", "--filename", str(manifests.CRDS), "--output", established)
    # `kubectl wait` fails at once where there are no conditions yet.
    wait.until(lambda: kubectl(*asked).strip() == "True", seconds=30, what="the CRD to be served")
    names = ",".join(file.name for file in files)
    report.command(kubectl.command_line("apply", "-f", f"deploy/samples/{{{names}}}"))
    report.output(kubectl("apply", *(f"--filename={file}" for file in files)))


@contextmanager
def _timed(report: Report, done: str, doing: str) -> Iterator[None]:
    """Show a spinner, then print the duration in seconds."""
    started = time.monotonic()
    with report.waiting(doing):
        yield
    report.note(f"{done} ({time.monotonic() - started:.1f} s)")
