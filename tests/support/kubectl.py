"""kubectl as a subprocess, for what people do by hand: apply, describe, diff, delete."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Protocol


class KubectlError(Exception):
    """The API server refused, or kubectl failed; the message is its standard error."""


class ReachableCluster(Protocol):
    """A cluster with a kubeconfig and a folder that has kubectl."""

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""

    @property
    def binaries(self) -> Path:
        """The folder of kubectl."""


def kubectl_for(cluster: ReachableCluster) -> Callable[..., str]:
    """Return `kubectl(*arguments, stdin="")` for a cluster's administrator: its output, or KubectlError."""
    command = (str(cluster.binaries / "kubectl"), f"--kubeconfig={cluster.kubeconfig}")

    def run(*arguments: str, stdin: str = "") -> str:
        done = subprocess.run(  # noqa: S603 - our own kubectl
            (*command, *arguments), input=stdin, capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode:
            raise KubectlError(done.stderr.strip())
        return done.stdout

    return run
