"""The command line starts lean, and works without the operator's own packages."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from infisical_events.cli.commands import COMMANDS, main

OPERATOR_PACKAGES = ("kopf", "prometheus_client", "pythonjsonlogger")
HEAVY = {"aiohttp", "httpx", "kubernetes.aio.client", "pydantic", "yaml", "rich", *OPERATOR_PACKAGES}

RUN_WITHOUT = """
import sys
for name in {missing!r}:
    sys.modules[name] = None
from infisical_events.cli.commands import main
main({arguments!r}, standalone_mode=False)
print(sorted(name for name in {heavy!r} if sys.modules.get(name)))
"""


def run_without(missing: tuple[str, ...], *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command in a process that cannot import some packages; its last line has what was imported."""
    program = RUN_WITHOUT.format(missing=missing, arguments=list(arguments), heavy=sorted(HEAVY))
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - our own


def test_the_list_of_commands_imports_none_of_them() -> None:
    """`infisical-events --help` costs the time of click alone."""
    done = run_without((), "--help")

    assert done.stdout.splitlines()[-1] == "[]", done.stderr
    assert [name for name in COMMANDS if name not in done.stdout] == []


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "run"])
def test_commands_need_no_package_of_the_operator(name: str) -> None:
    """Who installs the command line alone can use all of it but `run`."""
    done = run_without(OPERATOR_PACKAGES, name, "--help")

    assert done.returncode == 0, done.stderr


def test_a_missing_package_is_named_with_its_extra() -> None:
    """`run` without the operator's packages says what to install."""
    done = run_without(OPERATOR_PACKAGES, "run", "--help")

    assert "pip install 'infisical-events[operator]'" in done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_examples_or_options(name: str) -> None:
    """`--help` of each command works, and begins with its usage."""
    done = CliRunner().invoke(main, [name, "--help"])

    assert done.exit_code == 0
    assert done.output.startswith(f"Usage: main {name}")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str) -> None:
    """Each shell gets a script that calls the command."""
    done = CliRunner().invoke(main, ["completion", shell], prog_name="infisical-events")

    assert (done.exit_code, "_INFISICAL_EVENTS_COMPLETE" in done.output) == (0, True)
