"""The demo as a process: its checks pass, it ends by itself and it cleans up."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local_cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

Kubectl = Callable[..., str]
Eventually = Callable[..., Any]
Begin = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def begin(cluster: Cluster, tmp_path: Path) -> Begin:
    """`begin("--keep")`: a demo on the session's cluster, as a process that Ctrl-C would reach."""
    environ = os.environ | {
        "INFISICAL_SANDBOX_STATE": str(tmp_path / "state"),
        "PATH": f"{cluster.binaries}:{os.environ['PATH']}",
        "PYTHONUNBUFFERED": "1",
    }

    def run(*arguments: str) -> subprocess.Popen[str]:
        # A test session in the background has Ctrl-C ignored, and would hand that down.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return subprocess.Popen(  # noqa: S603 - our own program
                (sys.executable, "-m", "infisical_demo", "demo", *arguments),
                env=environ,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        finally:
            signal.signal(signal.SIGINT, before)

    return run


def left_over(folder: Path) -> list[str]:
    """The command lines of processes that know of a folder."""
    lines = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            environ = (entry / "environ").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if entry.name.isdecimal() and int(entry.name) != os.getpid() and str(folder) in line + environ:
            lines.append(line)
    return lines


def has_namespace(kubectl: Kubectl, output: str) -> bool:
    """Whether the namespace in the output of a demo still exists."""
    made = re.search(r"create namespace (demo-\w+)", output)
    assert made is not None, output
    return bool(kubectl("get", "namespace", made[1], "--ignore-not-found"))


def test_all_checks_pass_and_the_demo_cleans_up(
    cluster: Cluster, kubectl: Kubectl, begin: Begin, tmp_path: Path
) -> None:
    """All checks pass, the latencies are printed, and namespace, processes and files are gone."""
    demo = begin(f"--kubeconfig={cluster.kubeconfig}", "--updates=2")
    output, _ = demo.communicate(timeout=200)
    result = re.search(r"(\d+) of (\d+) checks passed", output)

    assert demo.returncode == 0, output
    assert result is not None
    assert result[1] == result[2] != "0"
    for what in (
        "event",
        "matched",
        "restart",
        "rollout",
        "skipped",
        "KeysNotSelected",
        "debounceSeconds",
        "MiB",
    ):
        assert what in output
    assert "\x1b" not in output
    assert left_over(tmp_path) == []
    assert not has_namespace(kubectl, output)
    assert sorted(path.name for path in (tmp_path / "state").iterdir()) == ["demo.lock"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_demo_that_is_stopped_leaves_nothing(
    number: signal.Signals,
    cluster: Cluster,
    kubectl: Kubectl,
    begin: Begin,
    eventually: Eventually,
    tmp_path: Path,
) -> None:
    """Ctrl-C and a kill: its namespace, its processes and its files are gone."""
    demo = begin(f"--kubeconfig={cluster.kubeconfig}")
    assert demo.stdout is not None
    output = ""
    while "A secret changes: " not in output:
        output += demo.stdout.readline() or pytest.fail(output)
    demo.send_signal(number)
    demo.communicate(timeout=60)

    assert demo.returncode == (-number if number is signal.SIGKILL else 130)
    eventually(lambda: left_over(tmp_path) == [], seconds=60)
    assert not has_namespace(kubectl, output)
    assert not (tmp_path / "state" / "demo").exists()


def test_a_kept_demo_runs_on_until_it_is_stopped(
    cluster: Cluster, begin: Begin, eventually: Eventually, tmp_path: Path
) -> None:
    """With --keep the operator still restarts the workload after a change; --stop ends everything."""
    demo = begin(f"--kubeconfig={cluster.kubeconfig}", "--updates=2", "--keep")
    output, _ = demo.communicate(timeout=200)
    assert demo.returncode == 0, output
    try:
        namespace = re.search(r"-n (demo-\w+)", output)
        assert namespace is not None
        suggestion = next(line for line in output.splitlines() if "DB_PASSWORD=other" in line)
        command = suggestion.removeprefix("  $ infisical-sandbox ").split()
        ready = tmp_path / "state" / "demo" / "infisical.json"
        environ = os.environ | {"INFISICAL_SANDBOX_READY_FILE": str(ready)}
        program = (sys.executable, "-m", "infisical_demo")
        generation = (
            "get",
            "deployment",
            "payments",
            "-n",
            namespace[1],
            "-o=jsonpath={.metadata.generation}",
        )
        kubectl = (str(cluster.binaries / "kubectl"), f"--kubeconfig={cluster.kubeconfig}", *generation)

        before = int(subprocess.check_output(kubectl))  # noqa: S603 - our own kubectl
        subprocess.run((*program, *command), env=environ, check=True, capture_output=True)  # noqa: S603 - ours
        eventually(lambda: int(subprocess.check_output(kubectl)) == before + 1)  # noqa: S603 - our own kubectl
    finally:
        stopped = begin("--stop")
        stopped.communicate(timeout=60)

    assert stopped.returncode == 0
    assert left_over(tmp_path) == []


def test_only_one_demo_runs_at_a_time(cluster: Cluster, begin: Begin) -> None:
    """A second one fails with an error and does not touch the first one."""
    first = begin(f"--kubeconfig={cluster.kubeconfig}")
    try:
        assert first.stdout is not None
        first.stdout.readline()
        second = begin("--stop")
        output, _ = second.communicate(timeout=30)
        assert second.returncode == 1
        assert "another demo is running" in output
    finally:
        first.terminate()
        first.communicate(timeout=60)
    assert first.returncode == 130
