"""Secrets that are written here, in a real API server: whose they are, what moves them, what stops them."""

import base64
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from tests.conftest import KubectlError

from infisical_events.api import resources
from infisical_events.api.specs import ManagedSecret
from infisical_events.core.subscriptions import SubscriptionKey
from infisical_events.core.sync.secret_metadata import SecretMetadata
from infisical_events.kube.api_client import KubeApi
from infisical_events.kube.kubeconfig import ClusterAccess, open_kube_api
from infisical_events.kube.kubernetes_errors import (
    ConflictError,
    KubernetesError,
    NotFoundError,
    SecretRejectedError,
)
from infisical_events.kube.managed_secrets import ManagedSecretClient
from infisical_events.kube.secret_client import SecretClient
from support import invalid_specs

pytestmark = pytest.mark.cluster

CANARY = "canary-value-c41d"
_TOKEN = "token"
_LARGE = pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
"""aiohttp warns of any body beyond a mebibyte, which a full Secret has in base64."""
_GARBAGE_SECONDS = 90
"""The collector of garbage looks for new kinds every 30 s, so it may not know ours yet."""
JSONObject = dict[str, Any]


@dataclass(frozen=True)
class Desk:
    """One namespace and its subscriptions, the hand that writes Secrets, and what people do to them."""

    namespace: str
    kubectl: Callable[..., str]
    kube: KubeApi

    def subscribe(self, name: str = "payments") -> SubscriptionKey:
        """A stored subscription, which nobody serves."""
        manifest = {
            "apiVersion": resources.API_VERSION,
            "kind": resources.KIND,
            "metadata": {"name": name},
            "spec": invalid_specs.GOOD,
        }
        stored = json.loads(self.run("create", "-o", "json", "-f", "-", stdin=json.dumps(manifest)))
        return SubscriptionKey(self.namespace, name, stored["metadata"]["uid"])

    def run(self, *arguments: str, stdin: str = "") -> str:
        """Kubectl in the namespace."""
        return self.kubectl(*arguments, "-n", self.namespace, stdin=stdin)

    def create(self, **data: str) -> None:
        """Somebody's Secret `env`."""
        self.run("create", "secret", "generic", "env", *(f"--from-literal={k}={v}" for k, v in data.items()))

    def patch(self, patch: JSONObject) -> None:
        """Somebody's edit of `env`."""
        self.run("patch", "secret", "env", "--type=merge", "-p", json.dumps(patch))

    def stored(self) -> JSONObject:
        """`env` as it stands."""
        found: JSONObject = json.loads(self.run("get", "secret", "env", "-o", "json"))
        return found

    def data(self) -> dict[str, str]:
        """What `env` holds."""
        held = self.stored().get("data") or {}
        return {key: base64.b64decode(value).decode() for key, value in held.items()}

    async def write(
        self, key: SubscriptionKey, token: str = _TOKEN, *, kube: KubeApi | None = None, **data: str
    ) -> SecretMetadata:
        """`env` as an owner's."""
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
        """`env` as an entry with these fields has it."""
        managed = ManagedSecret.model_validate({"name": "env", "environmentSlug": "prod"} | fields)
        return await ManagedSecretClient(kube or self.kube).apply(key, managed, data, token)

    async def refused(self, key: SubscriptionKey, fields: JSONObject | None = None, **data: str) -> str:
        """The sentence of a refusal, after which all is as it was."""
        before = await SecretClient(self.kube).metadata(self.namespace, "env")
        with pytest.raises(SecretRejectedError) as error:
            await self.write_as(key, fields or {}, "refused", **(data or {"A": CANARY}))
        assert await SecretClient(self.kube).metadata(self.namespace, "env") == before
        assert CANARY not in str(error.value)
        return str(error.value)


