"""The chart installed by helm, and the operator run like its pod: command line, token, RBAC."""

import base64
import json
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from infisical_sandbox.server import Sandbox
from infisical_sandbox.server.domain.records import KubernetesSettings
from infisical_sandbox.server.options import Options
from support import charts
from support.cluster_harness import ClusterHarness
from support.manifests import credentials, subscription, workload
from support.operator_process import OperatorProcess

pytestmark = pytest.mark.cluster


@pytest.fixture
def installed(harness: ClusterHarness, cluster: Any, tmp_path: Path) -> Iterator[OperatorProcess]:  # noqa: ANN401 - ours or foreign
    """The release in the test's namespace, and the operator as its rendered Deployment starts it."""
    values = {
        "crds": {"enabled": False},
        "scopedNamespaces": [harness.namespace],
        "allowedAddresses": ["http://127.0.0.1:*"],
        "rbac": {"serviceAccountTokens": True},
    }
    helm, where = cluster.binaries / "helm", ("--namespace", harness.namespace)
    given = charts.with_values(values, tmp_path)
    release = f"r{secrets.token_hex(3)}"
    charts.helm(helm, "install", release, str(charts.CHART), *where, *given, kubeconfig=cluster.kubeconfig)
    try:
        manifest = charts.helm(helm, "get", "manifest", release, *where, kubeconfig=cluster.kubeconfig)
        yield OperatorProcess.from_chart(
            charts.objects(manifest), harness.kubectl, cluster.kubeconfig, tmp_path
        )
    finally:
        charts.helm(helm, "uninstall", release, *where, kubeconfig=cluster.kubeconfig)


def test_the_installed_operator_does_the_main_job(
    harness: ClusterHarness, installed: OperatorProcess
) -> None:
    """With the rights, flags and variables of the chart a change restarts, and no request is forbidden."""
    harness.operator = installed
    harness.apply(credentials(harness.sandbox), workload(), subscription(harness.sandbox))
    try:
        installed.start()
        harness.wait_serving()
        harness.change(DB_PASSWORD="second")
        harness.expect_restarts(1)
        described = harness.kubectl("describe", "deployment", "api", "-n", harness.namespace)
        assert "Restarted by subscription payments" in described
        assert "forbidden" not in installed.log.read_text()
        assert installed.stop() == 0
    finally:
        installed.kill()


@pytest.fixture
def sandbox(cluster: Any, kubectl: Callable[..., str], namespace: str) -> Iterator[Sandbox]:  # noqa: ANN401
    """A local Infisical whose identity trusts the ServiceAccount `app` of this namespace."""
    kubectl("create", "serviceaccount", "reviewer", "-n", namespace)
    binding = f"reviewer-{namespace}"
    subject = f"--serviceaccount={namespace}:reviewer"
    kubectl("create", "clusterrolebinding", binding, "--clusterrole=system:auth-delegator", subject)
    config = yaml.safe_load(cluster.kubeconfig.read_text())["clusters"][0]["cluster"]
    kubernetes = KubernetesSettings(
        api_url=config["server"],
        ca=_ca_of(config),
        reviewer_token=kubectl("create", "token", "reviewer", "-n", namespace).strip(),
        namespaces=(namespace,),
        names=("app",),
        audience="infisical",
    )
    try:
        with Sandbox.in_thread(Options(fan_out_delay=0.4, kubernetes=kubernetes)) as running:
            running.do_blocking(
                type(running.controls).set_secrets, "prod", "/payments", {"DB_PASSWORD": "first"}
            )
            yield running
    finally:
        kubectl("delete", "clusterrolebinding", binding)


def _ca_of(config: dict[str, str]) -> str:
    if data := config.get("certificate-authority-data"):
        return base64.b64decode(data).decode()
    return Path(config["certificate-authority"]).read_text()


def test_a_service_account_logs_in(harness: ClusterHarness, installed: OperatorProcess) -> None:
    """With kubernetesAuth the token of the named ServiceAccount is accepted, and another is rejected."""
    harness.operator = installed
    method = {"identityId": harness.sandbox.identity_id, "audiences": ["infisical"]}
    for name in ("app", "other"):
        harness.kubectl("create", "serviceaccount", name, "-n", harness.namespace)
    trusted = {"kubernetesAuth": method | {"serviceAccountName": "app"}}
    strange = {"kubernetesAuth": method | {"serviceAccountName": "other"}}
    harness.apply(
        workload(),
        subscription(harness.sandbox, authentication=trusted),
        subscription(harness.sandbox, "strange", authentication=strange),
    )
    try:
        installed.start()
        harness.wait_serving()
        harness.wait_reason("Authenticated", "CredentialsRejected", "strange")
        harness.change(DB_PASSWORD="second")
        harness.expect_restarts(1)
    finally:
        installed.kill()


def test_an_access_token_is_used_as_it_is(harness: ClusterHarness) -> None:
    """With accessTokenRef there is no login; the operator uses a token that replaces a revoked one."""
    first = harness.sandbox.do_blocking(type(harness.sandbox.controls).mint_token)
    ref = {"name": "infisical-credentials", "key": "token"}
    harness.apply(
        credentials(harness.sandbox, token=first),
        workload(),
        subscription(harness.sandbox, authentication={"accessTokenRef": ref}, resyncIntervalSeconds=10),
    )
    harness.operator.start()
    harness.wait_serving()

    harness.sandbox.do_blocking(type(harness.sandbox.controls).revoke_tokens)
    harness.wait_reason("Authenticated", "TokenRejected")
    second = harness.sandbox.do_blocking(type(harness.sandbox.controls).mint_token)
    harness.apply(credentials(harness.sandbox, token=second))
    harness.change(DB_PASSWORD="second")

    harness.expect_restarts(1, seconds=60)
    assert json.dumps(harness.get("ies", "payments")["status"]).count(second) == 0
