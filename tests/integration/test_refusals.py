"""What somebody wrote wrongly or the cluster refuses: a sentence, nothing lost, and the rest goes on."""

import base64
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from tests.conftest import KubectlError

from e2e.restart_order.lanes import using
from support.operator_process import Manifest, Scene, credentials, subscription, workload

pytestmark = pytest.mark.cluster

_NAMED = "events.infisical.com/subscription"


def _policy(name: str, resource: str, group: str, operation: str, refused: str) -> str:
    """A policy of one namespace that refuses what is called `refused`, and its binding, as one list."""
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
def _in_force(scene: Scene, policy: str, is_refused: Callable[[], object]) -> Iterator[None]:
    """While the block lasts the API server refuses; that takes a moment to begin."""

    def refuses() -> bool:
        try:
            is_refused()
        except KubectlError as error:
            return "denied" in str(error)
        return False

    scene.kubectl("apply", "-f", "-", stdin=policy)
    try:
        scene.eventually(refuses, seconds=30)
        yield
    finally:
        scene.kubectl("delete", "--ignore-not-found", "-f", "-", stdin=policy)


def _secret(name: str, value: str) -> Manifest:
    data = {"DB_PASSWORD": value}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def _entries(*names: str) -> list[dict[str, str]]:
    return [{"name": name, "environmentSlug": "prod", "secretPath": "/payments"} for name in names]


def _value(scene: Scene, name: str) -> str:
    return base64.b64decode(scene.get("secret", name)["data"]["DB_PASSWORD"]).decode()


def _refusals(scene: Scene, name: str = "payments") -> str:
    """The sentences about Secrets that are not written."""
    return _events(scene, name, "SecretRejected")


def _events(scene: Scene, name: str, reason: str) -> str:
    """The sentences of the Events of one reason about a subscription."""
    query = (f"involvedObject.name={name}", f"reason={reason}")
    return scene.kubectl(
        "get",
        "events",
        "-n",
        scene.namespace,
        f"--field-selector={','.join(query)}",
        "-o",
        "jsonpath={range .items[*]}{.message}{'\\n'}{end}",
    )


def test_secrets_that_cannot_be_written_hold_up_no_other(scene: Scene) -> None:
    """Somebody's, a frozen one, a banned one: each is said, and the good one is fresh and rolled out."""
    names = ("theirs", "frozen", "banned", "good")
    spec = {"resync": {"secrets": _entries(*names), "timeoutSeconds": 1}, "resyncIntervalSeconds": 10}
    policy = _policy(scene.namespace, "secrets", "", "CREATE", "banned")
    scene.apply(credentials(scene.sandbox), _secret("theirs", "theirs"))
    scene.apply(*(using(name, workload(name)) for name in names))
    trying = ("create", "secret", "generic", "banned", "-n", scene.namespace, "--dry-run=server")

    with _in_force(scene, policy, lambda: scene.kubectl(*trying)):
        scene.apply(subscription(scene.sandbox, **spec))
        scene.operator.start()
        scene.watching()
        scene.eventually(lambda: [_value(scene, name) for name in ("frozen", "good")] == ["first"] * 2)
        scene.kubectl("patch", "secret", "frozen", "-n", scene.namespace, "-p", '{"immutable": true}')
        scene.change(DB_PASSWORD="second")
        for name in names:
            scene.eventually(lambda name=name: scene.generation(name) > 1, seconds=30)

        held = {name: _value(scene, name) for name in ("theirs", "frozen", "good")}
        assert held == {"theirs": "theirs", "frozen": "first", "good": "second"}
        told = _refusals(scene)
        assert "secret/theirs exists and has another owner: choose another name" in told
        assert "secret/frozen is immutable: delete it" in told
        assert f"secret/banned is rejected by the policy {scene.namespace}" in told
        assert "Secret good" not in told

    scene.eventually(lambda: _value(scene, "banned") == "second", seconds=60)
    # It was restarted without its Secret, and is once more with it.
    scene.eventually(lambda: [scene.generation(name) for name in names] == [2, 2, 3, 2], seconds=60)


