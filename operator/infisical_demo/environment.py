"""Everything a demo happens in: a cluster, an Infisical, the manifests applied, the operator running."""

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
from infisical_demo.report import Story
from infisical_demo.state_folder import Folder, Namespace, Record
from local_cluster import Cluster, processes, program_provider, programs, wait

_INFISICAL = "infisical"
_INFISICAL_SECONDS = 30
_LOG_LINES = 10

WATCHED = "/payments"
"""The folder that the sample subscription watches, with everything below it."""
ELSEWHERE = "/billing"
"""A folder that it does not watch."""


@dataclass(frozen=True, slots=True)
class World:
    """What the scenes play with."""

    kubectl: Kubectl
    infisical: LocalInfisical
    operator: Operator


def build(folder: Folder, kubeconfig: Path | None, story: Story) -> World:
    """Start what a demo needs; `kubeconfig` names a cluster to use instead of the local one.

    Raises:
        DemoError, ClusterError: something cannot be had; what was started is in the folder's record.
    """
    kubectl = (
        _local_cluster(folder, story) if kubeconfig is None else _foreign_cluster(folder, kubeconfig, story)
    )
    infisical = _infisical(folder, story)
    _apply(kubectl, infisical, folder, story)
    operator = Operator.planned(folder, kubectl.kubeconfig, kubectl.namespace, infisical.url)
    operator.start()
    story.command(f"infisical-events {' '.join(operator.arguments)}")
    return World(kubectl, infisical, operator)


def _local_cluster(folder: Folder, story: Story) -> Kubectl:
    cluster = Cluster(say=story.note)
    # One that was started for something else is used, and left as it is.
    if not any(component.state == "running" for component in cluster.status()):
        folder.save(Record(cluster=cluster.state_dir))
    with _timed(
        story, "A real control plane runs on this machine", "starting etcd, kube-apiserver and the rest"
    ):
        cluster.up()
    return _namespace(folder, cluster.binaries / "kubectl", cluster.kubeconfig, story)


def _foreign_cluster(folder: Folder, kubeconfig: Path, story: Story) -> Kubectl:
    wanted = tuple(program for program in programs.PROGRAMS if program.name == "kubectl")
    kubectl = found_kubectl() or (
        program_provider.provide(program_provider.sources(os.environ), story.note, wanted) / "kubectl"
    )
    view = Kubectl(kubectl, kubeconfig, "default")
    server = view("config", "view", "--minify", "--output=jsonpath={.clusters[0].cluster.server}")
    story.note(f"the cluster is {server}, as {kubeconfig} says")
    return _namespace(folder, kubectl, kubeconfig, story)


def _namespace(folder: Folder, binary: Path, kubeconfig: Path, story: Story) -> Kubectl:
    kubectl = Kubectl(binary, kubeconfig.absolute(), f"demo-{secrets.token_hex(2)}")
    record = folder.record or Record()
    made = Namespace(kubectl=binary, kubeconfig=kubectl.kubeconfig, name=kubectl.namespace)
    folder.save(record.model_copy(update={"namespace": made}))
    story.command(f"kubectl create namespace {kubectl.namespace}")
    kubectl("create", "namespace", kubectl.namespace)
    return kubectl


def _infisical(folder: Folder, story: Story) -> LocalInfisical:
    ready_file = folder.path / "infisical.json"
    arguments = (
        "-m",
        "infisical_sandbox.server",
        "--port=0",
        f"--ready-file={ready_file}",
        "--admin",
        "--quiet",
    )
    with _timed(story, "A local Infisical runs beside it", "starting a local Infisical"):
        process = folder.spawn(_INFISICAL, Path(sys.executable), arguments, dict(os.environ))
        wait.until(
            lambda: ready_file.exists() or processes.state(process) == "gone",
            seconds=_INFISICAL_SECONDS,
            what="the local Infisical",
        )
    if not ready_file.exists():
        tail = "\n".join(folder.log(_INFISICAL).read_text().splitlines()[-_LOG_LINES:])
        raise DemoError(f"the local Infisical has ended; the end of its log:\n{tail}")
    infisical = LocalInfisical.read(ready_file)
    infisical.set_secrets(WATCHED, {"DB_PASSWORD": secrets.token_hex(8), "LOG_LEVEL": "info"})
    infisical.set_secrets(ELSEWHERE, {"DB_PASSWORD": secrets.token_hex(8)})
    return infisical


def _apply(kubectl: Kubectl, infisical: LocalInfisical, folder: Folder, story: Story) -> None:
    files = manifests.written(infisical, folder.path / "manifests")
    story.command("kubectl apply -f crds/")
    story.quote(kubectl("apply", "-f", str(manifests.CRDS)))
    established = 'jsonpath={.status.conditions[?(@.type=="Established")].status}'
    asked = ("get", "--filename", str(manifests.CRDS), "--output", established)
    # `kubectl wait` fails at once where there are no conditions yet.
    wait.until(lambda: kubectl(*asked).strip() == "True", seconds=30, what="the CRD to be served")
    names = ",".join(file.name for file in files)
    story.command(kubectl.shown("apply", "-f", f"deploy/samples/{{{names}}}"))
    story.quote(kubectl("apply", *(f"--filename={file}" for file in files)))


@contextmanager
def _timed(story: Story, done: str, doing: str) -> Iterator[None]:
    """Show that something is done, and then how long it took."""
    started = time.monotonic()
    with story.waiting(doing):
        yield
    story.note(f"{done} ({time.monotonic() - started:.1f} s)")
