"""Snapshots: the state of the subscribed folders, reduced to ids, versions and keyed digests.

They contain no values; `core.sync.managed_secret_content` has those for the Secrets that are written. A
secret's id is shortened to a digest: it only has to distinguish secrets.

A state may be incomplete: values were not read, or only a fingerprint of a large folder is stored. Two states
*agree* when everything that both of them know is equal.
"""

import hashlib
import json
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

from infisical_events.core.paths.scopes import Folder, Scope

_ID_LENGTH = 10
"""Characters of base64: 60 bits; in two million projects of a million secrets, one collision is expected."""


def short_id(identifier: str) -> str:
    """A digest of a secret's id, short enough to be stored ten thousand times."""
    return _digest(identifier)[:_ID_LENGTH]


def _digest(text: str) -> str:
    return (
        urlsafe_b64encode(hashlib.sha256(text.encode(errors="surrogatepass")).digest()).decode().rstrip("=")
    )


@dataclass(frozen=True, slots=True)
class SecretVersion:
    """One version of a secret: its shortened id, its version number, and a keyed digest of its value.

    The digest is empty where values are not read. It shows what no version number shows: a secret that
    references another one changes its value with that.
    """

    id: str
    version: int
    digest: str = ""

    def agrees(self, other: "SecretVersion") -> bool:
        """Whether everything that both know is equal."""
        has_other_digest = bool(self.digest and other.digest) and self.digest != other.digest
        return (self.id, self.version) == (other.id, other.version) and not has_other_digest

    def has_same_value(self, other: "SecretVersion") -> bool:
        """Whether both are versions of one secret with the same value, as far as digests are known."""
        return self.id == other.id and bool(self.digest) and self.digest == other.digest

    def completed_from(self, earlier: "SecretVersion | None") -> "SecretVersion":
        """With the digest of an earlier version that agrees, if this one has none."""
        if self.digest or earlier is None or not self.agrees(earlier):
            return self
        return replace(self, digest=earlier.digest)


@dataclass(frozen=True, slots=True)
class Partition:
    """The unit of accepted state: the own secrets of one folder, or one import listed in a scope.

    A recursive list does not say which folder below the scope has the import. So an import belongs to the
    scope in which it was listed: to a single folder if that was listed alone.
    """

    scope: Scope
    source: Folder | None = None

    def __str__(self) -> str:
        """`prod:/a` for own secrets, `prod:/a<-dev:/shared` for an import, as it is stored."""
        return str(self.scope) if self.source is None else f"{self.scope}<-{self.source}"

    @classmethod
    def parse(cls, text: str) -> "Partition":
        """The inverse of `str()`; raises ValueError when malformed."""
        scope, arrow, source = text.partition("<-")
        return cls(Scope.parse(scope), Folder.parse(source) if arrow else None)

    @classmethod
    def own(cls, folder: Folder) -> "Partition":
        """The own secrets of one folder."""
        return cls(Scope(folder))

    @property
    def folder(self) -> Folder:
        """The folder that changes of the partition are attributed to."""
        return self.scope.folder


