"""The state folder of the demo: the record of everything it started, and the cleanup by that record.

The demo itself, its guardian process and a later `demo --stop` all clean up by the same record.
"""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import filelock
import pydantic

from infisical_demo.errors import DemoError
from local_cluster import Cluster, processes
from local_cluster.processes import Process

_DELETE_SECONDS = 120


class Namespace(pydantic.BaseModel):
    """A namespace that a demo created, with the kubectl and kubeconfig that reach it."""

    model_config = pydantic.ConfigDict(frozen=True)

    kubectl: Path
    kubeconfig: Path
    name: str


class Record(pydantic.BaseModel):
    """Everything that one demo started; `cluster` is the state folder of its own control plane."""

    model_config = pydantic.ConfigDict(frozen=True)

    cluster: Path | None = None
    namespace: Namespace | None = None
    processes: dict[str, Process] = {}

    def with_process(self, name: str, process: Process) -> "Record":
        """Return this record with `process` under `name`."""
        return self.model_copy(update={"processes": {**self.processes, name: process}})


class StateFolder:
    """The folder of a user's only demo."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path / "demo.json"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder's lock while a demo runs or stops.

        Raises:
            DemoError: another process holds the lock.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = filelock.FileLock(self.path.with_name(f"{self.path.name}.lock"), timeout=0)
        try:
            lock.acquire()
        except filelock.Timeout:
            raise DemoError(
                "another demo is running. Wait until it ends, stop it with Ctrl-C, or set "
                "INFISICAL_SANDBOX_STATE to another state folder."
            ) from None
        try:
            yield
        finally:
            lock.release()

    @property
    def record(self) -> Record | None:
        """The record of what has to be cleaned up; None if there is none."""
        try:
            return Record.model_validate_json(self._file.read_bytes())
        except FileNotFoundError:
            return None

    def save(self, record: Record) -> None:
        """Write the record atomically."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(record.model_dump_json(indent=2))
        fresh.replace(self._file)

    def spawn(
        self, name: str, executable: Path, arguments: tuple[str, ...], environ: dict[str, str]
    ) -> Process:
        """Start a recorded process."""

        def record(process: Process) -> None:
            self.save((self.record or Record()).with_process(name, process))

        return processes.spawn(executable, arguments, environ, self.log(name), record)

    def log(self, name: str) -> Path:
        """Return the output file of a process."""
        return self.path / f"{name}.log"

    def clean(self) -> bool:
        """Stop and remove everything in the record; return True if there was a record.

        Raises:
            DemoError: the namespace cannot be deleted. The folder is removed, so a retry does nothing.
        """
        record = self.record
        try:
            if record is not None:
                _undo(record)
        except DemoError:
            shutil.rmtree(self.path)
            raise
        shutil.rmtree(self.path, ignore_errors=True)
        return record is not None


def _undo(record: Record) -> None:
    for process in record.processes.values():
        processes.terminate(process)
    if record.cluster is not None:
        Cluster(record.cluster).down()
    elif record.namespace is not None:
        _delete(record.namespace)


def _delete(namespace: Namespace) -> None:
    command = (
        namespace.kubectl,
        f"--kubeconfig={namespace.kubeconfig}",
        "delete",
        "namespace",
        namespace.name,
    )
    flags = ("--ignore-not-found", f"--timeout={_DELETE_SECONDS}s")
    done = subprocess.run((*command, *flags), capture_output=True, text=True, check=False)  # noqa: S603 - our kubectl
    if done.returncode:
        raise DemoError(
            f"namespace/{namespace.name} was not deleted, delete it by hand: {done.stderr.strip()}"
        )
