"""The process of one attack, as `hostile.attacker` runs it, seen from the program that measures."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from hostile.attacker import Assignment

OWN_TREE = {
    "PYTHONPATH": os.pathsep.join(str(Path(__file__).parents[2] / name) for name in ("operator", "tests"))
}
"""The variable by which a process has the modules of this tree: pytest sets a path for itself only."""

_READY_SECONDS = 90
_APPLIED_SECONDS = 60
_END_SECONDS = 30


class AttackerError(Exception):
    """The process of an attack does not do what it is told."""


@dataclass(frozen=True, slots=True)
class AttackProcess:
    """A process that runs; its lines come through a thread, so that each wait has a deadline."""

    name: str
    process: "subprocess.Popen[str]"
    lines: "SimpleQueue[str]"

    def go(self) -> None:
        """Let the attack begin."""
        self._write("go\n")

    def wait_applied(self) -> None:
        """Wait until the objects are created."""
        self._read("applied", _APPLIED_SECONDS)

    def wait_ready(self) -> None:
        """Wait until the server serves."""
        self._read("ready", _READY_SECONDS)

    def end(self) -> str:
        """End the attack; return what was missing from it, empty if it was complete."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        result = self._read("result", _END_SECONDS)
        missing = [] if result["is_asked"] else ["its server got no request for what is hostile"]
        return "; ".join((*missing, *result["refused"]))

    def _write(self, text: str) -> None:
        if self.process.stdin is not None:
            self.process.stdin.write(text)
            self.process.stdin.flush()

    def _read(self, name: str, seconds: float) -> Any:  # noqa: ANN401 - JSON
        try:
            line = self.lines.get(timeout=seconds)
        except Empty:
            raise AttackerError(f"{self.name}: nothing of {name} within {seconds} s") from None
        if not line:
            raise AttackerError(f"{self.name}: the attacker's process has ended before {name}")
        return json.loads(line)[name]


@contextmanager
def attack_process(assignment: Assignment, log: Path) -> Iterator[AttackProcess]:
    """A process whose server serves; it has ended after the block."""
    command = (sys.executable, "-m", "hostile.attacker", json.dumps(asdict(assignment)))
    with (
        log.open("ab") as errors,
        subprocess.Popen(  # noqa: S603 - our own program
            command,
            env=os.environ | OWN_TREE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        lines = SimpleQueue[str]()
        Thread(target=_read_all, args=(process, lines), daemon=True).start()
        running = AttackProcess(assignment.attack, process, lines)
        try:
            running.wait_ready()
            yield running
        finally:
            process.kill()


def _read_all(process: "subprocess.Popen[str]", lines: "SimpleQueue[str]") -> None:
    if process.stdout is not None:
        for line in process.stdout:
            lines.put(line)
    lines.put("")
