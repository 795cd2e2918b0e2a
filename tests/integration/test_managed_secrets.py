"""Managed Secrets in a real API server: ownership, updates, rejections."""

import base64
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from infisical_events.api import resources
from infisical_events.api.specs import ManagedSecret
from infisical_events.core.subscriptions import SubscriptionKey
from infisical_events.core.sync.secret_metadata import Drift, SecretMetadata, drift_of
from infisical_events.kube.http.api_client import KubeApi
from infisical_events.kube.kubeconfig import ClusterAccess, open_kube_api
from infisical_events.kube.kubernetes_errors import (
    ConflictError,
    KubernetesError,
    NotFoundError,
    SecretOwnedError,
    SecretRejectedError,
)
from infisical_events.kube.managed_secrets import ManagedSecretClient
from infisical_events.kube.secret_client import SecretClient
from support import invalid_specs
from support.kubectl import KubectlError

pytestmark = pytest.mark.cluster

CANARY = "canary-value-c41d"
_TOKEN = "token"
_LARGE = pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
"""aiohttp warns of any body over 1 MiB, which a full Secret exceeds in base64."""
_GARBAGE_SECONDS = 90
"""The garbage collector discovers new kinds every 30 s, so it may not know the custom resource yet."""
JSONObject = dict[str, Any]


@dataclass(frozen=True)
class SecretHarness:
    """One namespace with its subscriptions and a Secret `env`, and edits of it by hand."""

    namespace: str
    kubectl: Callable[..., str]
    kube: KubeApi

    def subscribe(self, name: str = "payments") -> SubscriptionKey:
        """Store a subscription with an entry for `env`, which no operator serves."""
        entry = {"name": "env", "environmentSlug": "prod"}
        manifest = {
            "apiVersion": resources.API_VERSION,
            "kind": resources.KIND,
            "metadata": {"name": name},
            "spec": invalid_specs.GOOD | {"resync": {"secrets": [entry]}},
        }
        stored = json.loads(self.run("create", "-o", "json", "-f", "-", stdin=json.dumps(manifest)))
        return SubscriptionKey(self.namespace, name, stored["metadata"]["uid"])

    def run(self, *arguments: str, stdin: str = "") -> str:
        """Run kubectl in the namespace."""
        return self.kubectl(*arguments, "-n", self.namespace, stdin=stdin)

    def create(self, **data: str) -> None:
        """Create the Secret `env` by hand."""
        self.run("create", "secret", "generic", "env", *(f"--from-literal={k}={v}" for k, v in data.items()))

    def patch(self, patch: JSONObject) -> None:
        """Edit `env` by hand."""
        self.run("patch", "secret", "env", "--type=merge", "-p", json.dumps(patch))

    def stored(self) -> JSONObject:
        """Read `env`."""
        found: JSONObject = json.loads(self.run("get", "secret", "env", "-o", "json"))
        return found

    def data(self) -> dict[str, str]:
        """Return the decoded data of `env`."""
        held = self.stored().get("data") or {}
        return {key: base64.b64decode(value).decode() for key, value in held.items()}

    async def write(
        self, key: SubscriptionKey, token: str = _TOKEN, *, kube: KubeApi | None = None, **data: str
    ) -> SecretMetadata:
        """Write `env` under the policy Owner."""
        return await self.write_as(key, {}, token, kube=kube, **data)

    async def write_as(
        self,
        key: SubscriptionKey,
        fields: JSONObject,
        token: str = _TOKEN,
        *,
        kube: KubeApi | None = None,
        **data: str,
    ) -> SecretMetadata:
        """Write `env` by an entry with these fields."""
        managed = ManagedSecret.model_validate({"name": "env", "environmentSlug": "prod"} | fields)
        return await ManagedSecretClient(kube or self.kube).apply(key, managed, data, token)

    async def refused(self, key: SubscriptionKey, fields: JSONObject | None = None, **data: str) -> str:
        """Return the message of a rejected write; check that it changed nothing."""
        before = await SecretClient(self.kube).metadata(self.namespace, "env")
        with pytest.raises(SecretRejectedError) as error:
            await self.write_as(key, fields or {}, "refused", **(data or {"A": CANARY}))
        assert await SecretClient(self.kube).metadata(self.namespace, "env") == before
        assert CANARY not in str(error.value)
        return str(error.value)


