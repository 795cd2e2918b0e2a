"""`helm upgrade` from a version with fewer fields: a pending restart is made once."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from infisical_events.core.ledger.codec import FORMAT
from infisical_sandbox.server import Sandbox
from local_cluster import Cluster
from support import charts, schemas
from support.cluster_harness import ClusterHarness
from support.kubectl import kubectl_for
from support.manifests import Manifest, credentials, subscription, workload
from support.object_client import ObjectClient
from support.operator_process import OperatorProcess
from support.stored_ledgers import opened

pytestmark = pytest.mark.cluster

HOME, SHOP = charts.NAMESPACE, "shop"
LATER_FIELDS = {
    "spec": ("cooldownSeconds", "resync", "rollout"),
    "status": (
        "history",
        "observation",
        "lastHandledReconcileAt",
        "lastHandledRestartAt",
        "lastHandledResumeAt",
    ),
}
"""The fields that the custom resource lacked under the first format of the ledger."""
FIRST = json.loads((charts.ROOT / "tests" / "ledgers" / "format-1.json").read_text())["scenes"]["owed"]
FIRST_LEDGER: Manifest = FIRST["subscription"]["status"]["ledger"]
PAUSED = {"events.infisical.com/auto-reload": "true", "events.infisical.com/paused": "true"}


def first(ledger: Any, like: Any = FIRST_LEDGER) -> Any:  # noqa: ANN401 - JSON
    """Reduce a ledger to the fields of the first format."""
    if isinstance(like, dict):
        return {key: first(value, like[key]) for key, value in ledger.items() if key in like}
    if isinstance(like, list) and like:
        return [first(value, like[0]) for value in ledger]
    return ledger


def earlier(*, knows_all_of_the_ledger: bool) -> Manifest:
    """Return the earlier custom resource, with or without the newer fields of the ledger."""
    crd: Manifest = yaml.safe_load(schemas.CRD_FILE.read_text())
    (version,) = crd["spec"]["versions"]
    properties = version["schema"]["openAPIV3Schema"]["properties"]
    for part, fields in LATER_FIELDS.items():
        for name in fields:
            del properties[part]["properties"][name]
    ledger = properties["status"]["properties"]["ledger"]
    if not knows_all_of_the_ledger:
        ledger["properties"] = {k: field for k, field in ledger["properties"].items() if k in FIRST_LEDGER}
    return crd


def chart_of(crd: Manifest, folder: Path) -> Path:
    """Copy the chart with another custom resource."""
    shutil.copytree(charts.CHART, folder)
    (folder / "files" / "crds" / schemas.CRD_FILE.name).write_text(yaml.safe_dump(crd))
    return folder


@pytest.fixture
def harness(
    private_cluster: Cluster,
    private_client: ObjectClient,
    eventually: Callable[..., Any],
    sandbox: Sandbox,
    tmp_path: Path,
) -> Iterator[ClusterHarness]:
    """A namespace with an Infisical; the operator is not started."""
    kubectl = kubectl_for(private_cluster)
    for name in (HOME, SHOP):
        kubectl("create", "namespace", name)
    operator = OperatorProcess.for_namespace(SHOP, private_cluster.kubeconfig, tmp_path)
    try:
        yield ClusterHarness(SHOP, kubectl, eventually, sandbox, operator, private_client)
    finally:
        operator.kill()


def downgrade(harness: ClusterHarness) -> None:
    """Replace the ledger by its first format."""
    ledger = first(opened(harness.get("ies", "payments")["status"]["ledger"])) | {"format": 1}
    patch = json.dumps([{"op": "replace", "path": "/status/ledger", "value": ledger}])
    where = ("ies", "payments", "-n", SHOP, "--subresource=status", "--type=json")
    harness.kubectl("patch", *where, "-p", patch)


def pending_workloads(harness: ClusterHarness) -> list[str]:
    """Return the names of the stored pending restarts."""
    return [pending["name"] for pending in harness.get("ies", "payments")["status"]["ledger"]["debts"]]


def test_what_is_owed_outlives_an_upgrade(
    harness: ClusterHarness, private_cluster: Cluster, tmp_path: Path
) -> None:
    """The earlier resource stops the operator, with a condition; after the upgrade it restarts once."""

    def helm(verb: str, chart: Path) -> None:
        command = (verb, charts.RELEASE, str(chart), "--namespace", HOME)
        charts.helm(private_cluster.binaries / "helm", *command, kubeconfig=private_cluster.kubeconfig)

    helm("install", chart_of(earlier(knows_all_of_the_ledger=True), tmp_path / "before"))
    usual = subscription(harness.sandbox, cooldownSeconds=None, resyncIntervalSeconds=10)
    harness.apply(credentials(harness.sandbox), workload(annotations=PAUSED), usual)
    harness.operator.start()
    harness.wait_serving()
    harness.change(DB_PASSWORD="second")
    harness.eventually(lambda: pending_workloads(harness) == ["api"])
    assert harness.operator.stop() == 0
    downgrade(harness)

    helm("upgrade", chart_of(earlier(knows_all_of_the_ledger=False), tmp_path / "first"))
    harness.change(DB_PASSWORD="third")
    harness.operator.start()
    assert "apply the CRD of this version" in harness.wait_reason("Observed", "LedgerNotStored")["message"]

    helm("upgrade", charts.CHART)
    harness.wait_serving()
    assert (pending_workloads(harness), harness.get("ies", "payments")["status"]["ledger"]["format"]) == (
        ["api"],
        FORMAT,
    )
    held = harness.generation()
    harness.apply(workload())
    harness.expect_restarts(1, since=held + 1)  # a Deployment's generation counts annotations too
    harness.eventually(lambda: not pending_workloads(harness))
