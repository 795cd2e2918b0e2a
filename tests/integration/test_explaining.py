"""What `kubectl get ies` and `kubectl describe ies` show."""

from typing import Any

import pytest

from infisical_sandbox.server.controls import Controls
from infisical_sandbox.server.faults import ResponseFault
from support.cluster_harness import ClusterHarness
from support.manifests import credentials, subscription, workload

pytestmark = pytest.mark.cluster

MOST_LINES = 110
DESCRIBE = {"action": ["describeSecret"], "subject": "secrets"}


def _bad_address(harness: ClusterHarness) -> dict[str, Any]:
    return subscription(harness.sandbox, address="https://collector.example")


def _missing_secret(harness: ClusterHarness) -> dict[str, Any]:
    ref = {"name": "nowhere", "key": "clientId"}
    return subscription(
        harness.sandbox, authentication={"universalAuth": {"clientIdRef": ref, "clientSecretRef": ref}}
    )


def _missing_key(harness: ClusterHarness) -> dict[str, Any]:
    ref = {"name": "infisical-credentials", "key": "nothing"}
    return subscription(harness.sandbox, authentication={"accessTokenRef": ref})


def _missing_account(harness: ClusterHarness) -> dict[str, Any]:
    method = {"identityId": harness.sandbox.identity_id, "serviceAccountName": "nobody"}
    return subscription(harness.sandbox, authentication={"kubernetesAuth": method})


def _wrong_token(harness: ClusterHarness) -> dict[str, Any]:
    ref = {"name": "infisical-credentials", "key": "clientId"}
    return subscription(harness.sandbox, authentication={"accessTokenRef": ref})


def _missing_project(harness: ClusterHarness) -> dict[str, Any]:
    return subscription(harness.sandbox, projectId="00000000-0000-4000-8000-000000000000")


def _rejected_glob(harness: ClusterHarness) -> dict[str, Any]:
    return subscription(harness.sandbox, conditions={"environmentSlug": "prod", "secretPath": "/a{b"})


def _unreachable(harness: ClusterHarness) -> dict[str, Any]:
    return subscription(harness.sandbox, address="http://127.0.0.1:9")


MISTAKES = {
    "bad-address": (_bad_address, "Stalled", "AddressNotAllowed", "--allowed-address"),
    "rejected-glob": (_rejected_glob, "Stalled", "InvalidSpec", "path glob"),
    "missing-secret": (_missing_secret, "Authenticated", "SecretNotFound", "Create it with key"),
    "missing-key": (_missing_key, "Authenticated", "SecretNotFound", "add it to the Secret"),
    "missing-account": (_missing_account, "Authenticated", "ServiceAccountNotFound", "Create it"),
    "wrong-token": (_wrong_token, "Authenticated", "TokenRejected", "token"),
    "missing-project": (_missing_project, "Observed", "ProjectNotFound", "check the project"),
    "unreachable": (_unreachable, "Authenticated", "Unreachable", "check spec.address"),
}


def test_each_mistake_has_a_reason_and_a_sentence(harness: ClusterHarness) -> None:
    """The condition names the mistake and the remedy, sets Ready to False, and is a Kubernetes Event."""
    harness.apply(credentials(harness.sandbox))
    harness.apply(*(_renamed(make(harness), name) for name, (make, *_) in MISTAKES.items()))
    harness.operator.start()

    for name, (_, kind, reason, advice) in MISTAKES.items():
        assert advice in harness.wait_reason(kind, reason, name)["message"], name
        ready = harness.condition("Ready", name)
        assert (ready["status"], ready["reason"]) == ("False", reason), name
        command = ("describe", "ies", name, "-n", harness.namespace)
        harness.eventually(
            lambda command=command, reason=reason: _has_event(harness.kubectl(*command), reason)
        )


def _renamed(manifest: dict[str, Any], name: str) -> dict[str, Any]:
    return manifest | {"metadata": {"name": name}}


def _has_event(description: str, reason: str) -> bool:
    """Whether `kubectl describe` shows an Event of a reason."""
    return reason in description.partition("\nEvents:")[2]


def test_a_corrected_spec_is_served(harness: ClusterHarness) -> None:
    """A stalled subscription is served again when, and only when, its spec changes."""
    harness.apply(credentials(harness.sandbox), workload(), _bad_address(harness))
    harness.operator.start()
    harness.wait_reason("Stalled", "AddressNotAllowed")

    harness.apply(subscription(harness.sandbox))

    harness.wait_serving()
    assert harness.condition("Stalled") == {}


