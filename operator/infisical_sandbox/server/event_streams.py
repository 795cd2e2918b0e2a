"""The open event streams of the server: registration, frames, pings, and the end of a stream.

Frames go to the transport at once and in order: a slow reader costs memory and loses no event, as with
the real server. One timer per server pings all streams at the same time and re-checks permissions.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from infisical_sandbox.server import clock
from infisical_sandbox.server.domain import events, subscriptions
from infisical_sandbox.server.faults import Ending

if TYPE_CHECKING:
    from collections.abc import Callable

    from infisical_sandbox.server.domain.events import Event
    from infisical_sandbox.server.domain.generations import Generation
    from infisical_sandbox.server.domain.permissions import Ability
    from infisical_sandbox.server.domain.subscriptions import Entry

PING = b"event: ping\n\n"
DENIED = b'event: error\ndata: {"message":"Permission denied or refresh failed"}\n\n'
_LINGER_ZERO = struct.pack("ii", 1, 0)


def frame(event: Event, generation: Generation, now: float) -> bytes:
    """The bytes of an event: id (milliseconds, no cursor), name, one line of JSON."""
    body = json.dumps(events.payload(event, generation), ensure_ascii=False, separators=(",", ":"))
    return f"id: {int(now * 1000)}\nevent: {event.type.value}\ndata: {body}\n\n".encode()


@dataclass(slots=True, eq=False)
class Stream:
    """One open stream. The result of `done` is the way in which the request handler ends it."""

    project_id: str
    identity_id: str
    entries: tuple[Entry, ...]
    ability: Ability
    transport: asyncio.Transport
    opened_at: float
    done: asyncio.Future[Ending]
    silent: bool = True
    """No writes: before the response headers are sent, and after the fault `silence`."""
    lifetime: asyncio.TimerHandle | None = field(default=None, repr=False)

    def write(self, data: bytes) -> None:
        """Send bytes as one chunk of the body, unless the stream is silent or closing."""
        if not (self.silent or self.done.done() or self.transport.is_closing()):
            self.transport.write(b"%x\r\n%s\r\n" % (len(data), data))

    def end(self, ending: Ending) -> None:
        """End the stream in this way; a second call has no effect."""
        if self.done.done():
            return
        match ending:
            case Ending.SILENCE:
                self.silent = True
                return
            case Ending.ABORT:
                self.transport.close()
            case Ending.RESET:
                _reset(self.transport)
        self.done.set_result(ending)


class Hub:
    """All streams of one server."""

    def __init__(self, generation: Generation, recheck: Callable[[Stream], Ability | None]) -> None:
        """`recheck` returns a stream's current ability, or None if it lost its permission."""
        self.generation = generation
        self.streams: set[Stream] = set()
        self._recheck = recheck

    def count(self, project_id: str) -> int:
        """The number of streams of a project."""
        return sum(stream.project_id == project_id for stream in self.streams)

    def add(self, stream: Stream, lifetime: float | None) -> None:
        """Add a stream."""
        self.streams.add(stream)
        self._schedule_end(stream, lifetime)

    def remove(self, stream: Stream) -> None:
        """Remove a stream."""
        self.streams.discard(stream)
        if stream.lifetime:
            stream.lifetime.cancel()

    def limit_lifetime(self, lifetime: float | None) -> None:
        """Set a new lifetime in seconds for open streams, counted from their start."""
        for stream in self.streams:
            self._schedule_end(stream, lifetime)

    def deliver(self, event: Event) -> int:
        """Write the event to all matching streams; return the number of receivers."""
        data = frame(event, self.generation, clock.now().wall)
        receivers = [stream for stream in self.streams if self._is_for(stream, event)]
        for stream in receivers:
            stream.write(data)
        return len(receivers)

    def write_all(self, data: bytes) -> None:
        """Write raw bytes to every stream."""
        for stream in self.streams:
            stream.write(data)

    def end_all(self, ending: Ending) -> int:
        """End all streams; return their number."""
        doomed = tuple(self.streams)
        for stream in doomed:
            stream.end(ending)
        return len(doomed)

    def recheck(self) -> None:
        """Update the ability of all streams; end streams without permission."""
        for stream in tuple(self.streams):
            ability = self._recheck(stream)
            if ability is None:
                stream.write(DENIED)
                stream.end(Ending.CLEAN)
            else:
                stream.ability = ability

    def _is_for(self, stream: Stream, event: Event) -> bool:
        return (
            stream.project_id == event.project_id
            and subscriptions.wants(stream.entries, event, self.generation)
            and subscriptions.allowed(event, stream.ability, self.generation)
        )

    def _schedule_end(self, stream: Stream, lifetime: float | None) -> None:
        if stream.lifetime:
            stream.lifetime.cancel()
        if lifetime is None:
            return
        left = stream.opened_at + lifetime - clock.now().monotonic
        loop = asyncio.get_running_loop()
        stream.lifetime = loop.call_later(max(left, 0), stream.end, Ending.ABORT)


def _reset(transport: asyncio.Transport) -> None:
    """Close the connection with a TCP reset."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    transport.abort()
