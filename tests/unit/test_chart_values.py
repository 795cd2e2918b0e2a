"""The values of the chart: which are refused, and that schema, README and defaults name the same ones."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

import charts
from charts import Objects

Render = Callable[..., Objects]

VALUES = yaml.safe_load((charts.CHART / "values.yaml").read_text())
SCHEMA = json.loads((charts.CHART / "values.schema.json").read_text())
FREE = ("resources", "podSecurityContext", "metrics.dashboard.labels")
"""Values that users fill themselves, each of them one value."""


def paths(values: dict[str, Any], prefix: str = "") -> set[str]:
    """The paths of all values."""
    found = set()
    for name, value in values.items():
        path = f"{prefix}{name}"
        found |= (
            paths(value, f"{path}.") if isinstance(value, dict) and value and path not in FREE else {path}
        )
    return found


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """A part of the schema, or the definition that it names."""
    found: dict[str, Any] = (
        SCHEMA["definitions"][ref.rpartition("/")[2]] if (ref := schema.get("$ref")) else schema
    )
    return found


def mappings(schema: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of all mappings whose keys the schema names."""
    yield path
    for name, part in schema["properties"].items():
        if "properties" in (inner := resolved(part)):
            yield from mappings(inner, (*path, name))


def refusal(render: Render, values: dict[str, Any]) -> str:
    """What helm says to values that it must refuse."""
    with pytest.raises(charts.HelmError) as refused:
        render(**values)
    return str(refused.value)


def nested(path: tuple[str, ...], value: object, into: dict[str, Any]) -> None:
    """Put a value at a path of nested mappings."""
    for name in path[:-1]:
        into = into.setdefault(name, {})
    into[path[-1]] = value


def test_typos_are_refused_at_each_level(render: Render) -> None:
    """A key that does not exist is refused wherever keys are known, and named with its place."""
    typos: dict[str, Any] = {}
    places = list(mappings(SCHEMA))
    for place in places:
        nested((*place, "tpyo"), "", typos)
    refused = refusal(render, typos)

    named = set(re.findall(r"at '([^']*)': additional properties 'tpyo' not allowed", refused))
    assert named == {"".join(f"/{name}" for name in place) for place in places}


def test_wrong_types_are_refused_for_each_value(render: Render) -> None:
    """No value can be a fraction."""
    wrong: dict[str, Any] = {}
    for path in paths(VALUES):
        nested(tuple(path.split(".")), 0.5, wrong)
    refused = refusal(render, wrong)

    assert [path for path in paths(VALUES) if f"at '/{path.replace('.', '/')}'" not in refused] == []


@pytest.mark.parametrize(
    "mistakes",
    [
        {
            "image": {"digest": "latest"},
            "scopedNamespaces": ["Shop"],
            "allowedAddresses": ["*.example.com"],
            "defaultAddress": "infisical",
            "httpAddress": "8080",
            "maxRestartsPerMinute": -1,
            "log": {"level": "warn"},
            "podLabels": {"a": 1},
            "podSecurityContext": {"runAsUser": 0, "runAsNonRoot": False},
            "podDisruptionBudget": {"maxUnavailable": "half"},
            "networkPolicy": {"infisical": {"ports": [0]}, "apiServer": {"ports": []}},
            "metrics": {
                "serviceMonitor": {"interval": "often"},
                "prometheusRule": {"disabled": ["InfisicalStreamIsUp"]},
                "dashboard": {"labels": {"a": 1}},
            },
            "extraEnv": [{"value": "nameless"}],
            "extraVolumes": [{"emptyDir": {}}],
            "topologySpreadConstraints": [{"maxSkew": 1}],
        },
        {"allowedAddresses": ["https://infisical.example/"], "httpAddress": "::1:8080"},
        {"httpAddress": "127.1.2.3:8080"},
        {"httpAddress": "localhost:8080"},
        {"httpAddress": "[::1]:8080"},
        {"httpAddress": "[0:0:0:0:0:0:0:1]:8080"},
    ],
    ids=lambda mistakes: f"{len(mistakes)} values" if len(mistakes) > 1 else str(mistakes),
)
def test_mistakes_are_refused(render: Render, mistakes: dict[str, Any]) -> None:
    """A mistake in the values is refused before anything is installed, and named with its place."""
    refused = refusal(render, mistakes)

    assert [place for place in places_of(mistakes) if f"at '{place}" not in refused] == []


def places_of(values: object, path: str = "") -> Iterator[str]:
    """The places of all single values in nested ones; a list with its only item is one place."""
    if not isinstance(values, dict):
        yield path
        return
    for name, value in values.items():
        yield from places_of(value, f"{path}/{name}")


@pytest.mark.parametrize("address", [":8080", "[::]:8080", "0.0.0.0:9090", "10.0.0.1:1", "[2001:db8::1]:80"])
def test_http_addresses(render: Render, address: str) -> None:
    """It may be served at any address that the kubelet can ask."""
    found = render(httpAddress=address)

    assert f"--http-address={address}" in charts.operator_command(found)
    assert charts.container(found)["ports"][0]["containerPort"] == int(address.rpartition(":")[2])


def test_subchart_values_are_taken(render: Render) -> None:
    """As a dependency of another chart it takes what Helm and a `condition` add."""
    assert render(**{"global": {"a": "b"}, "enabled": True}) == render()


# -- what is written about them -------------------------------------------------------------------


def test_every_value_is_documented() -> None:
    """The README has every value."""
    readme = (charts.CHART / "README.md").read_text()

    assert [path for path in paths(VALUES) if f"`{path}`" not in readme] == []


def test_schema_has_every_value() -> None:
    """The schema knows the values there are, and no others but what a parent chart adds."""

    def known(schema: dict[str, Any], prefix: str = "") -> set[str]:
        found = set()
        for name, part in schema["properties"].items():
            inner, path = resolved(part), f"{prefix}{name}"
            found |= known(inner, f"{path}.") if "properties" in inner and path not in FREE else {path}
        return found

    assert known(SCHEMA) == paths(VALUES) | {"global", "enabled"}
