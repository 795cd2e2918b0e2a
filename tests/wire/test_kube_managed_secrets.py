"""The Secrets that are written here, at the wire: what is sent, and that no refusal repeats a value."""

import base64
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes.aio.client import ApiClient, Configuration

from infisical_events.api.specs import ManagedSecret
from infisical_events.core.subscriptions import SubscriptionKey
from infisical_events.kube.http.api_client import KubeApi
from infisical_events.kube.kubernetes_errors import (
    ConflictError,
    InvalidError,
    KubernetesError,
    NotFoundError,
    SecretOwnedError,
    SecretRejectedError,
    UnknownOutcomeError,
)
from infisical_events.kube.managed_secret_errors import error_for_managed_secret
from infisical_events.kube.managed_secrets import ManagedSecretClient
from infisical_events.kube.protected_objects import ProtectedObjects
from support.scripted_server import Answer, Request, ScriptedServer, answer, serving

KEY = SubscriptionKey("team", "payments", "uid-1")
CANARY = "canary-value-5e0d"
ENCODED = base64.b64encode(CANARY.encode()).decode()
STORED = {"name": "env", "uid": "uid-s", "resourceVersion": "7"}
OURS = {
    "labels": {"app.kubernetes.io/managed-by": "infisical-events"},
    "annotations": {"events.infisical.com/content": "old", "events.infisical.com/subscription": "payments"},
}
OWNED = {**OURS, "ownerReferences": [{"uid": "uid-1", "controller": True}]}


def a_managed(**fields: Any) -> ManagedSecret:  # noqa: ANN401 - JSON
    """An entry of `spec.resync.secrets`."""
    return ManagedSecret.model_validate({"name": "env", "environmentSlug": "prod"} | fields)


def status(code: int, message: str) -> Answer:
    """A refusal as the API server writes it."""
    return answer(code, {"kind": "Status", "status": "Failure", "message": message, "code": code})


@asynccontextmanager
async def reached(
    stored: Mapping[str, Any] | None,
    applied: Answer | None = None,
    writer: Mapping[str, Any] | None = None,
) -> AsyncIterator[tuple[ManagedSecretClient, ScriptedServer]]:
    """An API server with this metadata of the Secret `env`, or none, and an answer to what is applied.

    `writer` is the subscription `other`, or none.
    """

    async def script(request: Request) -> Answer:
        if "infisicaleventsubscriptions" in request.path:
            return answer(200, writer) if writer else status(404, "none")
        if request.method == "GET":
            return answer(200, {"metadata": STORED | stored}) if stored is not None else status(404, "none")
        return applied or answer(200, {"metadata": STORED | OWNED})

    async with serving(script) as server, ApiClient(Configuration(host=server.url)) as client:
        yield ManagedSecretClient(KubeApi(client, 10.0)), server


async def refusal(
    managed: ManagedSecret, applied: Answer, stored: Mapping[str, Any] | None = OWNED, **data: str
) -> KubernetesError:
    """The error that comes of an answer."""
    async with reached(stored, applied) as (secrets, _):
        with pytest.raises(KubernetesError) as error:
            await secrets.apply(KEY, managed, data or {"A": CANARY}, "token")
    assert error.value.__cause__ is None
    return error.value


# -- what is sent -------------------------------------------------------------------------------------


