"""`infisical-events validate`: lines, formats and exit codes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from infisical_events.cli import commands as cli
from infisical_events.cli.manifest_files import UnreadableError, parse_manifests
from support import schemas

SAMPLES = schemas.ROOT / "deploy" / "samples"
BROKEN = """
apiVersion: v1
kind: List
items:
  - apiVersion: v1
    kind: ConfigMap
    metadata: {name: a}
  - apiVersion: events.infisical.com/v1alpha1
    kind: InfisicalEventSubscription
    metadata: {name: web, namespace: shop}
    spec:
      authentication:
        accessTokenRef: {name: a, key: b}
      projectId: a
      events:
        - event: secret:update
          conditions:
            environmentSlug: prod
            secretPath: /a/
"""
PLACE = "spec.events[0].conditions.secretPath"
MESSAGE = "remove the last '/': no event has a path that ends with it"
WARNED = """
apiVersion: events.infisical.com/v1alpha1
kind: InfisicalEventSubscription
metadata: {name: web, annotations: {events.infisical.com/wave: "1"}}
spec:
  authentication: {accessTokenRef: {name: a, key: b}}
  projectId: a
  events: [{event: secret:update, conditions: {environmentSlug: prod}}]
"""


def invoke(*arguments: str, text: str = "") -> Result:
    """Run the command."""
    return CliRunner().invoke(cli.main, ["validate", *arguments], input=text)


def test_a_finding_has_file_line_object_and_field() -> None:
    """One line per finding, and a summary."""
    result = invoke("-", text=BROKEN)

    assert result.exit_code == 1
    assert result.output.splitlines() == [
        f"<stdin>:19: InfisicalEventSubscription/shop/web: {PLACE}: error: {MESSAGE}",
        "1 object checked, 1 of other kinds ignored: 1 error and 0 warnings",
    ]


def test_json() -> None:
    """A program gets the same as data."""
    data = json.loads(invoke("-o", "json", "-", text=BROKEN).output)

    assert (data["errors"], data["warnings"], data["checked"], data["ignored"]) == (1, 0, 1, 1)
    assert data["findings"][0]["line"] == 19


def test_samples_are_valid() -> None:
    """The samples have no mistakes; folders are read recursively."""
    result = invoke("--strict", str(SAMPLES.parent))

    assert result.exit_code == 0, result.output


def test_warnings_fail_only_if_asked() -> None:
    """A warning does not fail a job without `--strict`."""
    assert invoke("-", text=WARNED).exit_code == 0
    assert invoke("--strict", "-", text=WARNED).exit_code == 1


@pytest.mark.parametrize("text", ["a: [", "a: b: c", "- a", "text", "\ta: b", "a: *b"])
def test_unreadable_text(text: str) -> None:
    """What is no YAML has exit code 2 and names the line."""
    result = invoke("-", text=text)

    assert result.exit_code == 2
    assert result.output.startswith("Error: <stdin>")


def test_missing_files(tmp_path: Path) -> None:
    """A file that does not exist has exit code 2."""
    assert invoke(str(tmp_path / "a.yaml")).exit_code == 2
    assert invoke().exit_code == 2


def test_yaml_is_read_as_kubectl_does_it() -> None:
    """YAML 1.1 as Go reads it: no dates, no numbers of base 60, `y` is true, 1.0 is 1."""
    (found,) = parse_manifests("{a: 2020-01-01, b: 1:30, c: y, d: 1.0, 1: x, e: name, f: on}", "a")

    assert found.content == {
        "a": "2020-01-01", "b": "1:30", "c": True, "d": 1, "1": "x", "e": "name", "f": True,
    }  # fmt: skip


def test_repeated_keys() -> None:
    """A key that occurs twice is an error, because only the last one counts."""
    text = WARNED + "  projectId: b\n"

    assert "the key occurs twice" in invoke("-", text=text).output


def test_an_alias_bomb_is_harmless() -> None:
    """Aliases that multiply are read in linear time, and an alias of itself is no endless loop."""
    lines = ["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 40))]
    (found,) = parse_manifests("\n".join(lines), "a")

    assert len(found.content) == 40
    with pytest.raises(UnreadableError):
        list(parse_manifests("a: &a [*b]", "a"))
    assert invoke(
        "-", text="kind: Deployment\napiVersion: apps/v1\nmetadata: &a {name: x, labels: *a}"
    ).exit_code


def test_the_help_imports_nothing_of_it() -> None:
    """Other commands do not pay for CEL, the schema and YAML files."""
    program = (
        "import sys, infisical_events.cli.commands; "
        "print(*{'cel_expr_python', 'jsonschema_rs', 'pydantic', 'yaml'} & sys.modules.keys())"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603 - our own program

    assert found.stdout.split() == []