@pytest.fixture
async def secret_harness(
    crd: None,  # noqa: ARG001 - needed, not used
    cluster: Any,  # noqa: ANN401 - ours or a foreign one
    namespace: str,
    kubectl: Callable[..., str],
) -> AsyncIterator[SecretHarness]:
    """A namespace without objects."""
    async with open_kube_api(ClusterAccess(kubeconfig=str(cluster.kubeconfig)), "tests") as kube:
        yield SecretHarness(namespace, kubectl, kube)


class Interleaved(KubeApi):
    """An API server with a concurrent writer: `act` runs between the read and the write."""

    def __init__(self, kube: KubeApi, act: Callable[[], object]) -> None:
        super().__init__(kube._client)
        self.act = act

    async def apply(self, *arguments: Any, **options: Any) -> JSONObject:  # noqa: ANN401 - passed on
        """Run `act`, then apply."""
        self.act()
        return await super().apply(*arguments, **options)


MERGE = {"creationPolicy": "Merge"}
ORPHAN = {"creationPolicy": "Orphan"}


# -- an owner's ---------------------------------------------------------------------------------------


async def test_an_owners_secret_is_made_and_kept_in_step(secret_harness: SecretHarness) -> None:
    """It has the data, its owner and its labels, and loses the keys that leave the content."""
    key = secret_harness.subscribe()
    fields = {"labels": {"team": "a"}, "annotations": {"note": "b"}, "type": "example.com/env"}
    made = await secret_harness.write_as(key, fields, "one", A="1", B="ü\n")

    stored = secret_harness.stored()
    assert secret_harness.data() == {"A": "1", "B": "ü\n"}
    assert stored["type"] == "example.com/env"
    assert stored["metadata"]["labels"] == {"team": "a", "app.kubernetes.io/managed-by": "infisical-events"}
    assert stored["metadata"]["annotations"] == {
        "note": "b",
        "events.infisical.com/content": "one",
        "events.infisical.com/subscription": "payments",
    }
    assert stored["metadata"]["ownerReferences"][0]["uid"] == key.uid
    assert (made.owner_uids, made.our_keys) == ({key.uid}, {"A", "B"})

    changed = await secret_harness.write_as(key, fields | {"labels": {}}, "two", A="2", C="3")

    assert secret_harness.data() == {"A": "2", "C": "3"}
    assert secret_harness.stored()["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "infisical-events"
    }
    assert (changed.uid, changed.annotations["events.infisical.com/content"]) == (made.uid, "two")
    assert changed.resource_version != made.resource_version


async def test_what_changes_nothing_moves_nothing(secret_harness: SecretHarness) -> None:
    """The same content does not change the resourceVersion, under every policy."""
    key = secret_harness.subscribe()
    for fields in ({}, ORPHAN, MERGE):
        await secret_harness.write_as(key, fields, A="1")
        first = await secret_harness.write_as(key, fields, A="1")
        assert (await secret_harness.write_as(key, fields, A="1")).resource_version == first.resource_version


async def test_a_secret_can_be_emptied(secret_harness: SecretHarness) -> None:
    """The last key is removed like every other."""
    key = secret_harness.subscribe()
    await secret_harness.write(key, A="1")
    await secret_harness.write(key)

    assert secret_harness.data() == {}


async def test_an_edit_by_hand_is_repaired(secret_harness: SecretHarness) -> None:
    """Changed and removed keys are restored; added keys stay."""
    key = secret_harness.subscribe()
    await secret_harness.write(key, A="1", B="2")
    labels = {"app.kubernetes.io/managed-by": None}
    secret_harness.patch({"data": {"A": "eA==", "B": None, "MINE": "eA=="}, "metadata": {"labels": labels}})

    await secret_harness.write(key, A="1", B="2")

    assert secret_harness.data() == {"A": "1", "B": "2", "MINE": "x"}
    assert "app.kubernetes.io/managed-by" in secret_harness.stored()["metadata"]["labels"]


