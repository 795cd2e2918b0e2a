"""The chart grants what the operator uses, and the operator uses what the chart grants.

The API server's audit log says what the installed operator has asked for, once it has done all that it can.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from e2e.restart_order.slots import using_secret
from e2e.restart_order.sources import FOREIGN
from infisical_sandbox.server import Sandbox
from local_cluster import Cluster
from support import charts, rbac
from support.charts import Key
from support.cluster_harness import ClusterHarness
from support.fake_controllers import manifests, resources
from support.fake_controllers.controller_runner import controller_runner
from support.fake_controllers.options import holding
from support.fake_controllers.rollouts import Rollouts
from support.kubectl import kubectl_for
from support.manifests import Manifest, credentials, subscription, workload
from support.object_reader import ObjectReader
from support.operator_process import OperatorProcess

pytestmark = pytest.mark.cluster

HOME, SHOP = charts.NAMESPACE, "shop"
NATIVE, ORPHAN, MERGED = "native-env", "orphan-env", "merged-env"
POLICIES = {NATIVE: "Owner", ORPHAN: "Orphan", MERGED: "Merge"}
KINDS = ("Deployment", "StatefulSet", "DaemonSet")
OPTED_IN = {"events.infisical.com/auto-reload": "true"}


@pytest.fixture
def cluster_options() -> dict[str, Any]:
    """With an audit log."""
    return {"audit_log": True}


@pytest.fixture
def harness(
    private_cluster: Cluster, eventually: Callable[..., Any], sandbox: Sandbox, tmp_path: Path
) -> Iterator[ClusterHarness]:
    """A namespace with an Infisical and the foreign kinds; its operator is still to be named."""
    kubectl = kubectl_for(private_cluster)
    for name in (HOME, SHOP):
        kubectl("create", "namespace", name)
    resources.serve(kubectl)
    harness = ClusterHarness(
        SHOP,
        kubectl,
        eventually,
        sandbox,
        OperatorProcess((), {}, tmp_path / "operator.log", ""),
        ObjectReader.opened(private_cluster.kubeconfig),
    )
    try:
        yield harness
    finally:
        harness.operator.kill()


def run_once() -> tuple[Manifest, Manifest]:
    """A CronJob and a Job that opted in and do not run."""
    template = {**workload()["spec"]["template"]}
    template["spec"] = {**template["spec"], "restartPolicy": "Never"}
    job = {"suspend": True, "template": template}
    cron = {"suspend": True, "schedule": "0 0 1 1 *", "jobTemplate": {"spec": job}}
    api = {"apiVersion": "batch/v1"}
    return (
        {**api, "kind": "CronJob", "metadata": {"name": "nightly", "annotations": OPTED_IN}, "spec": cron},
        {**api, "kind": "Job", "metadata": {"name": "once", "annotations": OPTED_IN}, "spec": job},
    )


def workloads() -> Iterator[Manifest]:
    """One of each kind; the Deployment uses the Secret of every kind of source."""
    for kind in KINDS:
        made = using_secret(NATIVE, workload(kind.lower(), kind))
        if kind == "Deployment":
            for secret in (ORPHAN, MERGED, *map(str.lower, FOREIGN)):
                made = using_secret(secret, made)
        yield made
    rollout = manifests.rollout("rollout", SHOP, secrets=[NATIVE])
    rollout["metadata"]["annotations"] = OPTED_IN
    yield rollout
    yield from run_once()


def foreign_secret() -> Manifest:
    """A Secret of somebody else, that keys are merged into."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": MERGED},
        "stringData": {"OTHER": "theirs"},
    }


def federated(sandbox: Sandbox) -> Manifest:
    """A subscription that logs in by a token of a ServiceAccount, which this Infisical does not trust."""
    login = {
        "identityId": sandbox.identity_id,
        "audiences": ["infisical"],
        "serviceAccountName": "default",
    }
    return subscription(sandbox, "federated", authentication={"kubernetesAuth": login})


