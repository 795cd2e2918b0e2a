"""Restarts that others take back on a real control plane: a client that does not know them, and a policy."""

import json
import re

import pytest

from support.cluster_harness import ClusterHarness
from support.manifests import Manifest, credentials, subscription, workload

pytestmark = pytest.mark.cluster

REVISION = "events.infisical.com/revision-payments"


def deployment() -> Manifest:
    """Three pods that are replaced one by one, slowly enough to interrupt it."""
    made = workload("api")
    made["spec"] |= {"replicas": 3, "minReadySeconds": 5}
    return made


def serve(harness: ClusterHarness) -> None:
    """Start the operator for a Deployment whose pods are all available."""
    harness.apply(credentials(harness.sandbox), deployment(), subscription(harness.sandbox))
    harness.kubectl("rollout", "status", "deployment/api", "-n", harness.namespace, "--timeout=60s")
    harness.operator.start()
    harness.wait_serving()


def pods(harness: ClusterHarness) -> set[str]:
    """The names of the pods that stay."""
    listed = json.loads(
        harness.kubectl("get", "pods", "-n", harness.namespace, "-l", "app=api", "-o", "json")
    )
    return {
        each["metadata"]["name"] for each in listed["items"] if "deletionTimestamp" not in each["metadata"]
    }


def test_a_client_that_does_not_know_the_restart(harness: ClusterHarness) -> None:
    """One write without the annotation during the rollout: told, and all pods are new in the end."""
    serve(harness)
    before = pods(harness)
    harness.change(DB_PASSWORD="second")
    harness.eventually(lambda: harness.generation() == 2, seconds=10)
    stripped = json.dumps({"spec": {"template": {"metadata": {"annotations": {REVISION: None}}}}})
    harness.kubectl("patch", "deployment", "api", "-n", harness.namespace, "--type=merge", "-p", stripped)

    reverted = harness.wait_reason("RestartsComplete", "RestartReverted")
    assert re.search(r"\d of [34] pods started before it", reverted["message"])
    assert before & pods(harness)

    harness.eventually(lambda: not before & pods(harness), seconds=110)
    harness.wait_reason("RestartsComplete", "NoPendingRestarts")


def test_a_policy_that_strips_the_restart(harness: ClusterHarness) -> None:
    """The API server accepts the patch without its annotation: that is no restart, and is told at once."""
    serve(harness)
    before = pods(harness)
    name = f"strip-{harness.namespace}"
    escaped = REVISION.replace("/", "~1")
    expression = (
        f"has(object.spec.template.metadata.annotations) && '{REVISION}' in "
        "object.spec.template.metadata.annotations ? "
        f"[JSONPatch{{op: 'remove', path: '/spec/template/metadata/annotations/{escaped}'}}] : []"
    )
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": harness.namespace}},
                "resourceRules": [
                    {
                        "apiGroups": ["apps"],
                        "apiVersions": ["v1"],
                        "operations": ["UPDATE"],
                        "resources": ["deployments"],
                    }
                ],
            },
            "reinvocationPolicy": "Never",
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}],
        },
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name},
    }
    try:
        harness.apply(policy, binding)
        harness.eventually(lambda: _is_stripped(harness), seconds=30)
        harness.change(DB_PASSWORD="second")

        reverted = harness.wait_reason("RestartsComplete", "RestartReverted")
        assert re.search(r"\d of [34] pods started before it", reverted["message"])
        assert pods(harness) == before
        assert harness.get("ies", "payments")["status"]["counters"]["restarts"] == 0
    finally:
        for kind in ("mutatingadmissionpolicybinding", "mutatingadmissionpolicy"):
            harness.kubectl("delete", kind, name, "--ignore-not-found")


def _is_stripped(harness: ClusterHarness) -> bool:
    """Whether the policy is in force: it takes a moment after it was created."""
    patch = json.dumps({"spec": {"template": {"metadata": {"annotations": {REVISION: "probe.1"}}}}})
    found = json.loads(
        harness.kubectl(
            *("patch", "deployment", "api", "-n", harness.namespace, "--type=merge", "--dry-run=server"),
            *("-p", patch, "-o", "json"),
        )
    )
    return REVISION not in found["spec"]["template"]["metadata"].get("annotations", {})