@dataclass(frozen=True, slots=True)
class PartitionState:
    """All keys of one partition, unfiltered. `rank` is an import's index in its list (later ones win).

    A compacted state has only a `fingerprint`, a digest over all its keys: enough to detect that something
    changed, not what.
    """

    versions: Mapping[str, SecretVersion]
    rank: int = 0
    fingerprint: str = ""

    @classmethod
    def of(cls, secret_versions: Mapping[str, SecretVersion], rank: int = 0) -> "PartitionState":
        """A state with an immutable copy of these versions."""
        return cls(MappingProxyType(dict(secret_versions)), rank)

    @property
    def ids(self) -> frozenset[str]:
        """The ids of its secrets; none for a compacted state."""
        return frozenset(secret_version.id for secret_version in self.versions.values())

    @property
    def key_count(self) -> int:
        """The number of its keys; 1 for a compacted state, which does not know it."""
        return len(self.versions) or bool(self.fingerprint)

    def compacted(self) -> "PartitionState":
        """The state without its keys: a fingerprint of ids and versions, without digests of values."""
        if self.fingerprint or not self.versions:
            return self
        known = sorted((key, seen.id, seen.version) for key, seen in self.versions.items())
        return PartitionState(MappingProxyType({}), self.rank, _digest(json.dumps(known)))

    def agrees(self, seen: "PartitionState") -> bool:
        """Whether a complete state equals this one in everything that this one knows."""
        if self.fingerprint:
            return self == seen.compacted()
        return (
            self.rank == seen.rank
            and self.versions.keys() == seen.versions.keys()
            and all(
                secret_version.agrees(seen.versions[key]) for key, secret_version in self.versions.items()
            )
        )

    def completed_from(self, earlier: "PartitionState") -> "PartitionState":
        """With the digests of an earlier state, for secrets that are unchanged."""
        if not any(secret_version.digest for secret_version in earlier.versions.values()):
            return self
        known = {key: seen.completed_from(earlier.versions.get(key)) for key, seen in self.versions.items()}
        return replace(self, versions=MappingProxyType(known))

    def without_digests(self) -> "PartitionState":
        """The state for when values are not read any more, or when their digests get another key."""
        if not any(secret_version.digest for secret_version in self.versions.values()):
            return self
        plain = {key: replace(seen, digest="") for key, seen in self.versions.items()}
        return replace(self, versions=MappingProxyType(plain))

    def encode(self) -> str:
        """As a string: JSON with sorted keys and without blanks."""
        entries: Any = self.fingerprint or {key: _encoded(seen) for key, seen in self.versions.items()}
        return json.dumps([self.rank, entries], sort_keys=True, separators=(",", ":"))

    @classmethod
    def decode(cls, text: str) -> "PartitionState":
        """The inverse of `encode`; raises ValueError, TypeError or AttributeError when malformed."""
        rank, entries = json.loads(text)
        if isinstance(entries, str):
            return cls(MappingProxyType({}), int(rank), entries)
        return cls.of({key: _decoded(*entry) for key, entry in entries.items()}, int(rank))


def _encoded(secret_version: SecretVersion) -> list[str | int]:
    known = (secret_version.id, secret_version.version, secret_version.digest)
    return list(known if secret_version.digest else known[:2])


def _decoded(identifier: object, version: Any, digest: object = "") -> SecretVersion:  # noqa: ANN401 - JSON
    return SecretVersion(str(identifier), int(version), str(digest))


ABSENT = PartitionState.of({})
"""The state of a partition that does not exist."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One read of some scopes, with the times at which it started and finished.

    It says nothing about `unverified` partitions: they were not read, or may be hidden rather than removed.
    `key_id` identifies the key of value digests; it is empty if no values were read. The server did not find
    the folders of the `missing` scopes.
    """

    scopes: tuple[Scope, ...]
    partitions: Mapping[Partition, PartitionState]
    started: datetime
    finished: datetime
    unverified: frozenset[Partition] = frozenset()
    key_id: str = ""
    missing: tuple[Scope, ...] = ()

    def with_unverified(self, partitions: Iterable[Partition]) -> "Snapshot":
        """The same snapshot, in which these partitions are unverified."""
        return replace(self, unverified=self.unverified | frozenset(partitions))

    def within(self, scopes: tuple[Scope, ...], current: Iterable[Partition]) -> "Snapshot":
        """The snapshot of some folders as one of all these scopes, with the other partitions unverified.

        A read of one folder does not identify an import that is listed under a recursive scope.
        """
        partitions = {
            partition: state for partition, state in self.partitions.items() if is_covered(partition, scopes)
        }
        unseen = frozenset(partition for partition in current if not is_covered(partition, self.scopes))
        return replace(self, scopes=scopes, partitions=partitions, unverified=self.unverified | unseen)

    @property
    def key_count(self) -> int:
        """The number of keys, including imported ones."""
        return sum(len(state.versions) for state in self.partitions.values())


def is_covered(partition: Partition, scopes: Iterable[Scope]) -> bool:
    """Whether a read of these scopes includes the partition if it exists."""
    if partition.source is None:
        return any(scope.covers(partition.folder) for scope in scopes)
    return partition.scope in scopes
