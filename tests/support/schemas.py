"""The CRD and the models as flat tables of fields, so that a test can compare them."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from infisical_events.api import resources

ROOT = Path(__file__).parents[2]
CRD_FILE = ROOT / "crds" / f"{resources.GROUP}_{resources.PLURAL}.yaml"
CRD: dict[str, Any] = yaml.safe_load(CRD_FILE.read_text())
(VERSION,) = CRD["spec"]["versions"]
SPEC: dict[str, Any] = VERSION["schema"]["openAPIV3Schema"]["properties"]["spec"]
STATUS: dict[str, Any] = VERSION["schema"]["openAPIV3Schema"]["properties"]["status"]

BOUNDS = ("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern")
_MATCHES = re.compile(r"self\.matches\(r'(.*)'\)")


@dataclass(frozen=True, slots=True)
class Leaf:
    """The constraints of one field in a schema."""

    type: str
    format: str | None
    required: bool
    default: object
    enum: tuple[str, ...]
    bounds: tuple[tuple[str, object], ...]


def of_model(model: type[BaseModel]) -> dict[str, Leaf]:
    """Return the fields of a model by path, as a Kubernetes schema has them."""
    schema = model.model_json_schema()
    return dict(_leaves(_plain(schema, schema["$defs"]), ""))


def of_crd(schema: dict[str, Any]) -> dict[str, Leaf]:
    """Return the fields of a part of the CRD by path."""
    return dict(_leaves(_with_patterns(schema), ""))


def nodes(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every schema within one of the CRD's: itself, its fields `a.b`, its items `a[]`."""
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from nodes(field, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")


def rules(schema: dict[str, Any]) -> list[dict[str, str]]:
    """Return the validation rules of one field."""
    found: list[dict[str, str]] = schema.get("x-kubernetes-validations", [])
    return found


def sentence(rule: dict[str, str], value: object) -> str:
    """Return the message of a rule about a value: its message, or its sum of quoted words and `self`."""
    if "message" in rule:
        return rule["message"]
    words = rule["messageExpression"].split(" + ")
    return "".join(str(value) if word == "self" else word.strip("'") for word in words)


def _leaves(schema: dict[str, Any], path: str) -> Iterator[tuple[str, Leaf]]:
    for name, field in schema.get("properties", {}).items():
        yield f"{path}{name}", _leaf(field, required=name in schema.get("required", ()))
        yield from _leaves(field, f"{path}{name}.")
    if "items" in schema:
        items = f"{path.removesuffix('.')}[]"
        yield items, _leaf(schema["items"], required=False)
        yield from _leaves(schema["items"], f"{items}.")


def _leaf(schema: dict[str, Any], *, required: bool) -> Leaf:
    """Read one field. An empty default counts as none, and the width of an integer is no constraint."""
    return Leaf(
        type=schema["type"],
        format=None if schema["type"] == "integer" else schema.get("format"),
        required=required,
        default=schema.get("default") or None,
        enum=tuple(schema.get("enum", ())),
        bounds=tuple((bound, schema[bound]) for bound in BOUNDS if bound in schema),
    )


def _plain(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return a model's schema without references, and with `X | None` as an optional `X`."""
    inner = dict(schema)
    if reference := inner.pop("$ref", None):
        inner = definitions[reference.removeprefix("#/$defs/")] | inner
    if choices := inner.pop("anyOf", None):
        (given,) = (choice for choice in choices if choice != {"type": "null"})
        return _plain(inner | given, definitions)
    return _inside(inner, lambda field: _plain(field, definitions))


def _with_patterns(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema of the CRD with the formats of its rules as `pattern`."""
    formats = [match[1] for rule in rules(schema) if (match := _MATCHES.fullmatch(rule["rule"]))]
    changed = schema | ({"pattern": formats[0]} if formats else {})
    return _inside(changed, _with_patterns)


def _inside(schema: dict[str, Any], change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    changed = dict(schema)
    if "properties" in schema:
        fields = schema["properties"].items()
        changed["properties"] = {name: change(field) for name, field in fields}
    if "items" in schema:
        changed["items"] = change(schema["items"])
    return changed
