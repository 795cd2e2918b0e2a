"""A small model of Infisical: folders with versions, imports, events that may get lost, reads that lag.

It knows the truth (every change and when) and shows the operator only what a real server would.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

from infisical_events.api.specs import EventType, Grade, Spec
from infisical_events.core.paths.scopes import Folder, Scope
from infisical_events.core.snapshots.changes import ANY_KEY, Change
from infisical_events.core.snapshots.events import SecretEvent, UnrecognizedFrame
from infisical_events.core.snapshots.snapshots import (
    ABSENT,
    Partition,
    PartitionState,
    SecretVersion,
    Snapshot,
)
from infisical_events.core.status.reasons import Reason
from infisical_events.core.sync.managed_secret_content import FolderValues
from infisical_events.infisical.infisical_errors import FolderMissingError, InfisicalError, StreamEndedError
from simulation.environment import PAYMENTS, SHARED
from simulation.faults import Faults
from support.virtual_time import virtual_now

if TYPE_CHECKING:
    from simulation.server_generations import Servers

RENAMED = "-renamed"
"""The end of a slug that an environment got."""

_FAN_OUT = 4.0
"""Seconds from a change to the import mutation of its importers."""


@dataclass(frozen=True, slots=True)
class TrueChange:
    """A change of the true state; `before` and `after` are the key's sightings.

    `source` is the folder from which an import brings the key; None for a folder's own secrets.
    """

    at: float
    change: Change
    before: SecretVersion | None
    after: SecretVersion | None
    source: Folder | None = None


@dataclass(frozen=True, slots=True)
class StoredState:
    """The whole state as of one moment."""

    at: float
    folders: Mapping[Folder, Mapping[str, SecretVersion]]
    imports: Mapping[Folder, tuple[Folder, ...]]
    _shown: dict[tuple[Scope, bool], Mapping[Partition, PartitionState]] = field(
        default_factory=dict, compare=False
    )

    def partitions(self, scope: Scope, *, with_values: bool = True) -> Mapping[Partition, PartitionState]:
        """The partitions that a list of this scope shows, with digests of the values or without."""
        asked = (scope, with_values)
        if asked not in self._shown:
            partitions = self._parts(scope)
            plain = {part: body.without_digests() for part, body in partitions.items()}
            self._shown[asked] = MappingProxyType(partitions if with_values else plain)
        return self._shown[asked]

    def content(self, folder: Folder) -> dict[str, str]:
        """The content of a Secret made of this folder: its imports, later ones first, below its own keys."""
        sources = [*self.imports.get(folder, ()), folder]
        return {key: seen.digest for source in sources for key, seen in self.folders.get(source, {}).items()}

    def _parts(self, scope: Scope) -> dict[Partition, PartitionState]:
        partitions = {
            Partition.own(folder): PartitionState.of(secret_versions)
            for folder, secret_versions in self.folders.items()
            if secret_versions and scope.covers(folder)
        }
        sources = [s for folder, listed in self.imports.items() if scope.covers(folder) for s in listed]
        for rank, source in enumerate(sources):
            if imported := self.folders.get(source):
                partitions[Partition(scope, source)] = PartitionState.of(imported, rank)
        return partitions


@dataclass(frozen=True, slots=True)
class Loss:
    """A folder that reads did not find, with what is below it, although it existed.

    That of a renamed environment is its root: a subscription that is made meanwhile cannot know its keys.
    """

    folder: Folder
    since: float
    until: float


@dataclass(eq=False, slots=True)
class _Stream:
    """One open stream; None in the queue is its end."""

    queue: asyncio.Queue[SecretEvent | UnrecognizedFrame | None] = field(default_factory=asyncio.Queue)


class InfisicalModel:
    """The server: its state, its past states, and its open streams."""

    def __init__(self, faults: Faults, rng: random.Random) -> None:
        self.faults = faults
        self._rng = rng
        self._folders: dict[Folder, dict[str, SecretVersion]] = {}
        self._imports: dict[Folder, list[Folder]] = {}
        self._streams: dict[_Stream, None] = {}  # in the order of their opening: sets have none
        self.created = 0
        """How many secrets there ever were: their ids are `id1`, `id2` and so on."""
        self._values = 0
        self.changes: list[TrueChange] = []
        self.past: list[StoredState] = [self._snapshot()]
        self.listeners: list[Callable[[Folder], None]] = []
        self.lost: dict[Folder, float] = {}
        """Until when reads do not find a folder, and what is below it."""
        self.losses: list[Loss] = []
        self.waits: list[tuple[float, float]] = []
        """The times in which the server demands that requests wait."""
        self.renamed: dict[str, float] = {}
        """Until when an environment has another slug."""
        self.servers: Servers | None = None
        """The servers in front, in histories in which their generation matters."""

    def begin(self) -> None:
        """Forget the past: no read is older than this moment."""
        self.changes.clear()
        self.past[:] = self.past[-1:]

    # -- what people do -----------------------------------------------------------------------------

    def write(self, folder: Folder, key: str, *, sends_event: bool = True) -> None:
        """Create or update a secret; `is_told=False` is a rotation, which sends no event."""
        held = self._folders.setdefault(folder, {})
        before = held.get(key)
        if before is None:
            self.created += 1
            after, kind = SecretVersion(f"id{self.created}", 1, self._value()), EventType.CREATE
        else:
            after, kind = SecretVersion(before.id, before.version + 1, self._value()), EventType.UPDATE
        held[key] = after
        self._happened(folder, key, kind, before, after, sends_event=sends_event)

    def write_same(self, folder: Folder, key: str) -> None:
        """Write the value that a secret has, or edit its comment: another version without another value."""
        if before := self._folders.get(folder, {}).get(key):
            after = replace(before, version=before.version + 1)
            self._folders[folder][key] = after
            self._happened(folder, key, EventType.UPDATE, before, after, sends_event=True)

    def remove(self, folder: Folder, key: str) -> None:
        """Delete a secret that may not be there."""
        before = self._folders.get(folder, {}).pop(key, None)
        if before is not None:
            self._happened(folder, key, EventType.DELETE, before, None, sends_event=True)

    def toggle_import(self, folder: Folder, source: Folder) -> None:
        """Add an import, or remove it."""
        listed = self._imports.setdefault(folder, [])
        is_gone = source in listed
        (listed.remove if is_gone else listed.append)(source)
        self.past.append(self._snapshot())
        for key, brought in (self._folders.get(source) or {ANY_KEY: None}).items():
            before, after = (brought, None) if is_gone else (None, brought)
            self._note(folder, key, EventType.IMPORT_MUTATION, before, after, source)
        self._publish(SecretEvent(EventType.IMPORT_MUTATION, folder, frozenset()), after=0.0)

    def touch_reference(self, folder: Folder) -> None:
        """Change what a folder's secrets refer to: an event here, visible in their values alone."""
        held = self._folders.get(folder, {})
        for key, before in held.items():
            held[key] = replace(before, digest=self._value())
            self._note(folder, key, EventType.IMPORT_MUTATION, before, held[key])
        if held:
            self.past.append(self._snapshot())
        else:
            self._note(folder, ANY_KEY, EventType.IMPORT_MUTATION, None, None)
        self._publish(SecretEvent(EventType.IMPORT_MUTATION, folder, frozenset()), after=_FAN_OUT)

    def lose(self, folder: Folder, seconds: float) -> None:
        """Answer 404 for a folder that exists, for a while."""
        self.lost[folder] = _now() + seconds
        self.losses.append(Loss(folder, _now(), _now() + seconds))

    def back_off(self, seconds: float) -> None:
        """Answer 429 with Retry-After to everything that is sent, for a while; open streams go on."""
        self.waits.append((_now(), _now() + seconds))

    def wait_within(self, since: float, until: float) -> float:
        """For how many seconds of a time the server demanded a wait; waits do not overlap."""
        return sum(max(0.0, min(end, until) - max(begin, since)) for begin, end in self.waits)

    def rename_environment(self, slug: str, seconds: float) -> None:
        """Give an environment another slug, and the old one back after a while."""
        self.renamed[slug] = _now() + seconds
        self.losses.append(Loss(Folder(slug, "/"), _now(), _now() + seconds))

    def is_lost(self, folder: Folder) -> bool:
        """Whether reads do not find this folder now."""
        if folder.environment in self._slugs_away():
            return True
        return any(
            _now() < until and Scope(lost, recursive=True).covers(folder) for lost, until in self.lost.items()
        )

    def slug_of(self, environment: str) -> str:
        """The slug that an environment has now."""
        return environment + RENAMED if environment in self._slugs_away() else environment

    def environment_of(self, slug: str) -> str:
        """The environment that has a slug now; empty if there is none."""
        plain = slug.removesuffix(RENAMED)
        return plain if self.slug_of(plain) == slug else ""

    def _slugs_away(self) -> set[str]:
        return {slug for slug, until in self.renamed.items() if _now() < until}

    def _value(self) -> str:
        """The digest of a value that nothing had before."""
        self._values += 1
        return f"d{self._values}"

    def cut_streams(self) -> None:
        """End every stream."""
        for stream in self._streams:
            stream.queue.put_nowait(None)

    def _happened(
        self,
        folder: Folder,
        key: str,
        kind: EventType,
        before: SecretVersion | None,
        after: SecretVersion | None,
        *,
        sends_event: bool,
    ) -> None:
        self.past.append(self._snapshot())
        self._note(folder, key, kind, before, after)
        if sends_event:
            self._publish(SecretEvent(kind, folder, frozenset({key})), after=0.0)
        for importer, sources in self._imports.items():
            if folder in sources:
                self._note(importer, key, EventType.IMPORT_MUTATION, before, after, folder)
                self._publish(SecretEvent(EventType.IMPORT_MUTATION, importer, frozenset()), after=_FAN_OUT)

    def _note(
        self,
        folder: Folder,
        key: str,
        kind: EventType,
        before: SecretVersion | None,
        after: SecretVersion | None,
        source: Folder | None = None,
    ) -> None:
        change = Change(Scope(folder), key, frozenset({kind}))
        self.changes.append(TrueChange(_now(), change, before, after, source))

    def _snapshot(self) -> StoredState:
        return StoredState(
            _now(),
            {folder: dict(held) for folder, held in self._folders.items()},
            {folder: tuple(listed) for folder, listed in self._imports.items()},
        )

    # -- what the operator gets of it -----------------------------------------------------------------

    def _publish(self, event: SecretEvent, after: float) -> None:
        """Send an event after a delay to the streams that are open then, and to the writers of Secrets."""
        for listener in self.listeners:
            listener(event.folder)
        event = replace(event, folder=self._shown(event.folder))
        asyncio.get_running_loop().call_later(after, self._emit, event)

    def _shown(self, folder: Folder) -> Folder:
        return Folder(self.slug_of(folder.environment), folder.path)

    def _emit(self, event: SecretEvent) -> None:
        loop = asyncio.get_running_loop()
        for stream in tuple(self._streams):
            for _ in range(1 + self.faults.injects("duplicate_event")):
                late = self._rng.uniform(0, 10) if self.faults.injects("late_event") else 0.0
                if not self.faults.injects("lost_event"):
                    loop.call_later(late, stream.queue.put_nowait, event)

    async def request(self) -> None:
        """Any request: costs a moment, has to wait while the server demands it, and may fail."""
        await self.faults.crash_point("call")
        await asyncio.sleep(self.faults.latency())
        for begin, end in self.waits:
            if begin <= _now() < end:
                sentence = "The server demanded a wait (Retry-After)."
                raise InfisicalError(Reason.RATE_LIMITED, sentence, retry_after=end - _now())
        if self.faults.injects("infisical_error"):
            raise InfisicalError(Reason.UNREACHABLE, "No answer from the server.")

    def read(self) -> StoredState:
        """The state as a read shows it: now, or up to 20 s ago while reads lag."""
        if not self.faults.injects("stale_read"):
            return self.past[-1]
        return self.past[self.index_at(_now() - self._rng.uniform(0, 20))]

    def index_at(self, at: float) -> int:
        """The place in the past of the state that a moment had."""
        return next((n for n in reversed(range(len(self.past))) if self.past[n].at <= at), 0)

    def open_stream(self) -> _Stream:
        """A stream that receives events from now on."""
        stream = _Stream()
        self._streams[stream] = None
        return stream

    def close_stream(self, stream: _Stream) -> None:
        """The client is gone."""
        self._streams.pop(stream, None)