def test_suspended_means_nothing_is_done(serving_harness: ClusterHarness) -> None:
    """A suspended subscription restarts nothing; the changes are found when it is resumed."""
    serving_harness.apply(subscription(serving_harness.sandbox, suspend=True))
    serving_harness.wait_reason("Ready", "Suspended")
    serving_harness.change(DB_PASSWORD="second")
    serving_harness.expect_restarts(0)

    serving_harness.apply(subscription(serving_harness.sandbox, suspend=False))
    serving_harness.expect_restarts(1)


@pytest.mark.parametrize(
    ("fault", "reason", "advice"),
    [
        ({"plan_missing": True}, "PlanLacksEventSubscriptions", "need a plan"),
        ({"connection_limit": 0}, "ConnectionLimitReached", "remove subscriptions"),
    ],
)
def test_without_a_stream_changes_are_found_by_looking(
    harness: ClusterHarness, fault: dict[str, Any], reason: str, advice: str
) -> None:
    """Streaming has the reason, Ready has the reason Polling, and polling finds changes."""
    for name, value in fault.items():
        setattr(harness.sandbox.controls.faults, name, value)
    harness.apply(
        credentials(harness.sandbox), workload(), subscription(harness.sandbox, resyncIntervalSeconds=10)
    )
    harness.operator.start()

    assert advice in harness.wait_reason("Streaming", reason)["message"]
    harness.wait_reason("Ready", "Polling")
    harness.change(DB_PASSWORD="second")
    harness.expect_restarts(1)


def test_missing_rights_are_told_apart(harness: ClusterHarness) -> None:
    """Without the right to subscribe Streaming is False; without the right to describe Observed is False."""
    harness.sandbox.do_blocking(Controls.permit, [DESCRIBE])
    harness.apply(credentials(harness.sandbox), subscription(harness.sandbox))
    harness.operator.start()
    assert "Secret Events" in harness.wait_reason("Streaming", "PermissionDenied")["message"]
    harness.wait_reason("Ready", "Polling")

    harness.sandbox.do_blocking(Controls.assign_role, "no-access")
    harness.apply(subscription(harness.sandbox, resyncIntervalSeconds=10))
    assert "grant it" in harness.wait_reason("Observed", "PermissionDenied")["message"]


def test_a_server_in_trouble_is_waited_for(serving_harness: ClusterHarness) -> None:
    """A change during server errors causes one restart after them, and Observed recovers."""
    fault = ResponseFault("GET /api/v?/secrets*", count=2, status=503)
    serving_harness.sandbox.do_blocking(Controls.fail_requests, fault)

    serving_harness.change(DB_PASSWORD="second")

    serving_harness.expect_restarts(1)
    serving_harness.wait_reason("Observed", "UpToDate")


def test_the_table_shows_the_main_things(serving_harness: ClusterHarness) -> None:
    """`kubectl get ies` shows Ready, Streaming, and the times of the last event and restart."""
    serving_harness.change(DB_PASSWORD="second")
    serving_harness.expect_restarts(1)

    def complete_table() -> str | None:
        table = serving_harness.kubectl("get", "ies", "-n", serving_harness.namespace)
        return table if "<none>" not in table and "True" in table else None

    header = serving_harness.eventually(complete_table).splitlines()[0]
    for column in ("NAME", "READY", "STREAMING", "LAST EVENT", "LAST RESTART", "AGE"):
        assert column in header


def test_nobody_concerned_is_said(harness: ClusterHarness) -> None:
    """A change without a matching workload is a skip that names the missing annotation."""
    harness.apply(credentials(harness.sandbox), workload(annotations={}), subscription(harness.sandbox))
    harness.operator.start()
    harness.wait_serving()

    harness.change(DB_PASSWORD="second")

    def skip() -> dict[str, Any]:
        found: dict[str, Any] = harness.get("ies", "payments")["status"].get("lastSkip")
        return found

    assert harness.eventually(skip)["reason"] == "NoMatchingWorkload"
    assert "events.infisical.com/auto-reload" in skip()["message"]


def test_a_large_subscription_is_legible(harness: ClusterHarness) -> None:
    """`kubectl describe` fits on two screens with 200 folders; `-o wide` names who is held."""
    for number in range(200):
        harness.change(f"/payments/f{number}", KEY="1")
    paused = {"events.infisical.com/auto-reload": "true", "events.infisical.com/paused": "true"}
    harness.apply(credentials(harness.sandbox), workload())
    harness.apply(subscription(harness.sandbox, events=["secret:update"]))
    harness.operator.start()
    harness.wait_serving()
    described = harness.kubectl("describe", "ies", "payments", "-n", harness.namespace)
    assert len(described.splitlines()) < MOST_LINES, described

    harness.apply(workload("held", annotations=paused))
    harness.change("/payments/f0", KEY="2")
    harness.wait_restarts(1)
    wide = ("get", "ies", "payments", "-n", harness.namespace, "-o", "wide")
    harness.eventually(lambda: " held " in harness.kubectl(*wide))
