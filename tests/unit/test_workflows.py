"""The GitHub workflows, checked without running them."""

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
    """Actions are pinned by commit, with the version in a comment."""
    uses = re.findall(r"uses: (.*)", file.read_text())

    assert uses
    assert [line for line in uses if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_expression_is_part_of_a_script(file: Path) -> None:
    """GitHub's expressions reach a shell as environment variables and never as text of the script."""
    assert [step["run"] for step in steps(file) if "${{" in step.get("run", "")] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_permissions_are_minimal(file: Path) -> None:
    """Only the job that publishes may write, and it runs after the tests."""
    workflow = yaml.safe_load(file.read_text())
    rights = {name: job.get("permissions", workflow["permissions"]) for name, job in workflow["jobs"].items()}
    writing = {name for name, given in rights.items() if "write" in given.values()}

    assert "write" not in workflow["permissions"].values()
    assert writing <= {"publish"}
    assert all(workflow["jobs"][name]["needs"] == "test" for name in writing)


def test_targets_and_files_exist() -> None:
    """The make targets and files that the workflows use exist."""
    text = "\n".join(file.read_text() for file in FILES)
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert set(re.findall(r"\bmake ([a-z-]+)$", text, re.MULTILINE)) <= targets
    assert [
        path
        for path in re.findall(r"\b((?:deploy|charts|docs)/[\w./-]+\w)", text)
        if not (ROOT / path).exists()
    ] == []


def script(name: str) -> str:
    """The script of a step of the release, by the beginning of its name."""
    (found,) = (s["run"] for s in steps(RELEASE) if s.get("name", "").startswith(name))
    return str(found)


def test_helm_is_the_one_of_the_tests() -> None:
    """The release packages the chart with the helm version of the tests."""
    (setup,) = (step for step in steps(RELEASE) if "setup-helm" in step.get("uses", ""))

    assert setup["with"]["version"] == f"v{programs.HELM}"


def test_names_of_images_are_in_lower_case(tmp_path: Path) -> None:
    """A registry rejects capitals, which an owner's name may have."""
    lines = [line for line in script("Set the names of image and chart").splitlines() if "GITHUB_ENV" in line]
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
    """The release page has its section of the changelog; without one the release fails."""
    log = "# Changelog\n\n## [Unreleased]\n\n## [1.2.0] - 2030-01-01\n\n- Two.\n\n## [1.1.0]\n\n- One.\n"
    (tmp_path / "CHANGELOG.md").write_text(log)
    lines = [
        line
        for line in script("Create the release page").splitlines()
        if "notes.md" in line and "gh " not in line
    ]
    command = ["/bin/bash", "-euc", "\n".join(lines)]
    done = subprocess.run(  # noqa: S603 - our own lines
        command, env={"VERSION": version, "PATH": "/usr/bin:/bin"}, cwd=tmp_path, check=False
    )

    assert (tmp_path / "notes.md").read_text() == notes
    assert (done.returncode == 0) is bool(notes)


def test_pinned_versions_get_updates() -> None:
    """Dependabot updates actions, the image's base and the Python packages."""
    watched = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text())["updates"]

    assert {(each["package-ecosystem"], each["directory"]) for each in watched} == {
        ("github-actions", "/"),
        ("docker", "/deploy"),
        ("pip", "/"),
    }