class SessionModel:
    """Implements `runtime.ports.Infisical` over the model."""

    def __init__(
        self, server: InfisicalModel, spec: Spec, clock: Callable[[], datetime] = virtual_now
    ) -> None:
        self._server = server
        self._clock = clock
        self._reads_values = spec.observe is Grade.VALUES

    async def login(self) -> None:
        """Costs a moment; may fail."""
        await self._call()

    async def project_id(self) -> str:
        """There is one project."""
        return "project"

    async def read_snapshot(self, scopes: tuple[Scope, ...]) -> Snapshot:
        """Read scope by scope; each read may lag by another while."""
        started = self._clock()
        partitions: dict[Partition, PartitionState] = {}
        missing: list[Scope] = []
        for scope in scopes:
            await self._call()
            if self._server.faults.injects("odd_response"):
                raise InfisicalError(Reason.UNEXPECTED_RESPONSE, "HTTP 403 is not from Infisical.")
            true_scope = self._true_scope(scope)
            if true_scope is None:
                missing.append(scope)
                continue
            shown = self._server.read().partitions(true_scope, with_values=self._reads_values)
            partitions.update({self._as_named(part, scope): body for part, body in shown.items()})
            await self._server.faults.crash_point("read")
        key_id = "key" if self._reads_values else ""
        return Snapshot(scopes, partitions, started, self._clock(), key_id=key_id, missing=tuple(missing))

    async def read_versions(self, scopes: tuple[Scope, ...]) -> Snapshot:
        """Read scope by scope without values."""
        snapshot = await self.read_snapshot(scopes)
        plain = {part: state.without_digests() for part, state in snapshot.partitions.items()}
        return replace(snapshot, partitions=plain, key_id="")

    async def environments(self) -> frozenset[str]:
        """All environments exist at all times, some under another slug."""
        await self._call()
        return frozenset(self._server.slug_of(folder.environment) for folder in (PAYMENTS, SHARED))

    async def subfolders(self, folder: Folder) -> frozenset[str]:
        """The names of the folders with secrets directly in this one."""
        await self._call()
        below = folder.path.rstrip("/") + "/"
        environment = self._server.environment_of(folder.environment)
        if not environment:
            raise FolderMissingError(Reason.FOLDER_NOT_FOUND, "The environment does not exist.")
        paths = [found.path for found in self._server.read().folders if found.environment == environment]
        return frozenset(path.removeprefix(below).split("/")[0] for path in paths if path.startswith(below))

    async def is_gone(self, folder: Folder, key: str) -> bool:
        """Ask for one secret; the answer may lag as any read."""
        await self._call()
        true_folder = Folder(self._server.environment_of(folder.environment), folder.path)
        return key not in self._server.read().folders.get(true_folder, {})

    async def read_values(self, folder: Folder) -> FolderValues:
        """Read one folder and its imports with their values; the read may lag as any."""
        await self._call()
        if self._server.is_lost(folder):
            raise FolderMissingError(Reason.FOLDER_NOT_FOUND, "The folder does not exist.")
        partitions = {Partition.own(folder): ABSENT, **self._server.read().partitions(Scope(folder))}
        values = {
            part: {key: s.digest for key, s in body.versions.items()} for part, body in partitions.items()
        }
        return FolderValues(partitions, values)

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[AsyncIterator[SecretEvent | UnrecognizedFrame]]:
        """Receive the events from now on, until the stream is cut."""
        await self._call()
        stream = self._server.open_stream()
        try:
            yield items_of(stream)
        finally:
            self._server.close_stream(stream)

    def _true_scope(self, scope: Scope) -> Scope | None:
        """The scope behind the slug of now; None if it is not found."""
        environment = self._server.environment_of(scope.folder.environment)
        is_named = scope.folder.environment == environment
        if not environment or (is_named and self._server.is_lost(scope.folder)):
            return None
        return Scope(Folder(environment, scope.folder.path), scope.recursive)

    def _as_named(self, part: Partition, scope: Scope) -> Partition:
        """The partition under the slugs of now."""
        if part.source is not None:
            source = Folder(self._server.slug_of(part.source.environment), part.source.path)
            return Partition(scope, source)
        return Partition.own(Folder(scope.folder.environment, part.folder.path))

    async def _call(self) -> None:
        await self._server.request()


async def items_of(stream: _Stream) -> AsyncIterator[SecretEvent | UnrecognizedFrame]:
    """The items of an open stream until it is cut."""
    while (received := await stream.queue.get()) is not None:
        yield received
    raise StreamEndedError(Reason.STREAM_ENDED, "The stream ended.")


def _now() -> float:
    return asyncio.get_running_loop().time()