async def test_what_is_applied() -> None:
    """One object with a precondition; its values are sent and neither asked for nor returned."""
    managed = a_managed(labels={"l": "1"}, annotations={"a": "2"})
    async with reached(OWNED) as (secrets, server):
        metadata = await secrets.apply(KEY, managed, {"A": CANARY}, "token")
    read_result, patch = server.requests

    assert "PartialObjectMetadata" in read_result.headers["accept"]
    assert "PartialObjectMetadata" in patch.headers["accept"]
    assert patch.headers["content-type"] == "application/apply-patch+yaml"
    assert parse_qs(urlsplit(patch.target).query) == {"fieldManager": ["infisical-events"], "force": ["true"]}
    assert patch.path == "/api/v1/namespaces/team/secrets/env"
    assert json.loads(patch.body) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "env",
            "uid": "uid-s",
            "resourceVersion": "7",
            "labels": {"l": "1", "app.kubernetes.io/managed-by": "infisical-events"},
            "annotations": {
                "a": "2",
                "events.infisical.com/content": "token",
                "events.infisical.com/subscription": "payments",
            },
            "ownerReferences": [
                {
                    "apiVersion": "events.infisical.com/v1alpha1",
                    "kind": "InfisicalEventSubscription",
                    "name": "payments",
                    "uid": "uid-1",
                    "controller": True,
                    "blockOwnerDeletion": False,
                }
            ],
        },
        "type": "Opaque",
        "data": {"A": ENCODED},
    }
    assert metadata.uid == "uid-s"


@pytest.mark.parametrize(
    ("policy", "stored", "force"),
    [
        ("Owner", None, "false"),
        ("Owner", OWNED, "true"),
        ("Orphan", None, "false"),
        ("Orphan", OURS, "true"),
        ("Merge", {}, "false"),
        ("Merge", OWNED, "false"),
    ],
)
async def test_only_what_is_ours_is_taken_by_force(
    policy: str, stored: Mapping[str, Any] | None, force: str
) -> None:
    """What belongs to somebody else, or was not there a moment ago, loses no field."""
    async with reached(stored) as (secrets, server):
        await secrets.apply(KEY, a_managed(creationPolicy=policy), {}, "token")

    assert parse_qs(urlsplit(server.requests[-1].target).query)["force"] == [force]


# -- whose it is --------------------------------------------------------------------------------------

_FREED = OURS | {"annotations": {"events.infisical.com/content": "old"}}
_OTHERS = OURS | {"annotations": OURS["annotations"] | {"events.infisical.com/subscription": "other"}}
_BY_OTHER = OURS["annotations"] | {"events.infisical.com/subscription": "other"}
_API = {"apiVersion": "events.infisical.com/v1alpha1", "kind": "InfisicalEventSubscription"}
_FORMER = OURS | {"ownerReferences": [{**_API, "uid": "uid-0", "controller": True}]}
_CONTROLLED = OURS | {"ownerReferences": [{"apiVersion": "v1", "kind": "X", "uid": "u", "controller": True}]}
_OWNED_BY_OTHER = _FORMER | {"annotations": _BY_OTHER}
_LABELLED = {"labels": OURS["labels"]}
_FOREIGN = "exists and has another owner"
_WRITTEN = "is written by the subscription 'other'"


@pytest.mark.parametrize(
    ("policy", "stored", "told"),
    [
        ("Owner", {}, _FOREIGN),
        ("Owner", _LABELLED, _FOREIGN),
        ("Owner", _FREED, _FOREIGN),
        ("Owner", _OTHERS, _WRITTEN),
        ("Owner", _OWNED_BY_OTHER, _WRITTEN),
        ("Owner", _CONTROLLED, _FOREIGN),
        ("Owner", _FORMER, ""),
        ("Owner", OURS, ""),
        ("Owner", OWNED, ""),
        ("Orphan", {}, _FOREIGN),
        ("Orphan", _LABELLED, _FOREIGN),
        ("Orphan", _FREED, ""),
        ("Orphan", _OTHERS, _WRITTEN),
        ("Orphan", _FORMER, ""),
        ("Orphan", OWNED, ""),
        ("Merge", None, "does not exist, and creationPolicy Merge needs an existing Secret"),
        ("Merge", _OTHERS, _WRITTEN),
        ("Merge", _FREED, ""),
        ("Merge", _FORMER, ""),
    ],
)
async def test_whose_secret_may_be_written(policy: str, stored: Mapping[str, Any] | None, told: str) -> None:
    """What is somebody else's is refused before anything is sent; what was let go may be taken."""
    async with reached(stored, writer=a_writer("env")) as (secrets, server):
        if told:
            with pytest.raises(SecretOwnedError, match=told):
                await secrets.apply(KEY, a_managed(creationPolicy=policy), {"A": CANARY}, "token")
        else:
            await secrets.apply(KEY, a_managed(creationPolicy=policy), {"A": CANARY}, "token")

    assert ("PATCH" in {request.method for request in server.requests}) is not bool(told)


