"""Mistakes and rejected writes: each is reported, nothing is lost, and other objects are not affected."""

import base64
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from e2e.restart_order.slots import using_secret
from support.cluster_harness import ClusterHarness
from support.kubectl import KubectlError
from support.manifests import Manifest, credentials, subscription, workload

pytestmark = pytest.mark.cluster

_NAMED = "events.infisical.com/subscription"


def _policy(name: str, resource: str, group: str, operation: str, refused: str) -> str:
    """Return a policy that denies objects of the name `refused` in a namespace, and its binding."""
    matching = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}},
        "resourceRules": [
            {"apiGroups": [group], "apiVersions": ["v1"], "operations": [operation], "resources": [resource]}
        ],
    }
    validation = {"expression": f"object.metadata.name != '{refused}'", "message": "nobody touches this"}
    policy = {"matchConstraints": matching, "validations": [validation]}
    binding = {"policyName": name, "validationActions": ["Deny"]}
    kinds = {"ValidatingAdmissionPolicy": policy, "ValidatingAdmissionPolicyBinding": binding}
    version = "admissionregistration.k8s.io/v1"
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "List",
            "items": [
                {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}
                for kind, spec in kinds.items()
            ],
        }
    )


@contextmanager
def _in_force(harness: ClusterHarness, policy: str, is_refused: Callable[[], object]) -> Iterator[None]:
    """Apply a policy until the block ends; begin when the API server enforces it."""

    def refuses() -> bool:
        try:
            is_refused()
        except KubectlError as error:
            return "denied" in str(error)
        return False

    harness.kubectl("apply", "-f", "-", stdin=policy)
    try:
        harness.eventually(refuses, seconds=30)
        yield
    finally:
        harness.kubectl("delete", "--ignore-not-found", "-f", "-", stdin=policy)


def _secret(name: str, value: str) -> Manifest:
    data = {"DB_PASSWORD": value}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def _entries(*names: str) -> list[dict[str, str]]:
    return [{"name": name, "environmentSlug": "prod", "secretPath": "/payments"} for name in names]


def _value(harness: ClusterHarness, name: str) -> str:
    return base64.b64decode(harness.get("secret", name)["data"]["DB_PASSWORD"]).decode()


def _refusals(harness: ClusterHarness, name: str = "payments") -> str:
    """Return the messages about Secrets that cannot be written."""
    return _events(harness, name, "SecretRejected")


def _events(harness: ClusterHarness, name: str, reason: str) -> str:
    """Return the messages of a subscription's Events of one reason."""
    query = (f"involvedObject.name={name}", f"reason={reason}")
    return harness.kubectl(
        "get",
        "events",
        "-n",
        harness.namespace,
        f"--field-selector={','.join(query)}",
        "-o",
        "jsonpath={range .items[*]}{.message}{'\\n'}{end}",
    )


def test_secrets_that_cannot_be_written_hold_up_no_other(harness: ClusterHarness) -> None:
    """Each one is reported and restarts nobody, since its data did not move; the other one is written."""
    names = ("theirs", "frozen", "banned", "good")
    spec = {"resync": {"secrets": _entries(*names), "timeoutSeconds": 1}, "resyncIntervalSeconds": 10}
    policy = _policy(harness.namespace, "secrets", "", "CREATE", "banned")
    harness.apply(credentials(harness.sandbox), _secret("theirs", "theirs"))
    harness.apply(*(using_secret(name, workload(name)) for name in names))
    trying = ("create", "secret", "generic", "banned", "-n", harness.namespace, "--dry-run=server")

    with _in_force(harness, policy, lambda: harness.kubectl(*trying)):
        harness.apply(subscription(harness.sandbox, **spec))
        harness.operator.start()
        harness.wait_serving()
        harness.eventually(lambda: [_value(harness, name) for name in ("frozen", "good")] == ["first"] * 2)
        harness.kubectl("patch", "secret", "frozen", "-n", harness.namespace, "-p", '{"immutable": true}')
        harness.change(DB_PASSWORD="second")
        harness.eventually(lambda: harness.generation("good") == 2, seconds=30)

        held = {name: _value(harness, name) for name in ("theirs", "frozen", "good")}
        assert held == {"theirs": "theirs", "frozen": "first", "good": "second"}
        messages = _refusals(harness)
        assert "secret/theirs exists and has another owner: choose another name" in messages
        assert "secret/frozen is immutable: delete it" in messages
        assert f"secret/banned is rejected by the policy {harness.namespace}" in messages
        assert "Secret good" not in messages

        harness.wait_reason("RestartsComplete", "SecretRejected")
        assert [harness.generation(name) for name in names] == [1, 1, 1, 2]

    harness.eventually(lambda: _value(harness, "banned") == "second", seconds=60)
    harness.eventually(lambda: [harness.generation(name) for name in names] == [1, 1, 2, 2], seconds=60)