def exercise_everything(harness: ClusterHarness, kubeconfig: Path) -> None:
    """Whatever the operator can be made to ask the API server for, once."""
    upstream = {"DB_PASSWORD": "first"}
    with controller_runner(kubeconfig) as runner:
        runner.start(lambda api: Rollouts(api, SHOP))
        harness.apply(credentials(harness.sandbox), foreign_secret(), *workloads())
        for kind, (controller, manifest) in FOREIGN.items():
            runner.start(lambda api, made=controller: made(api, SHOP, holding(upstream)))  # type: ignore[misc, call-arg]
            harness.apply(manifest(kind.lower(), SHOP, kind.lower()))
        where = {"environmentSlug": "prod", "secretPath": "/payments"}
        managed = [{"name": name, "creationPolicy": policy, **where} for name, policy in POLICIES.items()]
        usual = subscription(harness.sandbox, observe="Values", resync={"secrets": managed})
        harness.apply(usual, federated(harness.sandbox))
        harness.operator.start()
        harness.wait_serving()
        harness.wait_reason("Authenticated", "CredentialsRejected", "federated")

        upstream["DB_PASSWORD"] = "second"
        harness.change(DB_PASSWORD="second")
        for kind in (*KINDS, "Rollout"):
            harness.eventually(lambda kind=kind: is_restarted(harness, kind), seconds=40)
        harness.wait_reason("RestartsComplete", "NoPendingRestarts")

        usual["spec"]["debounceSeconds"] = 1
        harness.apply(usual)
        harness.eventually(lambda: is_understood(harness))
        harness.kubectl("delete", "ies", "payments", "federated", "-n", SHOP)
        harness.eventually(lambda: "infisical_events_subscriptions 0.0" in harness.operator.get("/metrics"))
        assert harness.operator.stop() == 0


def is_restarted(harness: ClusterHarness, kind: str) -> bool:
    """Whether a workload has been restarted, and says by whom."""
    annotations: Mapping[str, str] = harness.get(kind, kind.lower())["metadata"]["annotations"]
    return "events.infisical.com/last-restart" in annotations


def is_understood(harness: ClusterHarness) -> bool:
    """Whether the operator has told of the newest spec."""
    found = harness.get("ies", "payments")
    return bool(found["status"].get("observedGeneration") == found["metadata"]["generation"])


@pytest.mark.parametrize("served", [[], [SHOP]], ids=["all-namespaces", "chosen-namespaces"])
def test_what_is_granted_is_what_is_used(
    harness: ClusterHarness, private_cluster: Cluster, tmp_path: Path, served: list[str]
) -> None:
    """No right of the chart is left over, none comes from elsewhere, and nothing is forbidden."""
    values = {"scopedNamespaces": served, "allowedAddresses": ["http://127.0.0.1:*"], "shards": 2}
    given = ("--namespace", HOME, *charts.with_values(values, tmp_path))
    binary, kubeconfig = private_cluster.binaries / "helm", private_cluster.kubeconfig
    charts.helm(binary, "install", charts.RELEASE, str(charts.CHART), *given, kubeconfig=kubeconfig)
    release = ("get", "manifest", charts.RELEASE, "--namespace", HOME)
    found = charts.objects(charts.helm(binary, *release, kubeconfig=kubeconfig))
    harness.operator = OperatorProcess.from_chart(found, harness.kubectl, kubeconfig, tmp_path)

    exercise_everything(harness, kubeconfig)

    user = f"system:serviceaccount:{HOME}:{charts.RELEASE}"
    asked = rbac.requests(private_cluster.audit_log.read_text(), user)
    grants, uses = rbac.granted(found, Key("ServiceAccount", charts.RELEASE, HOME)), rbac.used(asked)
    assert rbac.refused(asked) == frozenset()
    assert rbac.unused(grants, uses) == frozenset()
    assert rbac.ungranted(grants, uses) == frozenset()
    assert all(use.namespace for use in uses) == bool(served)
