"""The chart in a real control plane: installed, upgraded, uninstalled, and what it may do there.

Each test has a cluster of its own, because a CRD and cluster-wide rights are everybody's.
"""

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from infisical_sandbox.server import Sandbox
from local_cluster import Cluster
from support import charts, schemas
from support.cluster_harness import ClusterHarness
from support.kubectl import KubectlError, kubectl_for
from support.manifests import credentials, subscription, workload
from support.object_client import ObjectClient
from support.operator_process import OperatorProcess

pytestmark = pytest.mark.cluster

Kubectl = Callable[..., str]
Helm = Callable[..., str]
Eventually = Callable[..., Any]

RELEASE = charts.RELEASE
HOME = charts.NAMESPACE
CRD_NAME = schemas.CRD["metadata"]["name"]
SUBSCRIPTION = charts.ROOT / "deploy" / "samples" / "subscription.yaml"
KINDS = (
    "crd,clusterroles,clusterrolebindings,roles,rolebindings,serviceaccounts,secrets,configmaps,"
    "services,deployments,replicasets,pods,networkpolicies,poddisruptionbudgets"
)


@pytest.fixture
def kubectl(private_cluster: Cluster) -> Kubectl:
    """The administrator's kubectl; the namespaces of these tests exist."""
    run = kubectl_for(private_cluster)
    home = yaml.safe_load((charts.ROOT / "deploy" / "namespace.yaml").read_text())
    run("create", "-f", "-", stdin=json.dumps(home))
    run("create", "namespace", "shop")
    return run


@pytest.fixture
def helm(private_cluster: Cluster, tmp_path: Path) -> Helm:
    """`helm("install", crds={…})`: run a command on the usual release with these values."""

    def run(verb: str, **values: object) -> str:
        chart = (str(charts.CHART),) if verb in {"install", "upgrade"} else ()
        given = charts.with_values(values, tmp_path) if values else ()
        command = (*verb.split(), RELEASE, *chart, "--namespace", HOME, *given)
        binary = private_cluster.binaries / "helm"
        return charts.helm(binary, *command, kubeconfig=private_cluster.kubeconfig)

    return run


@pytest.fixture
def harness(
    private_client: ObjectClient, kubectl: Kubectl, eventually: Eventually, sandbox: Sandbox, tmp_path: Path
) -> ClusterHarness:
    """The namespace `shop` with a local Infisical; the test sets the operator."""
    unset = OperatorProcess((), {}, tmp_path / "operator.log", "")
    return ClusterHarness("shop", kubectl, eventually, sandbox, unset, private_client)


@pytest.fixture
def with_token(private_cluster: Cluster, kubectl: Kubectl, tmp_path: Path) -> Callable[[], Kubectl]:
    """`with_token()`: a kubectl with the ServiceAccount token of the operator's pod."""

    def make() -> Kubectl:
        token = kubectl("create", "token", RELEASE, "-n", HOME).strip()
        admin = private_cluster.kubeconfig.read_text()
        (tmp_path / "kubeconfig").write_text(charts.kubeconfig_with_token(admin, token))
        return partial(kubectl, f"--kubeconfig={tmp_path / 'kubeconfig'}")

    return make


OPTIONS = {
    "metrics": {"service": {"enabled": True}, "dashboard": {"enabled": True}},
    "networkPolicy": {"enabled": True, "metricsFrom": [{"namespaceSelector": {}}]},
    "podDisruptionBudget": {"enabled": True},
    "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy.example.com"}],
    "extraVolumes": [{"name": "ca", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "ca", "mountPath": "/ca"}],
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
    ],
    "extraObjects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine"}}],
}
"""The options of the chart that need no other custom resources."""


def everything(kubectl: Kubectl) -> set[str]:
    """Return all objects that could be left behind, except the defaults of namespaces."""
    names = kubectl("get", KINDS, "--all-namespaces", "-o", "name").split()
    return {name for name in names if name != "serviceaccount/default"}


def may(kubectl: Kubectl, verb: str, resource: str, namespace: str) -> bool:
    """Whether the user of this kubectl may do this."""
    try:
        kubectl("auth", "can-i", verb, resource, "-n", namespace)
    except KubectlError:
        return False
    return True


def rolled_out(kubectl: Kubectl) -> None:
    """The operator's pod is admitted, where a pod without restrictions is not, and becomes ready."""
    with pytest.raises(KubectlError, match="violates PodSecurity"):
        kubectl("run", "careless", "--image=pause", "-n", HOME)
    kubectl("rollout", "status", f"deployment/{RELEASE}", "-n", HOME, "--timeout=30s")


