"""The workflows of the public forge: what can be known of them without running them."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))


def steps(file: Path) -> list[dict[str, Any]]:
    """All steps of all jobs."""
    return [step for job in yaml.safe_load(file.read_text())["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_actions_are_pinned(file: Path) -> None:
    """Foreign code is named by its commit, and the version of it beside."""
    uses = re.findall(r"uses: (.*)", file.read_text())

    assert uses
    assert [line for line in uses if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_nothing_foreign_becomes_a_command(file: Path) -> None:
    """What GitHub fills in reaches a shell as a variable and never as text of the script."""
    assert [step["run"] for step in steps(file) if "${{" in step.get("run", "")] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_rights_are_least(file: Path) -> None:
    """No job writes but the one that publishes, and that one only after the tests."""
    workflow = yaml.safe_load(file.read_text())
    rights = {name: job.get("permissions", workflow["permissions"]) for name, job in workflow["jobs"].items()}
    writing = {name for name, given in rights.items() if "write" in given.values()}

    assert "write" not in workflow["permissions"].values()
    assert writing <= {"publish"}
    assert all(workflow["jobs"][name]["needs"] == "test" for name in writing)


def test_what_they_name_exists() -> None:
    """Targets of make and files that the workflows use are there."""
    text = "\n".join(file.read_text() for file in FILES)
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert set(re.findall(r"\bmake ([a-z-]+)$", text, re.MULTILINE)) <= targets
    assert [
        path
        for path in re.findall(r"\b((?:deploy|charts|docs)/[\w./-]+\w)", text)
        if not (ROOT / path).exists()
    ] == []
