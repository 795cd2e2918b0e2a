"""The validation rules of the CRD (`x-kubernetes-validations`), evaluated with Google's CEL runtime.

The runtime matches regular expressions with RE2, as the API server does it. One difference is known: it
reads a text only up to a NUL character, so NUL is replaced by another control character, which no rule
distinguishes from it.
"""

from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import Any

from cel_expr_python import cel  # type: ignore[import-untyped] # the wheel has no py.typed

from infisical_events.core.validation.findings import Finding, Place, error

Schema = Mapping[str, Any]


def rule_findings(
    schema: Schema,
    value: Any,  # noqa: ANN401 - JSON
    invalid: Collection[Place],
    place: Place = (),
) -> Iterator[Finding]:
    """The rules that a value with its defaults breaks.

    A part with one of the places `invalid` in it is left out: its rules may only be evaluated on values that
    its schema admits.
    """
    if not any(each[: len(place)] == place for each in invalid):
        for rule in schema.get("x-kubernetes-validations", ()):
            if not _is_kept(rule["rule"], value):
                yield error(place, rule["message"])
    for step, inner_schema, inner in _inner(schema, value):
        yield from rule_findings(inner_schema, inner, invalid, (*place, step))


def rules_of(schema: Schema) -> Iterator[str]:
    """All rules of a schema."""
    yield from (rule["rule"] for rule in schema.get("x-kubernetes-validations", ()))
    for inner in (*schema.get("properties", {}).values(), schema.get("items")):
        if inner:
            yield from rules_of(inner)


def _inner(schema: Schema, value: Any) -> Iterator[tuple[str | int, Schema, Any]]:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        fields = schema.get("properties", {})
        yield from ((name, fields[name], inner) for name, inner in value.items() if name in fields)
    elif isinstance(value, list) and "items" in schema:
        yield from ((number, schema["items"], item) for number, item in enumerate(value))


def _is_kept(rule: str, value: Any) -> bool:  # noqa: ANN401 - JSON
    found = _compiled(rule).eval(data={"self": _plain(value)})
    return found.value() is True


@lru_cache(maxsize=256)
def _compiled(rule: str) -> Any:  # noqa: ANN401 - the runtime has no types
    return _environment().compile(rule)


@lru_cache(maxsize=1)
def _environment() -> Any:  # noqa: ANN401 - the runtime does not export its type
    return cel.NewEnv(variables={"self": cel.Type.DYN})


def _plain(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Text as the API server decodes it from JSON, without NUL."""
    if isinstance(value, str):
        return value.replace("\0", "\x01").encode(errors="replace").decode()
    if isinstance(value, dict):
        return {_plain(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