def a_writer(*names: str, **metadata: str) -> dict[str, Any]:
    """The subscription `other`, which writes Secrets with these names."""
    known = {"name": "other", "uid": "uid-0", "resourceVersion": "1", "generation": 1}
    return {"metadata": known | metadata, "spec": {"resync": {"secrets": [{"name": n} for n in names]}}}


@pytest.mark.parametrize("policy", ["Owner", "Orphan", "Merge"])
@pytest.mark.parametrize(
    "writer",
    [None, a_writer("another"), a_writer("env", deletionTimestamp="2026-01-01T00:00:00Z")],
    ids=["deleted", "without an entry for it", "being deleted"],
)
async def test_a_secret_that_its_writer_gave_up_passes_on(
    policy: str, writer: Mapping[str, Any] | None
) -> None:
    """The next subscription with an entry for it writes it, and takes its fields."""
    async with reached(_OWNED_BY_OTHER, writer=writer) as (secrets, server):
        await secrets.apply(KEY, a_managed(creationPolicy=policy), {"A": CANARY}, "token")

    body = json.loads(server.requests[-1].body)
    assert body["metadata"]["annotations"]["events.infisical.com/subscription"] == "payments"


async def test_a_secret_that_is_being_deleted_is_not_taken_over() -> None:
    """What is written into it would be lost; it is created again after that."""
    deleting = OWNED | {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    async with reached(deleting) as (secrets, server):
        with pytest.raises(ConflictError, match="is being deleted"):
            await secrets.apply(KEY, a_managed(), {"A": CANARY}, "token")

    assert {request.method for request in server.requests} == {"GET"}


async def test_a_claim_adds_an_owner() -> None:
    """So garbage collection keeps the Secret when its writer is deleted; nothing else of it changes."""
    async with reached(_OWNED_BY_OTHER, writer=a_writer("env")) as (secrets, server):
        with pytest.raises(SecretOwnedError, match=_WRITTEN):
            await secrets.claim(KEY, a_managed())

    (patch,) = (request for request in server.requests if request.method == "PATCH")
    assert patch.headers["content-type"] == "application/strategic-merge-patch+json"
    body = json.loads(patch.body)
    (owner,) = body["metadata"].pop("ownerReferences")
    assert (owner["uid"], owner.get("controller")) == (KEY.uid, None)
    assert body == {"metadata": {"uid": "uid-s", "resourceVersion": "7"}}


@pytest.mark.parametrize(
    ("policy", "stored"),
    [
        ("Owner", None),
        ("Owner", OWNED),
        ("Owner", {}),
        ("Owner", _CONTROLLED),
        ("Owner", _OTHERS),
        ("Owner", _OWNED_BY_OTHER | {"deletionTimestamp": "2026-01-01T00:00:00Z"}),
        ("Orphan", _OWNED_BY_OTHER),
        ("Merge", _OWNED_BY_OTHER),
    ],
)
async def test_nothing_else_is_claimed(policy: str, stored: Mapping[str, Any] | None) -> None:
    """Neither a Secret of other controllers, nor one that no garbage collection concerns."""
    async with reached(stored, writer=a_writer("env")) as (secrets, server):
        with suppress(SecretOwnedError):
            await secrets.claim(KEY, a_managed(creationPolicy=policy))

    assert {request.method for request in server.requests} == {"GET"}


_FIELDS = {
    "f:data": {".": {}, "f:A": {}, "f:tls.crt": {}},
    "f:metadata": {"f:annotations": {"f:events.infisical.com/content": {}}},
}
_APPLIED = {
    "manager": "infisical-events",
    "operation": "Apply",
    "fieldsV1": _FIELDS,
    "time": "2026-01-01T00:00:00Z",
}


async def test_the_fields_that_the_operator_manages_are_read() -> None:
    """By their paths, and so are those of other clients, with their managers."""
    edit = {"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:data": {"f:B": {}}}}
    async with reached(OWNED | {"managedFields": [_APPLIED, edit]}) as (secrets, _):
        found = await secrets.claim(KEY, a_managed())

    assert found is not None
    assert found.our_fields == {
        "f:data/f:A",
        "f:data/f:tls.crt",
        "f:metadata/f:annotations/f:events.infisical.com/content",
    }
    assert (found.our_keys, found.other_managers) == ({"A", "tls.crt"}, {"f:data/f:B": "kubectl-edit"})


