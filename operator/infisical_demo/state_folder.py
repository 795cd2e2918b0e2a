"""What a demo has started, written down before it is needed, and the way to take all of it away.

The demo itself, its guardian and a later `demo --stop` clean up by the same record.
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
    """A namespace that a demo made, and how to reach it."""

    model_config = pydantic.ConfigDict(frozen=True)

    kubectl: Path
    kubeconfig: Path
    name: str


class Record(pydantic.BaseModel):
    """The belongings of one demo; `cluster` is the state folder of a control plane that it started."""

    model_config = pydantic.ConfigDict(frozen=True)

    cluster: Path | None = None
    namespace: Namespace | None = None
    processes: dict[str, Process] = {}

    def having(self, name: str, process: Process) -> "Record":
        """Return this record with `process` as the one that plays `name`."""
        return self.model_copy(update={"processes": {**self.processes, name: process}})


class Folder:
    """The folder of the one demo that a user may have at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path / "demo.json"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder while a demo runs or is stopped.

        Raises:
            DemoError: another process holds it.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = filelock.FileLock(self.path.with_name(f"{self.path.name}.lock"), timeout=0)
        try:
            lock.acquire()
        except filelock.Timeout:
            sentence = (
                "another demo is running: let it end or press Ctrl-C there, or name another state folder"
            )
            raise DemoError(f"{sentence} by INFISICAL_SANDBOX_STATE") from None
        try:
            yield
        finally:
            lock.release()

    @property
    def record(self) -> Record | None:
        """What is there to be taken away; None if nothing is."""
        try:
            return Record.model_validate_json(self._file.read_bytes())
        except FileNotFoundError:
            return None

    def save(self, record: Record) -> None:
        """Write the record so that a reader sees the old one or the new one, never a half."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(record.model_dump_json(indent=2))
        fresh.replace(self._file)

    def spawn(
        self, name: str, executable: Path, arguments: tuple[str, ...], environ: dict[str, str]
    ) -> Process:
        """Start a process and write it down, with no interrupt in between."""
        with processes.uninterrupted():
            process = processes.spawn(executable, arguments, environ, self.log(name))
            self.save((self.record or Record()).having(name, process))
        return process

    def log(self, name: str) -> Path:
        """Return the output file of a process."""
        return self.path / f"{name}.log"

    def clean(self) -> bool:
        """End and remove everything in the record; tell whether there was one.

        Raises:
            DemoError: a namespace cannot be deleted; it is not tried again.
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
    wishes = ("--ignore-not-found", f"--timeout={_DELETE_SECONDS}s")
    done = subprocess.run((*command, *wishes), capture_output=True, text=True, check=False)  # noqa: S603 - our kubectl
    if done.returncode:
        raise DemoError(
            f"namespace {namespace.name} could not be deleted, do it by hand: {done.stderr.strip()}"
        )
