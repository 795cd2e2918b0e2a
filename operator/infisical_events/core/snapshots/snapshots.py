"""What was seen: the state of the subscribed folders, reduced to ids, versions and keyed digests.

No value gets in here; where Secrets are written, `core.contents` has them. A secret's id is shortened to a
digest: it only has to tell secrets apart.

What is known of a secret may be less than all: its value was not read, or only that nothing had changed
was stored of a large folder. Two sightings *agree* when they are the same as far as both know.
"""

import hashlib
import json
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

from infisical_events.core.paths.folders import Folder
from infisical_events.core.paths.scopes import Scope

_ID_LENGTH = 10
"""Characters of base64: 60 bits, so that a million secrets collide once in two million projects."""


def short_id(identifier: str) -> str:
    """A digest of a secret's id, short enough to be stored ten thousand times."""
    return _digest(identifier)[:_ID_LENGTH]


def _digest(text: str) -> str:
    return (
        urlsafe_b64encode(hashlib.sha256(text.encode(errors="surrogatepass")).digest()).decode().rstrip("=")
    )


@dataclass(frozen=True, slots=True)
class SecretVersion:
    """One secret as it stood: which one (`id`, shortened), its version, and a keyed digest of its value.

    The digest is empty where values were not read. It tells of what no version shows: a secret that
    refers to another one changes with that.
    """

    id: str
    version: int
    digest: str = ""

    def agrees(self, other: "SecretVersion") -> bool:
        """Whether both are the same as far as both know."""
        is_told_apart = bool(self.digest and other.digest) and self.digest != other.digest
        return (self.id, self.version) == (other.id, other.version) and not is_told_apart

    def completed_from(self, earlier: "SecretVersion | None") -> "SecretVersion":
        """With the digest of an earlier sighting that agrees, if this one has none."""
        if self.digest or earlier is None or not self.agrees(earlier):
            return self
        return replace(self, digest=earlier.digest)


@dataclass(frozen=True, slots=True)
class Partition:
    """A unit of belief: the own secrets of one folder, or one entry of the imports seen in a scope.

    The server's recursive list does not tell which folder below the scope imports what. So an import
    belongs to the scope it was seen in: to a folder when that was looked at alone.
    """

    scope: Scope
    source: Folder | None = None

    def __str__(self) -> str:
        """`prod:/a` for own secrets, `prod:/a<-dev:/shared` for an import, as it is stored."""
        return str(self.scope) if self.source is None else f"{self.scope}<-{self.source}"

    @classmethod
    def parse(cls, text: str) -> "Partition":
        """The inverse of `str()`; raises ValueError for what is no part."""
        scope, arrow, source = text.partition("<-")
        return cls(Scope.parse(scope), Folder.parse(source) if arrow else None)

    @classmethod
    def own(cls, folder: Folder) -> "Partition":
        """The own secrets of one folder."""
        return cls(Scope(folder))

    @property
    def folder(self) -> Folder:
        """The folder that the part's changes are attributed to."""
        return self.scope.folder


@dataclass(frozen=True, slots=True)
class PartitionState:
    """All keys of one part, unfiltered. `rank` is an import's place in its list (later ones win).

    A folded body knows its keys only by `fold`, a digest over all of them: enough to tell whether
    something changed, and not what.
    """

    versions: Mapping[str, SecretVersion]
    rank: int = 0
    fingerprint: str = ""

    @classmethod
    def of(cls, secret_versions: Mapping[str, SecretVersion], rank: int = 0) -> "PartitionState":
        """A body that nobody can change any more."""
        return cls(MappingProxyType(dict(secret_versions)), rank)

    @property
    def ids(self) -> frozenset[str]:
        """Which secrets are in it, as far as that is known."""
        return frozenset(secret_version.id for secret_version in self.versions.values())

    def compacted(self) -> "PartitionState":
        """What is left when the keys are not kept: ids and versions count, digests of values do not."""
        if self.fingerprint or not self.versions:
            return self
        known = sorted((key, seen.id, seen.version) for key, seen in self.versions.items())
        return PartitionState(MappingProxyType({}), self.rank, _digest(json.dumps(known)))

    def agrees(self, seen: "PartitionState") -> bool:
        """Whether a body that was seen whole is this one, as far as this one knows."""
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
        """With what an earlier body knew of secrets that are still the same."""
        if not any(secret_version.digest for secret_version in earlier.versions.values()):
            return self
        known = {key: seen.completed_from(earlier.versions.get(key)) for key, seen in self.versions.items()}
        return replace(self, versions=MappingProxyType(known))

    def without_digests(self) -> "PartitionState":
        """What is left when values are not read any more, or their digests have another key."""
        if not any(secret_version.digest for secret_version in self.versions.values()):
            return self
        plain = {key: replace(seen, digest="") for key, seen in self.versions.items()}
        return replace(self, versions=MappingProxyType(plain))

    def encode(self) -> str:
        """One string per part: JSON, sorted, without blanks."""
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
"""The body of a part that is not there."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One look: which scopes were looked at, what stood there, and between which two moments.

    Of `unsure` parts it tells nothing: they may be hidden instead of gone, or were not looked at.
    `key_id` names the key of the values' digests; it is empty where no values were read.
    """

    scopes: tuple[Scope, ...]
    partitions: Mapping[Partition, PartitionState]
    started: datetime
    finished: datetime
    unverified: frozenset[Partition] = frozenset()
    key_id: str = ""

    def with_unverified(self, partitions: Iterable[Partition]) -> "Snapshot":
        """The same look, in which these parts are not told for sure."""
        return replace(self, unverified=self.unverified | frozenset(partitions))

    def within(self, scopes: tuple[Scope, ...], current: Iterable[Partition]) -> "Snapshot":
        """A look at some folders, as one at all these scopes that tells nothing of the other parts.

        An import that a recursive scope shows is not recognised in a look at one folder.
        """
        partitions = {
            partition: state for partition, state in self.partitions.items() if is_covered(partition, scopes)
        }
        unseen = frozenset(partition for partition in current if not is_covered(partition, self.scopes))
        return replace(self, scopes=scopes, partitions=partitions, unverified=self.unverified | unseen)

    @property
    def key_count(self) -> int:
        """How many keys were seen, imported ones included."""
        return sum(len(state.versions) for state in self.partitions.values())


def is_covered(partition: Partition, scopes: Iterable[Scope]) -> bool:
    """Whether a look at these scopes would have shown the part if it were there."""
    if partition.source is None:
        return any(scope.covers(partition.folder) for scope in scopes)
    return partition.scope in scopes
