"""What is wrong with manifests: each mistake at its place, and nothing wrong with good ones."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_events.api import resources
from infisical_events.api.specs import InvalidSpecError, parse_spec
from infisical_events.core.egress.address_allowlist import EgressPolicy
from infisical_events.core.validation.cel_rules import rule_findings, rules_of
from infisical_events.core.validation.crd_schema import spec_schema_of, with_defaults
from infisical_events.core.validation.findings import Severity, place_text
from infisical_events.core.validation.manifest_metadata import metadata_findings
from infisical_events.core.validation.manifests import Manifest, manifest_findings
from infisical_events.core.validation.subscription_checks import api_server_findings, subscription_findings
from support import invalid_specs, schemas
from support.random_manifests import spec_of

SCHEMA = spec_schema_of(schemas.CRD, "v1alpha1")


def subscription(spec: object, name: str = "payments", **annotations: str) -> dict[str, Any]:
    """A manifest."""
    return {
        "apiVersion": resources.API_VERSION,
        "kind": resources.KIND,
        "metadata": {"name": name, "namespace": "shop", "annotations": annotations},
        "spec": spec,
    }


def deployment(annotations: dict[str, str], **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """A manifest of a workload."""
    metadata = {"name": "web", "namespace": "shop", "annotations": annotations}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, **fields}


def said(*manifests: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The findings of documents: severity, place and message."""
    found = manifest_findings(map(Manifest, manifests), SCHEMA)
    return [(each.severity.value, place_text(each.place), each.message) for _, each in found]


def test_good_specs_have_no_findings() -> None:
    """The smallest spec is valid."""
    assert said(subscription(invalid_specs.GOOD)) == []


@pytest.mark.parametrize("mistake", invalid_specs.MISTAKES, ids=str)
def test_mistakes_have_their_place(mistake: invalid_specs.Mistake) -> None:
    """A mistake is reported at the field that the API server names."""
    found = subscription_findings(subscription(mistake.spec), SCHEMA)

    assert mistake.named in {place_text(each.place) for each in found}
    assert {each.severity for each in found} == {Severity.ERROR}


def test_unknown_fields_get_a_suggestion() -> None:
    """A misspelt field is an error that names the field which was probably meant."""
    spec = invalid_specs.GOOD | {"debounceSecond": 3}

    assert said(subscription(spec)) == [
        ("error", "spec.debounceSecond", "unknown field: did you mean debounceSeconds?")
    ]


def test_null_counts_as_absent() -> None:
    """The API server drops `null` from optional fields and from maps."""
    secret = {"name": "a", "environmentSlug": "b", "labels": {"a": None}, "secretKeys": None}
    spec = invalid_specs.GOOD | {"address": None, "mode": None, "resync": {"secrets": [secret]}}

    assert said(subscription(spec)) == []
    assert ("error", "spec.events", "Required value") in said(subscription(spec | {"events": None}))


def test_what_would_be_stalled_is_an_error() -> None:
    """What the API server admits and the operator does not serve is reported at its field."""
    spec = invalid_specs.with_field(invalid_specs.GOOD, "events.0.conditions.secretPath", "/a{b")
    spec["address"] = "https://a:99999"

    assert [(severity, place) for severity, place, _ in said(subscription(spec))] == [
        ("error", "spec.address"),
        ("error", "spec.events[0].conditions.secretPath"),
    ]


def test_addresses_that_the_operator_does_not_allow() -> None:
    """With the operator's patterns, an address that they do not match is an error."""
    spec = invalid_specs.GOOD | {"address": "https://b.example"}
    egress = EgressPolicy(("https://a.example",))

    (found,) = subscription_findings(subscription(spec), SCHEMA, egress)
    assert "is not among the operator's allowed addresses" in found.message


def test_patterns_that_select_nothing_are_warnings() -> None:
    """Keys that an exclusion takes out again, and an entry twice, may not be meant."""
    entry = {"event": "secret:update", "conditions": {"environmentSlug": "a", "secretKeys": ["A", "!A"]}}
    spec = invalid_specs.GOOD | {"events": [entry, entry]}

    assert [(severity, place) for severity, place, _ in said(subscription(spec))] == [
        ("warning", "spec.events[0].conditions.secretKeys[0]"),
        ("warning", "spec.events[1]"),
        ("warning", "spec.events[1].conditions.secretKeys[0]"),
    ]


