"""Building the programs from source: works anywhere with a Go toolchain and Go modules.

The pinned modules lie in `deploy/local/programs` of the checkout, so this source exists only for
a package that is installed from one.
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
    """Return the `go build` that writes a small static `target` knowing its version."""
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

    `modules` holds the Go modules; the compiler's output goes to `log`.

    Raises:
        Unavailable: no Go toolchain or no checkout.
        ClusterError: the build failed; the message has the end of the output.
    """
    go, target = _toolchain(modules), folder / program.name
    minutes = max(1, round(program.build_seconds / 60))
    say(f"{program.name} {program.version}: building, up to {minutes} min on two cores")
    # The toolchain's work folder is gigabytes: inside ours it goes even if the toolchain is killed.
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
        raise errors.Unavailable("there is no Go toolchain on PATH (1.26 or newer is needed)")
    if not modules.is_dir():
        raise errors.Unavailable(f"there is no {modules}: building needs a checkout")
    return go


def _wait(process: subprocess.Popen[bytes], name: str, say: Callable[[str], None]) -> int:
    started = time.monotonic()
    try:
        while True:
            try:
                return process.wait(_REPORT_SECONDS)
            except subprocess.TimeoutExpired:
                minutes, seconds = divmod(round(time.monotonic() - started), 60)
                say(f"{name}: still building, {minutes}:{seconds:02}")
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _failure(name: str, code: int, log: Path) -> str:
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-_TAIL_LINES:])
    return f"building {name} failed with exit code {code}:\n{tail}\nThe whole log: {log}"