async def test_an_owners_secret_goes_with_its_subscription(
    secret_harness: SecretHarness, eventually: Callable[..., Any]
) -> None:
    """Kubernetes deletes it, also without the right to finalizers; an orphan stays."""
    key = secret_harness.subscribe()
    await secret_harness.write(key, A="1")
    managed = ManagedSecret.model_validate({"name": "kept", "environmentSlug": "prod"} | ORPHAN)
    await ManagedSecretClient(secret_harness.kube).apply(key, managed, {"A": "1"}, "token")

    secret_harness.run("delete", "ies", "payments")

    gone = ["secret/kept"]
    eventually(
        lambda: secret_harness.run("get", "secrets", "-o", "name").split() == gone, seconds=_GARBAGE_SECONDS
    )


async def test_a_recreated_subscription_waits_for_what_is_deleted(
    secret_harness: SecretHarness, eventually: Callable[..., Any]
) -> None:
    """A Secret of the former subscription that is being deleted is not adopted; then a new one is created."""
    former = secret_harness.subscribe()
    await secret_harness.write(former, A="1")
    secret_harness.patch({"metadata": {"finalizers": ["example.com/hold"]}})
    secret_harness.run("delete", "ies", "payments")
    key = secret_harness.subscribe()
    eventually(lambda: "deletionTimestamp" in secret_harness.stored()["metadata"], seconds=_GARBAGE_SECONDS)

    with pytest.raises(ConflictError, match="is being deleted"):
        await secret_harness.write(key, A="lost")

    secret_harness.patch({"metadata": {"finalizers": None}})
    eventually(lambda: not secret_harness.run("get", "secrets", "-o", "name"))
    await secret_harness.write(key, A="2")
    assert secret_harness.data() == {"A": "2"}


async def test_a_secret_stays_when_its_subscription_is_renamed(
    secret_harness: SecretHarness, eventually: Callable[..., Any]
) -> None:
    """The new subscription becomes an owner before the old one is deleted, and the writer after that."""
    old = secret_harness.subscribe("old")
    made = await secret_harness.write(old, A="1")
    key, client = secret_harness.subscribe("new"), ManagedSecretClient(secret_harness.kube)
    managed = ManagedSecret.model_validate({"name": "env", "environmentSlug": "prod"})
    with pytest.raises(SecretOwnedError, match="is written by the subscription 'old'"):
        await client.claim(key, managed)
    assert (await secret_harness.write(old, A="2")).owner_uids == {old.uid, key.uid}

    secret_harness.run("delete", "ies", "old")
    eventually(
        lambda: (
            [owner["uid"] for owner in secret_harness.stored()["metadata"]["ownerReferences"]] == [key.uid]
        ),
        seconds=_GARBAGE_SECONDS,
    )
    taken = await secret_harness.write(key, A="3")

    assert (taken.uid, taken.owner_uids, taken.controller_uid) == (made.uid, {key.uid}, key.uid)
    assert secret_harness.data() == {"A": "3"}


async def test_a_recreated_subscription_takes_its_secret_over(secret_harness: SecretHarness) -> None:
    """It need not wait for garbage collection, which then keeps the Secret."""
    made = await secret_harness.write(secret_harness.subscribe(), A="1")
    secret_harness.run("delete", "ies", "payments", "--cascade=orphan")
    key = secret_harness.subscribe()

    taken = await secret_harness.write(key, A="2")

    assert (taken.uid, taken.owner_uids) == (made.uid, {key.uid})


@pytest.mark.parametrize(
    ("patch", "drift"),
    [
        ({"data": {"A": "eA=="}}, "was edited by field manager kubectl-patch (data A)"),
        ({"data": {"A": None, "B": None}}, "was edited (data A, B)"),
        (
            {"metadata": {"labels": {"app.kubernetes.io/managed-by": None}}},
            "was edited (metadata)",
        ),
        ({"metadata": {"ownerReferences": None}}, "was edited (metadata)"),
        ({"data": {"MINE": "eA=="}}, ""),
        ({"metadata": {"labels": {"mine": "x"}}}, ""),
    ],
)
async def test_what_another_client_edits_shows_in_the_metadata(
    secret_harness: SecretHarness, patch: JSONObject, drift: str
) -> None:
    """The API server takes an edited or removed field away from the operator; an addition is no drift."""
    key = secret_harness.subscribe()
    written = await secret_harness.write(key, A="1", B="2")
    secret_harness.patch(patch)
    found = await SecretClient(secret_harness.kube).metadata(secret_harness.namespace, "env")

    assert drift_of(found, written) == Drift(drift)