def does_its_job(harness: ClusterHarness) -> None:
    """A change restarts the workload that opted in, and no request is forbidden."""
    harness.apply(credentials(harness.sandbox), workload(), subscription(harness.sandbox))
    try:
        harness.operator.start()
        harness.wait_serving()
        harness.change(DB_PASSWORD="second")
        harness.expect_restarts(1)
        assert "forbidden" not in harness.operator.log.read_text()
        assert harness.operator.stop() == 0
    finally:
        harness.operator.kill()


def test_life_of_a_release(
    kubectl: Kubectl,
    helm: Helm,
    harness: ClusterHarness,
    private_cluster: Cluster,
    tmp_path: Path,
    eventually: Eventually,
) -> None:
    """A release serves every namespace and can be upgraded; its removal leaves nothing behind."""
    before = everything(kubectl)

    notes = helm("install", crds={"keep": False}, allowedAddresses=["http://127.0.0.1:*"])
    rolled_out(kubectl)
    assert "watches all namespaces" in notes
    assert f"deployment/{RELEASE}" in notes

    manifest = charts.objects(helm("get manifest"))
    harness.operator = OperatorProcess.from_chart(manifest, kubectl, private_cluster.kubeconfig, tmp_path)
    does_its_job(harness)

    notes = helm("upgrade", crds={"keep": False}, scopedNamespaces=["shop"], **OPTIONS)
    rolled_out(kubectl)
    assert "watches the namespaces shop" in notes

    helm("uninstall")
    for kind, name in (("secret", "infisical-credentials"), ("deployment", "api")):
        kubectl("delete", kind, name, "-n", "shop")
    kubectl("delete", "secret", "infisical-events-digest-key", "-n", HOME, "--ignore-not-found")
    eventually(lambda: everything(kubectl) == before)


def test_subscriptions_outlive_a_release(kubectl: Kubectl, helm: Helm) -> None:
    """By default an uninstall keeps the CRD and the subscriptions; a new install adopts them."""
    helm("install")
    kubectl("apply", "-n", "shop", "-f", str(SUBSCRIPTION))

    helm("uninstall")
    assert kubectl("get", "crd", CRD_NAME, "-o", "name")

    helm("install")
    rolled_out(kubectl)
    assert kubectl("get", "ies", "payments", "-n", "shop", "-o", "name")


def test_rights(helm: Helm, with_token: Callable[[], Kubectl]) -> None:
    """Named Secrets can be read, but not listed; chosen namespaces remove the rights elsewhere."""
    helm("install")
    operator = with_token()
    assert json.loads(operator("get", "ies", "-A", "-o", "json"))["items"] == []
    assert may(operator, "get", "secrets", "default")
    assert may(operator, "patch", "deployments.apps", "default")
    assert not may(operator, "list", "secrets", "default")
    assert not may(operator, "delete", "deployments.apps", "default")

    helm("upgrade", scopedNamespaces=["shop"])
    operator = with_token()
    assert json.loads(operator("get", "ies", "-n", "shop", "-o", "json"))["items"] == []
    assert may(operator, "get", "secrets", "shop")
    assert may(operator, "patch", "deployments.apps", "shop")
    assert not may(operator, "get", "secrets", "default")
    assert not may(operator, "patch", "deployments.apps", "default")


def test_one_file_installation(private_cluster: Cluster, eventually: Eventually) -> None:
    """`kubectl apply -f deploy/install.yaml` is an installation, and `delete` ends it."""
    kubectl = kubectl_for(private_cluster)
    manifest = str(charts.ROOT / "deploy" / "install.yaml")
    before = everything(kubectl)

    kubectl("apply", "-f", manifest)
    rolled_out(kubectl)
    kubectl("delete", "-f", manifest)

    eventually(lambda: everything(kubectl) == before)


def test_a_one_file_uninstallation_that_keeps_subscriptions(kubectl: Kubectl, eventually: Eventually) -> None:
    """With the selector of the page, `delete` leaves the CRD, subscriptions and the namespace."""
    page = (charts.ROOT / "docs" / "installation.md").read_text()
    (selector,) = re.findall(r"delete -f deploy/install\.yaml -l '([^']+)'", page)
    manifest = str(charts.ROOT / "deploy" / "install.yaml")
    before = everything(kubectl)

    kubectl("apply", "-f", manifest)
    kubectl("apply", "-n", "shop", "-f", str(SUBSCRIPTION))
    kubectl("delete", "-f", manifest, "-l", selector)

    kept = f"customresourcedefinition.apiextensions.k8s.io/{CRD_NAME}"
    eventually(lambda: everything(kubectl) == before | {kept})
    assert kubectl("get", "ies", "payments", "-n", "shop", "-o", "name")
    assert kubectl("get", "namespace", HOME, "-o", "name")
