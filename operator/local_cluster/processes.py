"""Starts, identifies and stops processes that outlive their parent.

A pid is not an identity, because the kernel reuses it. Pid, start time and boot together are one. A
process that has ended but that its parent has not reaped counts as gone.
"""

import contextlib
import os
import select
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import pydantic

from local_cluster import errors, wait

# Fields of /proc/<pid>/stat, counted from the one after the name; see proc_pid_stat(5).
_STATE, _USER_TICKS, _SYSTEM_TICKS, _THREADS, _START_TIME, _RESIDENT_PAGES = 0, 11, 12, 17, 19, 21
_TERMINATE_SECONDS = 5.0
_KILL_SECONDS = 10.0
_POLL_MILLISECONDS = 1000

_SHELL = "/bin/sh"
_RUN_WHEN_TOLD = 'read -r _ && exec "$@" </dev/null'
"""Waits for a line; the end of its input instead means that the caller is gone."""


class Process(pydantic.BaseModel):
    """The identity of one process: `started` is in clock ticks since the boot `boot`."""

    model_config = pydantic.ConfigDict(frozen=True)

    pid: int
    started: int
    boot: str


class Usage(pydantic.BaseModel):
    """The resident memory in MiB and the processor time in seconds of a process."""

    model_config = pydantic.ConfigDict(frozen=True)

    resident: float
    processor: float


def spawn(
    executable: Path,
    arguments: Iterable[str],
    environ: Mapping[str, str],
    log: Path,
    record: Callable[[Process], None] = lambda _: None,
) -> Process:
    """Start a program in a session of its own, appending its output to `log`.

    The program is executed after `record` has returned, and never if the caller is killed before: no
    process exists that is not recorded.

    Raises:
        ClusterError: the program cannot be executed.
    """
    if not os.access(executable, os.X_OK):
        raise errors.ClusterError(f"cannot run {executable}: it does not exist or is not executable")
    log.parent.mkdir(parents=True, exist_ok=True)
    with uninterrupted(), _pipe() as (reader, writer):
        pid = _posix_spawn(
            (_SHELL, "-c", _RUN_WHEN_TOLD, _SHELL, str(executable), *arguments), environ, log, reader
        )
        process = identify(pid)
        record(process)
        os.write(writer, b"\n")
    return process


def _posix_spawn(command: tuple[str, ...], environ: Mapping[str, str], log: Path, stdin: int) -> int:
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    try:
        return os.posix_spawn(
            command[0],
            command,
            environ,
            file_actions=(
                (os.POSIX_SPAWN_DUP2, stdin, 0),
                (os.POSIX_SPAWN_OPEN, 1, log, append, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ),
            setsid=True,
            setsigmask=(),
            setsigdef=(signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE),
        )
    except OSError as error:
        raise errors.ClusterError(f"cannot run {command[4]}: {error.strerror}") from error


@contextlib.contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    try:
        yield reader, writer
    finally:
        os.close(reader)
        os.close(writer)


def identify(pid: int) -> Process:
    """Return the identity of a running process.

    Raises:
        ClusterError: there is no such process.
    """
    fields = _stat(pid)
    if not fields:
        raise errors.ClusterError(f"no process has pid {pid}")
    return Process(pid=pid, started=int(fields[_START_TIME]), boot=_boot())


def state(process: Process) -> str:
    """Return `running`, `paused` or `gone`."""
    fields = _stat(process.pid)
    if not fields or int(fields[_START_TIME]) != process.started or _boot() != process.boot:
        return "gone"
    # A dead first thread does not mean a dead process: the others may still hold its sockets.
    if fields[_STATE] in "ZX" and int(fields[_THREADS]) <= 1:
        return "gone"
    return "paused" if fields[_STATE] in "Tt" else "running"


def usage(process: Process) -> Usage | None:
    """Return the resource usage of a process; None if it is gone."""
    fields = _stat(process.pid)
    if not fields or state(process) == "gone":
        return None
    ticks = int(fields[_USER_TICKS]) + int(fields[_SYSTEM_TICKS])
    return Usage(
        resident=int(fields[_RESIDENT_PAGES]) * os.sysconf("SC_PAGE_SIZE") / 2**20,
        processor=ticks / os.sysconf("SC_CLK_TCK"),
    )


def send(process: Process, number: signal.Signals) -> bool:
    """Send a signal if the process still exists; return True if it was sent."""
    if state(process) == "gone":
        _reap(process.pid)
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, number)
    return True


def terminate(process: Process) -> None:
    """Stop a process by SIGTERM, after 5 s by SIGKILL; return when it is gone."""
    send(process, signal.SIGTERM)
    send(process, signal.SIGCONT)  # a paused process does not handle signals
    try:
        wait_gone(process, _TERMINATE_SECONDS)
    except errors.ClusterError:
        kill(process)


def kill(process: Process) -> None:
    """Stop a process by SIGKILL; return when it is gone."""
    send(process, signal.SIGKILL)
    wait_gone(process, _KILL_SECONDS)


def wait_gone(process: Process, seconds: float) -> None:
    """Wait until a process is gone.

    Raises:
        ClusterError: it still exists after `seconds`.
    """
    wait.until(lambda: _is_gone(process), seconds=seconds, what=f"the end of process {process.pid}")


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Delay SIGINT, SIGTERM and SIGHUP until the context ends, so that a started process is recorded."""
    held: list[signal.Signals] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    try:
        before = {n: signal.signal(n, lambda got, _: held.append(signal.Signals(got))) for n in numbers}
    except ValueError:  # not the main thread: no handler can run here
        before = {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for late in held:
        signal.raise_signal(late)


def wait_for_end(process: Process) -> None:
    """Wait until the process ends, at most 1 s, so that the caller can check other conditions."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.poll(_POLL_MILLISECONDS)
    finally:
        os.close(descriptor)


def _is_gone(process: Process) -> bool:
    if state(process) != "gone":
        return False
    _reap(process.pid)
    return True


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):  # another process's child, or reaped already
        os.waitpid(pid, os.WNOHANG)


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/<pid>/stat after the name, which may hold any character."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
