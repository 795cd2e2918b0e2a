"""The record of a running cluster, by which any later process can find, check and stop it."""

import random
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

import pydantic

from local_cluster import components, errors
from local_cluster.processes import Process

_PORTS = range(20_000, 32_000)
_ATTEMPTS = 200


class Record(pydantic.BaseModel):
    """The options of one cluster, and its processes by component name."""

    model_config = pydantic.ConfigDict(frozen=True)

    binaries: Path
    kubeconfig: Path
    ports: dict[str, int]
    audit_log: bool = False
    processes: dict[str, Process] = {}

    def with_process(self, name: str, process: Process) -> "Record":
        """Return this record with `process` under `name`."""
        return self.model_copy(update={"processes": {**self.processes, name: process}})


def load(path: Path) -> Record | None:
    """Return the record at `path`; None if no cluster is up there.

    Raises:
        ClusterError: the file is not a record.
    """
    try:
        return Record.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except pydantic.ValidationError as error:
        raise errors.ClusterError(
            f"{path} is damaged. Stop the cluster's processes by hand and remove the file: {error}"
        ) from None


def save(path: Path, record: Record) -> None:
    """Write the record atomically."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(record.model_dump_json(indent=2))
    fresh.replace(path)


def free_ports(names: Iterable[str] = components.PORT_NAMES) -> dict[str, int]:
    """Return a free loopback port per name.

    The ports are below the kernel's range for outgoing connections. Otherwise a client that retries while
    a component restarts could occupy the component's port, or even connect to itself there.

    Raises:
        ClusterError: no free ports were found.
    """
    candidates = iter(random.sample(_PORTS, _ATTEMPTS))
    found = {name: next(filter(_is_free, candidates), 0) for name in names}
    if not all(found.values()):
        raise errors.ClusterError(
            f"no free ports on {components.LOOPBACK} from {_PORTS.start} to {_PORTS.stop - 1}"
        )
    return found


def are_free(ports: Mapping[str, int]) -> bool:
    """Return True if all ports are free."""
    return all(map(_is_free, ports.values()))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((components.LOOPBACK, port))
        except OSError:
            return False
    return True
