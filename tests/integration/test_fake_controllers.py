"""The fake controllers behave as the real ones: triggers, status, and traps."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from support.fake_controllers import (
    external_secrets,
    infisical_secrets,
    manifests,
    objects,
    rollouts,
    static_secrets,
)
from support.fake_controllers.api_client import Api
from support.fake_controllers.controller import Controller
from support.fake_controllers.controller_runner import controller_runner
from support.fake_controllers.external_secrets import ExternalSecrets
from support.fake_controllers.infisical_secrets import InfisicalSecrets
from support.fake_controllers.options import Options, holding
from support.fake_controllers.resources import (
    CONFIG_MAP,
    EXTERNAL_SECRET,
    INFISICAL_SECRET,
    ROLLOUT,
    SECRET,
    STATIC_SECRET,
    Object,
    Resource,
)
from support.fake_controllers.rollouts import Rollouts
from support.fake_controllers.static_secrets import EarlyStaticSecrets, StaticSecrets

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("foreign_crds")]

_QUIET_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class ControllerHarness:
    """One namespace, the data in Infisical, and a client of the API server."""

    api: Api
    namespace: str
    eventually: Callable[..., Awaitable[Any]]
    upstream: dict[str, str]

    async def create(self, resource: Resource, manifest: Object) -> Object:
        """Create an object."""
        return await self.api.create(resource.path(self.namespace), manifest, "test")

    async def get(self, resource: Resource, name: str) -> Object:
        """Read an object; a missing one is a failed assertion."""
        found = await self.api.find(resource.path(self.namespace, name))
        assert found is not None
        return found

    async def patch(self, resource: Resource, name: str, **body: object) -> None:
        """Merge into an object."""
        await self.api.patch(resource.path(self.namespace, name), body, "test")

    async def annotate(self, resource: Resource, name: str, **annotations: str) -> None:
        """Annotate as `kubectl annotate --overwrite`; `force_sync` is the key example.com/force_sync."""
        named = {f"example.com/{key}": value for key, value in annotations.items()}
        await self.patch(resource, name, metadata={"annotations": named})

    async def wait_for(self, resource: Resource, name: str, condition: Callable[[Object], object]) -> Object:
        """Wait until a condition holds for an object; return the object."""

        async def read_result() -> Object | None:
            found = await self.get(resource, name)
            return found if condition(found) else None

        found: Object = await self.eventually(read_result)
        return found

    async def assert_unchanged(self, resource: Resource, name: str) -> None:
        """Check for a while that an object does not change."""
        version = (await self.get(resource, name))["metadata"]["resourceVersion"]
        await asyncio.sleep(_QUIET_SECONDS)
        assert version == (await self.get(resource, name))["metadata"]["resourceVersion"]

    async def wait_condition(self, resource: Resource, name: str, kind: str) -> Object:
        """Wait until a condition is True; return the object."""
        return await self.wait_for(resource, name, lambda thing: _status(thing, kind) == "True")


@pytest.fixture
async def harness(
    cluster: Any,  # noqa: ANN401 - ours or a foreign one
    namespace: str,
    eventually_async: Callable[..., Awaitable[Any]],
) -> AsyncIterator[ControllerHarness]:
    """An Infisical with one secret."""
    async with Api.opened(cluster.kubeconfig) as api:
        yield ControllerHarness(api, namespace, eventually_async, {"DB_PASSWORD": "first"})


def _status(thing: Object, kind: str) -> object:
    return objects.condition_of(thing, kind).get("status")


def _version(secret: Object) -> str | None:
    return objects.annotations_of(secret).get(objects.VERSION)


def _hash(secret: Object) -> str | None:
    return objects.annotations_of(secret).get(objects.DATA_HASH)


def _holds(**data: str) -> Callable[[Object], bool]:
    return lambda secret: bool(secret.get("data") == objects.encoded(data))


def _moved(before: Object, after: Object) -> bool:
    return bool(before["metadata"]["resourceVersion"] != after["metadata"]["resourceVersion"])


# -- InfisicalSecret --------------------------------------------------------------------------------


async def test_an_infisical_secret_syncs_on_a_new_generation_only(harness: ControllerHarness) -> None:
    """Annotations and labels do not trigger; another spelling of the interval writes the new data."""
    manifest = manifests.infisical_secret("payments", harness.namespace, "one", "two")
    await harness.create(INFISICAL_SECRET, manifest)
    async with InfisicalSecrets(harness.api, harness.namespace, holding(harness.upstream)):
        first = await harness.wait_for(SECRET, "two", _holds(DB_PASSWORD="first"))
        await harness.wait_condition(INFISICAL_SECRET, "payments", infisical_secrets.REDEPLOY)
        harness.upstream["DB_PASSWORD"] = "second"

        await harness.annotate(INFISICAL_SECRET, "payments", force_sync="1")
        await harness.patch(INFISICAL_SECRET, "payments", metadata={"labels": {"any": "label"}})
        await harness.assert_unchanged(SECRET, "two")

        await harness.patch(INFISICAL_SECRET, "payments", spec={"syncConfig": {"resyncInterval": "1m"}})
        for name in ("one", "two"):
            second = await harness.wait_for(SECRET, name, _holds(DB_PASSWORD="second"))
            assert _version(second) != _version(first)


async def test_an_infisical_secret_tells_nothing_when_nothing_is_new(harness: ControllerHarness) -> None:
    """A reconcile with the same data changes neither the Secret nor the status."""
    await harness.create(INFISICAL_SECRET, manifests.infisical_secret("payments", harness.namespace, "app"))
    async with InfisicalSecrets(harness.api, harness.namespace, holding(harness.upstream)) as controller:
        await harness.wait_condition(INFISICAL_SECRET, "payments", infisical_secrets.REDEPLOY)
        before = await harness.get(SECRET, "app"), await harness.get(INFISICAL_SECRET, "payments")

        await harness.patch(INFISICAL_SECRET, "payments", spec={"syncConfig": {"resyncInterval": "1m"}})
        await harness.eventually(_has_tried(controller, 2))

        assert not _moved(before[0], await harness.get(SECRET, "app"))
        after = await harness.get(INFISICAL_SECRET, "payments")
        assert before[1]["status"] == after["status"]
        assert "observedGeneration" not in str(after["status"])


async def test_an_infisical_secret_does_not_repair_what_it_thinks_unchanged(
    harness: ControllerHarness,
) -> None:
    """A deleted Secret stays deleted with the same data, until the generation changes."""
    await harness.create(INFISICAL_SECRET, manifests.infisical_secret("payments", harness.namespace, "app"))
    async with InfisicalSecrets(harness.api, harness.namespace, holding(harness.upstream)) as controller:
        await harness.wait_condition(INFISICAL_SECRET, "payments", infisical_secrets.REDEPLOY)
        await harness.api.delete(SECRET.path(harness.namespace, "app"))

        await controller.sync_now()
        assert await harness.api.find(SECRET.path(harness.namespace, "app")) is None

        await harness.patch(INFISICAL_SECRET, "payments", spec={"syncConfig": {"resyncInterval": "1m"}})
        await harness.wait_for(SECRET, "app", _holds(DB_PASSWORD="first"))


async def test_an_infisical_secret_tells_of_a_failure_and_recovers(harness: ControllerHarness) -> None:
    """A failure has the real conditions, and the next attempt succeeds."""
    await harness.create(INFISICAL_SECRET, manifests.infisical_secret("payments", harness.namespace, "app"))
    options = Options(failing=1, retry=None)
    async with InfisicalSecrets(
        harness.api, harness.namespace, holding(harness.upstream), options
    ) as controller:
        failed = await harness.wait_for(
            INFISICAL_SECRET, "payments", lambda thing: _status(thing, infisical_secrets.READY) == "False"
        )
        assert objects.condition_of(failed, infisical_secrets.REDEPLOY)["reason"] == "Stopped"
        assert await harness.api.find(SECRET.path(harness.namespace, "app")) is None

        controller.configure(Options(failing=0))
        await harness.wait_condition(INFISICAL_SECRET, "payments", infisical_secrets.READY)


# -- InfisicalStaticSecret --------------------------------------------------------------------------


async def test_a_static_secret_syncs_on_an_annotation_and_tells_when(harness: ControllerHarness) -> None:
    """An annotation triggers; the time of success is not before the request, by the controller's clock."""
    await harness.create(STATIC_SECRET, manifests.static_secret("payments", harness.namespace, "app"))
    async with StaticSecrets(harness.api, harness.namespace, holding(harness.upstream)):
        await harness.wait_condition(STATIC_SECRET, "payments", static_secrets.SUCCESS_AT)
        first = await harness.get(SECRET, "app")
        harness.upstream["DB_PASSWORD"] = "second"
        asked = objects.timestamp()

        await harness.annotate(STATIC_SECRET, "payments", force_sync="1")

        second = await harness.wait_for(SECRET, "app", _holds(DB_PASSWORD="second"))
        assert _version(second) != _version(first)
        found = await harness.wait_for(
            STATIC_SECRET,
            "payments",
            lambda thing: objects.condition_of(thing, static_secrets.SUCCESS_AT)["message"] >= asked,
        )
        condition = objects.condition_of(found, static_secrets.STATUS)
        assert (condition["status"], condition["reason"], condition["observedGeneration"]) == (
            "True",
            "OK",
            1,
        )
        assert second["metadata"]["ownerReferences"][0]["kind"] == "InfisicalStaticSecret"


