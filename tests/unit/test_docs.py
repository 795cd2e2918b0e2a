"""The documentation names everything that exists, and nothing else."""

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
import yaml

from infisical_events.api import annotations, statuses
from infisical_events.api.specs import EventType, Grade
from infisical_events.cli import run_command as cli
from infisical_events.core.status.reasons import Reason
from infisical_events.runtime.metrics import Metrics
from support import charts, schemas

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *DOCS.glob("*.md"),
        *(ROOT / "charts").glob("*/README.md"),
        *(ROOT / ".github").glob("*.md"),
    ]
)
SOURCES = (ROOT / "operator" / "infisical_events").rglob("*.py")


def first_column(page: Path) -> list[str]:
    """The code words in the first column of a page's tables."""
    return re.findall(r"^\| `([^`]+)` \|", page.read_text(), re.MULTILINE)


def used_reasons() -> set[str]:
    """The reasons that the operator's code uses."""
    text = "\n".join(source.read_text() for source in SOURCES)
    return {Reason[name].value for name in re.findall(r"\bReason\.([A-Z_]+)\b", text)}


def test_every_used_reason_is_explained_once() -> None:
    """The page has each reason that the operator can report, and no other."""
    explained = first_column(DOCS / "reasons.md")

    assert len(explained) == len(set(explained))
    assert set(explained) == used_reasons()


def test_the_glossary_has_every_word_of_the_status() -> None:
    """A reader of `kubectl get ies -o yaml` finds each field, condition and constant value on one page."""
    status = schemas.CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    enums = [kind for kind in vars(statuses).values() if isinstance(kind, type) and issubclass(kind, StrEnum)]
    values = {member.value for kind in (*enums, EventType, Grade) for member in kind}
    page = (DOCS / "glossary.md").read_text()
    explained = {word for code in re.findall(r"`([^`]+)`", page) for word in (code, *re.split(r"\W+", code))}

    assert {*_property_names(status), *values} - explained == set()


def test_the_glossary_has_every_annotation() -> None:
    """The glossary has the annotations of workloads, of subscriptions and of the operator."""
    page = (DOCS / "glossary.md").read_text()
    keys = {value for name, value in vars(annotations).items() if name.isupper() and isinstance(value, str)}
    keys |= {annotations.revision_key("NAME"), annotations.resync_key("NAME")}
    names = {name for key in keys if (name := key.partition("/")[2])}

    assert {name for name in names if f"`{name}`" not in page} == set()


def _property_names(schema: Mapping[str, Any]) -> Iterator[str]:
    """The names of all properties below a schema."""
    for name, field in schema.get("properties", {}).items():
        yield name
        yield from _property_names(field)
    if "items" in schema:
        yield from _property_names(schema["items"])


def test_every_metric_is_explained_under_its_exposed_name_and_type() -> None:
    """The page has each metric that can be queried, and no other."""
    exposed = {
        f"| `{metric.name}{'_total' if metric.type == 'counter' else ''}` | {metric.type} |"
        for metric in Metrics().registry.collect()
    }
    page = (DOCS / "metrics.md").read_text()

    assert set(re.findall(r"^\| `infisical_events_\w+` \| \w+ \|", page, re.MULTILINE)) == exposed


def test_every_field_of_the_spec_has_a_heading() -> None:
    """The page has each field of the CRD's spec."""
    headings = set(re.findall(r"^#+ `([^`]+)`", (DOCS / "spec.md").read_text(), re.MULTILINE))
    spec = schemas.CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]

    assert set(spec["properties"]) <= headings


def test_every_annotation_is_explained() -> None:
    """The page has the annotations of users and those of the operator."""
    page = (DOCS / "spec.md").read_text()
    words = {value for name, value in vars(annotations).items() if name.isupper() and isinstance(value, str)}

    assert {word for word in words if word not in page and word.partition("/")[2]} == set()
    assert f"{annotations.revision_key('NAME')}" in page