# -- an orphan, and from one to the other -------------------------------------------------------------


async def test_an_orphan_is_taken_up_by_a_recreated_subscription(secret_harness: SecretHarness) -> None:
    """It has no owner, so it stays, and a new subscription of the same name continues with it."""
    former = secret_harness.subscribe()
    made = await secret_harness.write_as(former, ORPHAN, A="1")
    assert made.owner_uids == frozenset()
    secret_harness.run("delete", "ies", "payments")

    taken = await secret_harness.write_as(secret_harness.subscribe(), ORPHAN, A="2")

    assert taken.uid == made.uid
    assert secret_harness.data() == {"A": "2"}


async def test_a_policy_can_be_changed(secret_harness: SecretHarness) -> None:
    """The owner reference is added and removed, and the Secret stays the same."""
    key = secret_harness.subscribe()
    uids = set()
    for fields, owners in (({}, {key.uid}), (ORPHAN, set()), ({}, {key.uid}), (MERGE, set())):
        seen = await secret_harness.write_as(key, fields, A="1")
        assert seen.owner_uids == owners
        uids.add(seen.uid)

    assert len(uids) == 1
    assert "app.kubernetes.io/managed-by" not in secret_harness.stored()["metadata"].get("labels", {})


async def test_two_subscriptions_do_not_write_one_secret(secret_harness: SecretHarness) -> None:
    """The first subscription keeps it, whatever the policies are, until it is deleted."""
    first, second = secret_harness.subscribe(), secret_harness.subscribe("other")
    for fields in ({}, ORPHAN):
        await secret_harness.write_as(first, fields, A="1")
        for other_fields in ({}, ORPHAN, MERGE):
            assert "is written by the subscription 'payments'" in await secret_harness.refused(
                second, other_fields
            )

    secret_harness.run("delete", "ies", "payments")
    await secret_harness.write_as(second, ORPHAN, B="2")
    assert secret_harness.data() == {"B": "2"}


# -- merged -------------------------------------------------------------------------------------------


async def test_merging_keeps_what_is_theirs(secret_harness: SecretHarness) -> None:
    """Keys are added, and removed when they leave the content; nothing else of the Secret changes."""
    key = secret_harness.subscribe()
    secret_harness.create(THEIRS="t")
    secret_harness.patch({"metadata": {"labels": {"app": "theirs"}}})
    await secret_harness.write_as(key, MERGE | {"annotations": {"note": "n"}}, A="1", B="2")

    stored = secret_harness.stored()["metadata"]
    assert secret_harness.data() == {"THEIRS": "t", "A": "1", "B": "2"}
    assert stored["labels"] == {"app": "theirs"}
    assert "ownerReferences" not in stored
    assert stored["annotations"]["note"] == "n"

    await secret_harness.write_as(key, MERGE, B="3")
    assert secret_harness.data() == {"THEIRS": "t", "B": "3"}
    assert "note" not in secret_harness.stored()["metadata"]["annotations"]


async def test_merging_takes_nothing_away(secret_harness: SecretHarness) -> None:
    """A foreign key with another value is rejected by name; one with the same value is shared."""
    key = secret_harness.subscribe()
    secret_harness.create(A="1", **{"tls.crt": "t"})
    await secret_harness.write_as(key, MERGE, A="1", B="2")

    message = await secret_harness.refused(
        key, MERGE | {"labels": {"x": "y"}}, **{"A": CANARY, "tls.crt": CANARY}
    )

    assert (
        'has data.A, data.tls.crt of field manager "kubectl-create", '
        "and creationPolicy Merge takes over no field" in message
    )
    assert secret_harness.data() == {"A": "1", "B": "2", "tls.crt": "t"}


async def test_a_merged_key_that_was_edited_by_hand_is_told(secret_harness: SecretHarness) -> None:
    """An editor owns the key from then on, and the message names the editor."""
    key = secret_harness.subscribe()
    secret_harness.create(THEIRS="t")
    await secret_harness.write_as(key, MERGE, A="1")
    secret_harness.patch({"data": {"A": "eA=="}})

    assert 'has data.A of field manager "kubectl-patch"' in await secret_harness.refused(key, MERGE)


