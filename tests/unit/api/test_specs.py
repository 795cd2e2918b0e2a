"""What a user declares, parsed; what the API server refuses as well stands in `test_crd.py`."""

import pytest
from hypothesis import given
from pydantic import ValidationError

from infisical_events.api.specs import (
    Action,
    EventType,
    InvalidSpecError,
    KubernetesAuth,
    Mode,
    SecretKeyRef,
    UniversalAuth,
    parse_spec,
)
from support.builders import a_raw_spec, a_spec, an_entry
from support.strategies import json_values

CANARY = "canary-3f9c"
REF = {"name": "infisical", "key": "token"}
CLIENT = {"clientIdRef": REF, "clientSecretRef": REF}
MINIMAL = {
    "authentication": {"accessTokenRef": REF},
    "projectId": "7f4d1c2b",
    "events": [{"event": "secret:update", "conditions": {"environmentSlug": "prod"}}],
}


def refusal(raw: object) -> str:
    """The sentence with which a spec is refused."""
    with pytest.raises(InvalidSpecError) as error:
        parse_spec(raw)
    return str(error.value)


def test_what_is_left_out_has_a_default() -> None:
    """Three fields make a subscription."""
    spec = parse_spec(MINIMAL)

    assert (spec.address, spec.project_slug, spec.suspend) == (None, None, False)
    assert (spec.action, spec.observe, spec.mode) == (Action.RESYNC_THEN_RESTART, None, Mode.ENFORCE)
    assert (spec.debounce_seconds, spec.resync_interval_seconds) == (1, 300)
    assert (spec.events[0].conditions.secret_path, spec.events[0].conditions.secret_keys) == ("/", ())


def test_a_spec_is_read_by_the_names_of_kubernetes() -> None:
    """Every field of the API has its place."""
    spec = a_spec(
        an_entry("secret:import-mutation", "dev", "/a/**", "DB_*"),
        address="https://infisical.example:8443",
        debounceSeconds=0,
        resyncIntervalSeconds=60,
        suspend=True,
    )
    (entry,) = spec.events

    assert (entry.event, entry.conditions.environment_slug) == (EventType.IMPORT_MUTATION, "dev")
    assert (entry.conditions.secret_path, entry.conditions.secret_keys) == ("/a/**", ("DB_*",))
    assert (spec.address, spec.project_id) == ("https://infisical.example:8443", "7f4d1c2b")
    assert (spec.debounce_seconds, spec.resync_interval_seconds, spec.suspend) == (0, 60, True)


def test_a_login_is_one_of_three() -> None:
    """With a client secret, with a ServiceAccount's token, or with a ready token."""
    kubernetes = {"identityId": "0a1b", "serviceAccountName": "web", "audiences": ["infisical"]}
    ref = SecretKeyRef(name="infisical", key="token")

    assert a_spec(authentication={"universalAuth": CLIENT}).authentication.universal_auth == UniversalAuth(
        client_id_ref=ref, client_secret_ref=ref
    )
    assert a_spec(
        authentication={"kubernetesAuth": kubernetes}
    ).authentication.kubernetes_auth == KubernetesAuth(
        identity_id="0a1b", service_account_name="web", audiences=("infisical",)
    )
    assert a_spec(authentication={"accessTokenRef": REF}).authentication.access_token_ref == ref


def test_a_spec_cannot_be_changed() -> None:
    """It is parsed once and passed around."""
    with pytest.raises(ValidationError, match="frozen"):
        a_spec().suspend = True


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"projectSlug": "shop"}, "spec: set exactly one of projectId or projectSlug"),
        ({"projectId": None}, "spec: set exactly one of projectId or projectSlug"),
        ({"authentication": {}}, "spec.authentication: set exactly one of universalAuth, kubernetesAuth or"),
        (
            {"authentication": {"accessTokenRef": REF, "universalAuth": CLIENT}},
            "spec.authentication: set exactly one of",
        ),
        ({"events": []}, "spec.events: "),
        ({"events": [an_entry()] * 11}, "spec.events: "),
        ({"events": [an_entry(), an_entry("secret:rename")]}, "spec.events[1].event: "),
        ({"events": [an_entry(path="a")]}, "spec.events[0].conditions.secretPath: "),
        ({"events": [an_entry("secret:update", "prod", "/a", "")]}, "spec.events[0].conditions.secretKeys"),
        ({"address": "https://user@host"}, "spec.address: "),
        ({"address": "https://host\n"}, "spec.address: "),
        ({"projectId": "a/b"}, "spec.projectId: "),
        ({"debounceSeconds": 301}, "spec.debounceSeconds: "),
        ({"tls": {}}, "spec.tls: this version does not support the field: remove it or upgrade the operator"),
    ],
)  # fmt: skip
def test_a_mistake_is_reported_with_its_field(fields: dict[str, object], message: str) -> None:
    """In the names of the API, with a sentence that says what to change."""
    assert refusal(a_raw_spec(**fields)).startswith(message)


def test_every_mistake_is_told() -> None:
    """One message has all mistakes, so that a user can correct them together."""
    message = refusal(a_raw_spec(debounceSeconds=-1, suspend="perhaps", tls={}))

    assert [sentence.partition(":")[0] for sentence in message.split("; ")] == [
        "spec.debounceSeconds",
        "spec.suspend",
        "spec.tls",
    ]


@pytest.mark.parametrize(
    "raw",
    [
        CANARY,
        a_raw_spec(address=f"https://{CANARY}@host"),
        a_raw_spec(projectId=f"{CANARY}/"),
        a_raw_spec(authentication={"accessTokenRef": CANARY}),
        a_raw_spec(authentication={"accessTokenRef": {"name": "infisical", "key": f"{CANARY} "}}),
        a_raw_spec(an_entry(CANARY)),
        a_raw_spec(suspend=CANARY),
    ],
)
def test_a_refusal_repeats_no_value(raw: object) -> None:
    """A user may have put a credential where its name belongs."""
    assert CANARY not in refusal(raw)


@given(json_values)
def test_what_is_no_spec_is_refused(raw: object) -> None:
    """No JSON is a spec by chance, and none raises anything else."""
    assert refusal(raw).startswith("spec")


@pytest.mark.parametrize("field", ["authentication", "events"])
def test_an_incomplete_spec_is_refused(field: str) -> None:
    """The missing field is named."""
    assert (
        refusal({name: value for name, value in MINIMAL.items() if name != field})
        == f"spec.{field}: Field required"
    )
