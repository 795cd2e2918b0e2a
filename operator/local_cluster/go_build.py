"""Builds the programs from source, with a Go toolchain and the pinned Go modules.

The modules are in `deploy/local/programs` of the checkout, so a build needs a package that is installed
from a checkout.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from local_cluster import errors
from local_cluster.programs import Program

_REPORT_SECONDS = 15
_TAIL_LINES = 20
MODULES = Path(__file__).parents[2] / "deploy" / "local" / "programs"


def command(go: str, program: Program, target: Path) -> tuple[str, ...]:
    """Return the `go build` command for a static `target` with its version set and no debug data."""
    stamps = (f"-X {name}={value}" for name, value in program.variables)
    flags = " ".join(("-s", "-w", *stamps))
    return (go, "build", "-trimpath", "-ldflags", flags, "-o", str(target), program.package)


def build(
    program: Program,
    folder: Path,
    say: Callable[[str], None],
    *,
    modules: Path,
    log: Path,
) -> Path:
    """Build `program` into `folder`; return the executable.

    `modules` is the folder of the Go modules; the compiler's output goes to `log`.

    Raises:
        Unavailable: no Go toolchain or no checkout.
        ClusterError: the build failed; the message has the end of the output.
    """
    go, target = _toolchain(modules), folder / program.name
    minutes = max(1, round(program.build_seconds / 60))
    say(f"{program.name} {program.version}: building from source, up to {minutes} min on 2 cores")
    # The toolchain's work folder takes gigabytes: inside ours it is removed even if the toolchain is killed.
    environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOTMPDIR": str(folder)}
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - the command is ours
            command(go, program, target),
            cwd=modules / program.module,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,  # so that the compilers it starts can be stopped with it
        )
        code = _wait(process, program.name, say)
    if code:
        raise errors.ClusterError(_failure(program.name, code, log))
    return target


def _toolchain(modules: Path) -> str:
    go = shutil.which("go")
    if not go:
        raise errors.Unavailable("no Go toolchain on PATH; a build needs Go 1.26 or newer")
    if not modules.is_dir():
        raise errors.Unavailable(f"folder {modules} is missing; a build needs a checkout of the project")
    return go


def _wait(process: subprocess.Popen[bytes], name: str, say: Callable[[str], None]) -> int:
    started = time.monotonic()
    try:
        while True:
            try:
                return process.wait(_REPORT_SECONDS)
            except subprocess.TimeoutExpired:
                minutes, seconds = divmod(round(time.monotonic() - started), 60)
                say(f"{name}: still building after {minutes} min {seconds:02} s")
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _failure(name: str, code: int, log: Path) -> str:
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-_TAIL_LINES:])
    return f"the build of {name} failed with exit code {code}:\n{tail}\nThe whole log: {log}"