# -- what is refused ----------------------------------------------------------------------------------

_WEBHOOK = 'admission webhook "no.example.com" denied the request: '
_POLICY = (
    "secrets \"env\" is forbidden: ValidatingAdmissionPolicy 'none' with binding 'none' denied request: "
)


@pytest.mark.parametrize(
    ("answered", "told"),
    [
        (status(422, 'Secret "env" is invalid: data: Forbidden: field is immutable when `immutable` is set'),
         "is immutable: delete it"),
        (status(422, 'Secret "env" is invalid: type: Invalid value: "Opaque": field is immutable'),
         "has another type, and a type cannot be changed: delete it"),
        (status(403, 'secrets "env" is forbidden: exceeded quota: small, requested: count/secrets=1'),
         "exceeds the quota small"),
        (status(403, 'secrets is forbidden: User "a" cannot patch resource "secrets" in API group ""'),
         "grant the operator's ServiceAccount get, create and patch (rbac.writeSecrets)"),
        (status(400, f"{_WEBHOOK}no"), "is rejected by the admission webhook no.example.com"),
        (status(422, f"{_POLICY}no"), "is rejected by the policy none"),
        (status(422, 'Secret "env" is invalid: data[tls.crt]: Required value'),
         "is rejected by the API server"),
        (status(413, "Request entity too large: limit is 3145728"), "is rejected by the API server"),
        (answer(400, b"<html>"), "is rejected by the API server"),
    ],
)  # fmt: skip
async def test_a_refusal_says_what_to_change(answered: Answer, told: str) -> None:
    """Each cause that is known has its own advice, with the API server's words behind it."""
    error = await refusal(a_managed(), answered)

    assert isinstance(error, SecretRejectedError)
    assert told in str(error)
    assert 'API server: "' in str(error)


@pytest.mark.parametrize("leak", [CANARY, ENCODED, CANARY[:9], ENCODED[3:14], f"'{CANARY}"])
@pytest.mark.parametrize("code", [400, 403, 409, 422, 429, 500])
async def test_no_refusal_repeats_a_value(leak: str, code: int) -> None:
    """Policies may quote what they please: words that may be a value are left out, the advice stays."""
    error = await refusal(a_managed(), status(code, f"{_WEBHOOK}the value {leak}"))

    assert leak not in f"{error!r}"
    assert "env" in str(error)
    if code in {400, 403, 422}:
        assert "is rejected by the admission webhook no.example.com" in str(error)


@given(
    st.text("ab1", min_size=8, max_size=40), st.text("xyz ", max_size=20), st.integers(0), st.integers(8, 20)
)
def test_no_piece_of_a_value_is_quoted(value: str, before: str, start: int, length: int) -> None:
    """Neither a value nor eight characters of one stand in an error, wherever they stood in the answer."""
    piece = (value[start % (len(value) - 7) :])[:length]
    error = error_for_managed_secret(InvalidError(f"{before}{piece} tail"), a_managed(), {"K": value})

    assert piece not in str(error)


@given(st.text("ab -.", min_size=1, max_size=7), st.text("ab -.", max_size=12), st.text("ab -.", max_size=12))
def test_a_short_value_is_no_word_of_a_quote(value: str, before: str, after: str) -> None:
    """A value of less than eight characters counts where it is a word, as a regular expression finds it."""
    said = f"{before}{value}{after}"
    error = error_for_managed_secret(InvalidError(said), a_managed(), {"K": value})
    is_word = re.search(rf"(?<!\w){re.escape(value)}(?!\w)", said) is not None

    assert (f'"{said}"' in str(error)) <= (not is_word or not value.strip())


