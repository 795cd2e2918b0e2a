"""The metadata of a Kubernetes Secret or ConfigMap, never its values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from infisical_events.api import annotations
from infisical_events.core.status.text import preview

_DATA = "f:data/f:"
_CONTENT = f"f:metadata/f:annotations/f:{annotations.CONTENT}"
_MOST_NAMES = 5
"""Keys that one sentence names."""

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

    `name` is the reference of a ConfigMap, whose `data_digest` is a plain digest of its data: it is stored
    elsewhere only under a key.

    Attributes:
        written_at: The newest time of a write by the API server's clock, in whole seconds.
        our_fields: The fields that this operator applied and that no other client has changed since, as
            paths of `managedFields`: `f:data/f:PASSWORD`.
        other_managers: The field managers of fields that other clients wrote, by their paths.
        controller_uid: The owner that manages it (`controller: true`); empty if there is none.
        controller_kind: The kind of that owner.
        is_owned_by_subscription: Whether that owner is a subscription.
        is_deleting: Whether it is deleted and only waits for finalizers.
        managers: The field managers apart from this operator.
    """

    name: str
    uid: str
    resource_version: str
    annotations: Mapping[str, str]
    owner_uids: frozenset[str] = frozenset()
    written_at: datetime | None = None
    our_fields: frozenset[str] = frozenset()
    other_managers: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    controller_uid: str = ""
    controller_kind: str = ""
    is_owned_by_subscription: bool = False
    is_deleting: bool = False
    created_at: datetime | None = None
    managers: tuple[FieldManager, ...] = ()
    data_digest: str = ""

    @property
    def our_keys(self) -> frozenset[str]:
        """The data keys among our fields."""
        return frozenset(path.removeprefix(_DATA) for path in self.our_fields if path.startswith(_DATA))

    @property
    def data_written_at(self) -> datetime | None:
        """When the data were last written, as far as that is known."""
        times = [manager.time for manager in self.managers if manager.writes_data]
        return max(times, default=self.written_at)


@dataclass(frozen=True, slots=True)
class Drift:
    """What became of a Secret since this process wrote it.

    `edit` is what other clients did to it, as a clause; empty if all that was written is there. With
    `is_rewritten` another process of the operator has written other content, by a newer or an older ledger.
    """

    edit: str = ""
    is_rewritten: bool = False


def drift_of(found: SecretMetadata | None, written: SecretMetadata) -> Drift:
    """The drift of a Secret, by its metadata.

    The API server takes a field away from its field manager when another one changes or removes it.
    """
    if found is None or found.is_deleting:
        return Drift("was deleted")
    if found.uid != written.uid:
        return Drift("was replaced")
    is_other = found.annotations.get(annotations.CONTENT) != written.annotations.get(annotations.CONTENT)
    if is_other and _CONTENT in found.our_fields:
        return Drift(is_rewritten=True)
    lost = written.our_fields - found.our_fields
    if not lost:
        return Drift()
    keys = sorted(written.our_keys - found.our_keys)
    fields = f"data {preview(keys, _MOST_NAMES)}" if keys else "metadata"
    managers = sorted({found.other_managers[path] for path in lost & found.other_managers.keys()})
    by = f" by field manager {preview(managers, _MOST_NAMES)}" if managers else ""
    return Drift(f"was edited{by} ({fields})")
