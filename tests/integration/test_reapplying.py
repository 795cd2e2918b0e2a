"""Applying an unchanged manifest again after a restart rolls out nothing."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from support import charts
from support.cluster_harness import ClusterHarness
from support.manifests import Manifest, credentials, subscription, workload

pytestmark = pytest.mark.cluster

_SERVER_SIDE = ("--server-side", "--field-manager=ci")
_HELM = {"helm-client": "--server-side=false", "helm-server": "--server-side=true"}


@dataclass(frozen=True, slots=True)
class Applier:
    """A tool that applies the manifest of one Deployment."""

    name: str
    apply: Callable[[], object]


def _manifest(name: str) -> Manifest:
    """Return a Deployment whose pod template also has annotations of its owner."""
    made = workload(name)
    made["spec"]["template"]["metadata"]["annotations"] = {"example.com/owner": name}
    return made


def _kubectl(harness: ClusterHarness, name: str, *flags: str) -> Applier:
    text = json.dumps(_manifest(name))
    return Applier(
        name, lambda: harness.kubectl("apply", *flags, "-n", harness.namespace, "-f", "-", stdin=text)
    )


def _helm(harness: ClusterHarness, cluster: Any, folder: Path, name: str, flag: str) -> Applier:  # noqa: ANN401 - ours or foreign
    chart = folder / name
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text(yaml.safe_dump({"apiVersion": "v2", "name": name, "version": "1.0.0"}))
    (chart / "templates" / "workload.yaml").write_text(yaml.safe_dump(_manifest(name)))
    command = ("upgrade", "--install", flag, name, str(chart), "--namespace", harness.namespace)
    helm = cluster.binaries / "helm"
    return Applier(name, lambda: charts.helm(helm, *command, kubeconfig=cluster.kubeconfig))


@pytest.fixture
def appliers(harness: ClusterHarness, cluster: Any, tmp_path: Path) -> list[Applier]:  # noqa: ANN401 - ours or foreign
    """Return the four tools."""
    return [
        _kubectl(harness, "kubectl-client"),
        _kubectl(harness, "kubectl-server", *_SERVER_SIDE),
        *(_helm(harness, cluster, tmp_path, name, flag) for name, flag in _HELM.items()),
    ]


def test_an_unchanged_manifest_can_be_applied_again(harness: ClusterHarness, appliers: list[Applier]) -> None:
    """No conflict, no rollout and no diff: the annotations stay, and the next change causes one restart."""
    harness.apply(credentials(harness.sandbox), subscription(harness.sandbox))
    for applier in appliers:
        applier.apply()
    harness.operator.start()
    harness.wait_serving()
    harness.change(DB_PASSWORD="second")
    for applier in appliers:
        harness.eventually(lambda applier=applier: harness.generation(applier.name) > 1, seconds=30)
    harness.wait_reason("RestartsComplete", "NoPendingRestarts")
    before = {applier.name: _rollout_state(harness, applier.name) for applier in appliers}

    for applier in appliers:
        applier.apply()

    assert {applier.name: _rollout_state(harness, applier.name) for applier in appliers} == before
    for name, flags in (("kubectl-client", ()), ("kubectl-server", _SERVER_SIDE)):
        text = json.dumps(_manifest(name))
        assert not harness.kubectl("diff", *flags, "-n", harness.namespace, "-f", "-", stdin=text)

    again = {name: state[0] + 1 for name, state in before.items()}
    harness.change(DB_PASSWORD="third")
    harness.eventually(lambda: _generations(harness, appliers) == again, seconds=30)
    harness.assert_stays(lambda: _generations(harness, appliers), again)


def _generations(harness: ClusterHarness, appliers: list[Applier]) -> dict[str, int]:
    return {applier.name: harness.generation(applier.name) for applier in appliers}


def _rollout_state(harness: ClusterHarness, name: str) -> tuple[int, Manifest, str]:
    """Return the generation, the annotations of the pod template and the restart record."""
    stored = harness.get("deployment", name)
    template = stored["spec"]["template"]["metadata"]["annotations"]
    assert "events.infisical.com/revision-payments" in template
    noted = stored["metadata"]["annotations"]["events.infisical.com/last-restart"]
    return stored["metadata"]["generation"], template, noted