async def test_a_static_secret_moves_its_target_without_new_data(harness: ControllerHarness) -> None:
    """The trap: annotations are copied, except those of the system; the version annotation stays."""
    await harness.create(STATIC_SECRET, manifests.static_secret("payments", harness.namespace, "app"))
    async with StaticSecrets(harness.api, harness.namespace, holding(harness.upstream)):
        await harness.wait_condition(STATIC_SECRET, "payments", static_secrets.SUCCESS_AT)
        first = await harness.get(SECRET, "app")
        system = {"kubectl.kubernetes.io/asked": "1", "example.com/asked": "1"}

        await harness.patch(STATIC_SECRET, "payments", metadata={"annotations": system})

        moved = await harness.wait_for(SECRET, "app", lambda secret: _moved(first, secret))
        assert (first["data"], _version(first)) == (moved["data"], _version(moved))
        copied = objects.annotations_of(moved)
        assert "example.com/asked" in copied
        assert "kubectl.kubernetes.io/asked" not in copied


async def test_a_static_secret_with_metadata_of_its_own_leaves_its_target(harness: ControllerHarness) -> None:
    """With `targets[].metadata` a trigger is acknowledged, and the target does not change."""
    metadata = {"labels": {"team": "shop"}, "annotations": {"example.com/own": "1"}}
    manifest = manifests.static_secret("payments", harness.namespace, "app", metadata=metadata)
    await harness.create(STATIC_SECRET, manifest)
    async with StaticSecrets(harness.api, harness.namespace, holding(harness.upstream)) as controller:
        await harness.wait_condition(STATIC_SECRET, "payments", static_secrets.SUCCESS_AT)
        first = await harness.get(SECRET, "app")

        await harness.annotate(STATIC_SECRET, "payments", force_sync="1")
        await harness.eventually(_has_tried(controller, 2))

        assert not _moved(first, await harness.get(SECRET, "app"))
        assert objects.annotations_of(first).keys() == {"example.com/own", objects.VERSION}


