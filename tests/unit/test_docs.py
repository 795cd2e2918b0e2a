"""The documentation names what there is: no more, no less."""

import re
from pathlib import Path

import pytest
import yaml

from infisical_events.api import annotations
from infisical_events.cli import commands as cli
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


def given_reasons() -> set[str]:
    """The reasons that the operator's code gives somewhere."""
    text = "\n".join(source.read_text() for source in SOURCES)
    return {Reason[name].value for name in re.findall(r"\bReason\.([A-Z_]+)\b", text)}


def test_every_reason_that_is_given_is_explained_once() -> None:
    """A reader who meets a reason finds it, and finds no reason that does not exist."""
    explained = first_column(DOCS / "reasons.md")

    assert len(explained) == len(set(explained))
    assert set(explained) == given_reasons()


def test_every_metric_is_explained_under_its_exposed_name_and_type() -> None:
    """Documented metrics are the exposed ones, labels included."""
    exposed = {
        f"| `{metric.name}{'_total' if metric.type == 'counter' else ''}` | {metric.type} |"
        for metric in Metrics().registry.collect()
    }
    page = (DOCS / "metrics.md").read_text()

    assert set(re.findall(r"^\| `infisical_events_\w+` \| \w+ \|", page, re.MULTILINE)) == exposed


def test_every_field_of_the_spec_has_a_heading() -> None:
    """Field by field, as the CRD has them."""
    headings = set(re.findall(r"^#+ `([^`]+)`", (DOCS / "spec.md").read_text(), re.MULTILINE))
    spec = schemas.CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]

    assert set(spec["properties"]) <= headings


def test_every_annotation_is_explained() -> None:
    """Those that users write and those that the operator writes."""
    page = (DOCS / "spec.md").read_text()
    words = {value for name, value in vars(annotations).items() if name.isupper() and isinstance(value, str)}

    assert {word for word in words if word not in page and word.partition("/")[2]} == set()
    assert f"{annotations.revision_key('NAME')}" in page


@pytest.mark.parametrize("option", [option for option in cli.run.params if option.name != "help"])
def test_every_flag_is_explained_with_its_variable(option: object) -> None:
    """The README's table has each option of `infisical-events run` and the environment variable beside it."""
    (flag,), variable = getattr(option, "opts"), getattr(option, "envvar")  # noqa: B009 - click's base class has none
    rows = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith(f"| `{flag}`")]

    assert len(rows) == 1
    assert f"`{variable}`" in rows[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    """Files that pages of the project point to exist, and so do the headings in them."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        path, _, fragment = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not fragment or fragment in _anchors(file), target


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def test_every_target_of_the_makefile_that_pages_name_exists() -> None:
    """Nobody is told to make what cannot be made."""
    named = {name for page in PAGES for name in re.findall(r"`make ([a-z-]+)", page.read_text())}
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert named <= targets


def test_every_test_that_is_named_exists() -> None:
    """What a page says is shown by a test is shown by one."""
    for page in PAGES:
        for path, name in re.findall(r"`([a-z_/]+\.py)::(test_\w+)`", page.read_text()):
            file = ROOT / "tests" / path
            assert re.search(rf"^(async )?def {name}\(", file.read_text(), re.MULTILINE), f"{path}::{name}"


def test_every_threat_has_a_test() -> None:
    """What is said of security is shown, row by row."""
    table = (DOCS / "security.md").read_text().partition("## Threats")[2].partition("\n## ")[0]
    rows = [row for row in table.splitlines() if row.startswith("| ")][1:]

    assert len(rows) >= 20
    assert [row for row in rows if not re.search(r"`[a-z_/]+\.py::test_\w+` ?(, `|\|)", row)] == []


def test_values_that_pages_set_exist() -> None:
    """Nobody is told to set what the chart refuses."""
    values = yaml.safe_load((charts.CHART / "values.yaml").read_text())
    for page in PAGES:
        text = page.read_text()
        for name in {*re.findall(r"--set ([\w.]+)=", text), *re.findall(r"`([\w.]+)=(?:true|false)`", text)}:
            assert _has(values, name.split(".")), f"{page.name}: {name}"
        assert "watchNamespaces" not in text or page.name == "installation.md", page.name


def _has(values: object, path: list[str]) -> bool:
    return not path or (isinstance(values, dict) and path[0] in values and _has(values[path[0]], path[1:]))


def test_every_sample_is_told_of() -> None:
    """The page on installing says what each sample is for; what it has applied is real enough to work."""
    page = (DOCS / "installation.md").read_text()
    applied = set(re.findall(r"-f deploy/samples/([\w-]+\.yaml)", page))

    assert {file.name for file in (ROOT / "deploy" / "samples").iterdir() if file.name not in page} == set()
    assert applied == {"credentials.yaml", "subscription.yaml", "deployment.yaml"}


def test_images_of_samples_have_a_version() -> None:
    """What is pulled today is what is pulled tomorrow."""
    samples = "".join(file.read_text() for file in (ROOT / "deploy" / "samples").iterdir())
    images = re.findall(r"image: (\S+)", samples)

    assert images
    assert [image for image in images if not re.search(r":[\w.-]+$", image)] == []


def test_no_page_upgrades_with_the_old_defaults() -> None:
    """`--reuse-values` would keep the digest of the old image, and lack the values that are new."""
    assert [page for page in PAGES if re.search(r"(?<![-\w])--reuse-values", page.read_text())] == []
