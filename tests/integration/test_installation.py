"""The chart installed by helm, and the operator run as the pod would be: command line, token, RBAC on."""

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
from support.operator_process import Operator, Scene, credentials, subscription, workload

pytestmark = pytest.mark.cluster


@pytest.fixture
def installed(scene: Scene, cluster: Any, tmp_path: Path) -> Iterator[Operator]:  # noqa: ANN401 - ours or foreign
    """The release in the scene's namespace, and the operator as its rendered Deployment starts it."""
    values = {
        "crds": {"enabled": False},
        "scopedNamespaces": [scene.namespace],
        "allowedAddresses": ["http://127.0.0.1:*"],
    }
    helm, where = cluster.binaries / "helm", ("--namespace", scene.namespace)
    given = charts.with_values(values, tmp_path)
    release = f"r{secrets.token_hex(3)}"
    charts.helm(helm, "install", release, str(charts.CHART), *where, *given, kubeconfig=cluster.kubeconfig)
    try:
        manifest = charts.helm(helm, "get", "manifest", release, *where, kubeconfig=cluster.kubeconfig)
        yield Operator.installed(charts.objects(manifest), scene.kubectl, cluster.kubeconfig, tmp_path)
    finally:
        charts.helm(helm, "uninstall", release, *where, kubeconfig=cluster.kubeconfig)


def test_the_installed_operator_does_the_main_job(scene: Scene, installed: Operator) -> None:
    """With the rights, flags and variables of the chart a change restarts, and nothing is forbidden."""
    scene.operator = installed
    scene.apply(credentials(scene.sandbox), workload(), subscription(scene.sandbox))
    try:
        installed.start()
        scene.watching()
        scene.change(DB_PASSWORD="second")
        scene.restarts(1)
        described = scene.kubectl("describe", "deployment", "api", "-n", scene.namespace)
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


def test_a_service_account_logs_in(scene: Scene, installed: Operator) -> None:
    """With kubernetesAuth a token of the named ServiceAccount is enough; another account is refused."""
    scene.operator = installed
    method = {"identityId": scene.sandbox.identity_id, "audiences": ["infisical"]}
    for name in ("app", "other"):
        scene.kubectl("create", "serviceaccount", name, "-n", scene.namespace)
    trusted = {"kubernetesAuth": method | {"serviceAccountName": "app"}}
    strange = {"kubernetesAuth": method | {"serviceAccountName": "other"}}
    scene.apply(
        workload(),
        subscription(scene.sandbox, authentication=trusted),
        subscription(scene.sandbox, "strange", authentication=strange),
    )
    try:
        installed.start()
        scene.watching()
        scene.has_reason("Authenticated", "CredentialsRejected", "strange")
        scene.change(DB_PASSWORD="second")
        scene.restarts(1)
    finally:
        installed.kill()


def test_an_access_token_is_used_as_it_is(scene: Scene) -> None:
    """With accessTokenRef there is no login; a token put in place of a revoked one is picked up."""
    first = scene.sandbox.do_blocking(type(scene.sandbox.controls).mint_token)
    ref = {"name": "infisical-credentials", "key": "token"}
    scene.apply(
        credentials(scene.sandbox, token=first),
        workload(),
        subscription(scene.sandbox, authentication={"accessTokenRef": ref}, resyncIntervalSeconds=10),
    )
    scene.operator.start()
    scene.watching()

    scene.sandbox.do_blocking(type(scene.sandbox.controls).revoke_tokens)
    scene.has_reason("Authenticated", "TokenRejected")
    second = scene.sandbox.do_blocking(type(scene.sandbox.controls).mint_token)
    scene.apply(credentials(scene.sandbox, token=second))
    scene.change(DB_PASSWORD="second")

    scene.restarts(1, seconds=60)
    assert json.dumps(scene.get("ies", "payments")["status"]).count(second) == 0
