"""The structural schema of the CRD, applied as the API server does it.

The order is that of the API server: unknown fields are reported, `null` in a field counts as absent, defaults
are filled in, and the result is checked. OpenAPI v3 as Kubernetes has it is JSON Schema apart from `nullable`
and the keywords `x-kubernetes-…`, which a JSON Schema validator ignores.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema_rs

from infisical_events.core.validation.findings import Finding, Place, error, suggestion

Schema = Mapping[str, Any]

_KINDS = {bool: "boolean", int: "integer", float: "number", str: "string", dict: "object", list: "array"}


def spec_schema_of(crd: Schema, version: str) -> Schema:
    """The schema of whole objects of one version.

    Raises:
        KeyError: the CRD does not have this version.
    """
    schemas = {each["name"]: each["schema"]["openAPIV3Schema"] for each in crd["spec"]["versions"]}
    found: Schema = schemas[version]
    return found


def unknown_fields(schema: Schema, value: Any, place: Place = ()) -> Iterator[Finding]:  # noqa: ANN401 - JSON
    """The fields that kubectl rejects with its strict validation; without it they are dropped."""
    if isinstance(value, dict) and "properties" in schema:
        known = schema["properties"]
        for name, inner in value.items():
            if name in known:
                yield from unknown_fields(known[name], inner, (*place, name))
            else:
                yield error((*place, name), f"unknown field{suggestion(name, known)}")
    elif isinstance(value, list) and "items" in schema:
        for number, item in enumerate(value):
            yield from unknown_fields(schema["items"], item, (*place, number))


def with_defaults(schema: Schema, value: Any) -> Any:  # noqa: ANN401 - JSON
    """The value as it is stored: without unknown fields and `null`, with defaults."""
    if isinstance(value, dict) and "properties" in schema:
        fields = schema["properties"]
        kept = {
            name: inner
            for name, inner in value.items()
            if name in fields and (inner is not None or fields[name].get("nullable"))
        }
        missing = {name: field["default"] for name, field in fields.items() if "default" in field}
        return {name: with_defaults(fields[name], inner) for name, inner in (missing | kept).items()}
    if isinstance(value, dict) and isinstance(schema.get("additionalProperties"), dict):
        return {name: inner for name, inner in value.items() if inner is not None}
    if isinstance(value, list) and "items" in schema:
        return [with_defaults(schema["items"], item) for item in value]
    return value


def schema_findings(schema: Schema, value: Any, place: Place = ()) -> Iterator[Finding]:  # noqa: ANN401 - JSON
    """What the API server rejects in a value with its defaults."""
    validator = jsonschema_rs.Draft202012Validator(dict(schema))
    for found in validator.iter_errors(value):
        yield _finding(found, place)
    yield from _duplicates(schema, value, place)


def _finding(found: jsonschema_rs.ValidationError, place: Place) -> Finding:
    """The error in the words of the API server, at the place of the missing field if one is missing."""
    kind, where = found.kind, (*place, *found.instance_path)
    match kind:
        case jsonschema_rs.ValidationErrorKind.Required():
            return error((*where, kind.property), "Required value")
        case jsonschema_rs.ValidationErrorKind.Type():
            given = _KINDS.get(type(found.instance), "null")
            return error(where, f"must be of type {kind.types[0]}, not {given}")
        case jsonschema_rs.ValidationErrorKind.Enum():
            return error(where, f"supported values: {', '.join(map(str, kind.options))}")
        case _:
            return error(where, _bound_message(found))


def _bound_message(found: jsonschema_rs.ValidationError) -> str:
    keyword = str(found.schema_path[-1])
    text = _BOUNDS.get(keyword)
    return text.format(getattr(found.kind, "limit", "")) if text else found.message


_BOUNDS = {
    "minLength": "must have at least {} characters",
    "maxLength": "must have at most {} characters",
    "minItems": "must have at least {} items",
    "maxItems": "must have at most {} items",
    "maxProperties": "must have at most {} entries",
    "minimum": "must be at least {}",
    "maximum": "must be at most {}",
}


def _duplicates(schema: Schema, value: Any, place: Place) -> Iterator[Finding]:  # noqa: ANN401 - JSON
    """Items with the same keys in a list that is a map."""
    for name, inner in schema.get("properties", {}).items():
        if isinstance(value, dict) and name in value:
            yield from _duplicates(inner, value[name], (*place, name))
    if schema.get("x-kubernetes-list-type") != "map" or not isinstance(value, list):
        return
    seen: set[tuple[str, ...]] = set()
    maps = ((number, item) for number, item in enumerate(value) if isinstance(item, dict))
    for number, item in maps:
        keys = tuple(repr(item.get(key)) for key in schema["x-kubernetes-list-map-keys"])
        if keys in seen:
            fields = " and ".join(schema["x-kubernetes-list-map-keys"])
            yield error((*place, number), f"each {fields} may occur only once: remove the second entry")
        seen.add(keys)
