"""An Infisical in memory for tests of the runtime: the one double of `runtime.ports.Infisical`.

A test scripts it in four ways: the state by partition, errors and delays by method, and what each stream
sends and how it ends. It records what was requested. `support.scripted_server` is the double over HTTP,
and `simulation.infisical_model` models the server's own behaviour.
"""

import asyncio
import itertools
import math
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Self

from infisical_events.api.specs import EventType, Spec
from infisical_events.core.paths.scopes import Folder, Scope
from infisical_events.core.snapshots.events import SecretEvent
from infisical_events.core.snapshots.snapshots import Partition, PartitionState, Snapshot, is_covered
from infisical_events.core.status.reasons import Reason
from infisical_events.core.sync.managed_secret_content import FolderValues
from infisical_events.infisical.event_stream import StreamItem
from infisical_events.infisical.infisical_errors import FolderMissingError, InfisicalError, StreamEndedError
from infisical_events.infisical.tokens import CredentialsSource
from support.builders import a_folder, a_partition, a_partition_state
from support.virtual_time import virtual_now

FOLDER = a_folder("/a")
KEY = "KEY"
PARTITION = a_partition("/a")
END = StreamEndedError(Reason.STREAM_ENDED, "The stream ended.")


@dataclass(frozen=True, slots=True)
class Stream:
    """What one stream sends, and how it ends; ages are seconds since it was opened.

    Attributes:
        items: Sent at once.
        lasts: The age at which it ends with `end`; by default it stays open.
        at: Items by the age at which they are sent.
        every: A period in seconds, and the item that is sent after each.
        opens_after: Seconds from the request to the open stream; infinite if it is never answered.
    """

    items: tuple[StreamItem, ...] = ()
    lasts: float = math.inf
    end: InfisicalError = END
    at: Mapping[float, StreamItem] = field(default_factory=dict)
    every: tuple[float, StreamItem] | None = None
    opens_after: float = 0.0

    def timetable(self) -> Iterator[tuple[float, StreamItem]]:
        """Age and item of all that is sent after the first items, in order."""
        timed: Iterable[tuple[float, StreamItem]] = sorted(self.at.items(), key=lambda entry: entry[0])
        if self.every is not None:
            period, item = self.every
            timed = ((number * period, item) for number in itertools.count(1))
        return itertools.takewhile(lambda entry: entry[0] < self.lasts, timed)


