"""The workflows of the public forge: what can be known of them without running them."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from local_cluster import programs

ROOT = Path(__file__).parents[2]
RELEASE = ROOT / ".github" / "workflows" / "release.yaml"
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


def script(name: str) -> str:
    """What a step of the release runs, by the beginning of its name."""
    (found,) = (s["run"] for s in steps(RELEASE) if s.get("name", "").startswith(name))
    return str(found)


def test_helm_is_the_one_of_the_tests() -> None:
    """The chart is packaged by the helm that it was tested with, and not by the newest of the day."""
    (setup,) = (step for step in steps(RELEASE) if "setup-helm" in step.get("uses", ""))

    assert setup["with"]["version"] == f"v{programs.HELM}"


def test_names_of_images_are_in_lower_case(tmp_path: Path) -> None:
    """A registry refuses capitals, which an owner's name may have."""
    lines = [line for line in script("Name what is published").splitlines() if "GITHUB_ENV" in line]
    env = {
        "GITHUB_ENV": str(tmp_path / "env"),
        "GITHUB_REPOSITORY": "Acme/Events",
        "GITHUB_REPOSITORY_OWNER": "Acme",
    }
    subprocess.run(["/bin/bash", "-euc", "\n".join(lines)], env=env, check=True)  # noqa: S603 - our own lines

    assert (tmp_path / "env").read_text() == "IMAGE=ghcr.io/acme/events\nCHARTS=ghcr.io/acme/charts\n"


@pytest.mark.parametrize(
    ("version", "notes"), [("1.2.0", "\n- Two.\n\n"), ("1.1.0", "\n- One.\n"), ("1.2", "")]
)
def test_notes_are_those_of_the_version(tmp_path: Path, version: str, notes: str) -> None:
    """The page of a release has its section of the changelog; without one there is no release."""
    log = "# Changelog\n\n## [Unreleased]\n\n## [1.2.0] - 2030-01-01\n\n- Two.\n\n## [1.1.0]\n\n- One.\n"
    (tmp_path / "CHANGELOG.md").write_text(log)
    lines = [
        line for line in script("Make the page").splitlines() if "notes.md" in line and "gh " not in line
    ]
    command = ["/bin/bash", "-euc", "\n".join(lines)]
    done = subprocess.run(  # noqa: S603 - our own lines
        command, env={"VERSION": version, "PATH": "/usr/bin:/bin"}, cwd=tmp_path, check=False
    )

    assert (tmp_path / "notes.md").read_text() == notes
    assert (done.returncode == 0) is bool(notes)


def test_what_is_pinned_is_watched() -> None:
    """Actions, the base of the image and Python's packages are looked after, each where it is."""
    watched = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text())["updates"]

    assert {(each["package-ecosystem"], each["directory"]) for each in watched} == {
        ("github-actions", "/"),
        ("docker", "/deploy"),
        ("pip", "/"),
    }
