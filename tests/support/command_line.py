"""The command line as a user runs it: a process of its own over a kubeconfig."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command printed, and its exit code."""

    code: int
    output: str
    errors: str

    @property
    def lines(self) -> list[str]:
        """The lines of the output."""
        return self.output.splitlines()

    @property
    def data(self) -> Any:  # noqa: ANN401 - JSON
        """The output as JSON."""
        return json.loads(self.output)


@dataclass(frozen=True, slots=True)
class CommandLine:
    """`infisical-events` in one namespace."""

    kubeconfig: Path
    namespace: str

    def __call__(self, *arguments: str) -> Answer:
        """Run one command."""
        given = ("--kubeconfig", str(self.kubeconfig), "-n", self.namespace)
        done = subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-m", "infisical_events", *arguments, *given],
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)
