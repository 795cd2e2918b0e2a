"""The metadata of a Kubernetes Secret or ConfigMap, never its values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

_CONFIG_MAP = "configmap/"


def config_map_reference(name: str) -> str:
    """How a ConfigMap is named beside Secrets: `configmap/NAME`, which no Secret's name can be."""
    return f"{_CONFIG_MAP}{name}"


def config_map_of(reference: str) -> str:
    """The name of the ConfigMap; empty if the reference is the name of a Secret."""
    return reference.removeprefix(_CONFIG_MAP) if reference.startswith(_CONFIG_MAP) else ""


@dataclass(frozen=True, slots=True, order=True)
class FieldManager:
    """Who wrote fields of an object, and when last; `writes_data` tells whether the data are among them.

    `time` is the API server's, in whole seconds: of the manager's last write that changed its fields.
    """

    name: str
    time: datetime
    writes_data: bool = False


@dataclass(frozen=True, slots=True)
class SecretMetadata:
    """Who owns a Secret, who wrote it when, and what its writer says of its content.

    `written_at` is the newest time of a write by the API server's clock, in whole seconds; `our_keys` are
    the data keys that this operator applied and nobody has taken over since. `name` is the reference of a
    ConfigMap, whose `data_digest` is a plain digest of its data: it is stored elsewhere only under a key.
    """

    name: str
    uid: str
    resource_version: str
    annotations: Mapping[str, str]
    owner_uids: frozenset[str] = frozenset()
    written_at: datetime | None = None
    our_keys: frozenset[str] = frozenset()
    labels: Mapping[str, str] = field(default_factory=dict)
    controller_uid: str = ""
    """The owner that manages it (`controller: true`); empty if there is none."""
    controller_kind: str = ""
    created_at: datetime | None = None
    managers: tuple[FieldManager, ...] = ()
    data_digest: str = ""

    @property
    def data_written_at(self) -> datetime | None:
        """When the data were last written, as far as that is known."""
        times = [manager.time for manager in self.managers if manager.writes_data]
        return max(times, default=self.written_at)