def test_nothing_is_quoted_beside_too_many_values() -> None:
    """The comparison with a hundred thousand values would keep all subscriptions waiting."""
    data = {f"KEY_{number}": str(number) for number in range(130_000)}

    assert "may contain a value" in str(error_for_managed_secret(InvalidError("no"), a_managed(), data))


async def test_names_may_be_repeated() -> None:
    """The name and the keys stand in the spec; a value that has them in it hides no answer."""
    told = status(422, 'Secret "env" is invalid: data[connection]: Required value')
    error = await refusal(a_managed(), told, connection="env.connection.example", A="1", B="true", C="")

    assert "data[connection]: Required value" in str(error)


@pytest.mark.parametrize(("short", "is_quoted"), [("7", True), ("pin", False), ("too", False)])
async def test_a_short_value_is_a_word_of_its_own(short: str, is_quoted: bool) -> None:  # noqa: FBT001 - a case
    """One that only is a part of a word is not repeated by it."""
    error = await refusal(a_managed(), status(422, "the pin is too short: 77"), A=short)

    assert ("the pin is too short" in str(error)) is is_quoted


async def test_fields_of_others_are_named() -> None:
    """Merge names them and who manages them."""
    fields = " ".join(f"- .data.K{number}" for number in range(4))
    others = "- .metadata.labels.a/b - .metadata.annotations.c"
    told = f'Apply failed with 6 conflicts: conflicts with "kubectl edit" using v1: {fields} {others}'
    error = await refusal(a_managed(creationPolicy="Merge"), status(409, told), stored={})

    assert isinstance(error, SecretRejectedError)
    named = (
        "has data.K0, data.K1, data.K2, data.K3, metadata.labels.a/b and others of field manager "
        '"kubectl edit", and creationPolicy Merge'
    )
    assert named in str(error)


async def test_who_was_faster_is_looked_at_again() -> None:
    """A Secret that appears while it is made is no refusal, and neither is one that moves."""
    made = status(409, 'Apply failed with 1 conflict: conflict with "kubectl" using v1: .data.A')
    moved = status(409, 'Operation cannot be fulfilled on secrets "env": the object has been modified')

    for error in (await refusal(a_managed(), made, stored=None), await refusal(a_managed(), moved)):
        assert type(error) is ConflictError


@pytest.mark.parametrize(
    ("code", "kind"), [(404, NotFoundError), (500, KubernetesError), (429, KubernetesError)]
)
async def test_what_may_pass_is_no_refusal(code: int, kind: type[KubernetesError]) -> None:
    """A failure of the API server keeps its class."""
    error = await refusal(a_managed(), status(code, "not now"))

    assert type(error) is kind
    assert str(error) == "not now"


async def test_no_answer_is_an_unknown_outcome() -> None:
    """Nobody knows whether it was written."""
    async with serving(lambda _: None) as server:
        url = server.url
    async with ApiClient(Configuration(host=url)) as client:
        with pytest.raises(UnknownOutcomeError):
            await ManagedSecretClient(KubeApi(client, 5.0)).apply(KEY, a_managed(), {"A": CANARY}, "token")


async def test_the_operators_own_secret_is_not_written() -> None:
    """Also not where it is the subscription's neighbour: who adds keys to it could choose the operator's."""
    own = ProtectedObjects(secrets=frozenset({(KEY.namespace, "env")}))

    async def script(_: Request) -> Answer:
        return answer(200, {"metadata": STORED | OWNED})

    async with serving(script) as server, ApiClient(Configuration(host=server.url)) as client:
        with pytest.raises(
            SecretRejectedError, match=r"^secret/env belongs to the operator: choose another name\.$"
        ):
            await ManagedSecretClient(KubeApi(client, 5.0), own).apply(
                KEY, a_managed(), {"A": CANARY}, "token"
            )
        assert {request.method for request in server.requests} == {"GET"}