async def test_a_static_secret_that_fails_keeps_the_time_of_its_last_success(
    harness: ControllerHarness,
) -> None:
    """A failure is reported; the time and the data stay, and the next trigger succeeds."""
    manifest = manifests.static_secret("payments", harness.namespace, "app")
    manifest["spec"]["targets"][0]["kind"] = "ConfigMap"
    await harness.create(STATIC_SECRET, manifest)
    async with StaticSecrets(harness.api, harness.namespace, holding(harness.upstream)) as controller:
        settled = await harness.wait_condition(STATIC_SECRET, "payments", static_secrets.SUCCESS_AT)
        harness.upstream["DB_PASSWORD"] = "second"

        controller.configure(Options(failing=1, retry=None))
        await harness.annotate(STATIC_SECRET, "payments", force_sync="1")
        failed = await harness.wait_for(
            STATIC_SECRET, "payments", lambda thing: _status(thing, static_secrets.STATUS) == "False"
        )
        kept = objects.condition_of(settled, static_secrets.SUCCESS_AT)
        assert kept == objects.condition_of(failed, static_secrets.SUCCESS_AT)
        assert (await harness.get(CONFIG_MAP, "app"))["data"] == {"DB_PASSWORD": "first"}

        await harness.annotate(STATIC_SECRET, "payments", force_sync="2")
        await harness.wait_for(CONFIG_MAP, "app", lambda found: found["data"] == {"DB_PASSWORD": "second"})


