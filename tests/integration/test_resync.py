"""Secrets are fresh before the restart, whoever writes them: the order is that of resourceVersions."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from e2e.restart_order.judging import carried
from e2e.restart_order.lanes import using
from e2e.restart_order.sources import FOREIGN, KINDS, NATIVE
from e2e.restart_order.witnesses import Witness
from support.fake_controllers import manifests
from support.fake_controllers.controllers import Controller
from support.fake_controllers.external_secrets import ExternalSecrets
from support.fake_controllers.options import Options, holding
from support.fake_controllers.playing import Stage, staged
from support.operator_process import Manifest, Scene, credentials, subscription, workload

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("foreign_crds")]

SECRET = "payments-env"


@pytest.fixture
def stage(cluster: Any) -> Iterator[Stage]:  # noqa: ANN401 - ours or a foreign one
    """Where the foreign controllers play."""
    with staged(cluster.kubeconfig) as found:
        yield found


@dataclass(slots=True)
class Shop:
    """A Deployment whose pods use one Secret, what writes that, and who watches the order."""

    scene: Scene
    witness: Witness
    upstream: dict[str, str]
    played: list[Controller] = field(default_factory=list)

    @property
    def source(self) -> Controller:
        """The foreign controller."""
        (controller,) = self.played
        return controller

    def change(self, value: str, *, is_seen_by_source: bool = True) -> None:
        """Another value in Infisical."""
        if is_seen_by_source:
            self.upstream["DB_PASSWORD"] = value
        self.scene.change(DB_PASSWORD=value)

    def is_in_order(self, value: str) -> None:
        """The Secret had the value before the newest restart."""
        (*_, newest) = carried(self.witness.workload_states, self.witness.contents)["api"]
        assert newest[SECRET]["DB_PASSWORD"] == value
        assert self.witness.gaps == 0


def opened(scene: Scene, stage: Stage, kind: str, options: Options, **spec: object) -> Shop:
    """The shop with a source of a kind, and the operator watching."""
    upstream, played = {"DB_PASSWORD": "first"}, []
    witness = stage.play(lambda api: Witness(api, scene.namespace))
    scene.apply(credentials(scene.sandbox))
    if kind != NATIVE:
        controller, manifest = FOREIGN[kind]
        made = stage.play(lambda api: controller(api, scene.namespace, holding(upstream), options))  # type: ignore[call-arg]
        played.append(made)
        scene.apply(manifest("payments", scene.namespace, SECRET))
    else:
        entry = {"name": SECRET, "environmentSlug": "prod", "secretPath": "/payments"}
        spec = {**spec, "resync": {"secrets": [entry]}}
    scene.apply(using(SECRET, workload()), subscription(scene.sandbox, **spec))
    scene.operator.start()
    scene.watching()
    scene.eventually(lambda: any(each.secret == SECRET for each in witness.contents), seconds=30)
    return Shop(scene, witness, upstream, played)


@pytest.mark.parametrize("kind", KINDS)
def test_the_secret_is_fresh_before_the_restart(scene: Scene, stage: Stage, kind: str) -> None:
    """However long the source takes: the new content comes first, then one restart."""
    shop = opened(scene, stage, kind, Options(delay=(0.0, 1.5)))

    for number in range(3):
        value = f"value-{number}"
        shop.change(value)
        scene.restarts(1, since=1 + number)
        shop.is_in_order(value)


@pytest.mark.parametrize("kind", ["InfisicalStaticSecret", "ExternalSecret"])
def test_a_source_that_fails_at_first_is_waited_for(scene: Scene, stage: Stage, kind: str) -> None:
    """A failed sync is no acknowledgement."""
    shop = opened(scene, stage, kind, Options())
    shop.source.become(Options(failing=2))
    shop.change("second")
    scene.restarts(1)
    shop.is_in_order("second")


@pytest.mark.parametrize("kind", ["InfisicalStaticSecret", "ExternalSecret"])
def test_nobody_is_restarted_for_the_same_data(scene: Scene, stage: Stage, kind: str) -> None:
    """The source has synced since the change, and says that the data are the same."""
    shop = opened(scene, stage, kind, Options())

    shop.change("unseen", is_seen_by_source=False)

    scene.eventually(
        lambda: (
            (scene.get("ies", "payments")["status"].get("lastSkip") or {}).get("reason") == "NoDataChange"
        ),
        seconds=30,
    )
    assert scene.generation() == 1


@pytest.mark.parametrize(("policy", "restarts"), [("Restart", 1), ("Skip", 0)])
def test_a_silent_source_is_not_waited_for_for_ever(
    scene: Scene, stage: Stage, policy: str, restarts: int
) -> None:
    """After the timeout the policy decides; the new content is rolled out whenever it comes."""
    upstream = {"DB_PASSWORD": "first"}
    eso = stage.play(lambda api: ExternalSecrets(api, scene.namespace, holding(upstream)))
    scene.apply(credentials(scene.sandbox), manifests.external_secret("payments", scene.namespace, SECRET))
    resync = {"timeoutSeconds": 2, "onTimeout": policy}
    scene.apply(using(SECRET, workload()), subscription(scene.sandbox, resync=resync))
    scene.operator.start()
    scene.watching()
    eso.become(Options(silent=True))

    upstream["DB_PASSWORD"] = "second"
    scene.change(DB_PASSWORD="second")

    scene.restarts(restarts)
    scene.has_reason("RestartsComplete", "ResyncTimedOut")
    eso.become(Options())
    stage.do(eso.sync_now())
    scene.restarts(restarts + 1)
    scene.has_reason("RestartsComplete", "NoPendingRestarts")


def test_a_secret_of_somebody_else_is_left_alone(scene: Scene) -> None:
    """What is refused is said, the Secret keeps what it has, and the restart follows all the same."""
    theirs: Manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": SECRET},
        "stringData": {"DB_PASSWORD": "theirs"},
    }
    entry = {"name": SECRET, "environmentSlug": "prod", "secretPath": "/payments"}
    resync = {"secrets": [entry], "timeoutSeconds": 1}
    scene.apply(credentials(scene.sandbox), theirs, using(SECRET, workload()))
    scene.apply(subscription(scene.sandbox, resync=resync))
    scene.operator.start()
    scene.watching()

    scene.change(DB_PASSWORD="second")
    scene.restarts(1)

    kept = scene.get("secret", SECRET)["data"]["DB_PASSWORD"]
    assert base64.b64decode(kept).decode() == "theirs"
    assert "SecretRejected" in scene.kubectl("describe", "ies", "payments", "-n", scene.namespace)
