"""The command line without a cluster: exit codes, messages, and where results go."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from infisical_demo.cli import main
from local_cluster import ClusterError, wait


def test_status_without_a_cluster_is_three(tmp_path: Path) -> None:
    """A script can distinguish "not up" from "not all running"."""
    result = CliRunner().invoke(main, ["cluster", "status", f"--state={tmp_path}"])

    assert result.exit_code == 3
    assert "no cluster is up" in result.stderr
    assert not result.stdout


def test_down_without_a_cluster_is_fine(tmp_path: Path) -> None:
    """Stopping a stopped cluster is not an error and creates no file."""
    result = CliRunner().invoke(main, ["cluster", "down", f"--state={tmp_path / 'none'}"])

    assert result.exit_code == 0
    assert not (tmp_path / "none").exists()


def test_env_without_a_cluster_is_an_error(tmp_path: Path) -> None:
    """Nothing is printed that a shell would evaluate."""
    result = CliRunner().invoke(main, ["cluster", "env", f"--state={tmp_path}"])

    assert result.exit_code == 1
    assert "no cluster is up" in result.stderr
    assert not result.stdout


def test_the_state_folder_can_come_from_the_environment(tmp_path: Path) -> None:
    """INFISICAL_SANDBOX_STATE stands for --state."""
    environ = {"INFISICAL_SANDBOX_STATE": str(tmp_path)}

    result = CliRunner().invoke(main, ["cluster", "status"], env=environ)

    assert str(tmp_path) in result.stderr


def test_waiting_returns_the_first_true_value() -> None:
    """The condition is called again until it has a value."""
    values = iter([0, None, "", "here"])

    assert wait.until(lambda: next(values), seconds=5, what="a value") == "here"


def test_a_wait_times_out_with_its_name() -> None:
    """The message has the deadline, the name of the condition and the last value."""
    with pytest.raises(ClusterError, match=r"0 s waiting for rain: \[\]"):
        wait.until(list, seconds=0, what="rain")
