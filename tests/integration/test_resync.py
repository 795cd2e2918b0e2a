"""Secrets are fresh before the restart, whoever writes them: the order is that of resourceVersions."""

import asyncio
import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import pytest

from scenes import Manifest, Scene, credentials, subscription, workload
from standins import manifests
from standins.calls import Api
from standins.controllers import Controller
from standins.external_secrets import ExternalSecrets
from standins.infisical_secrets import InfisicalSecrets
from standins.options import Options, holding
from standins.playing import Stage, staged
from standins.static_secrets import StaticSecrets
from standins.watching import Mirror

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("foreign_crds")]

STAMP = "events.infisical.com/revision-payments"
SECRET = "payments-env"


@dataclass(slots=True)
class Witness:
    """What the API server tells of the namespace's Secrets and Deployments, in its order."""

    api: Api
    namespace: str
    contents: dict[str, int] = field(default_factory=dict)
    """By the value of DB_PASSWORD in the Secret: the resourceVersion with which it came first."""
    restarts: dict[str, int] = field(default_factory=dict)
    """By the stamp in the pod template: the resourceVersion with which it came first."""
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        base = f"namespaces/{self.namespace}"
        mirrors = (
            Mirror(self.api, f"/api/v1/{base}/secrets", self._secret),
            Mirror(self.api, f"/apis/apps/v1/{base}/deployments", self._deployment),
        )
        self.tasks = [asyncio.create_task(mirror.follow()) for mirror in mirrors]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def _secret(self, _: Manifest | None, now: Manifest | None) -> None:
        value = (now or {}).get("data", {}).get("DB_PASSWORD")
        if now and value and now["metadata"]["name"] == SECRET:
            version = int(now["metadata"]["resourceVersion"])
            self.contents.setdefault(base64.b64decode(value).decode(), version)

    def _deployment(self, _: Manifest | None, now: Manifest | None) -> None:
        found = now or {}
        template = found.get("spec", {}).get("template", {}).get("metadata", {})
        stamp = (template.get("annotations") or {}).get(STAMP)
        if stamp:
            self.restarts.setdefault(stamp, int(found["metadata"]["resourceVersion"]))


@pytest.fixture
def stage(cluster: Any) -> Iterator[Stage]:  # noqa: ANN401 - ours or a foreign one
    """Where the foreign controllers play."""
    with staged(cluster.kubeconfig) as found:
        yield found


SOURCES: dict[str, tuple[type[Controller], Callable[..., Manifest]]] = {
    "InfisicalSecret": (InfisicalSecrets, manifests.infisical_secret),
    "InfisicalStaticSecret": (StaticSecrets, manifests.static_secret),
    "ExternalSecret": (ExternalSecrets, manifests.external_secret),
}


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
        assert self.witness.contents[value] < max(self.witness.restarts.values())


def using(manifest: Manifest) -> Manifest:
    """The workload whose pods read the Secret into their environment."""
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    container["envFrom"] = [{"secretRef": {"name": SECRET}}]
    return manifest


def opened(scene: Scene, stage: Stage, kind: str, options: Options, **spec: object) -> Shop:
    """The shop with a source of a kind, and the operator watching."""
    upstream, played = {"DB_PASSWORD": "first"}, []
    witness = stage.play(lambda api: Witness(api, scene.namespace))
    scene.apply(credentials(scene.sandbox))
    if kind != "native":
        controller, manifest = SOURCES[kind]
        made = stage.play(lambda api: controller(api, scene.namespace, holding(upstream), options))  # type: ignore[call-arg]
        played.append(made)
        scene.apply(manifest("payments", scene.namespace, SECRET))
    else:
        entry = {"name": SECRET, "environmentSlug": "prod", "secretPath": "/payments"}
        spec = {**spec, "resync": {"secrets": [entry]}}
    scene.apply(using(workload()), subscription(scene.sandbox, **spec))
    scene.operator.start()
    scene.watching()
    scene.eventually(lambda: "first" in witness.contents, seconds=30)
    return Shop(scene, witness, upstream, played)


@pytest.mark.parametrize("kind", ["native", *SOURCES])
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
    """After the timeout the policy decides, and the status says what happened."""
    upstream = {"DB_PASSWORD": "first"}
    stage.play(lambda api: Witness(api, scene.namespace))
    eso = stage.play(lambda api: ExternalSecrets(api, scene.namespace, holding(upstream)))
    scene.apply(credentials(scene.sandbox), manifests.external_secret("payments", scene.namespace, SECRET))
    resync = {"timeoutSeconds": 2, "onTimeout": policy}
    scene.apply(using(workload()), subscription(scene.sandbox, resync=resync))
    scene.operator.start()
    scene.watching()
    eso.become(Options(silent=True))

    upstream["DB_PASSWORD"] = "second"
    scene.change(DB_PASSWORD="second")

    if restarts:
        scene.restarts(1)
    else:
        scene.has_reason("Settled", "ResyncTimedOut")
        assert scene.generation() == 1
        eso.become(Options())
        stage.do(eso.sync_now())
        scene.restarts(1)
    scene.has_reason("Settled", "NothingOwed")


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
    scene.apply(credentials(scene.sandbox), theirs, using(workload()))
    scene.apply(subscription(scene.sandbox, resync=resync))
    scene.operator.start()
    scene.watching()

    scene.change(DB_PASSWORD="second")
    scene.restarts(1)

    kept = scene.get("secret", SECRET)["data"]["DB_PASSWORD"]
    assert base64.b64decode(kept).decode() == "theirs"
    assert "SecretRefused" in scene.kubectl("describe", "ies", "payments", "-n", scene.namespace)
