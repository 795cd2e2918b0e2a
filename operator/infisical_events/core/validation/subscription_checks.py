"""What is wrong with an InfisicalEventSubscription: for the API server, the operator, and its user."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from infisical_events.api.annotations import OF_SUBSCRIPTIONS
from infisical_events.api.resources import API_VERSION, GROUP
from infisical_events.api.specs import EventEntry, InvalidSpecError, Spec, parse_spec
from infisical_events.api.statuses import ConditionType
from infisical_events.core.egress.address_allowlist import EgressPolicy, origin_of
from infisical_events.core.paths.path_globs import KeyFilter, compile_path_glob
from infisical_events.core.validation.cel_rules import rule_findings
from infisical_events.core.validation.crd_schema import (
    Schema,
    schema_findings,
    unknown_fields,
    with_defaults,
)
from infisical_events.core.validation.findings import (
    Finding,
    Place,
    error,
    place_text,
    split_message,
    suggestion,
    warning,
)
from infisical_events.core.validation.manifest_metadata import metadata_findings, texts_of
from infisical_events.core.validation.serving_spec import NotServable, serving_spec_of

ANY_ADDRESS = EgressPolicy(("https://*", "http://*"))
"""Without the operator's flags, each address may be allowed; addresses that no Infisical has are not."""

_DEFAULT_ADDRESS = "https://app.infisical.com"
"""For a spec without an address: which default the operator has is no matter of the manifest."""


def api_server_findings(manifest: Mapping[str, Any], schema: Schema) -> tuple[Finding, ...]:
    """What `kubectl apply` rejects, with its strict validation of fields."""
    if manifest.get("apiVersion") != API_VERSION:
        return (error(("apiVersion",), f"write {API_VERSION}"),)
    fields = dict(schema["properties"])
    metadata = tuple(metadata_findings(dict(manifest)))
    unknown = tuple(unknown_fields(schema, {**manifest, "metadata": {}}))
    # The API server drops the status of a manifest.
    written = {
        "properties": {"spec": fields["spec"]},
        "required": schema.get("required", []),
        "type": "object",
    }
    stored = with_defaults(written, dict(manifest))
    structural = tuple(schema_findings(written, stored))
    rules = rule_findings(written, stored, [found.place for found in structural])
    return (*metadata, *unknown, *structural, *rules)


def subscription_findings(
    manifest: Mapping[str, Any], schema: Schema, egress: EgressPolicy = ANY_ADDRESS
) -> tuple[Finding, ...]:
    """All mistakes in a manifest of the kind InfisicalEventSubscription.

    The operator's checks are made on what the API server would store, and only if it would store it.
    """
    rejected = api_server_findings(manifest, schema)
    if any(found.place[:1] != ("metadata",) for found in rejected):
        return rejected
    stored = with_defaults(schema, dict(manifest))["spec"]
    return (*rejected, *_operator_findings(stored, egress), *_annotation_findings(manifest))


def served_spec(manifest: Mapping[str, Any], schema: Schema) -> Spec | None:
    """The spec of a manifest as the operator reads it; None if it is invalid."""
    try:
        return parse_spec(with_defaults(schema, dict(manifest)).get("spec"))
    except InvalidSpecError:
        return None


def _operator_findings(stored: dict[str, Any], egress: EgressPolicy) -> Iterator[Finding]:
    """What becomes condition Stalled, or else what may not be meant."""
    served = serving_spec_of(stored, _DEFAULT_ADDRESS, egress)
    if isinstance(served, NotServable) and served.condition is ConditionType.STALLED:
        yield from _stalled_findings(stored, served.message)
        return
    spec = parse_spec(stored)
    yield from _entry_warnings(spec)


def _stalled_findings(stored: dict[str, Any], message: str) -> Iterator[Finding]:
    """The message of condition Stalled, divided by the fields that it names."""
    try:
        spec = parse_spec(stored)
    except InvalidSpecError as invalid:
        yield from (error(*split_message(part)) for part in str(invalid).split("; spec"))
        return
    found = [error(place, text) for place, text in _field_errors(spec)]
    yield from found or [error(*split_message(message))]


def _field_errors(spec: Spec) -> Iterator[tuple[Place, str]]:
    """The errors of values that the schema admits, each with its field."""
    if spec.address:
        yield from _failure(("spec", "address"), origin_of, spec.address)
    for number, entry in enumerate(spec.events):
        conditions: Place = ("spec", "events", number, "conditions")
        yield from _failure((*conditions, "secretPath"), compile_path_glob, entry.conditions.secret_path)
        yield from _key_errors((*conditions, "secretKeys"), entry.conditions.secret_keys)
    for number, managed in enumerate(spec.resync.secrets):
        yield from _key_errors(("spec", "resync", "secrets", number, "secretKeys"), managed.secret_keys)


def _key_errors(place: Place, patterns: Sequence[str]) -> Iterator[tuple[Place, str]]:
    for number, pattern in enumerate(patterns):
        yield from _failure((*place, number), lambda text: KeyFilter((text,)), pattern)


def _failure(place: Place, check: Callable[[str], object], text: str) -> Iterator[tuple[Place, str]]:
    try:
        check(text)
    except ValueError as failure:
        yield place, str(failure)


def _entry_warnings(spec: Spec) -> Iterator[Finding]:
    """Entries that repeat another one, and key patterns that select nothing."""
    seen: dict[EventEntry, int] = {}
    for number, entry in enumerate(spec.events):
        place: Place = ("spec", "events", number)
        if entry in seen:
            first = place_text(("spec", "events", seen[entry]))
            yield warning(place, f"is equal to {first}: remove one of them")
        seen.setdefault(entry, number)
        yield from _key_warnings((*place, "conditions", "secretKeys"), entry.conditions.secret_keys)
    for number, managed in enumerate(spec.resync.secrets):
        yield from _key_warnings(("spec", "resync", "secrets", number, "secretKeys"), managed.secret_keys)


def _key_warnings(place: Place, patterns: Sequence[str]) -> Iterator[Finding]:
    """Patterns that an exclusion leaves nothing of."""
    excluded = {pattern[1:] for pattern in patterns if pattern.startswith("!")}
    if "*" in excluded:
        yield warning(place, 'selects no key: "!*" excludes all keys')
        return
    for number, pattern in enumerate(patterns):
        if pattern in excluded:
            yield warning((*place, number), f"selects no key: {'!' + pattern!a} excludes the same keys")


def _annotation_findings(manifest: Mapping[str, Any]) -> Iterator[Finding]:
    """Annotations of the operator's group that it does not read on a subscription."""
    known = {key.removeprefix(f"{GROUP}/") for key in OF_SUBSCRIPTIONS}
    for key in texts_of(manifest.get("metadata"), "annotations"):
        group, _, name = key.partition("/")
        if group == GROUP and key not in OF_SUBSCRIPTIONS:
            message = f"has no effect on a subscription{suggestion(name, known)}"
            yield warning(("metadata", "annotations", key), message)
