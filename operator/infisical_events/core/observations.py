"""What was seen: the state of the subscribed folders, reduced to ids and versions.

Values never get this far. A secret's id is shortened to a digest: it only has to tell secrets apart.
"""

import hashlib
import json
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType

from infisical_events.core.folders import Folder
from infisical_events.core.scopes import Scope

_ID_LENGTH = 10
"""Characters of base64: 60 bits, so that a million secrets collide once in two million projects."""


def short_id(identifier: str) -> str:
    """A digest of a secret's id, short enough to be stored ten thousand times."""
    digest = hashlib.sha256(identifier.encode()).digest()
    return urlsafe_b64encode(digest)[:_ID_LENGTH].decode()


@dataclass(frozen=True, slots=True)
class Sighting:
    """One secret as it stood: which one (`id`, shortened) and its version."""

    id: str
    version: int


@dataclass(frozen=True, slots=True)
class Part:
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
    def parse(cls, text: str) -> "Part":
        """The inverse of `str()`; raises ValueError for what is no part."""
        scope, arrow, source = text.partition("<-")
        return cls(Scope.parse(scope), Folder.parse(source) if arrow else None)

    @classmethod
    def own(cls, folder: Folder) -> "Part":
        """The own secrets of one folder."""
        return cls(Scope(folder))

    @property
    def folder(self) -> Folder:
        """The folder that the part's changes are attributed to."""
        return self.scope.folder


@dataclass(frozen=True, slots=True)
class Body:
    """All keys of one part, unfiltered. `rank` is an import's place in its list (later ones win)."""

    sightings: Mapping[str, Sighting]
    rank: int = 0

    @classmethod
    def of(cls, sightings: Mapping[str, Sighting], rank: int = 0) -> "Body":
        """A body that nobody can change any more."""
        return cls(MappingProxyType(dict(sightings)), rank)

    @property
    def ids(self) -> frozenset[str]:
        """Which secrets are in it."""
        return frozenset(sighting.id for sighting in self.sightings.values())

    def encode(self) -> str:
        """One string per part: JSON, sorted, without blanks."""
        entries = {key: [seen.id, seen.version] for key, seen in self.sightings.items()}
        return json.dumps([self.rank, entries], sort_keys=True, separators=(",", ":"))

    @classmethod
    def decode(cls, text: str) -> "Body":
        """The inverse of `encode`; raises ValueError, TypeError or AttributeError when malformed."""
        rank, entries = json.loads(text)
        return cls.of({k: Sighting(str(i), int(v)) for k, (i, v) in entries.items()}, int(rank))


NOTHING = Body.of({})
"""The body of a part that is not there."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One look: which scopes were looked at, what stood there, and between which two moments.

    Of `unsure` parts it tells nothing: they may be hidden instead of gone.
    """

    scopes: tuple[Scope, ...]
    parts: Mapping[Part, Body]
    started: datetime
    finished: datetime
    unsure: frozenset[Part] = frozenset()

    def doubting(self, parts: Iterable[Part]) -> "Observation":
        """The same look, in which these parts are not told for sure."""
        return replace(self, unsure=self.unsure | frozenset(parts))

    @property
    def key_count(self) -> int:
        """How many keys were seen, imported ones included."""
        return sum(len(body.sightings) for body in self.parts.values())


def is_covered(part: Part, scopes: Iterable[Scope]) -> bool:
    """Whether a look at these scopes would have shown the part if it were there."""
    if part.source is None:
        return any(scope.covers(part.folder) for scope in scopes)
    return part.scope in scopes