@pytest.mark.parametrize("option", [option for option in cli.run.params if option.name != "help"])
def test_every_flag_is_explained_with_its_variable(option: object) -> None:
    """The README's table has each option of `infisical-events run` with its environment variable."""
    (flag,), variable = getattr(option, "opts"), getattr(option, "envvar")  # noqa: B009 - click's base class has none
    rows = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith(f"| `{flag}`")]

    assert len(rows) == 1
    assert f"`{variable}`" in rows[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    """Linked files exist, and so do the linked headings in them."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        path, _, fragment = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not fragment or fragment in _anchors(file), target


def _anchors(page: Path) -> set[str]:
    """The headings as GitHub names them, and the anchors that keep older links alive."""
    text = page.read_text()
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    named = {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
    return named | set(re.findall(r'^<a id="([\w-]+)"></a>$', text, re.MULTILINE))


def test_every_target_of_the_makefile_that_pages_name_exists() -> None:
    """Pages name only targets of the Makefile."""
    named = {name for page in PAGES for name in re.findall(r"`make ([a-z-]+)", page.read_text())}
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert named <= targets


def test_every_module_that_is_named_exists() -> None:
    """Pages name only packages and modules of the operator that exist."""
    package = ROOT / "operator" / "infisical_events"
    layers = r"`((?:api|cli|core|infisical|kube|runtime)/[\w/]+)`"
    named = {name for page in PAGES for name in re.findall(layers, page.read_text())}

    assert {
        name for name in named if not (package / name).is_dir() and not (package / f"{name}.py").is_file()
    } == set()


def test_every_test_that_is_named_exists() -> None:
    """Pages name only tests that exist."""
    for page in PAGES:
        for path, name in re.findall(r"`([a-z_/]+\.py)::(test_\w+)`", page.read_text()):
            file = ROOT / "tests" / path
            assert re.search(rf"^(async )?def {name}\(", file.read_text(), re.MULTILINE), f"{path}::{name}"


def test_every_threat_has_a_test() -> None:
    """Each row of the table of threats names a test."""
    table = (DOCS / "security.md").read_text().partition("## Threats")[2].partition("\n## ")[0]
    rows = [row for row in table.splitlines() if row.startswith("| ")][1:]

    assert len(rows) >= 20
    assert [row for row in rows if not re.search(r"`[a-z_/]+\.py::test_\w+` ?(, `|\|)", row)] == []


def test_values_that_pages_set_exist() -> None:
    """Pages set only values that the chart has."""
    values = yaml.safe_load((charts.CHART / "values.yaml").read_text())
    for page in PAGES:
        text = page.read_text()
        for name in {*re.findall(r"--set ([\w.]+)=", text), *re.findall(r"`([\w.]+)=(?:true|false)`", text)}:
            assert _has(values, name.split(".")), f"{page.name}: {name}"
        assert "watchNamespaces" not in text or page.name == "installation.md", page.name


def _has(values: object, path: list[str]) -> bool:
    return not path or (isinstance(values, dict) and path[0] in values and _has(values[path[0]], path[1:]))


def test_every_sample_is_described() -> None:
    """The page on installation describes each sample, and applies only those that can work."""
    page = (DOCS / "installation.md").read_text()
    applied = set(re.findall(r"-f deploy/samples/([\w-]+\.yaml)", page))

    assert {file.name for file in (ROOT / "deploy" / "samples").iterdir() if file.name not in page} == set()
    assert applied == {"credentials.yaml", "subscription.yaml", "deployment.yaml"}


def test_images_of_samples_have_a_version() -> None:
    """Each image of a sample has a tag."""
    samples = "".join(file.read_text() for file in (ROOT / "deploy" / "samples").iterdir())
    images = re.findall(r"image: (\S+)", samples)

    assert images
    assert [image for image in images if not re.search(r":[\w.-]+$", image)] == []


def test_no_page_upgrades_with_the_old_defaults() -> None:
    """`--reuse-values` would keep the digest of the old image, and would lack new values."""
    assert [page for page in PAGES if re.search(r"(?<![-\w])--reuse-values", page.read_text())] == []