async def test_an_early_static_secret_does_not_hear_annotations(harness: ControllerHarness) -> None:
    """The first releases react to the generation only."""
    await harness.create(STATIC_SECRET, manifests.static_secret("payments", harness.namespace, "app"))
    async with EarlyStaticSecrets(harness.api, harness.namespace, holding(harness.upstream)) as controller:
        await harness.wait_condition(STATIC_SECRET, "payments", static_secrets.SUCCESS_AT)

        await harness.annotate(STATIC_SECRET, "payments", force_sync="1")
        await harness.assert_unchanged(STATIC_SECRET, "payments")

        assert len(controller.tries) == 1


# -- ExternalSecret ---------------------------------------------------------------------------------


async def test_an_external_secret_syncs_on_an_annotation_and_acknowledges_it(
    harness: ControllerHarness,
) -> None:
    """The synced version changes with each request, the hash with the data only, the Secret with both."""
    await harness.create(EXTERNAL_SECRET, manifests.external_secret("payments", harness.namespace))
    async with ExternalSecrets(harness.api, harness.namespace, holding(harness.upstream)):
        before = await harness.wait_condition(EXTERNAL_SECRET, "payments", external_secrets.READY)
        first = await harness.get(SECRET, "payments")

        await harness.annotate(EXTERNAL_SECRET, "payments", force_sync="1")
        after = await harness.wait_for(EXTERNAL_SECRET, "payments", _acknowledges(before))
        same = await harness.get(SECRET, "payments")
        assert _hash(same) == _hash(first)
        assert _moved(first, same)
        assert after["status"]["syncedResourceVersion"].startswith("1-")
        assert after["status"]["refreshTime"] >= before["status"]["refreshTime"]

        harness.upstream["DB_PASSWORD"] = "second"
        await harness.annotate(EXTERNAL_SECRET, "payments", force_sync="2")
        second = await harness.wait_for(SECRET, "payments", _holds(DB_PASSWORD="second"))
        assert _hash(second) != _hash(first)


async def test_an_external_secret_that_fails_keeps_its_refresh_time(harness: ControllerHarness) -> None:
    """Ready is False with the real reason; time, version and data stay until an attempt succeeds."""
    await harness.create(EXTERNAL_SECRET, manifests.external_secret("payments", harness.namespace, "app"))
    async with ExternalSecrets(harness.api, harness.namespace, holding(harness.upstream)) as controller:
        before = await harness.wait_condition(EXTERNAL_SECRET, "payments", external_secrets.READY)
        harness.upstream["DB_PASSWORD"] = "second"

        controller.configure(Options(failing=2, retry=0.7))
        await harness.annotate(EXTERNAL_SECRET, "payments", force_sync="1")
        failed = await harness.wait_for(
            EXTERNAL_SECRET, "payments", lambda thing: _status(thing, external_secrets.READY) == "False"
        )
        assert objects.condition_of(failed, external_secrets.READY)["reason"] == "SecretSyncedError"
        for key in ("refreshTime", "syncedResourceVersion"):
            assert before["status"][key] == failed["status"][key]
        assert _holds(DB_PASSWORD="first")(await harness.get(SECRET, "app"))

        await harness.wait_for(SECRET, "app", _holds(DB_PASSWORD="second"))
        await harness.wait_for(EXTERNAL_SECRET, "payments", _acknowledges(before))