def test_mistakes_in_annotations_of_workloads() -> None:
    """The operator's own sentences, at the annotation that they are about."""
    own = {"events.infisical.com/auto-relod": "true", "events.infisical.com/paused": "maybe"}
    template = {"metadata": {"annotations": {"events.infisical.com/auto-reload": "true"}}}
    found = said(deployment(own, spec={"template": template}))

    assert [place for _, place, _ in found] == [
        "metadata.annotations[events.infisical.com/paused]",
        "metadata.annotations[events.infisical.com/auto-relod]",
        "spec.template.metadata.annotations[events.infisical.com/auto-reload]",
    ]
    assert "did you mean auto-reload?" in found[1][2]


def test_subscriptions_that_are_not_given_are_a_warning() -> None:
    """The cluster may have them; without any subscription beside the workload there is nothing to compare."""
    named = deployment({"events.infisical.com/subscription": "payment"})

    assert said(named) == []
    ((severity, _, message),) = said(named, subscription(invalid_specs.GOOD))
    assert severity == "warning"
    assert message.endswith("there is no subscription 'payment': did you mean payments?")


def test_filters_that_match_nothing_of_the_given_subscriptions() -> None:
    """A filter annotation is compared with what the named subscription selects."""
    own = {"events.infisical.com/subscription": "payments", "events.infisical.com/environment": "dev"}

    ((severity, place, _),) = said(deployment(own), subscription(invalid_specs.GOOD))
    assert (severity, place) == ("warning", "metadata.annotations[events.infisical.com/environment]")


def test_annotations_of_a_subscription() -> None:
    """Annotations of workloads have no effect on a subscription."""
    own = {"events.infisical.com/restart-a": "1"}

    ((severity, _, message),) = said(subscription(invalid_specs.GOOD, **own))
    assert (severity, message) == ("warning", "has no effect on a subscription: did you mean restart-at?")


@pytest.mark.parametrize(
    ("metadata", "place"),
    [
        (None, "metadata"),
        ({}, "metadata.name"),
        ({"name": "A"}, "metadata.name"),
        ({"name": "a", "label": {}}, "metadata.label"),
        ({"name": "a", "annotations": []}, "metadata.annotations"),
        ({"name": "a", "annotations": {"a": True}}, "metadata.annotations.a"),
        ({"name": "a", "labels": {"a": "b c"}}, "metadata.labels.a"),
        ({"name": "a", "annotations": {"a b": ""}}, "metadata.annotations[a b]"),
        ({"name": "a", "annotations": {"a": "b" * 2**18}}, "metadata.annotations"),
    ],
)
def test_metadata(metadata: object, place: str) -> None:
    """What the API server rejects in metadata is found without it."""
    assert [place_text(each.place) for each in metadata_findings({"metadata": metadata})] == [place]


def test_every_rule_is_evaluated() -> None:
    """CEL compiles each rule of the CRD."""
    rules = set(rules_of(SCHEMA))

    assert len(rules) >= 10
    for rule in rules:
        kind = {"x-kubernetes-validations": [{"rule": f"true || ({rule})", "message": "broken"}]}
        assert list(rule_findings(kind, "a", [])) == []


@given(st.integers(0, 2**32))
def test_validate_agrees_with_the_models(seed: int) -> None:
    """What `validate` finds nothing wrong with, the operator's model accepts, and the other way round."""
    manifest = subscription(spec_of(seed))
    stored = with_defaults(SCHEMA, manifest)
    try:
        parse_spec(stored["spec"])
        is_valid = True
    except InvalidSpecError:
        is_valid = False
    known = [each for each in api_server_findings(manifest, SCHEMA) if "unknown field" not in each.message]

    assert not (known and is_valid)
    if not known and not is_valid:
        found = subscription_findings(manifest, SCHEMA)
        assert any(each.severity is Severity.ERROR for each in found)