async def test_merging_needs_a_secret(secret_harness: SecretHarness) -> None:
    """No Secret is created."""
    assert "does not exist" in await secret_harness.refused(secret_harness.subscribe(), MERGE)


# -- what stops it ------------------------------------------------------------------------------------


@pytest.mark.parametrize("fields", [{}, ORPHAN], ids=["Owner", "Orphan"])
async def test_a_secret_of_somebody_else_is_left_alone(
    secret_harness: SecretHarness, fields: JSONObject
) -> None:
    """One that was not made here is refused, also if it looks a little like ours."""
    key = secret_harness.subscribe()
    secret_harness.create(THEIRS="t")
    assert "has another owner: choose another name" in await secret_harness.refused(key, fields)

    secret_harness.patch({"metadata": {"labels": {"app.kubernetes.io/managed-by": "infisical-events"}}})
    assert "has another owner" in await secret_harness.refused(key, fields)


@pytest.mark.parametrize("fields", [{}, ORPHAN, MERGE], ids=["Owner", "Orphan", "Merge"])
async def test_an_immutable_secret(secret_harness: SecretHarness, fields: JSONObject) -> None:
    """It cannot be changed, only deleted."""
    key = secret_harness.subscribe()
    secret_harness.create(THEIRS="t")
    if fields != MERGE:
        secret_harness.run("delete", "secret", "env")
        await secret_harness.write_as(key, fields, A="1")
    secret_harness.patch({"immutable": True})

    assert "is immutable: delete it" in await secret_harness.refused(key, fields)


async def test_another_type(secret_harness: SecretHarness) -> None:
    """The type of a Secret cannot change."""
    key = secret_harness.subscribe()
    await secret_harness.write(key, A="1")

    assert "has another type" in await secret_harness.refused(key, {"type": "example.com/other"})


@_LARGE
async def test_a_full_secret_is_taken(secret_harness: SecretHarness) -> None:
    """The data may have 1 MiB, to the byte."""
    key, full = secret_harness.subscribe(), "x" * (1024 * 1024)
    await secret_harness.write(key, A=full)

    assert secret_harness.data() == {"A": full}


@pytest.mark.parametrize(
    ("fields", "data", "message"),
    [
        ({"type": "kubernetes.io/tls"}, {"A": CANARY}, "data[tls.crt]: Required value"),
        ({"type": "kubernetes.io/dockerconfigjson"}, {".dockerconfigjson": CANARY}, ".dockerconfigjson"),
        ({"labels": {"a": "a b"}}, {"A": CANARY}, 'metadata.labels: Invalid value: "a b"'),
        ({"template": {}}, {"a b": CANARY}, "data[a b]: Invalid value"),
        pytest.param({}, {"A": CANARY * 70000}, "data: Too long", marks=_LARGE),
        pytest.param({}, {"A": CANARY * 200000}, "Request entity too large", marks=_LARGE),
    ],
)
async def test_what_kubernetes_does_not_take(
    secret_harness: SecretHarness, fields: JSONObject, data: dict[str, str], message: str
) -> None:
    """The API server's message names the field."""
    refusal = await secret_harness.refused(secret_harness.subscribe(), fields, **data)

    assert "secret/env is rejected by the API server: change the entry" in refusal
    assert message in refusal


async def test_a_quota_that_is_used_up(secret_harness: SecretHarness, eventually: Callable[..., Any]) -> None:
    """The message names the quota; an existing Secret can still change."""
    key = secret_harness.subscribe()
    await secret_harness.write(key, A="1")
    secret_harness.run("create", "quota", "few", "--hard=count/secrets=1")
    eventually(
        lambda: (
            json.loads(secret_harness.run("get", "quota", "few", "-o", "json"))["status"]["used"]
            == {"count/secrets": "1"}
        )
    )
    await secret_harness.write(key, A="2")
    managed = ManagedSecret.model_validate({"name": "second", "environmentSlug": "prod"})
    with pytest.raises(SecretRejectedError, match="exceeds the quota few of its namespace") as refused:
        await ManagedSecretClient(secret_harness.kube).apply(key, managed, {"A": CANARY}, "token")

    assert CANARY not in str(refused.value)


