"""kubectl for the demo's namespace."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from infisical_demo.errors import DemoError

_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Kubectl:
    """kubectl for one namespace of one cluster."""

    binary: Path
    kubeconfig: Path
    namespace: str

    def __call__(self, *arguments: str) -> str:
        """Run kubectl and return its standard output.

        Raises:
            DemoError: kubectl failed or exceeded 60 s.
        """
        command: tuple[str | Path, ...] = (
            self.binary,
            f"--kubeconfig={self.kubeconfig}",
            f"--namespace={self.namespace}",
            *arguments,
        )
        try:
            done = subprocess.run(  # noqa: S603 - our kubectl
                command, capture_output=True, text=True, timeout=_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise DemoError(f"kubectl {' '.join(arguments)} timed out after {_SECONDS} s") from None
        if done.returncode:
            raise DemoError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def command_line(self, *arguments: str) -> str:
        """The command as typed in a shell."""
        return f"kubectl -n {self.namespace} {' '.join(arguments)}"


def found_kubectl() -> Path | None:
    """The kubectl on PATH, which may have the user's login plugins; None if there is none."""
    found = shutil.which("kubectl")
    return Path(found) if found else None
