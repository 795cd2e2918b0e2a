"""The CRD and the models say the same: the API server must accept exactly what is understood."""

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
import yaml

from infisical_events.api import resources
from infisical_events.api.specs import InvalidSpecError, Spec, parse_spec
from infisical_events.api.statuses import ConditionType, Status
from infisical_events.core.ledger import codec
from support import invalid_specs, reports, schemas
from support.stored_ledgers import opened

SAMPLES = schemas.ROOT / "deploy" / "samples"
NODES = {
    **dict(schemas.nodes(schemas.SPEC, "spec")),
    **dict(schemas.nodes(schemas.STATUS, "status")),
}
RULES = [(path, node, rule) for path, node in NODES.items() for rule in schemas.rules(node)]


def test_names() -> None:
    """The CRD defines the kind that the operator serves."""
    spec = schemas.CRD["spec"]
    found = (spec["group"], schemas.VERSION["name"], spec["names"]["kind"], spec["names"]["plural"])

    assert found == (resources.GROUP, resources.VERSION, resources.KIND, resources.PLURAL)
    assert schemas.CRD["metadata"]["name"] == f"{resources.PLURAL}.{resources.GROUP}"
    assert (spec["names"]["shortNames"], spec["names"]["categories"]) == (["ies"], ["infisical"])


def test_spec_is_the_models() -> None:
    """Fields, types, defaults, enums, bounds and formats of the spec are those of the model."""
    assert schemas.of_crd(schemas.SPEC) == schemas.of_model(Spec)


def test_status_is_the_models() -> None:
    """The status has the model's fields and types; only the ledger is none of its business.

    Two differences are meant: the CRD sets no defaults, because absent is not zero; and it leaves
    the types of conditions open, because a newer operator has to report under an older CRD too.
    """
    fields = schemas.of_model(Status).items()
    model = {path: replace(field, default=None) for path, field in fields}
    crd = schemas.of_crd({**schemas.STATUS, "properties": _status_without_ledger()})

    assert model.pop("conditions[].type").enum == tuple(ConditionType)
    assert crd.pop("conditions[].type").enum == ()
    assert crd == model


def _status_without_ledger() -> dict[str, object]:
    return {name: node for name, node in schemas.STATUS["properties"].items() if name != "ledger"}


def test_status_is_not_bounded() -> None:
    """No report of the operator is ever refused for its size."""
    bounded = {path for path, node in NODES.items() if {*schemas.BOUNDS} & {*node}}
    ruled = {path for path, _, _ in RULES}

    assert [path for path in bounded | ruled if path.startswith("status")] == []


def test_ledger_is_declared() -> None:
    """The API server keeps every field of the ledger; what it does not know it would prune."""
    declared = schemas.of_crd(schemas.STATUS["properties"]["ledger"])
    stored = codec.encode(reports.LEDGER)
    written = dict(_written(opened(stored))) | {"data": _type_of(stored["data"])}  # as now, and in format 3

    assert {path: field.format or field.type for path, field in declared.items()} == written


