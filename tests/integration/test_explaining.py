"""What a person can learn from `kubectl get ies` and `kubectl describe ies` alone."""

from collections.abc import Callable
from typing import Any

import pytest

from infisical_sandbox.server.controls import Controls
from infisical_sandbox.server.faults import ResponseFault
from support.operator_process import Scene, credentials, subscription, workload

pytestmark = pytest.mark.cluster

DESCRIBE = {"action": ["describeSecret"], "subject": "secrets"}


def _bad_address(scene: Scene) -> dict[str, Any]:
    return subscription(scene.sandbox, address="https://collector.example")


def _missing_secret(scene: Scene) -> dict[str, Any]:
    ref = {"name": "nowhere", "key": "clientId"}
    return subscription(
        scene.sandbox, authentication={"universalAuth": {"clientIdRef": ref, "clientSecretRef": ref}}
    )


def _missing_key(scene: Scene) -> dict[str, Any]:
    ref = {"name": "infisical-credentials", "key": "nothing"}
    return subscription(scene.sandbox, authentication={"accessTokenRef": ref})


def _missing_account(scene: Scene) -> dict[str, Any]:
    method = {"identityId": scene.sandbox.identity_id, "serviceAccountName": "nobody"}
    return subscription(scene.sandbox, authentication={"kubernetesAuth": method})


def _wrong_token(scene: Scene) -> dict[str, Any]:
    ref = {"name": "infisical-credentials", "key": "clientId"}
    return subscription(scene.sandbox, authentication={"accessTokenRef": ref})


def _missing_project(scene: Scene) -> dict[str, Any]:
    return subscription(scene.sandbox, projectId="00000000-0000-4000-8000-000000000000")


def _refused_glob(scene: Scene) -> dict[str, Any]:
    return subscription(scene.sandbox, conditions={"environmentSlug": "prod", "secretPath": "/a{b"})


def _nothing_there(scene: Scene) -> dict[str, Any]:
    return subscription(scene.sandbox, address="http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("mistake", "condition", "reason", "advice"),
    [
        (_bad_address, "Stalled", "AddressNotAllowed", "--allowed-address"),
        (_refused_glob, "Stalled", "InvalidSpec", "path glob"),
        (_missing_secret, "Authenticated", "SecretNotFound", "create it with key"),
        (_missing_key, "Authenticated", "SecretNotFound", "add it to the Secret"),
        (_missing_account, "Authenticated", "ServiceAccountNotFound", "create it"),
        (_wrong_token, "Authenticated", "TokenRejected", "token"),
        (_missing_project, "Observed", "ProjectNotFound", "check the project"),
        (_nothing_there, "Authenticated", "Unreachable", "check spec.address"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_each_mistake_has_a_reason_and_a_sentence(
    scene: Scene, mistake: Callable[[Scene], dict[str, Any]], condition: str, reason: str, advice: str
) -> None:
    """The condition names what is wrong, says what to do, takes Ready with it and is a Kubernetes Event."""
    scene.apply(credentials(scene.sandbox), mistake(scene))
    scene.operator.start()

    found = scene.has_reason(condition, reason)

    assert advice in found["message"]
    assert scene.condition("Ready")["status"] == "False"
    assert scene.condition("Ready")["reason"] == reason
    scene.eventually(lambda: reason in scene.kubectl("describe", "ies", "payments", "-n", scene.namespace))


def test_a_corrected_spec_is_served(scene: Scene) -> None:
    """A stalled subscription is tried again when, and only when, its spec changes."""
    scene.apply(credentials(scene.sandbox), workload(), _bad_address(scene))
    scene.operator.start()
    scene.has_reason("Stalled", "AddressNotAllowed")

    scene.apply(subscription(scene.sandbox))

    scene.watching()
    assert scene.condition("Stalled") == {}


def test_suspended_means_nothing_is_done(shop: Scene) -> None:
    """While suspended nothing restarts; what changed meanwhile is found when it is resumed."""
    shop.apply(subscription(shop.sandbox, suspend=True))
    shop.has_reason("Ready", "Suspended")
    shop.change(DB_PASSWORD="second")
    shop.restarts(0)

    shop.apply(subscription(shop.sandbox, suspend=False))
    shop.restarts(1)


@pytest.mark.parametrize(
    ("fault", "reason", "advice"),
    [
        ({"plan_missing": True}, "PlanLacksEventSubscriptions", "need a plan"),
        ({"connection_limit": 0}, "ConnectionLimitReached", "remove subscriptions"),
    ],
)
def test_without_a_stream_changes_are_found_by_looking(
    scene: Scene, fault: dict[str, Any], reason: str, advice: str
) -> None:
    """No plan and no free connection are said on Streaming; the state is looked at, and Ready says how."""
    for name, value in fault.items():
        setattr(scene.sandbox.controls.faults, name, value)
    scene.apply(credentials(scene.sandbox), workload(), subscription(scene.sandbox, resyncIntervalSeconds=10))
    scene.operator.start()

    assert advice in scene.has_reason("Streaming", reason)["message"]
    scene.has_reason("Ready", "Polling")
    scene.change(DB_PASSWORD="second")
    scene.restarts(1)


def test_missing_rights_are_told_apart(scene: Scene) -> None:
    """Without the right to subscribe Streaming says so; without the right to describe Observed does."""
    scene.sandbox.do_blocking(Controls.permit, [DESCRIBE])
    scene.apply(credentials(scene.sandbox), subscription(scene.sandbox))
    scene.operator.start()
    assert "Secret Events" in scene.has_reason("Streaming", "PermissionDenied")["message"]
    scene.has_reason("Ready", "Polling")

    scene.sandbox.do_blocking(Controls.assign_role, "no-access")
    scene.apply(subscription(scene.sandbox, resyncIntervalSeconds=10))
    assert "grant it" in scene.has_reason("Observed", "PermissionDenied")["message"]


def test_a_server_in_trouble_is_waited_for(shop: Scene) -> None:
    """Errors of the server are said, and afterwards the change that came meanwhile is one restart."""
    fault = ResponseFault("GET /api/v?/secrets*", count=2, status=503)
    shop.sandbox.do_blocking(Controls.fail_requests, fault)

    shop.change(DB_PASSWORD="second")

    shop.restarts(1)
    shop.has_reason("Observed", "UpToDate")


def test_the_table_shows_the_main_things(shop: Scene) -> None:
    """`kubectl get ies` shows Ready, Streaming, and when an event came and a restart was made."""
    shop.change(DB_PASSWORD="second")
    shop.restarts(1)

    def told() -> str | None:
        table = shop.kubectl("get", "ies", "-n", shop.namespace)
        return table if "<none>" not in table and "True" in table else None

    header = shop.eventually(told).splitlines()[0]
    for column in ("NAME", "READY", "STREAMING", "LAST EVENT", "LAST RESTART", "AGE"):
        assert column in header


def test_nobody_concerned_is_said(scene: Scene) -> None:
    """A change that no workload opted in for is a skip with the annotation that is missing."""
    scene.apply(credentials(scene.sandbox), workload(annotations={}), subscription(scene.sandbox))
    scene.operator.start()
    scene.watching()

    scene.change(DB_PASSWORD="second")

    def skip() -> dict[str, Any]:
        found: dict[str, Any] = scene.get("ies", "payments")["status"].get("lastSkip")
        return found

    assert scene.eventually(skip)["reason"] == "NoMatchingWorkload"
    assert "events.infisical.com/auto-reload" in skip()["message"]
