"""The chart grants exactly the rights that the operator uses.

The API server's audit log has the requests of an installed operator that has used every feature.
"""

import json
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
from support.object_client import ObjectClient
from support.operator_process import OperatorProcess

pytestmark = pytest.mark.cluster

HOME, SHOP = charts.NAMESPACE, "shop"
NATIVE, ORPHAN, MERGED = "native-env", "orphan-env", "merged-env"
POLICIES = {NATIVE: "Owner", ORPHAN: "Orphan", MERGED: "Merge"}
DEAD = f"{charts.RELEASE}-replica-dead"
LEASE_SECONDS = 5
KINDS = ("Deployment", "StatefulSet", "DaemonSet")
OPTED_IN = {"events.infisical.com/auto-reload": "true"}


@pytest.fixture
def cluster_options() -> dict[str, Any]:
    """Enable the audit log."""
    return {"audit_log": True}


@pytest.fixture
def harness(
    private_cluster: Cluster,
    private_client: ObjectClient,
    eventually: Callable[..., Any],
    sandbox: Sandbox,
    tmp_path: Path,
) -> Iterator[ClusterHarness]:
    """A namespace with an Infisical and the kinds of the fake controllers; the test sets the operator."""
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
        private_client,
    )
    try:
        yield harness
    finally:
        harness.operator.kill()


def run_once() -> tuple[Manifest, Manifest]:
    """Return a CronJob and a Job that opted in and do not run."""
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
    """Return one workload of each kind; the Deployment uses the Secrets of all providers."""
    for kind in KINDS:
        made = using_secret(NATIVE, workload(kind.lower(), kind))
        if kind == "Deployment":
            for secret in (ORPHAN, MERGED, *map(str.lower, FOREIGN)):
                made = using_secret(secret, made)
            (container,) = made["spec"]["template"]["spec"]["containers"]
            container["envFrom"] = [*container["envFrom"], {"configMapRef": {"name": "settings"}}]
        yield made
    rollout = manifests.rollout("rollout", SHOP, secrets=[NATIVE])
    rollout["metadata"]["annotations"] = OPTED_IN
    yield rollout
    yield from run_once()


def stores(*, is_cluster_scoped: bool) -> Iterator[Manifest]:
    """Return the stores of the ExternalSecrets: one of the namespace, and one of the cluster."""
    api = {"apiVersion": "external-secrets.io/v1", "spec": {"provider": {"infisical": {}}}}
    yield {**api, "kind": "SecretStore", "metadata": {"name": "infisical"}}
    if is_cluster_scoped:
        yield {**api, "kind": "ClusterSecretStore", "metadata": {"name": "shared"}}
        yield manifests.external_secret(
            "shared", SHOP, secretStoreRef={"name": "shared", "kind": "ClusterSecretStore"}
        )


def config_map() -> Manifest:
    """Return a ConfigMap that a workload uses."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"A": "1"}}


def foreign_secret() -> Manifest:
    """Return a Secret of another owner, into which the operator merges keys."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": MERGED},
        "stringData": {"OTHER": "foreign"},
    }


def federated(sandbox: Sandbox) -> Manifest:
    """Return a subscription that logs in by a ServiceAccount token that this Infisical does not trust."""
    login = {
        "identityId": sandbox.identity_id,
        "audiences": ["infisical"],
        "serviceAccountName": "default",
    }
    return subscription(sandbox, "federated", authentication={"kubernetesAuth": login})


def exercise_everything(harness: ClusterHarness, kubeconfig: Path, *, is_cluster_scoped: bool) -> None:
    """Let the operator make every kind of request to the API server."""
    upstream = {"DB_PASSWORD": "first"}
    with controller_runner(kubeconfig) as runner:
        runner.start(lambda api: Rollouts(api, SHOP))
        harness.kubectl("apply", "-n", HOME, "-f", "-", stdin=json.dumps(lease_of_a_dead_replica()))
        harness.apply(*stores(is_cluster_scoped=is_cluster_scoped), config_map())
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
        harness.eventually(lambda: is_observed(harness))
        harness.kubectl("delete", "ies", "payments", "federated", "-n", SHOP)
        harness.eventually(lambda: "infisical_events_subscriptions 0.0" in harness.operator.get("/metrics"))
        # A replica that leaves deletes its Lease only if there is time, so this Lease makes the use certain.
        harness.eventually(lambda: not has_lease(harness, DEAD), seconds=60)
        assert harness.operator.stop() == 0


def lease_of_a_dead_replica() -> Manifest:
    """Return the Lease of a replica that died long ago; the operator deletes it after four durations."""
    labels = {"events.infisical.com/leases": charts.RELEASE}
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": DEAD, "labels": labels},
        "spec": {"holderIdentity": "dead_0", "leaseDurationSeconds": LEASE_SECONDS},
    }


def has_lease(harness: ClusterHarness, name: str) -> bool:
    """Whether a Lease of the release exists."""
    return name in harness.kubectl("get", "leases", "-n", HOME, "-o", "name")


def is_restarted(harness: ClusterHarness, kind: str) -> bool:
    """Whether a workload has been restarted and has the restart record."""
    annotations: Mapping[str, str] = harness.get(kind, kind.lower())["metadata"]["annotations"]
    return "events.infisical.com/last-restart" in annotations


def is_observed(harness: ClusterHarness) -> bool:
    """Whether the status is that of the newest spec."""
    found = harness.get("ies", "payments")
    return bool(found["status"].get("observedGeneration") == found["metadata"]["generation"])


@pytest.mark.parametrize("served", [[], [SHOP]], ids=["all-namespaces", "chosen-namespaces"])
def test_what_is_granted_is_what_is_used(
    harness: ClusterHarness, private_cluster: Cluster, tmp_path: Path, served: list[str]
) -> None:
    """The operator uses every right of the chart and no other right, and no request is forbidden."""
    values = {
        "scopedNamespaces": served,
        "allowedAddresses": ["http://127.0.0.1:*"],
        "shards": 2,
        "leaseDuration": LEASE_SECONDS,
        "rbac": {"serviceAccountTokens": True, "writeSecrets": True},
    }
    given = ("--namespace", HOME, *charts.with_values(values, tmp_path))
    binary, kubeconfig = private_cluster.binaries / "helm", private_cluster.kubeconfig
    charts.helm(binary, "install", charts.RELEASE, str(charts.CHART), *given, kubeconfig=kubeconfig)
    release = ("get", "manifest", charts.RELEASE, "--namespace", HOME)
    found = charts.objects(charts.helm(binary, *release, kubeconfig=kubeconfig))
    harness.operator = OperatorProcess.from_chart(found, harness.kubectl, kubeconfig, tmp_path)

    exercise_everything(harness, kubeconfig, is_cluster_scoped=not served)

    user = f"system:serviceaccount:{HOME}:{charts.RELEASE}"
    asked = rbac.requests(private_cluster.audit_log.read_text(), user)
    grants, uses = rbac.granted(found, Key("ServiceAccount", charts.RELEASE, HOME)), rbac.used(asked)
    assert rbac.refused(asked) == frozenset()
    assert rbac.unused(grants, uses) == frozenset()
    assert rbac.ungranted(grants, uses) == frozenset()
    assert all(use.namespace for use in uses) == bool(served)
