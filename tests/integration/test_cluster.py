"""The local control plane is a real one, survives faults, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local_cluster import Cluster, ClusterError
from local_cluster.cluster_record import load
from local_cluster.state_layout import Layout

pytestmark = pytest.mark.cluster

Kubectl = Callable[..., str]
Eventually = Callable[..., Any]


def _ready(kubectl: Kubectl, namespace: str, name: str) -> int:
    path = "jsonpath={.status.readyReplicas}"
    return int(kubectl("get", "deployment", name, "-n", namespace, "-o", path) or 0)


def _survivors(marker: Path) -> list[str]:
    """Name the processes whose command line mentions the state folder."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(marker).encode() in command and folder.name != str(os.getpid()):
            found.append(command.split(b"\0")[0].decode())
    return found


def _up(state: Path) -> subprocess.Popen[bytes]:
    """Run `cluster up` on its own, but not beyond this test session."""
    command = (sys.executable, "-m", "infisical_demo", "cluster", "up", f"--state={state}")
    guarded = (*command, f"--while-pid={os.getpid()}")
    return subprocess.Popen(guarded, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603


def test_a_deployment_gets_ready(kubectl: Kubectl, namespace: str, eventually: Eventually) -> None:
    """Pods are scheduled, run and are counted, as on any cluster."""
    kubectl("create", "deployment", "web", "--image=x", "--replicas=3", "-n", namespace)

    assert eventually(lambda: (n := _ready(kubectl, namespace, "web")) == 3 and n) == 3


def test_a_restart_rolls_out(kubectl: Kubectl, namespace: str) -> None:
    """`kubectl rollout restart` replaces the pods and completes."""
    kubectl("create", "deployment", "web", "--image=x", "-n", namespace)
    kubectl("rollout", "status", "deployment/web", "-n", namespace, "--timeout=30s")
    kubectl("rollout", "restart", "deployment/web", "-n", namespace)

    out = kubectl("rollout", "status", "deployment/web", "-n", namespace, "--timeout=30s")

    assert "successfully rolled out" in out


def test_a_pod_can_be_told_not_to_get_ready(kubectl: Kubectl, namespace: str, eventually: Eventually) -> None:
    """A rollout that gets stuck can be shown."""
    override = '{"metadata":{"annotations":{"infisical-sandbox/ready":"false"}}}'
    kubectl("run", "stuck", "--image=x", "-n", namespace, f"--overrides={override}")
    kubectl("run", "well", "--image=x", "-n", namespace)

    def phase(pod: str) -> str:
        return kubectl("get", "pod", pod, "-n", namespace, "-o", "jsonpath={.status.phase}")

    eventually(lambda: phase("well") == "Running")
    eventually(lambda: kubectl("get", "pod", "stuck", "-n", namespace, "-o", "jsonpath={.spec.nodeName}"))

    assert phase("stuck") == "Pending"


def test_a_job_completes(kubectl: Kubectl, namespace: str) -> None:
    """A Job's pod finishes, and the Job with it."""
    kubectl("create", "job", "once", "--image=x", "-n", namespace)

    kubectl("wait", "--for=condition=complete", "job/once", "-n", namespace, "--timeout=30s")


def test_rbac_is_on(kubectl: Kubectl, namespace: str) -> None:
    """A service account without bindings may not read Secrets."""
    user = f"--as=system:serviceaccount:{namespace}:default"

    with pytest.raises(Exception, match="forbidden"):
        kubectl("get", "secrets", "-n", namespace, user)


def test_service_account_tokens_are_issued(kubectl: Kubectl, namespace: str) -> None:
    """TokenRequest gives a token that TokenReview recognizes."""
    token = kubectl("create", "token", "default", "-n", namespace).strip()
    review = f"{{apiVersion: authentication.k8s.io/v1, kind: TokenReview, spec: {{token: {token}}}}}"

    who = kubectl("create", "-f", "-", "-o", "jsonpath={.status.user.username}", stdin=review)

    assert f"system:serviceaccount:{namespace}:default" == who


def test_pod_security_is_enforced(kubectl: Kubectl, namespace: str) -> None:
    """A namespace that asks for the restricted profile refuses a pod that does not meet it."""
    label = "pod-security.kubernetes.io/enforce=restricted"
    kubectl("label", "namespace", namespace, label)

    with pytest.raises(Exception, match="violates PodSecurity"):
        kubectl("run", "web", "--image=x", "-n", namespace)


def test_up_is_idempotent(cluster: Cluster) -> None:
    """A second `up` finds everything running and starts nothing."""
    before = [component.pid for component in cluster.status()]

    cluster.up()

    assert before == [component.pid for component in cluster.status()]


def test_the_api_server_comes_back(private_cluster: Cluster, eventually: Eventually) -> None:
    """After a crash of the API server its port, its data and the rollouts are as before."""
    kubectl = _kubectl(private_cluster)
    kubectl("create", "deployment", "web", "--image=x", "--replicas=2", "-n", "default")
    before = {component.name: component for component in private_cluster.status()}

    private_cluster.restart("kube-apiserver", force=True)
    kubectl("scale", "deployment/web", "--replicas=3", "-n", "default")

    after = {component.name: component for component in private_cluster.status()}
    assert before["kube-apiserver"].port == after["kube-apiserver"].port
    assert before["kube-apiserver"].pid != after["kube-apiserver"].pid
    eventually(lambda: _ready(kubectl, "default", "web") == 3)


def test_up_repairs(private_cluster: Cluster) -> None:
    """A cluster that lost components gets them back by `up`, with its data."""
    kubectl = _kubectl(private_cluster)
    kubectl("create", "configmap", "kept", "-n", "default")
    for name in ("kube-apiserver", "etcd", "kwok"):
        private_cluster.stop(name, force=True)

    private_cluster.up()

    assert {"running"} == {component.state for component in private_cluster.status()}
    assert "kept" in kubectl("get", "configmaps", "-n", "default", "-o", "name")


def test_one_component_restarts_while_another_is_down(private_cluster: Cluster) -> None:
    """Faults combine: nothing demands that all the others are well."""
    private_cluster.stop("kube-scheduler")
    private_cluster.restart("kube-apiserver")

    states = {component.name: component.state for component in private_cluster.status()}
    assert states.pop("kube-scheduler") == "gone"
    assert {"running"} == set(states.values())


def test_compaction_makes_old_watches_gone(private_cluster: Cluster) -> None:
    """A client that resumes from before a compaction is told 410, as in a long-lived cluster."""
    kubectl = _kubectl(private_cluster)
    old = kubectl("get", "namespace", "default", "-o", "jsonpath={.metadata.resourceVersion}")
    kubectl("create", "configmap", "later", "-n", "default")

    private_cluster.compact()

    watch = f"/api/v1/configmaps?watch=1&timeoutSeconds=5&resourceVersion={old}"
    assert '"code":410' in kubectl("get", "--raw", watch)


def test_a_paused_component_is_seen_and_resumed(private_cluster: Cluster, eventually: Eventually) -> None:
    """A frozen API server shows as paused, and answers again when it may."""

    def state() -> str:
        return {c.name: c.state for c in private_cluster.status()}["kube-apiserver"]

    private_cluster.pause("kube-apiserver")
    eventually(lambda: state() == "paused")
    private_cluster.resume("kube-apiserver")

    eventually(lambda: state() == "running")


def test_down_spares_what_is_not_ours(tmp_path: Path) -> None:
    """A state folder that holds other files keeps them."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "precious").write_text("mine")

    with Cluster(tmp_path):
        pass

    assert (tmp_path / "etc" / "precious").read_text() == "mine"


def test_down_leaves_nothing(tmp_path: Path) -> None:
    """After `down` there is no process and no file but the lock."""
    state = tmp_path / "cluster"
    with Cluster(state) as up:
        assert _survivors(state)
        kubeconfig = up.kubeconfig

    assert _survivors(state) == []
    assert not kubeconfig.exists()
    assert {"lock"} >= {entry.name for entry in state.iterdir()}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_during_up_leaves_nothing(
    tmp_path: Path, number: signal.Signals, eventually: Eventually
) -> None:
    """Ctrl-C, a closed terminal or a SIGTERM in the middle of `up` ends what was started."""
    state = tmp_path / "cluster"
    with _up(state) as process:
        eventually(lambda: any("kube-apiserver" in name for name in _survivors(state)))
        process.send_signal(number)
        assert process.wait(30)

    assert _survivors(state) == []


def test_down_ends_what_a_killed_up_started(tmp_path: Path, eventually: Eventually) -> None:
    """Every process is written down the moment it is started."""
    state = tmp_path / "cluster"
    with _up(state) as process:
        eventually(lambda: any("kube-apiserver" in name for name in _survivors(state)))
        process.kill()

    assert Cluster(state).down()

    assert _survivors(state) == []


def test_a_killed_owner_takes_its_cluster_along(tmp_path: Path, eventually: Eventually) -> None:
    """The guardian ends the cluster of a process that had no chance to do it itself."""
    state = tmp_path / "cluster"
    script = "from pathlib import Path; import os, sys; from local_cluster import Cluster;"
    script += "Cluster(Path(sys.argv[1])).up(while_pid=os.getpid()); print('up', flush=True); input()"
    with subprocess.Popen(  # noqa: S603
        (sys.executable, "-c", script, state), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.kill()

    eventually(lambda: not _survivors(state))
    eventually(lambda: load(Layout(state).record) is None)


def test_a_component_that_cannot_start_is_told(tmp_path: Path) -> None:
    """If a component ends at once, `up` says why, ends the others, and a next `up` is free."""
    state = tmp_path / "cluster"
    layout = Layout(state)
    layout.data.parent.mkdir(parents=True)
    layout.data.write_text("a file where etcd needs a folder")

    with pytest.raises(ClusterError, match=r"(?s)etcd exited.*The whole log"):
        Cluster(state).up()

    assert _survivors(state) == []
    layout.data.unlink()
    with Cluster(state) as up:
        assert {"running"} == {component.state for component in up.status()}


def _kubectl(cluster: Cluster) -> Kubectl:
    def run(*arguments: str) -> str:
        command = (cluster.binaries / "kubectl", f"--kubeconfig={cluster.kubeconfig}", *arguments)
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603

    return run