_POLICY = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {{name: {name}}}
spec:
  matchConstraints:
    namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {name}}}}}
    resourceRules:
      - {{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [secrets]}}
  validations:
    - expression: "!('A' in object.data)"
      messageExpression: "'no ' + string(object.data.A)"
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {{name: {name}}}
spec: {{policyName: {name}, validationActions: [Deny]}}
"""


async def test_a_policy_that_tells_values(
    secret_harness: SecretHarness, eventually_async: Callable[..., Any]
) -> None:
    """It is named, and its message is omitted."""
    key, policy = secret_harness.subscribe(), _POLICY.format(name=secret_harness.namespace)
    secret_harness.kubectl("apply", "-f", "-", stdin=policy)

    async def refusal() -> str:
        try:
            await secret_harness.write(key, A=CANARY)
        except KubernetesError as error:
            return f"{error!r}"
        secret_harness.run("delete", "secret", "env")
        return ""

    try:
        message = await eventually_async(refusal)
    finally:
        secret_harness.kubectl("delete", "-f", "-", stdin=policy)

    assert f"secret/env is rejected by the policy {secret_harness.namespace}: change the entry" in message
    assert CANARY not in message
    assert base64.b64encode(CANARY.encode()).decode() not in message


async def test_lacking_rights_are_told(secret_harness: SecretHarness, cluster: Any) -> None:  # noqa: ANN401 - ours or a foreign one
    """Without the rights on Secrets the message names the rights to grant."""
    key = secret_harness.subscribe()
    user = f"system:serviceaccount:{secret_harness.namespace}:default"
    async with open_kube_api(ClusterAccess(kubeconfig=str(cluster.kubeconfig)), "tests") as kube:
        kube._client.set_default_header("Impersonate-User", user)
        with pytest.raises(SecretRejectedError, match="grant the operator's ServiceAccount get, create and"):
            await secret_harness.write(key, kube=kube, A="1")
        secret_harness.run("create", "role", "reader", "--verb=get", "--resource=secrets")
        account = f"--serviceaccount={secret_harness.namespace}:default"
        secret_harness.run("create", "rolebinding", "reader", "--role=reader", account)
        with pytest.raises(SecretRejectedError, match="grant the operator's ServiceAccount get, create and"):
            await secret_harness.write(key, kube=kube, A="1")


async def test_a_missing_namespace_is_no_refusal(secret_harness: SecretHarness) -> None:
    """A missing namespace raises NotFoundError."""
    with pytest.raises(NotFoundError):
        await secret_harness.write(SubscriptionKey("missing", "payments", "uid"), A="1")


# -- concurrent writers --------------------------------------------------------------------------------


@pytest.mark.parametrize("act", ["edited", "deleted", "recreated"])
@pytest.mark.parametrize("fields", [{}, ORPHAN, MERGE], ids=["Owner", "Orphan", "Merge"])
async def test_what_moves_in_between_is_not_overwritten(
    secret_harness: SecretHarness, act: str, fields: JSONObject
) -> None:
    """The version that was read is written, or none: the next attempt reads the present state."""
    key = secret_harness.subscribe()
    secret_harness.create()
    if fields != MERGE:
        secret_harness.run("delete", "secret", "env")
    await secret_harness.write_as(key, fields, A="1")

    def happen() -> None:
        if act == "edited":
            secret_harness.patch({"data": {"B": "eA=="}})
            return
        secret_harness.run("delete", "secret", "env")
        if act == "recreated":
            secret_harness.create(THEIRS="t")

    with pytest.raises(ConflictError):
        await secret_harness.write_as(
            key, fields, "new", kube=Interleaved(secret_harness.kube, happen), A="2"
        )

    if act == "deleted":
        with pytest.raises(KubectlError, match="NotFound"):
            secret_harness.stored()
    else:
        assert secret_harness.data() == ({"A": "1", "B": "x"} if act == "edited" else {"THEIRS": "t"})


async def test_a_secret_that_appears_in_between_loses_nothing(secret_harness: SecretHarness) -> None:
    """Its value under the same key stays; the next attempt finds another owner."""
    key = secret_harness.subscribe()
    with pytest.raises(ConflictError):
        await secret_harness.write(
            key, kube=Interleaved(secret_harness.kube, lambda: secret_harness.create(A="theirs")), A="1"
        )

    assert secret_harness.data() == {"A": "theirs"}
    assert "has another owner" in await secret_harness.refused(key)