class FakeInfisical:
    """One project; without a script it has the key KEY in `prod:/a`, and its streams are open and silent.

    Attributes:
        partitions: The state, to be changed at will.
        hidden: Folders that exist and that no list shows.
        missing: Folders that do not exist.
        existing_environments: The slugs of the project's environments.
        values: Values by folder and key; any other one names its version.
        delays: Seconds that the calls of a method take.
        sessions: Address and spec of each open session.
        reads: The scopes of each snapshot that was requested.
        calls: The methods that were called.
        attempts: When each stream was requested, in seconds of the loop's clock.
        opened: How many streams were opened.
        open_streams: How many streams are open now.
        most_open_streams: How many streams were open at one time.
        finished_attempts: How many requests for streams have ended, opened or not; refused ones left out.
        blind_seconds: For how long no stream was open between the first one and the last one.
        listening: Set when the first stream is open.
    """

    def __init__(
        self,
        partitions: Mapping[Partition, PartitionState] | None = None,
        *,
        streams: Iterable[Stream | InfisicalError] = (),
        project_id: str = "p",
        key_id: str = "",
        clock: Callable[[], datetime] = virtual_now,
    ) -> None:
        """Script it.

        Args:
            partitions: The state; version 1 of KEY in `prod:/a` if it is not given.
            streams: What each request for a stream gets; the last one again and again.
            project_id: The project's id.
            key_id: The id of the key of digests that snapshots name.
            clock: The wall clock of snapshots.
        """
        self.partitions = {PARTITION: a_partition_state(KEY=1)} if partitions is None else dict(partitions)
        self.hidden: set[Folder] = set()
        self.missing: set[Folder] = set()
        self.existing_environments = frozenset({"dev", "staging", "prod"})
        self.values: dict[tuple[Folder, str], str] = {}
        self.delays: dict[str, float] = {}
        self.sessions: list[tuple[str, Spec]] = []
        self.reads: list[tuple[Scope, ...]] = []
        self.calls: list[str] = []
        self.attempts: list[float] = []
        self.opened = self.open_streams = self.most_open_streams = self.finished_attempts = 0
        self.blind_seconds = 0.0
        self.listening = asyncio.Event()
        self._streams = list(streams)
        self._project_id, self._key_id, self._clock = project_id, key_id, clock
        self._lagging: tuple[dict[Partition, PartitionState], float] = ({}, 0.0)
        self._failures: dict[str, tuple[Exception, float]] = {}
        self._queues: list[asyncio.Queue[StreamItem]] = []
        self._closed_at: float | None = None

    # -- the script -----------------------------------------------------------------------------------

    @property
    def version(self) -> int:
        """The version of KEY in `prod:/a`."""
        return self.partitions[PARTITION].versions[KEY].version

    @version.setter
    def version(self, version: int) -> None:
        self.partitions[PARTITION] = a_partition_state(KEY=version)

    def change(self) -> None:
        """Write the next version of KEY, and send its event on every open stream."""
        self.version += 1
        self.send(SecretEvent(EventType.UPDATE, FOLDER, frozenset({KEY})))

    def comment(self, partition: Partition = PARTITION, key: str = KEY) -> None:
        """Edit the comment of a key: a new version with the same value, and its event."""
        folder, seen = partition.folder, self.partitions[partition].versions[key]
        self.values.setdefault((folder, key), self._value(folder, key, seen.version))
        self.put(key, (seen.id, seen.version + 1, seen.digest), partition)

    def put(self, key: str, version: int | tuple[str, int, str], partition: Partition = PARTITION) -> None:
        """Write a version of a key, and send its event on every open stream."""
        written = a_partition_state(**{key: version}).versions
        versions = {**self.partitions[partition].versions, **written}
        self.partitions[partition] = PartitionState.of(versions, self.partitions[partition].rank)
        self.send(SecretEvent(EventType.UPDATE, partition.folder, frozenset({key})))

    def lag(self, seconds: float) -> None:
        """For so long, reads of values show the present state: a replica lags."""
        self._lagging = dict(self.partitions), _loop_time() + seconds

    def send(self, item: StreamItem) -> None:
        """Send an item on every open stream that has no script."""
        for queue in self._queues:
            queue.put_nowait(item)

    def fail(self, method: str, error: Exception, until: float = math.inf) -> None:
        """Let a method (also `open_session`) raise this error until a moment of the loop's clock."""
        self._failures[method] = (error, until)

    def recover(self, method: str) -> None:
        """Let a method work again."""
        self._failures.pop(method, None)

    # -- runtime.ports.InfisicalOpener and runtime.ports.Infisical -------------------------------------

    @asynccontextmanager
    async def open_session(
        self,
        namespace: str,  # noqa: ARG002 - of the port
        address: str,
        spec: Spec,
        credentials: CredentialsSource,  # noqa: ARG002 - of the port
    ) -> AsyncIterator[Self]:
        """A session, listed while it is open."""
        await self._called("open_session")
        self.sessions.append((address, spec))
        try:
            yield self
        finally:
            self.sessions.remove((address, spec))

    async def login(self) -> None:
        """Accept any credentials."""
        await self._called("login")

    async def project_id(self) -> str:
        """The project's id."""
        await self._called("project_id")
        return self._project_id

    async def read_snapshot(self, scopes: tuple[Scope, ...]) -> Snapshot:
        """The state of these scopes, without hidden folders."""
        self.reads.append(scopes)
        started = self._clock()
        await self._called("read_snapshot")
        shown = {
            partition: state
            for partition, state in self.partitions.items()
            if partition.folder not in self.hidden and is_covered(partition, scopes)
        }
        missing = tuple(scope for scope in scopes if self._is_missing(scope.folder))
        shown = {part: state for part, state in shown.items() if not self._is_missing(part.folder)}
        return Snapshot(scopes, shown, started, self._clock(), key_id=self._key_id, missing=missing)

    async def read_versions(self, scopes: tuple[Scope, ...]) -> Snapshot:
        """The same without digests of values."""
        await self._called("read_versions")
        snapshot = await self.read_snapshot(scopes)
        plain = {partition: state.without_digests() for partition, state in snapshot.partitions.items()}
        return replace(snapshot, partitions=plain, key_id="")

    async def environments(self) -> frozenset[str]:
        """The environments that have a folder."""
        await self._called("environments")
        return self.existing_environments

    async def subfolders(self, folder: Folder) -> frozenset[str]:
        """The names of the existing folders in this one."""
        await self._called("subfolders")
        if folder in self.missing or folder.environment not in self.existing_environments:
            raise FolderMissingError(Reason.FOLDER_NOT_FOUND, "The folder does not exist.")
        below = folder.path.rstrip("/") + "/"
        paths = [
            found.path
            for found in (partition.folder for partition in self.partitions)
            if found.environment == folder.environment and found not in self.missing
        ]
        return frozenset(path.removeprefix(below).split("/")[0] for path in paths if path.startswith(below))

    async def is_gone(self, folder: Folder, key: str) -> bool:
        """Whether the folder, hidden or not, lacks the key."""
        await self._called("is_gone")
        return key not in self._state(folder).versions

    async def read_values(self, folder: Folder) -> FolderValues:
        """The folder's own keys and its imports."""
        await self._called("read_values")
        if self._is_missing(folder):
            raise FolderMissingError(Reason.FOLDER_NOT_FOUND, "The folder does not exist.")
        before, until = self._lagging
        partitions = before if _loop_time() < until else self.partitions
        shown = {Partition.own(folder): a_partition_state()} | {
            partition: state for partition, state in partitions.items() if partition.folder == folder
        }
        values = {
            partition: {
                key: self._value(partition.source or folder, key, seen.version)
                for key, seen in state.versions.items()
            }
            for partition, state in shown.items()
        }
        return FolderValues(shown, values)

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[AsyncIterator[StreamItem]]:
        """The next stream of the script, or one that carries what is sent."""
        self.attempts.append(_loop_time())
        await self._called("stream")
        script = self._next_stream()
        if isinstance(script, InfisicalError):
            raise script
        try:
            await _pause(script.opens_after if script else 0.0)
            with self._counted():
                if script is not None:
                    yield _scripted(script)
                    return
                with self._live() as items:
                    yield items
        finally:
            self.finished_attempts += 1

    # -- inside ---------------------------------------------------------------------------------------

    def _is_missing(self, folder: Folder) -> bool:
        return folder in self.missing or folder.environment not in self.existing_environments

    def _value(self, folder: Folder, key: str, version: int) -> str:
        return self.values.get((folder, key), f"{key} {version}")

    def _state(self, folder: Folder) -> PartitionState:
        return self.partitions.get(Partition.own(folder), a_partition_state())

    async def _called(self, method: str) -> None:
        self.calls.append(method)
        await _pause(self.delays.get(method, 0.0))
        if method in self._failures:
            error, until = self._failures[method]
            if _loop_time() < until:
                raise error

    def _next_stream(self) -> Stream | InfisicalError | None:
        if not self._streams:
            return None
        return self._streams.pop(0) if len(self._streams) > 1 else self._streams[0]

    @contextmanager
    def _counted(self) -> Iterator[None]:
        if self._closed_at is not None and self.open_streams == 0:
            self.blind_seconds += _loop_time() - self._closed_at
        self.opened += 1
        self.open_streams += 1
        self.most_open_streams = max(self.most_open_streams, self.open_streams)
        self.listening.set()
        try:
            yield
        finally:
            self.open_streams -= 1
            self._closed_at = _loop_time()

    @contextmanager
    def _live(self) -> Iterator[AsyncIterator[StreamItem]]:
        queue = asyncio.Queue[StreamItem]()
        self._queues.append(queue)
        try:
            yield _queued(queue)
        finally:
            self._queues.remove(queue)


async def _queued(queue: asyncio.Queue[StreamItem]) -> AsyncIterator[StreamItem]:
    while True:
        yield await queue.get()


async def _scripted(stream: Stream) -> AsyncIterator[StreamItem]:
    opened_at = _loop_time()
    for item in stream.items:
        yield item
    for age, item in stream.timetable():
        await asyncio.sleep(opened_at + age - _loop_time())
        yield item
    await _pause(opened_at + stream.lasts - _loop_time())
    raise stream.end


async def _pause(seconds: float) -> None:
    """Wait without a timer if it is for good, and not at all for no time."""
    if math.isinf(seconds):
        await asyncio.get_running_loop().create_future()
    if seconds > 0:
        await asyncio.sleep(seconds)


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
