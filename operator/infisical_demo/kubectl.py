"""The cluster as the demo uses it: one namespace, reached by the real kubectl."""

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
        """Run it and return what it wrote.

        Raises:
            DemoError: it said no.
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
            raise DemoError(f"kubectl {' '.join(arguments)} did not end within {_SECONDS} s") from None
        if done.returncode:
            raise DemoError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def shown(self, *arguments: str) -> str:
        """The command as a person would type it."""
        return f"kubectl -n {self.namespace} {' '.join(arguments)}"


def found_kubectl() -> Path | None:
    """The user's own kubectl, which knows the user's own logins."""
    found = shutil.which("kubectl")
    return Path(found) if found else None
