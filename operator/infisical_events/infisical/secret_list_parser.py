"""Parsing of secret lists: ids and versions, keyed digests of values, or the values themselves.

`secret_lists` requests the lists, `session` those of environments and folders. Only shared secrets count: no
workload uses a personal override.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from infisical_events.core.paths.scopes import Folder, Scope, canonical
from infisical_events.core.snapshots.snapshots import (
    ABSENT,
    Partition,
    PartitionState,
    SecretVersion,
    short_id,
)
from infisical_events.core.status.reasons import Reason
from infisical_events.core.sync.managed_secret_content import FolderValues
from infisical_events.core.sync.value_digests import DigestKey
from infisical_events.infisical.infisical_errors import InfisicalError

PartitionStates = Mapping[Partition, PartitionState]

_HIDDEN = "<hidden-by-infisical>"
"""Infisical's placeholder for a hidden value; it must never be written to a Secret."""

_MAX_NAME_LENGTH = 64
"""Characters of a secret's name in a message."""


def parse_list(scope: Scope, body: object, key: DigestKey | None = None) -> PartitionStates:
    """The partition states in the body of a list response.

    Raises:
        InfisicalError: the body is malformed; all server versions have this structure.
    """
    try:
        return _partition_states(scope, body, key)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise _unknown_shape() from None


def _unknown_shape() -> InfisicalError:
    return InfisicalError(
        Reason.UNEXPECTED_RESPONSE, "The list of secrets has an unexpected structure: check spec.address."
    )


def parse_environments(body: object) -> frozenset[str]:
    """The slugs of the environments in the body of a project's response.

    Raises:
        InfisicalError: the body is malformed.
    """
    project = _member(body, "project") or _member(body, "workspace")
    return _names(_member(project, "environments"), "slug")


def parse_subfolders(body: object) -> frozenset[str]:
    """The names in the body of a list of folders; raises InfisicalError if it is malformed."""
    return _names(_member(body, "folders"), "name")


def _member(body: object, name: str) -> object:
    return body.get(name) if isinstance(body, dict) else None


def _names(entries: object, name: str) -> frozenset[str]:
    try:
        return frozenset(_text(entry[name]) for entry in entries)  # type: ignore[attr-defined] # caught
    except (KeyError, TypeError):
        raise InfisicalError(
            Reason.UNEXPECTED_RESPONSE,
            "The response for a project or its folders has an unexpected structure: check spec.address.",
        ) from None


def parse_values(scope: Scope, body: object, key: DigestKey | None = None) -> FolderValues:
    """The states and values in the body of a list response; always with the folder's own partition.

    Raises:
        InfisicalError: PERMISSION_DENIED, a value is hidden; UNEXPECTED_RESPONSE as in `parse_list`.
    """
    partitions = {Partition(scope): ABSENT, **parse_list(scope, body, key)}
    values = {
        partition: _values(partition, listed.secrets)
        for partition, listed in _listed_by_partition(scope, body).items()
    }
    return FolderValues(partitions, {Partition(scope): {}, **values})


@dataclass(frozen=True, slots=True)
class _ListedSecrets:
    """The listed secrets of one partition."""

    rank: int
    secrets: list[Mapping[str, Any]] = field(default_factory=list, repr=False)


def _partition_states(scope: Scope, body: Any, key: DigestKey | None) -> PartitionStates:  # noqa: ANN401 - JSON; a missing key raises
    return {
        partition: PartitionState.of(
            {_text(secret["secretKey"]): _secret_version(secret, key) for secret in listed.secrets},
            listed.rank,
        )
        for partition, listed in _listed_by_partition(scope, body).items()
    }


def _listed_by_partition(scope: Scope, body: Any) -> dict[Partition, _ListedSecrets]:  # noqa: ANN401 - as above
    found: dict[Partition, _ListedSecrets] = {}
    for secret in _shared(body["secrets"]):
        path = canonical(secret.get("secretPath") or "/") if scope.recursive else scope.folder.path
        partition = Partition.own(Folder(scope.folder.environment, path))
        found.setdefault(partition, _ListedSecrets(0)).secrets.append(secret)
    for rank, entry in enumerate(body.get("imports") or ()):
        source = Folder(_text(entry["environment"]), canonical(entry["secretPath"]))
        secrets = list(_shared(entry["secrets"]))
        if secrets:
            found[Partition(scope, source)] = _ListedSecrets(rank, secrets)
    return found


def _values(partition: Partition, secrets: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The values of one partition, whose secrets are already known to be well-formed.

    Raises:
        InfisicalError: a value is hidden or is not text.
    """
    values = {}
    for secret in secrets:
        name, value = secret["secretKey"], secret.get("secretValue")
        if secret.get("secretValueHidden") or value == _HIDDEN:
            raise InfisicalError(
                Reason.PERMISSION_DENIED,
                f"Infisical hides the value of {name[:_MAX_NAME_LENGTH]!a} in "
                f"{partition.source or partition.folder}.",
            )
        if not isinstance(value, str):
            raise _unknown_shape()
        values[name] = value
    return values


def _shared(secrets: Iterable[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    return (secret for secret in secrets if secret.get("type", "shared") == "shared")


def _secret_version(secret: Mapping[str, Any], key: DigestKey | None) -> SecretVersion:
    identifier, version = str(secret["id"]), int(secret["version"])
    digest = _digest(secret, identifier, key)
    return SecretVersion(short_id(identifier), version, digest)


def _digest(secret: Mapping[str, Any], identifier: str, key: DigestKey | None) -> str:
    """The keyed digest of a value; empty without a key or for a hidden value."""
    value = secret.get("secretValue")
    is_shown = isinstance(value, str) and not secret.get("secretValueHidden")
    return key.digest(identifier, str(value)) if key and is_shown else ""


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a string")
    return value