def test_a_secret_of_two_subscriptions_is_the_first_ones(harness: ClusterHarness) -> None:
    """The second subscription reports the owner, and writes its other Secret."""
    own = {"resync": {"secrets": _entries("shared"), "timeoutSeconds": 1}}
    other = {"resync": {"secrets": _entries("shared", "mail"), "timeoutSeconds": 1}}
    harness.apply(credentials(harness.sandbox), subscription(harness.sandbox, **own))
    harness.apply(using_secret("mail", workload("mail", annotations={_NAMED: "mail"})))
    harness.operator.start()
    harness.eventually(lambda: _value(harness, "shared") == "first")
    harness.apply(subscription(harness.sandbox, "mail", **other))
    harness.wait_serving("mail")

    harness.change(DB_PASSWORD="second")

    harness.expect_restarts(1, "mail")
    assert [_value(harness, name) for name in ("shared", "mail")] == ["second", "second"]
    assert "secret/shared is written by the subscription 'payments'" in _refusals(harness, "mail")
    assert not _refusals(harness)


def test_a_restart_that_is_refused_is_owed_and_holds_up_no_other(serving_harness: ClusterHarness) -> None:
    """The condition names the policy; when the policy is gone, the restart follows once."""
    serving_harness.apply(workload("locked"))
    serving_harness.kubectl(
        "rollout", "status", "deployment/locked", "-n", serving_harness.namespace, "--timeout=30s"
    )
    policy = _policy(serving_harness.namespace, "deployments", "apps", "UPDATE", "locked")
    touch = (
        "annotate",
        "deployment/locked",
        "-n",
        serving_harness.namespace,
        "a=b",
        "--overwrite",
        "--dry-run=server",
    )

    with _in_force(serving_harness, policy, lambda: serving_harness.kubectl(*touch)):
        before = serving_harness.generation("locked")
        serving_harness.change(DB_PASSWORD="second")
        serving_harness.expect_restarts(1)

        messages = serving_harness.wait_reason("RestartsComplete", "RestartFailed")["message"]
        assert "deployment/locked" in messages
        assert f"ValidatingAdmissionPolicy '{serving_harness.namespace}'" in messages
        assert serving_harness.generation("locked") == before

    serving_harness.expect_restarts(1, "locked", since=before, seconds=60)
    assert serving_harness.generation() == 2
    serving_harness.wait_reason("RestartsComplete", "NoPendingRestarts")


def test_two_entries_for_one_secret_are_refused(harness: ClusterHarness) -> None:
    """The API server rejects them before anything is written."""
    twice = subscription(harness.sandbox, resync={"secrets": _entries("env", "env")})

    with pytest.raises(KubectlError, match="Duplicate value"):
        harness.kubectl("create", "-n", harness.namespace, "-f", "-", stdin=json.dumps(twice))


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        pytest.param({"events": ["secret:rotate"]}, 'Unsupported value: "secret:rotate"', id="event"),
        pytest.param({"action": "Reboot"}, 'Unsupported value: "Reboot"', id="action"),
        pytest.param({"resync": {"onTimeout": "Panic"}}, 'Unsupported value: "Panic"', id="on-timeout"),
        pytest.param(
            {"resync": {"secrets": [{**_entries("env")[0], "creationPolicy": "Steal"}]}},
            'Unsupported value: "Steal"',
            id="policy",
        ),
        pytest.param(
            {"resync": {"sources": [{"kind": "Vault"}]}}, 'unknown field "spec.resync.sources"', id="field"
        ),
    ],
)
def test_what_is_of_no_known_kind_is_refused(harness: ClusterHarness, spec: Manifest, sentence: str) -> None:
    """The API server rejects them with a message that names the value or the field."""
    made = subscription(harness.sandbox, **spec)

    with pytest.raises(KubectlError, match=re.escape(sentence)):
        harness.kubectl("create", "-n", harness.namespace, "-f", "-", stdin=json.dumps(made))


def test_kinds_that_nobody_here_knows_hold_up_no_other(harness: ClusterHarness) -> None:
    """A Secret of another controller does not delay a restart, and a ReplicaSet is not restarted."""
    sealed = _secret("sealed", "theirs")
    sealed["metadata"]["ownerReferences"] = [
        {
            "apiVersion": "bitnami.com/v1alpha1",
            "kind": "SealedSecret",
            "name": "sealed",
            "uid": "none-of-ours",
        }
    ]
    bare = workload("bare")
    bare["kind"] = "ReplicaSet"
    spec = {"action": "ResyncThenRestart", "resync": {"secrets": _entries("good")}}
    harness.apply(credentials(harness.sandbox), sealed, bare)
    harness.apply(*(using_secret(name, workload(name)) for name in ("sealed", "good")))
    harness.apply(subscription(harness.sandbox, **spec))
    harness.operator.start()
    harness.wait_serving()
    harness.eventually(lambda: _value(harness, "good") == "first")

    harness.change(DB_PASSWORD="second")
    for name in ("sealed", "good"):
        harness.expect_restarts(1, name)

    assert [_value(harness, name) for name in ("sealed", "good")] == ["theirs", "second"]
    assert harness.generation("bare", "replicaset") == 1
    messages = _events(harness, "payments", "Restarted")
    change = "secret:update prod:/payments DB_PASSWORD"
    assert f"Restarted deployment/sealed: {change} (no known provider to sync first)." in messages
    assert f"Restarted deployment/good: {change} (secret/good)." in messages