@pytest.mark.parametrize("spec", [{"refreshPolicy": "CreatedOnce"}, {"refreshInterval": "0"}])
async def test_an_external_secret_may_hear_no_request(
    harness: ControllerHarness, spec: dict[str, str]
) -> None:
    """CreatedOnce and an interval of 0 ignore annotations; a deleted Secret is still created again."""
    await harness.create(EXTERNAL_SECRET, manifests.external_secret("payments", harness.namespace, **spec))
    async with ExternalSecrets(harness.api, harness.namespace, holding(harness.upstream)):
        await harness.wait_condition(EXTERNAL_SECRET, "payments", external_secrets.READY)
        harness.upstream["DB_PASSWORD"] = "second"

        await harness.annotate(EXTERNAL_SECRET, "payments", force_sync="1")
        await harness.assert_unchanged(EXTERNAL_SECRET, "payments")
        assert _holds(DB_PASSWORD="first")(await harness.get(SECRET, "payments"))

        await harness.api.delete(SECRET.path(harness.namespace, "payments"))
        await harness.wait_for(SECRET, "payments", _holds(DB_PASSWORD="second"))


# -- all of them ------------------------------------------------------------------------------------


async def test_requests_during_a_delay_are_one_reconcile(harness: ControllerHarness) -> None:
    """A reconcile includes all triggers before its fetch."""
    await harness.create(STATIC_SECRET, manifests.static_secret("payments", harness.namespace, "app"))
    async with StaticSecrets(harness.api, harness.namespace, holding(harness.upstream)) as controller:
        await harness.wait_condition(STATIC_SECRET, "payments", static_secrets.SUCCESS_AT)

        controller.configure(Options(delay=(2.0, 2.1)))
        began = time.monotonic()
        requests = (harness.annotate(STATIC_SECRET, "payments", **{f"request{n}": "1"}) for n in range(3))
        await asyncio.gather(*requests)
        harness.upstream["DB_PASSWORD"] = "second"
        await harness.wait_for(SECRET, "app", _holds(DB_PASSWORD="second"))

        assert time.monotonic() - began >= 2
        await harness.eventually(_has_tried(controller, 2))
        await harness.assert_unchanged(STATIC_SECRET, "payments")
        assert len(controller.tries) == 2


async def test_one_that_is_silent_does_nothing_and_catches_up(harness: ControllerHarness) -> None:
    """No trigger has an effect; an active controller then syncs the missed changes."""
    await harness.create(EXTERNAL_SECRET, manifests.external_secret("payments", harness.namespace))
    async with ExternalSecrets(harness.api, harness.namespace, holding(harness.upstream)) as controller:
        await harness.wait_condition(EXTERNAL_SECRET, "payments", external_secrets.READY)
        harness.upstream["DB_PASSWORD"] = "second"

        controller.configure(Options(silent=True))
        await harness.annotate(EXTERNAL_SECRET, "payments", force_sync="1")
        await harness.assert_unchanged(EXTERNAL_SECRET, "payments")

        controller.configure(Options())
        await harness.wait_for(SECRET, "payments", _holds(DB_PASSWORD="second"))


async def test_it_may_sync_first_or_by_its_own_interval(harness: ControllerHarness) -> None:
    """`sync_now` and an interval fetch without a trigger."""
    await harness.create(INFISICAL_SECRET, manifests.infisical_secret("payments", harness.namespace, "app"))
    async with InfisicalSecrets(harness.api, harness.namespace, holding(harness.upstream)) as controller:
        await harness.wait_for(SECRET, "app", _holds(DB_PASSWORD="first"))

        harness.upstream["DB_PASSWORD"] = "second"
        await controller.sync_now("payments")
        assert _holds(DB_PASSWORD="second")(await harness.get(SECRET, "app"))

        controller.configure(Options(interval=0.2))
        harness.upstream["DB_PASSWORD"] = "third"
        await harness.wait_for(SECRET, "app", _holds(DB_PASSWORD="third"))


