"""Content that is in no Secret of the workload's own template: in a ConfigMap, or in another template."""

import json
from typing import Any

import pytest

from support.cluster_harness import ClusterHarness
from support.fake_controllers import manifests
from support.manifests import Manifest, credentials, subscription, workload

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("foreign_crds")]

HASH = "reconcile.external-secrets.io/data-hash"


def a_config_map(value: str) -> Manifest:
    """The ConfigMap as the Infisical operator creates it: without its version annotation."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cfg"}, "data": {"KEY": value}}


def a_secret(value: str) -> Manifest:
    """The Secret as External Secrets writes it."""
    metadata = {"name": "app-env", "annotations": {HASH: value}}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"KEY": value}}


def serve(harness: ClusterHarness, *objects: Manifest) -> None:
    """Start the operator on these objects."""
    harness.apply(credentials(harness.sandbox), *objects, subscription(harness.sandbox))
    harness.operator.start()
    harness.wait_serving()


def test_a_config_map_has_the_new_content_before_the_restart(harness: ClusterHarness) -> None:
    """The restart waits for the data of the ConfigMap, which an InfisicalSecret writes."""
    made = workload()
    source = [{"configMapRef": {"name": "cfg"}}]
    made["spec"]["template"]["spec"]["containers"][0]["envFrom"] = source
    reference = {"configMapName": "cfg", "configMapNamespace": harness.namespace, "creationPolicy": "Owner"}
    writer = manifests.infisical_secret("cfg", harness.namespace, managedKubeConfigMapReferences=[reference])
    writer["spec"].pop("managedKubeSecretReferences")
    serve(harness, a_config_map("first"), writer, made)

    harness.change(DB_PASSWORD="second")
    harness.wait_reason("RestartsComplete", "Resyncing")
    harness.assert_stays(harness.generation, 1)
    harness.apply(a_config_map("second"))
    harness.expect_restarts(1)


def test_a_rollout_with_the_template_of_a_deployment_waits_for_its_secret(harness: ClusterHarness) -> None:
    """The Rollout is restarted after the Secret has the new content; the Deployment is not patched."""
    deployment = workload()
    deployment["spec"]["replicas"] = 0
    deployment["metadata"]["annotations"] = {"events.infisical.com/auto-reload": "false"}
    env = [{"secretRef": {"name": "app-env"}}]
    deployment["spec"]["template"]["spec"]["containers"][0]["envFrom"] = env
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "api"}
    rollout = manifests.rollout("api", harness.namespace, workloadRef=reference)
    rollout["spec"].pop("template")
    rollout["metadata"]["annotations"] = {"events.infisical.com/auto-reload": "true"}
    writer = manifests.external_secret("app-env", harness.namespace)
    serve(harness, a_secret("first"), writer, deployment, rollout)

    harness.change(DB_PASSWORD="second")
    harness.wait_reason("RestartsComplete", "Resyncing")
    assert "restartAt" not in harness.get("rollout", "api")["spec"]
    harness.apply(a_secret("second"))
    synced: dict[str, Any] = {
        "syncedResourceVersion": "2-second",
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    harness.kubectl(
        *("patch", "externalsecret", "app-env", "-n", harness.namespace, "--subresource=status"),
        *("--type=merge", "-p", json.dumps({"status": synced})),
    )
    harness.eventually(lambda: harness.get("rollout", "api")["spec"].get("restartAt"), seconds=20)
    harness.assert_stays(harness.generation, 1)
