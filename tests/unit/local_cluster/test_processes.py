"""A process is only touched while it is still the one that was started."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local_cluster import errors, processes
from local_cluster.processes import Process

SLEEP = Path("/bin/sleep")


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Process]:
    """A process that does nothing for a long time."""
    process = processes.spawn(SLEEP, ("600",), {}, tmp_path / "log")
    yield process
    processes.kill(process)


def test_a_started_process_runs_in_its_own_session(sleeper: Process) -> None:
    """A Ctrl-C at the terminal that started it does not reach it."""
    assert processes.state(sleeper) == "running"
    assert sleeper.pid == os.getsid(sleeper.pid)


def test_its_output_is_appended_to_the_log(tmp_path: Path) -> None:
    """Output from before a restart stays in the log, which only its owner can read."""
    log = tmp_path / "logs" / "log"
    for word in ("first", "second"):
        process = processes.spawn(Path("/bin/echo"), (word,), {}, log)
        processes.wait_gone(process, 5)

    assert log.read_text() == "first\nsecond\n"
    assert log.stat().st_mode & 0o777 == 0o600


def test_a_reused_pid_is_somebody_else(sleeper: Process) -> None:
    """A process with the same pid but another start time or boot is never signalled."""
    earlier = sleeper.model_copy(update={"started": sleeper.started - 1})
    other_boot = sleeper.model_copy(update={"boot": "another"})

    assert [processes.state(earlier), processes.state(other_boot)] == ["gone", "gone"]
    assert not processes.send(earlier, signal.SIGKILL)
    processes.kill(other_boot)

    assert processes.state(sleeper) == "running"


def test_a_name_with_parentheses_is_read_right(tmp_path: Path) -> None:
    """The kernel's table puts the program's name, of any characters, before the fields."""
    odd = tmp_path / ") Z 1 ("
    odd.symlink_to(SLEEP.resolve())
    process = processes.spawn(odd, ("600",), {}, tmp_path / "log")

    assert processes.state(process) == "running"
    processes.kill(process)
    assert processes.state(process) == "gone"


def test_pausing_is_seen(sleeper: Process, eventually: Callable[..., Any]) -> None:
    """A stopped process is paused, and running again when continued."""
    processes.send(sleeper, signal.SIGSTOP)
    eventually(lambda: processes.state(sleeper) == "paused")

    processes.send(sleeper, signal.SIGCONT)
    eventually(lambda: processes.state(sleeper) == "running")


def test_a_paused_process_can_be_terminated(sleeper: Process) -> None:
    """Termination does not wait for a paused process."""
    processes.send(sleeper, signal.SIGSTOP)

    processes.terminate(sleeper)

    assert processes.state(sleeper) == "gone"


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ignores SIGTERM gets SIGKILL."""
    monkeypatch.setattr(processes, "_TERMINATE_SECONDS", 0.1)
    log = tmp_path / "log"
    script = "trap '' TERM; echo deaf; while :; do sleep 1; done"
    process = processes.spawn(Path("/bin/sh"), ("-c", script), {"PATH": os.defpath}, log)
    while not log.read_text():
        pass

    processes.terminate(process)

    assert processes.state(process) == "gone"


def test_a_missing_program_is_an_error(tmp_path: Path) -> None:
    """The message names the program that cannot be run."""
    with pytest.raises(errors.ClusterError, match=r"cannot run .*missing"):
        processes.spawn(tmp_path / "missing", (), {}, tmp_path / "log")


def test_a_process_that_cannot_be_recorded_never_runs(tmp_path: Path) -> None:
    """A caller that dies before it recorded the process leaves nothing behind that nobody knows of."""
    left, log = [], tmp_path / "log"

    def die(process: Process) -> None:
        left.append(process)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        processes.spawn(Path("/bin/echo"), ("ran",), {}, log, die)

    processes.wait_gone(left[0], 5)
    assert log.read_text() == ""


def test_usage_is_measured(sleeper: Process) -> None:
    """Memory in MiB and processor seconds come from the kernel; a process that has ended has none."""
    usage = processes.usage(processes.identify(os.getpid()))

    assert usage
    assert 5 < usage.resident < 5000
    assert usage.processor > 0
    assert processes.usage(sleeper.model_copy(update={"started": 1})) is None


def test_interrupts_wait_until_the_process_is_written_down() -> None:
    """An interrupt inside the protected block arrives, but only after it."""
    done = []

    def start() -> None:
        with processes.uninterrupted():
            signal.raise_signal(signal.SIGINT)
            done.append("written down")

    with pytest.raises(KeyboardInterrupt):
        start()

    assert done == ["written down"]
    assert signal.default_int_handler is signal.getsignal(signal.SIGINT)
