"""The command `infisical-sandbox`: its subcommands, and the error for a missing dependency."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from infisical_demo.cli import main

INSTALL = "pip install -e '.[sandbox]'"
WITHOUT = "import runpy, sys; sys.modules[{module!r}] = None; sys.argv = {argv!r}; {run}"


def run_without(module: str, run: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program in an interpreter in which one module cannot be imported."""
    script = WITHOUT.format(module=module, argv=["infisical-sandbox", *arguments], run=run)
    return subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    "arguments", [(), ("server",), ("secrets",), ("secrets", "set"), ("cluster", "up"), ("demo",)]
)
def test_every_command_has_help(arguments: tuple[str, ...]) -> None:
    """Help works at all levels and describes each option."""
    result = CliRunner().invoke(main, [*arguments, "--help"])

    assert result.exit_code == 0
    assert "--help" in result.output


@pytest.mark.parametrize(
    ("module", "command"), [("jwt", "server"), ("jwt", "secrets"), ("filelock", "cluster"), ("rich", "demo")]
)
def test_a_missing_dependency_names_the_command_that_installs_it(module: str, command: str) -> None:
    """A checkout without the extra gets one message without a traceback."""
    done = run_without(module, "from infisical_demo.cli import main; main()", command, "--help")

    assert done.returncode == 1
    assert f"the Python module {module} is missing" in done.stderr
    assert INSTALL in done.stderr
    assert "Traceback" not in done.stderr


def test_the_server_alone_names_the_missing_dependency() -> None:
    """`python -m infisical_sandbox.server` ends with the same message."""
    done = run_without("jwt", "runpy.run_module('infisical_sandbox.server', run_name='__main__')")

    assert done.returncode == 1
    assert f"the Python module jwt is missing. In a checkout of the project, run: {INSTALL}" in done.stderr