def _written(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """The paths in a piece of JSON, with the type that the schema has for such a value."""
    if isinstance(value, dict):
        inner = {f"{path}.{name}".removeprefix("."): field for name, field in value.items()}
    else:
        inner = {f"{path}[]": item for item in value} if isinstance(value, list) else {}
    for place, field in inner.items():
        yield place, _type_of(field)
        yield from _written(field, place)


def _type_of(value: object) -> str:
    names = {dict: "object", list: "array", int: "integer", str: "string", bool: "boolean"}
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", value):
        return "date-time"
    return names[type(value)]


def test_everything_is_described() -> None:
    """`kubectl explain` answers every field with a sentence."""
    fields = {path: node for path, node in NODES.items() if not path.endswith("[]")}
    described = re.compile(r"[A-Z].*\.")

    assert [p for p, node in fields.items() if not described.fullmatch(node["description"])] == []


def test_every_list_says_how_it_merges() -> None:
    """Server-side apply never guesses: each list is atomic, or a map by its key."""
    lists = {path: node for path, node in NODES.items() if node["type"] == "array"}
    maps = {p: n for p, n in lists.items() if n["x-kubernetes-list-type"] != "atomic"}

    assert {path: node["x-kubernetes-list-map-keys"] for path, node in maps.items()} == {
        "spec.resync.secrets": ["name"],
        "status.conditions": ["type"],
    }
    assert {node["x-kubernetes-list-type"] for node in maps.values()} == {"map"}


def test_nothing_unknown_is_kept() -> None:
    """No part of the schema lets fields through that it does not describe; maps are of text to text."""
    loose = "x-kubernetes-preserve-unknown-fields"
    maps = [node["additionalProperties"] for node in NODES.values() if "additionalProperties" in node]

    assert [path for path, node in NODES.items() if loose in node] == []
    assert {node["type"] for node in maps} == {"string"}


def test_no_field_leads_out_of_the_namespace() -> None:
    """Nothing in a spec names a namespace, a file or a socket: there is nothing of the kind to be refused."""
    names = {path.rpartition(".")[2] for path in NODES if path.startswith("spec.")} - {"secretPath"}

    assert [
        name for name in names if re.search(r"namespace|path|file|socket|mount", name, re.IGNORECASE)
    ] == []


def test_everything_a_user_writes_is_bounded() -> None:
    """Lists, maps and texts of the spec have a greatest length, and numbers a range."""
    spec = {path: node for path, node in NODES.items() if path.startswith("spec")}
    texts = [*spec.items(), *((p, n["additionalProperties"]) for p, n in spec.items() if _is_map(n))]

    assert [p for p, n in texts if n["type"] == "string" and not {"maxLength", "enum"} & {*n}] == []
    assert [p for p, n in spec.items() if n["type"] == "array" and "maxItems" not in n] == []
    assert [p for p, n in spec.items() if _is_map(n) and "maxProperties" not in n] == []
    assert [p for p, n in spec.items() if n["type"] == "integer" and not {"minimum", "maximum"} <= {*n}] == []


def _is_map(node: dict[str, object]) -> bool:
    return "additionalProperties" in node


def test_refusals_are_sentences() -> None:
    """Each rule has a message, and no field has a `pattern`, which would answer with a regular expression."""
    speaking = {"message", "messageExpression"}

    assert [path for path, _, rule in RULES if not speaking & {*rule}] == []
    assert [path for path, node in NODES.items() if "pattern" in node] == []


def test_every_rule_is_provoked() -> None:
    """The table of mistakes holds one for each rule, and one for each value that is not there yet."""
    expected = {mistake.told for mistake in invalid_specs.MISTAKES}
    messages = {
        schemas.sentence(rule, value)
        for _, node, rule in RULES
        for value in {*node.get("enum", [""])} - {node.get("default")}
    }

    assert messages - expected == set()


@pytest.mark.parametrize("mistake", invalid_specs.MISTAKES, ids=str)
def test_models_refuse_the_same_mistakes(mistake: invalid_specs.Mistake) -> None:
    """What the API server refuses the models refuse too, in the same words where it has any."""
    sentences = {schemas.sentence(rule, mistake.value) for _, _, rule in RULES}

    with pytest.raises(InvalidSpecError) as refusal:
        parse_spec(mistake.spec)
    if mistake.told in sentences:
        assert f"{mistake.named}: {mistake.told}" in str(refusal.value).split("; ")


def test_good_spec_is_good() -> None:
    """The spec into which the mistakes are put has none itself."""
    assert parse_spec(invalid_specs.GOOD).project_id == invalid_specs.GOOD["projectId"]


@pytest.mark.parametrize("name", ["subscription.yaml", "subscription-full.yaml"])
def test_samples_are_understood(name: str) -> None:
    """The samples are subscriptions that this version serves."""
    sample = yaml.safe_load((SAMPLES / name).read_text())

    assert (sample["apiVersion"], sample["kind"]) == (resources.API_VERSION, resources.KIND)
    assert parse_spec(sample["spec"]).events


def test_full_sample_is_full() -> None:
    """The full sample shows all fields but the other ways to log in and to name a project."""
    sample = yaml.safe_load((SAMPLES / "subscription-full.yaml").read_text())["spec"]
    shown = {*sample, *(name for entry in sample["events"] for name in entry["conditions"])}
    conditions = NODES["spec.events[].conditions"]["properties"]

    assert shown == {*schemas.SPEC["properties"], *conditions} - {"projectSlug"}
