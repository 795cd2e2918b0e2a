"""Whoever manages a workload applies it again, unchanged, after it was restarted here: nothing rolls out."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from support import charts
from support.operator_process import Manifest, Scene, credentials, subscription, workload

pytestmark = pytest.mark.cluster

_SERVER_SIDE = ("--server-side", "--field-manager=ci")
_HELM = {"helm-client": "--server-side=false", "helm-server": "--server-side=true"}


@dataclass(frozen=True, slots=True)
class Hand:
    """Who manages one Deployment: how it is applied, for the first time and again."""

    name: str
    apply: Callable[[], object]


def _manifest(name: str) -> Manifest:
    """A Deployment whose pod template has annotations of its owner's, too."""
    made = workload(name)
    made["spec"]["template"]["metadata"]["annotations"] = {"example.com/owner": name}
    return made


def _kubectl(scene: Scene, name: str, *flags: str) -> Hand:
    text = json.dumps(_manifest(name))
    return Hand(name, lambda: scene.kubectl("apply", *flags, "-n", scene.namespace, "-f", "-", stdin=text))


def _helm(scene: Scene, cluster: Any, folder: Path, name: str, flag: str) -> Hand:  # noqa: ANN401 - ours or foreign
    chart = folder / name
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text(yaml.safe_dump({"apiVersion": "v2", "name": name, "version": "1.0.0"}))
    (chart / "templates" / "workload.yaml").write_text(yaml.safe_dump(_manifest(name)))
    command = ("upgrade", "--install", flag, name, str(chart), "--namespace", scene.namespace)
    helm = cluster.binaries / "helm"
    return Hand(name, lambda: charts.helm(helm, *command, kubeconfig=cluster.kubeconfig))


@pytest.fixture
def hands(scene: Scene, cluster: Any, tmp_path: Path) -> list[Hand]:  # noqa: ANN401 - ours or foreign
    """The four ways."""
    return [
        _kubectl(scene, "kubectl-client"),
        _kubectl(scene, "kubectl-server", *_SERVER_SIDE),
        *(_helm(scene, cluster, tmp_path, name, flag) for name, flag in _HELM.items()),
    ]


def test_an_unchanged_manifest_can_be_applied_again(scene: Scene, hands: list[Hand]) -> None:
    """No conflict, no rollout, no drift: the receipts stay, and the next change is one restart again."""
    scene.apply(credentials(scene.sandbox), subscription(scene.sandbox))
    for hand in hands:
        hand.apply()
    scene.operator.start()
    scene.watching()
    scene.change(DB_PASSWORD="second")
    for hand in hands:
        scene.eventually(lambda hand=hand: scene.generation(hand.name) > 1, seconds=30)
    scene.has_reason("RestartsComplete", "NoPendingRestarts")
    before = {hand.name: _told(scene, hand.name) for hand in hands}

    for hand in hands:
        hand.apply()

    assert {hand.name: _told(scene, hand.name) for hand in hands} == before
    for name, flags in (("kubectl-client", ()), ("kubectl-server", _SERVER_SIDE)):
        text = json.dumps(_manifest(name))
        assert not scene.kubectl("diff", *flags, "-n", scene.namespace, "-f", "-", stdin=text)

    again = {name: told[0] + 1 for name, told in before.items()}
    scene.change(DB_PASSWORD="third")
    scene.eventually(lambda: _generations(scene, hands) == again, seconds=30)
    scene.stays(lambda: _generations(scene, hands), again)


def _generations(scene: Scene, hands: list[Hand]) -> dict[str, int]:
    return {hand.name: scene.generation(hand.name) for hand in hands}


def _told(scene: Scene, name: str) -> tuple[int, Manifest, str]:
    """What a rollout would change, and what the operator has noted."""
    stored = scene.get("deployment", name)
    template = stored["spec"]["template"]["metadata"]["annotations"]
    assert "events.infisical.com/revision-payments" in template
    noted = stored["metadata"]["annotations"]["events.infisical.com/last-restart"]
    return stored["metadata"]["generation"], template, noted