@pytest.fixture
async def desk(
    crd: None,  # noqa: ARG001 - needed, not used
    cluster: Any,  # noqa: ANN401 - ours or a foreign one
    namespace: str,
    kubectl: Callable[..., str],
) -> AsyncIterator[Desk]:
    """A namespace with nothing in it."""
    async with open_kube_api(ClusterAccess(kubeconfig=str(cluster.kubeconfig)), "tests") as kube:
        yield Desk(namespace, kubectl, kube)


class Meanwhile(KubeApi):
    """An API server in which somebody is faster: `act` happens between the look and what is applied."""

    def __init__(self, kube: KubeApi, act: Callable[[], object]) -> None:
        super().__init__(kube._client)
        self.act = act

    async def apply(self, *arguments: Any, **options: Any) -> JSONObject:  # noqa: ANN401 - passed on
        """As before, after the act."""
        self.act()
        return await super().apply(*arguments, **options)


MERGE = {"creationPolicy": "Merge"}
ORPHAN = {"creationPolicy": "Orphan"}


# -- an owner's ---------------------------------------------------------------------------------------


async def test_an_owners_secret_is_made_and_kept_in_step(desk: Desk) -> None:
    """It holds the data, says whose and what it is, and loses the keys that leave the content."""
    key = desk.subscribe()
    fields = {"labels": {"team": "a"}, "annotations": {"note": "b"}, "type": "example.com/env"}
    made = await desk.write_as(key, fields, "one", A="1", B="ü\n")

    stored = desk.stored()
    assert desk.data() == {"A": "1", "B": "ü\n"}
    assert stored["type"] == "example.com/env"
    assert stored["metadata"]["labels"] == {"team": "a", "app.kubernetes.io/managed-by": "infisical-events"}
    assert stored["metadata"]["annotations"] == {
        "note": "b",
        "events.infisical.com/content": "one",
        "events.infisical.com/subscription": "payments",
    }
    assert stored["metadata"]["ownerReferences"][0]["uid"] == key.uid
    assert (made.owner_uids, made.our_keys) == ({key.uid}, {"A", "B"})

    changed = await desk.write_as(key, fields | {"labels": {}}, "two", A="2", C="3")

    assert desk.data() == {"A": "2", "C": "3"}
    assert desk.stored()["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "infisical-events"}
    assert (changed.uid, changed.annotations["events.infisical.com/content"]) == (made.uid, "two")
    assert changed.resource_version != made.resource_version


async def test_what_changes_nothing_moves_nothing(desk: Desk) -> None:
    """The same content leaves the Secret as it is, to its version, by every policy."""
    key = desk.subscribe()
    for fields in ({}, ORPHAN, MERGE):
        await desk.write_as(key, fields, A="1")
        first = await desk.write_as(key, fields, A="1")
        assert (await desk.write_as(key, fields, A="1")).resource_version == first.resource_version


async def test_a_secret_can_be_emptied(desk: Desk) -> None:
    """The last key goes like every other."""
    key = desk.subscribe()
    await desk.write(key, A="1")
    await desk.write(key)

    assert desk.data() == {}


async def test_an_edit_by_hand_is_repaired(desk: Desk) -> None:
    """What was changed or removed comes back; what somebody has added stays theirs."""
    key = desk.subscribe()
    await desk.write(key, A="1", B="2")
    labels = {"app.kubernetes.io/managed-by": None}
    desk.patch({"data": {"A": "eA==", "B": None, "MINE": "eA=="}, "metadata": {"labels": labels}})

    await desk.write(key, A="1", B="2")

    assert desk.data() == {"A": "1", "B": "2", "MINE": "x"}
    assert "app.kubernetes.io/managed-by" in desk.stored()["metadata"]["labels"]


async def test_an_owners_secret_goes_with_its_subscription(
    desk: Desk, eventually: Callable[..., Any]
) -> None:
    """Kubernetes deletes it, also where the right to finalizers is missing; an orphan stays."""
    key = desk.subscribe()
    await desk.write(key, A="1")
    managed = ManagedSecret.model_validate({"name": "kept", "environmentSlug": "prod"} | ORPHAN)
    await ManagedSecretClient(desk.kube).apply(key, managed, {"A": "1"}, "token")

    desk.run("delete", "ies", "payments")

    gone = ["secret/kept"]
    eventually(lambda: desk.run("get", "secrets", "-o", "name").split() == gone, seconds=_GARBAGE_SECONDS)


async def test_a_recreated_subscription_waits_for_what_is_deleted(
    desk: Desk, eventually: Callable[..., Any]
) -> None:
    """The Secret of the former one is no longer ours and not yet gone; then a new one is made."""
    former = desk.subscribe()
    await desk.write(former, A="1")
    desk.patch({"metadata": {"finalizers": ["example.com/hold"]}})
    desk.run("delete", "ies", "payments")
    key = desk.subscribe()
    eventually(lambda: "deletionTimestamp" in desk.stored()["metadata"], seconds=_GARBAGE_SECONDS)

    assert "belongs to a deleted subscription of this name" in await desk.refused(key)

    desk.patch({"metadata": {"finalizers": None}})
    eventually(lambda: not desk.run("get", "secrets", "-o", "name"))
    await desk.write(key, A="2")
    assert desk.data() == {"A": "2"}


# -- an orphan, and from one to the other -------------------------------------------------------------


async def test_an_orphan_is_taken_up_by_a_recreated_subscription(desk: Desk) -> None:
    """It has no owner, so it stays, and one of the same name goes on with it."""
    former = desk.subscribe()
    made = await desk.write_as(former, ORPHAN, A="1")
    assert made.owner_uids == frozenset()
    desk.run("delete", "ies", "payments")

    taken = await desk.write_as(desk.subscribe(), ORPHAN, A="2")

    assert taken.uid == made.uid
    assert desk.data() == {"A": "2"}


async def test_a_policy_can_be_changed(desk: Desk) -> None:
    """The owner comes and goes with it, and the Secret stays the same one."""
    key = desk.subscribe()
    uids = set()
    for fields, owners in (({}, {key.uid}), (ORPHAN, set()), ({}, {key.uid}), (MERGE, set())):
        seen = await desk.write_as(key, fields, A="1")
        assert seen.owner_uids == owners
        uids.add(seen.uid)

    assert len(uids) == 1
    assert "app.kubernetes.io/managed-by" not in desk.stored()["metadata"].get("labels", {})


async def test_two_subscriptions_do_not_write_one_secret(desk: Desk) -> None:
    """Who came first keeps it, whatever the policies are, until it is let go by hand."""
    first, second = desk.subscribe(), desk.subscribe("other")
    for fields in ({}, ORPHAN):
        await desk.write_as(first, fields, A="1")
        for theirs in ({}, ORPHAN, MERGE):
            assert "is written by the subscription 'payments'" in await desk.refused(second, theirs)

    desk.patch({"metadata": {"annotations": {"events.infisical.com/subscription": None}}})
    await desk.write_as(second, ORPHAN, B="2")
    assert desk.data() == {"B": "2"}


# -- merged -------------------------------------------------------------------------------------------


async def test_merging_keeps_what_is_theirs(desk: Desk) -> None:
    """Keys are added and, when they leave the content, removed; nothing else of the Secret is touched."""
    key = desk.subscribe()
    desk.create(THEIRS="t")
    desk.patch({"metadata": {"labels": {"app": "theirs"}}})
    await desk.write_as(key, MERGE | {"annotations": {"note": "n"}}, A="1", B="2")

    stored = desk.stored()["metadata"]
    assert desk.data() == {"THEIRS": "t", "A": "1", "B": "2"}
    assert stored["labels"] == {"app": "theirs"}
    assert "ownerReferences" not in stored
    assert stored["annotations"]["note"] == "n"

    await desk.write_as(key, MERGE, B="3")
    assert desk.data() == {"THEIRS": "t", "B": "3"}
    assert "note" not in desk.stored()["metadata"]["annotations"]


async def test_merging_takes_nothing_away(desk: Desk) -> None:
    """A key of somebody else with another value is refused by name; one with the same value is shared."""
    key = desk.subscribe()
    desk.create(A="1", **{"tls.crt": "t"})
    await desk.write_as(key, MERGE, A="1", B="2")

    told = await desk.refused(key, MERGE | {"labels": {"x": "y"}}, **{"A": CANARY, "tls.crt": CANARY})

    assert (
        'has data.A, data.tls.crt of field manager "kubectl-create", '
        "and creationPolicy Merge takes over no field" in told
    )
    assert desk.data() == {"A": "1", "B": "2", "tls.crt": "t"}


async def test_a_merged_key_that_was_edited_by_hand_is_told(desk: Desk) -> None:
    """Whoever edits it has it then, and is named."""
    key = desk.subscribe()
    desk.create(THEIRS="t")
    await desk.write_as(key, MERGE, A="1")
    desk.patch({"data": {"A": "eA=="}})

    assert 'has data.A of field manager "kubectl-patch"' in await desk.refused(key, MERGE)


async def test_merging_needs_a_secret(desk: Desk) -> None:
    """None is made."""
    assert "does not exist" in await desk.refused(desk.subscribe(), MERGE)


# -- what stops it ------------------------------------------------------------------------------------


@pytest.mark.parametrize("fields", [{}, ORPHAN], ids=["Owner", "Orphan"])
async def test_a_secret_of_somebody_else_is_left_alone(desk: Desk, fields: JSONObject) -> None:
    """One that was not made here is refused, also if it looks a little like ours."""
    key = desk.subscribe()
    desk.create(THEIRS="t")
    assert "has another owner: choose another name" in await desk.refused(key, fields)

    desk.patch({"metadata": {"labels": {"app.kubernetes.io/managed-by": "infisical-events"}}})
    assert "has another owner" in await desk.refused(key, fields)


@pytest.mark.parametrize("fields", [{}, ORPHAN, MERGE], ids=["Owner", "Orphan", "Merge"])
async def test_an_immutable_secret(desk: Desk, fields: JSONObject) -> None:
    """It cannot be changed, only deleted."""
    key = desk.subscribe()
    desk.create(THEIRS="t")
    if fields != MERGE:
        desk.run("delete", "secret", "env")
        await desk.write_as(key, fields, A="1")
    desk.patch({"immutable": True})

    assert "is immutable: delete it" in await desk.refused(key, fields)


async def test_another_type(desk: Desk) -> None:
    """A type stays what it is as long as the Secret does."""
    key = desk.subscribe()
    await desk.write(key, A="1")

    assert "has another type" in await desk.refused(key, {"type": "example.com/other"})


@_LARGE
async def test_a_full_secret_is_taken(desk: Desk) -> None:
    """A mebibyte of values is what fits in, to the byte."""
    key, full = desk.subscribe(), "x" * (1024 * 1024)
    await desk.write(key, A=full)

    assert desk.data() == {"A": full}


@pytest.mark.parametrize(
    ("fields", "data", "told"),
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
    desk: Desk, fields: JSONObject, data: dict[str, str], told: str
) -> None:
    """The API server's own words say which field it is."""
    refusal = await desk.refused(desk.subscribe(), fields, **data)

    assert "secret/env is rejected by the API server: change the entry" in refusal
    assert told in refusal


async def test_a_quota_that_is_used_up(desk: Desk, eventually: Callable[..., Any]) -> None:
    """It is named; what is there already can still be changed."""
    key = desk.subscribe()
    await desk.write(key, A="1")
    desk.run("create", "quota", "few", "--hard=count/secrets=1")
    eventually(
        lambda: (
            json.loads(desk.run("get", "quota", "few", "-o", "json"))["status"]["used"]
            == {"count/secrets": "1"}
        )
    )
    await desk.write(key, A="2")
    managed = ManagedSecret.model_validate({"name": "second", "environmentSlug": "prod"})
    with pytest.raises(SecretRejectedError, match="exceeds the quota few of its namespace") as refused:
        await ManagedSecretClient(desk.kube).apply(key, managed, {"A": CANARY}, "token")

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


async def test_a_policy_that_tells_values(desk: Desk, eventually_async: Callable[..., Any]) -> None:
    """It is named, and its message is omitted."""
    key, policy = desk.subscribe(), _POLICY.format(name=desk.namespace)
    desk.kubectl("apply", "-f", "-", stdin=policy)

    async def refusal() -> str:
        try:
            await desk.write(key, A=CANARY)
        except KubernetesError as error:
            return f"{error!r}"
        desk.run("delete", "secret", "env")
        return ""

    try:
        told = await eventually_async(refusal)
    finally:
        desk.kubectl("delete", "-f", "-", stdin=policy)

    assert f"secret/env is rejected by the policy {desk.namespace}: change the entry" in told
    assert CANARY not in told
    assert base64.b64encode(CANARY.encode()).decode() not in told


async def test_lacking_rights_are_told(desk: Desk, cluster: Any) -> None:  # noqa: ANN401 - ours or a foreign one
    """Whoever may not look at or write Secrets is told what to grant."""
    key = desk.subscribe()
    user = f"system:serviceaccount:{desk.namespace}:default"
    async with open_kube_api(ClusterAccess(kubeconfig=str(cluster.kubeconfig)), "tests") as kube:
        kube._client.set_default_header("Impersonate-User", user)
        with pytest.raises(SecretRejectedError, match="grant the operator's ServiceAccount get, create and"):
            await desk.write(key, kube=kube, A="1")
        desk.run("create", "role", "reader", "--verb=get", "--resource=secrets")
        account = f"--serviceaccount={desk.namespace}:default"
        desk.run("create", "rolebinding", "reader", "--role=reader", account)
        with pytest.raises(SecretRejectedError, match="grant the operator's ServiceAccount get, create and"):
            await desk.write(key, kube=kube, A="1")


async def test_a_missing_namespace_is_no_refusal(desk: Desk) -> None:
    """It is gone, and the subscription with it."""
    with pytest.raises(NotFoundError):
        await desk.write(SubscriptionKey("missing", "payments", "uid"), A="1")


# -- somebody is faster -------------------------------------------------------------------------------


@pytest.mark.parametrize("act", ["edited", "deleted", "recreated"])
@pytest.mark.parametrize("fields", [{}, ORPHAN, MERGE], ids=["Owner", "Orphan", "Merge"])
async def test_what_moves_in_between_is_not_overwritten(desk: Desk, act: str, fields: JSONObject) -> None:
    """The Secret that was looked at is written, or none: the next try sees what is there now."""
    key = desk.subscribe()
    desk.create()
    if fields != MERGE:
        desk.run("delete", "secret", "env")
    await desk.write_as(key, fields, A="1")

    def happen() -> None:
        if act == "edited":
            desk.patch({"data": {"B": "eA=="}})
            return
        desk.run("delete", "secret", "env")
        if act == "recreated":
            desk.create(THEIRS="t")

    with pytest.raises(ConflictError):
        await desk.write_as(key, fields, "new", kube=Meanwhile(desk.kube, happen), A="2")

    if act == "deleted":
        with pytest.raises(KubectlError, match="NotFound"):
            desk.stored()
    else:
        assert desk.data() == ({"A": "1", "B": "x"} if act == "edited" else {"THEIRS": "t"})


async def test_a_secret_that_appears_in_between_loses_nothing(desk: Desk) -> None:
    """Its value under the same key stays; the next try finds that it is somebody else's."""
    key = desk.subscribe()
    with pytest.raises(ConflictError):
        await desk.write(key, kube=Meanwhile(desk.kube, lambda: desk.create(A="theirs")), A="1")

    assert desk.data() == {"A": "theirs"}
    assert "has another owner" in await desk.refused(key)
