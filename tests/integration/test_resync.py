"""The Secret has the new content before the restart, by the order of resourceVersions."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from e2e.restart_order.assertions import contents_at_restarts
from e2e.restart_order.namespace_watcher import NamespaceWatcher
from e2e.restart_order.slots import using_secret
from e2e.restart_order.sources import FOREIGN, KINDS, NATIVE
from support.cluster_harness import ClusterHarness
from support.fake_controllers import manifests
from support.fake_controllers.controller import Controller
from support.fake_controllers.controller_runner import ControllerRunner, controller_runner
from support.fake_controllers.external_secrets import ExternalSecrets
from support.fake_controllers.options import Options, holding
from support.manifests import Manifest, credentials, subscription, workload

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("foreign_crds")]

SECRET = "payments-env"


@pytest.fixture
def runner(cluster: Any) -> Iterator[ControllerRunner]:  # noqa: ANN401 - ours or a foreign one
    """Runs the fake controllers."""
    with controller_runner(cluster.kubeconfig) as found:
        yield found


@dataclass(slots=True)
class SyncHarness:
    """A Deployment that uses one Secret, the source of the Secret, and a watcher."""

    harness: ClusterHarness
    watcher: NamespaceWatcher
    upstream: dict[str, str]
    controllers: list[Controller] = field(default_factory=list)

    @property
    def source(self) -> Controller:
        """The fake controller."""
        (controller,) = self.controllers
        return controller

    def change(self, value: str, *, reaches_source: bool = True) -> None:
        """Set another value in Infisical."""
        if reaches_source:
            self.upstream["DB_PASSWORD"] = value
        self.harness.change(DB_PASSWORD=value)

    def is_in_order(self, value: str) -> None:
        """Check that the Secret had the value before the newest restart."""
        (*_, newest) = contents_at_restarts(self.watcher.workload_versions, self.watcher.contents)["api"]
        assert newest[SECRET]["DB_PASSWORD"] == value
        assert self.watcher.gaps == 0


def started(
    harness: ClusterHarness, runner: ControllerRunner, kind: str, options: Options, **spec: object
) -> SyncHarness:
    """Set everything up with a source of a kind, and wait until the operator serves it."""
    upstream, controllers = {"DB_PASSWORD": "first"}, []
    watcher = runner.start(lambda api: NamespaceWatcher(api, harness.namespace))
    harness.apply(credentials(harness.sandbox))
    if kind != NATIVE:
        controller, manifest = FOREIGN[kind]
        made = runner.start(lambda api: controller(api, harness.namespace, holding(upstream), options))  # type: ignore[call-arg]
        controllers.append(made)
        harness.apply(manifest("payments", harness.namespace, SECRET))
    else:
        entry = {"name": SECRET, "environmentSlug": "prod", "secretPath": "/payments"}
        spec = {**spec, "resync": {"secrets": [entry]}}
    harness.apply(using_secret(SECRET, workload()), subscription(harness.sandbox, **spec))
    harness.operator.start()
    harness.wait_serving()
    harness.eventually(lambda: any(each.secret == SECRET for each in watcher.contents), seconds=30)
    return SyncHarness(harness, watcher, upstream, controllers)


@pytest.mark.parametrize("kind", KINDS)
def test_the_secret_is_fresh_before_the_restart(
    harness: ClusterHarness, runner: ControllerRunner, kind: str
) -> None:
    """However long the sync takes, the new content comes first, then one restart."""
    sync = started(harness, runner, kind, Options(delay=(0.0, 1.5)))

    for number in range(3):
        value = f"value-{number}"
        sync.change(value)
        harness.wait_restarts(1 + number)
        sync.is_in_order(value)
    harness.expect_restarts(3)


@pytest.mark.parametrize("kind", ["InfisicalStaticSecret", "ExternalSecret"])
def test_a_failed_sync_is_repeated_before_the_restart(
    harness: ClusterHarness, runner: ControllerRunner, kind: str
) -> None:
    """A failed sync does not count as a sync."""
    sync = started(harness, runner, kind, Options())
    sync.source.configure(Options(failing=2))
    sync.change("second")
    harness.expect_restarts(1)
    sync.is_in_order("second")


@pytest.mark.parametrize("kind", ["InfisicalStaticSecret", "ExternalSecret"])
def test_the_same_data_restart_nothing(harness: ClusterHarness, runner: ControllerRunner, kind: str) -> None:
    """A sync after the change without new data causes a skip, not a restart."""
    sync = started(harness, runner, kind, Options())

    sync.change("unseen", reaches_source=False)

    harness.eventually(
        lambda: (
            (harness.get("ies", "payments")["status"].get("lastSkip") or {}).get("reason") == "NoDataChange"
        ),
        seconds=30,
    )
    assert harness.generation() == 1


@pytest.mark.parametrize(("policy", "restarts"), [("Restart", 1), ("Skip", 0)])
def test_a_silent_source_times_out(
    harness: ClusterHarness, runner: ControllerRunner, policy: str, restarts: int
) -> None:
    """After the time-out the policy decides; new content causes a restart whenever it arrives."""
    upstream = {"DB_PASSWORD": "first"}
    eso = runner.start(lambda api: ExternalSecrets(api, harness.namespace, holding(upstream)))
    harness.apply(
        credentials(harness.sandbox), manifests.external_secret("payments", harness.namespace, SECRET)
    )
    resync = {"timeoutSeconds": 1, "onTimeout": policy}
    harness.apply(using_secret(SECRET, workload()), subscription(harness.sandbox, resync=resync))
    harness.operator.start()
    harness.wait_serving()
    eso.configure(Options(silent=True))

    upstream["DB_PASSWORD"] = "second"
    harness.change(DB_PASSWORD="second")

    harness.expect_restarts(restarts)
    harness.wait_reason("RestartsComplete", "ResyncTimedOut")
    eso.configure(Options())
    runner.run(eso.sync_now())
    harness.expect_restarts(restarts + 1)
    harness.wait_reason("RestartsComplete", "NoPendingRestarts")


def test_a_foreign_secret_keeps_its_content(harness: ClusterHarness) -> None:
    """The operator reports the rejection, and restarts nobody: the Secret keeps its content."""
    foreign_secret: Manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": SECRET},
        "stringData": {"DB_PASSWORD": "theirs"},
    }
    entry = {"name": SECRET, "environmentSlug": "prod", "secretPath": "/payments"}
    resync = {"secrets": [entry], "timeoutSeconds": 1}
    harness.apply(credentials(harness.sandbox), foreign_secret, using_secret(SECRET, workload()))
    harness.apply(subscription(harness.sandbox, resync=resync))
    harness.operator.start()
    harness.wait_serving()

    harness.change(DB_PASSWORD="second")
    harness.wait_reason("RestartsComplete", "SecretRejected")
    harness.expect_restarts(0)

    kept = harness.get("secret", SECRET)["data"]["DB_PASSWORD"]
    assert base64.b64decode(kept).decode() == "theirs"
    assert "SecretRejected" in harness.kubectl("describe", "ies", "payments", "-n", harness.namespace)