def test_a_stand_in_plays_for_tests_that_are_not_asynchronous(
    cluster: Any,  # noqa: ANN401 - ours or a foreign one
    namespace: str,
    kubectl: Callable[..., str],
    eventually: Callable[..., Any],
) -> None:
    """It runs in a thread of its own and ends with the block."""
    upstream = {"DB_PASSWORD": "first"}
    with controller_runner(cluster.kubeconfig) as runner:
        controller = runner.start(lambda api: ExternalSecrets(api, namespace, holding(upstream)))
        manifest = manifests.external_secret("payments", namespace)
        runner.run(controller.api.create(EXTERNAL_SECRET.path(namespace), manifest, "test"))
        eventually(lambda: kubectl("get", "secret", "payments", "-n", namespace))

        upstream["DB_PASSWORD"] = "second"
        runner.run(controller.sync_now())
        assert len(controller.tries) == 2


# -- Rollout ----------------------------------------------------------------------------------------


async def test_a_rollout_restarts_at_a_time_and_says_so(harness: ControllerHarness) -> None:
    """A restart is Progressing; at its end `restartedAt` is the requested time. The template stays."""
    await harness.create(ROLLOUT, manifests.rollout("api", harness.namespace))
    async with Rollouts(harness.api, harness.namespace, Options(delay=0.8)):
        healthy = await harness.wait_for(ROLLOUT, "api", _is_healthy(1))
        assert "restartedAt" not in healthy["status"]
        asked = objects.timestamp()

        await harness.patch(ROLLOUT, "api", spec={"restartAt": asked})

        busy = await harness.wait_for(
            ROLLOUT, "api", lambda thing: thing["status"]["phase"] == rollouts.PROGRESSING
        )
        assert (busy["status"]["replicas"], busy["status"]["availableReplicas"]) == (2, 1)
        assert "restartedAt" not in busy["status"]
        done = await harness.wait_for(ROLLOUT, "api", _is_healthy(2))
        assert done["status"]["restartedAt"] == asked
        assert done["status"]["availableReplicas"] == 2
        assert done["status"]["currentPodHash"] == healthy["status"]["currentPodHash"]


async def test_a_rollout_may_not_succeed(harness: ControllerHarness) -> None:
    """A failed restart is Degraded and not restarted; a restart in the future waits for its time."""
    await harness.create(ROLLOUT, manifests.rollout("api", harness.namespace))
    async with Rollouts(harness.api, harness.namespace) as controller:
        await harness.wait_for(ROLLOUT, "api", _is_healthy(1))
        controller.configure(Options(failing=1, retry=1.0))
        later = objects.timestamp(skew=2)

        await harness.patch(ROLLOUT, "api", spec={"restartAt": later})

        await harness.wait_for(ROLLOUT, "api", _is_healthy(2))
        assert objects.timestamp() < later
        degraded = await harness.wait_for(
            ROLLOUT, "api", lambda thing: thing["status"]["phase"] == rollouts.DEGRADED
        )
        assert objects.timestamp() >= later
        assert "restartedAt" not in degraded["status"]
        done = await harness.wait_for(ROLLOUT, "api", _is_healthy(2))
        assert done["status"]["restartedAt"] == later


def _acknowledges(before: Object) -> Callable[[Object], bool]:
    """Whether another version is synced than before, with success."""
    return lambda thing: bool(
        thing["status"]["syncedResourceVersion"] != before["status"]["syncedResourceVersion"]
        and _status(thing, external_secrets.READY) == "True"
    )


def _is_healthy(generation: int) -> Callable[[Object], bool]:
    """Whether a Rollout has completed this generation."""

    def read_result(thing: Object) -> bool:
        status = thing.get("status", {})
        return (status.get("phase"), status.get("observedGeneration")) == (rollouts.HEALTHY, str(generation))

    return read_result


def _has_tried(controller: Controller, times: int) -> Callable[[], Awaitable[bool]]:
    """Whether it has reconciled so often."""

    async def read_result() -> bool:
        return len(controller.tries) >= times

    return read_result