def test_a_secret_of_two_subscriptions_is_the_first_ones(scene: Scene) -> None:
    """The second is told whose it is, and its other Secret is written all the same."""
    own = {"resync": {"secrets": _entries("shared"), "timeoutSeconds": 1}}
    other = {"resync": {"secrets": _entries("shared", "mail"), "timeoutSeconds": 1}}
    scene.apply(credentials(scene.sandbox), subscription(scene.sandbox, **own))
    scene.apply(using("mail", workload("mail", annotations={_NAMED: "mail"})))
    scene.operator.start()
    scene.eventually(lambda: _value(scene, "shared") == "first")
    scene.apply(subscription(scene.sandbox, "mail", **other))
    scene.watching("mail")

    scene.change(DB_PASSWORD="second")

    scene.restarts(1, "mail")
    assert [_value(scene, name) for name in ("shared", "mail")] == ["second", "second"]
    assert "secret/shared is written by the subscription 'payments'" in _refusals(scene, "mail")
    assert not _refusals(scene)


def test_a_restart_that_is_refused_is_owed_and_holds_up_no_other(shop: Scene) -> None:
    """It is said who refuses; when it is admitted the restart follows, once."""
    shop.apply(workload("locked"))
    shop.kubectl("rollout", "status", "deployment/locked", "-n", shop.namespace, "--timeout=30s")
    policy = _policy(shop.namespace, "deployments", "apps", "UPDATE", "locked")
    touch = ("annotate", "deployment/locked", "-n", shop.namespace, "a=b", "--overwrite", "--dry-run=server")

    with _in_force(shop, policy, lambda: shop.kubectl(*touch)):
        before = shop.generation("locked")
        shop.change(DB_PASSWORD="second")
        shop.restarts(1)

        told = shop.has_reason("RestartsComplete", "RestartFailed")["message"]
        assert "Deployment locked" in told
        assert f"ValidatingAdmissionPolicy '{shop.namespace}'" in told
        assert shop.generation("locked") == before

    shop.restarts(1, "locked", since=before, seconds=60)
    assert shop.generation() == 2
    shop.has_reason("RestartsComplete", "NoPendingRestarts")


def test_two_entries_for_one_secret_are_refused(scene: Scene) -> None:
    """By the API server, before anything is written."""
    twice = subscription(scene.sandbox, resync={"secrets": _entries("env", "env")})

    with pytest.raises(KubectlError, match="Duplicate value"):
        scene.kubectl("create", "-n", scene.namespace, "-f", "-", stdin=json.dumps(twice))


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
def test_what_is_of_no_known_kind_is_refused(scene: Scene, spec: Manifest, sentence: str) -> None:
    """With a sentence of the API server that names the value or the field."""
    made = subscription(scene.sandbox, **spec)

    with pytest.raises(KubectlError, match=re.escape(sentence)):
        scene.kubectl("create", "-n", scene.namespace, "-f", "-", stdin=json.dumps(made))


def test_kinds_that_nobody_here_knows_hold_up_no_other(scene: Scene) -> None:
    """A Secret of whomever: said with the restart. What is no kind of workload of ours stays as it is."""
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
    scene.apply(credentials(scene.sandbox), sealed, bare)
    scene.apply(*(using(name, workload(name)) for name in ("sealed", "good")))
    scene.apply(subscription(scene.sandbox, **spec))
    scene.operator.start()
    scene.watching()
    scene.eventually(lambda: _value(scene, "good") == "first")

    scene.change(DB_PASSWORD="second")
    for name in ("sealed", "good"):
        scene.restarts(1, name)

    assert [_value(scene, name) for name in ("sealed", "good")] == ["theirs", "second"]
    assert scene.generation("bare", "replicaset") == 1
    told = _events(scene, "payments", "Restarted")
    assert (
        "Deployment sealed restarted: secret:update prod:/payments DB_PASSWORD; none of its Secrets" in told
    )
    assert "Deployment good restarted: secret:update prod:/payments DB_PASSWORD; Secret good." in told
