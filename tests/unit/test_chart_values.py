"""The values of the chart: which are refused, and that schema, README and defaults name the same ones."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from infisical_events.cli import commands as cli
from infisical_events.core.egress.address_allowlist import DEFAULT_ALLOWED
from infisical_events.runtime.app import bootstrap, logging_setup
from infisical_events.runtime.app.settings import Settings
from support import charts
from support.charts import Objects

Render = Callable[..., Objects]

VALUES = yaml.safe_load((charts.CHART / "values.yaml").read_text())
SCHEMA = json.loads((charts.CHART / "values.schema.json").read_text())
FREE = ("resources", "dnsConfig", "podSecurityContext", "metrics.dashboard.labels")
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
            "podDisruptionBudget": {"maxUnavailable": "half", "minAvailable": "all"},
            "leaseDuration": 2,
            "digestKeySecret": "Key",
            "networkPolicy": {"infisical": {"ports": [0]}, "apiServer": {"ports": []}, "dnsPorts": []},
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
        {
            "defaultAddress": "https://infisical.example/api",
            "httpAddress": ":99999",
        },
        {"defaultAddress": "https://infisical.example:65536", "httpAddress": ":0"},
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


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"defaultAddress": "https://infisical.example.com"},
            f"does not match allowedAddresses ({', '.join(DEFAULT_ALLOWED)})",
        ),
        (
            {
                "defaultAddress": "http://a.example",
                "allowedAddresses": ["https://*.example", "http://b.example"],
            },
            "does not match allowedAddresses (https://*.example, http://b.example)",
        ),
        ({"allowedNetworks": ["10.0.0.1/8"]}, "10.0.0.1/8 has host bits set"),
        ({"extraEnv": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}, "extraEnv has A twice"),
        ({"extraVolumes": [{"name": "ca"}, {"name": "ca"}]}, "extraVolumes has ca twice"),
        (
            {"extraVolumeMounts": [{"name": "a", "mountPath": "/ca"}, {"name": "b", "mountPath": "/ca"}]},
            "extraVolumeMounts has /ca twice",
        ),
        ({"serviceAccount": {"create": False}}, "serviceAccount.create=false requires serviceAccount.name"),
        (
            {"commonLabels": {"app.kubernetes.io/version": "1"}},
            "commonLabels: the chart itself sets the label app.kubernetes.io/version",
        ),
        (
            {"podLabels": {"app.kubernetes.io/name": "mine"}},
            "podLabels: the label app.kubernetes.io/name selects",
        ),
        ({"allowedNetworks": ["999.1.1.1/8"]}, "/allowedNetworks/0"),
        ({"allowedNetworks": ["10.0.0.0/33"]}, "/allowedNetworks/0"),
        ({"allowedNetworks": ["fd00::/129"]}, "/allowedNetworks/0"),
        ({"extraEnv": [{"name": "INFISICAL_EVENTS_IDENTITY", "value": "a"}]}, "/extraEnv/0/name"),
        ({"extraVolumes": [{"name": "tmp", "emptyDir": {}}]}, "/extraVolumes/0/name"),
        ({"extraVolumeMounts": [{"name": "a", "mountPath": "/tmp"}]}, "/extraVolumeMounts/0/mountPath"),  # noqa: S108
    ],
)
def test_what_would_be_refused_later_is_refused_at_once(
    render: Render, values: dict[str, Any], message: str
) -> None:
    """What the operator or the API server would refuse, halfway through an installation, Helm refuses."""
    assert message in refusal(render, values)


@pytest.mark.parametrize(
    "values",
    [
        {"defaultAddress": "https://eu.infisical.com"},
        {
            "defaultAddress": "HTTPS://Infisical.example:443/",
            "allowedAddresses": ["https://infisical.example"],
        },
        {"defaultAddress": "http://10.1.2.3:8080", "allowedAddresses": ["http://10.1.?.3:*"]},
        {"defaultAddress": "https://[fd00::1]:8443", "allowedAddresses": ["https://[fd00::1]:8443"]},
        {"allowedAddresses": ["https://infisical.example"]},
        {
            "allowedNetworks": [
                "10.1.2.3",
                "10.0.0.0/8",
                "0.0.0.0/0",
                "10.1.2.3/32",
                "fd00::/8",
                "fd00::1",
                "::/0",
            ]
        },
    ],
    ids=str,
)
def test_the_operator_takes_what_the_chart_takes(
    render: Render, monkeypatch: pytest.MonkeyPatch, values: dict[str, Any]
) -> None:
    """With addresses and networks that Helm admits the operator starts."""
    started = []

    async def run(settings: Settings) -> None:
        started.append(settings)

    monkeypatch.setattr(bootstrap, "run", run)
    monkeypatch.setattr(logging_setup, "configure", lambda *_: None)
    result = CliRunner().invoke(cli.main, charts.operator_command(render(**values))[1:])

    assert (result.exit_code, len(started)) == (0, 1), result.output


def test_clouds_hosts_are_the_operators(render: Render) -> None:
    """Each host that the operator allows by itself may be the default without a word."""
    for address in DEFAULT_ALLOWED:
        assert f"--default-address={address}" in charts.operator_command(render(defaultAddress=address))


def test_a_name_with_dots(helm: Path) -> None:
    """A release's name may have dots; a Service's and a Lease's may not."""
    on = "metrics.service.enabled=true"
    found = charts.objects(charts.helm(helm, "template", "prod.v1", str(charts.CHART), "--set", on))

    assert {key.name for key in found if key.kind in {"Service", "Deployment"}} == {
        "prod-v1-infisical-events",
        "prod-v1-infisical-events-metrics",
    }
    assert "--lease-name=prod-v1-infisical-events" in charts.operator_command(found)


def test_an_annotation_of_ones_own_wins(render: Render) -> None:
    """The pod's annotations are said once each."""
    name = "kubectl.kubernetes.io/default-container"
    (deployment,) = (
        o for key, o in render(podAnnotations={name: "mine"}).items() if key.kind == "Deployment"
    )

    assert deployment["spec"]["template"]["metadata"]["annotations"] == {name: "mine"}


def test_subchart_values_are_taken(render: Render) -> None:
    """As a dependency of another chart it takes what Helm and a `condition` add."""
    without_key = {"createDigestKey": False}  # it is random
    assert render(**{"global": {"a": "b"}, "enabled": True}, **without_key) == render(**without_key)


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
