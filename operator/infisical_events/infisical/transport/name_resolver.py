"""Resolution of the host names that users choose.

The system's resolver blocks its thread, and cannot be interrupted: a name whose servers never answer keeps a
thread for a minute or longer. So lookups have threads of their own, a few per namespace, and nobody waits
longer than `LOOKUP_SECONDS` for one. Whoever chooses such names delays only the lookups of that namespace.

Addresses are remembered for a moment, for the subscriptions that connect to the same server. That weakens no
rule: the addresses of each connection are checked, wherever they come from.
"""

import asyncio
import socket
import threading
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

Addresses = tuple[str, ...]
"""IP addresses in order of preference."""

Resolve = Callable[[str, int], Awaitable[Addresses]]
"""Resolves a host and port; raises OSError."""

LOOKUP_SECONDS = 5.0
"""Seconds: as long as the resolver of glibc waits for one server by default."""

REMEMBERED_SECONDS = 5.0

_MAX_PER_NAMESPACE = 3
_MAX_THREADS = 256
_MAX_REMEMBERED = 1_000


def _system_lookup(host: str, port: int) -> Addresses:
    """The addresses from the system's resolver, blocking; raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


@dataclass(slots=True)
class NameResolver:
    """Resolves names for all namespaces.

    Attributes:
        lookup: The blocking lookup; raises OSError.
    """

    lookup: Callable[[str, int], Addresses] = _system_lookup
    _remembered: dict[tuple[str, int], tuple[float, Addresses]] = field(default_factory=dict)
    _running: dict[tuple[str, str, int], "asyncio.Future[Addresses]"] = field(default_factory=dict)
    _slots: defaultdict[str, asyncio.Semaphore] = field(
        default_factory=lambda: defaultdict(lambda: asyncio.Semaphore(_MAX_PER_NAMESPACE))
    )
    _threads: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_MAX_THREADS))

    def for_namespace(self, namespace: str) -> Resolve:
        """The resolver for the connections of a namespace."""
        return partial(self.resolve, namespace)

    async def resolve(self, namespace: str, host: str, port: int) -> Addresses:
        """The addresses of a host.

        Raises:
            OSError: there are none, or they were not found within `LOOKUP_SECONDS`.
        """
        now = asyncio.get_running_loop().time()
        until, known = self._remembered.get((host, port), (0.0, ()))
        if now < until:
            return known
        place = (namespace, host, port)
        if place not in self._running:
            self._running[place] = asyncio.ensure_future(self._looked_up(place))
            self._running[place].add_done_callback(_retrieve)
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                return await asyncio.shield(self._running[place])
        except TimeoutError:
            raise socket.gaierror(socket.EAI_AGAIN, f"no answer within {LOOKUP_SECONDS:g} s") from None

    async def _looked_up(self, place: tuple[str, str, int]) -> Addresses:
        """Look up once for all who wait; it goes on when nobody waits any more."""
        namespace, host, port = place
        try:
            async with self._slots[namespace], self._threads:
                addresses = await _in_thread(partial(self.lookup, host, port))
        finally:
            del self._running[place]
        self._remember(host, port, addresses)
        return addresses

    def _remember(self, host: str, port: int, addresses: Addresses) -> None:
        now = asyncio.get_running_loop().time()
        if len(self._remembered) >= _MAX_REMEMBERED:
            self._remembered = {place: entry for place, entry in self._remembered.items() if now < entry[0]}
        if len(self._remembered) < _MAX_REMEMBERED:
            self._remembered[host, port] = now + REMEMBERED_SECONDS, addresses


def _retrieve(lookup: "asyncio.Future[Addresses]") -> None:
    """A failure that came after the last waiter had left is no news."""
    if not lookup.cancelled():
        lookup.exception()


async def _in_thread(lookup: Callable[[], Addresses]) -> Addresses:
    """Run a lookup in a thread that does not keep the process from ending."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[Addresses | OSError] = loop.create_future()

    def settle(found: Addresses | OSError) -> None:
        if not outcome.done():
            outcome.set_result(found)

    def work() -> None:
        found: Addresses | OSError
        try:
            found = lookup()
        except OSError as error:
            found = error
        except UnicodeError:  # no name, by the rules of IDNA
            found = socket.gaierror(socket.EAI_NONAME, "the host is no name")
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, found)

    threading.Thread(target=work, name="resolver", daemon=True).start()
    found = await outcome
    if isinstance(found, OSError):
        raise found
    return found
