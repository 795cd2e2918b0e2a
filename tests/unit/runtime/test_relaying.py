"""A stream is replaced before its end, the new one opened before the old one is closed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import cast

import pytest

from infisical_events.core.events import NotUnderstood, SecretEvent
from infisical_events.core.reasons import Reason
from infisical_events.infisical.errors import InfisicalError, StreamEndedError
from infisical_events.runtime.ports import Infisical
from infisical_events.runtime.relaying import REPLACED, Replaced, relayed
from virtual_time import in_virtual_time

HOUR = 3600.0
LIFE = 3000.0


@dataclass
class Server:
    """An Infisical that ends each stream after an hour, says where it stands each minute, and may refuse."""

    refusals: list[bool] = field(default_factory=list)
    open_now: int = 0
    most_open: int = 0
    blind: float = 0.0
    opened: int = 0
    lasts: float = HOUR
    _closed_at: float | None = None

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[AsyncIterator[SecretEvent | NotUnderstood]]:
        """One more stream, if it is not refused."""
        now = asyncio.get_running_loop().time
        if self.refusals and self.refusals.pop(0):
            raise InfisicalError(Reason.CONNECTION_LIMIT_REACHED, "Too many streams.")
        if self._closed_at is not None and self.open_now == 0:
            self.blind += now() - self._closed_at
        self.open_now += 1
        self.opened += 1
        self.most_open = max(self.most_open, self.open_now)
        try:
            yield self._minutes()
        finally:
            self.open_now -= 1
            self._closed_at = now()

    async def _minutes(self) -> AsyncIterator[SecretEvent | NotUnderstood]:
        with suppress(TimeoutError):
            async with asyncio.timeout(self.lasts):
                while True:
                    await asyncio.sleep(60.0)
                    yield NotUnderstood("a minute")
        raise StreamEndedError(Reason.STREAM_ENDED, "The hour is over.")


async def heard(server: Server, seconds: float) -> list[object]:
    """What is heard in that time, through every replacement."""
    found: list[object] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds), relayed(cast("Infisical", server), LIFE) as hearings:
            async for hearing in hearings:
                found.append(hearing)  # noqa: PERF401 - what was found has to outlive the timeout
    return found


@in_virtual_time
async def test_no_blind_second_over_a_day() -> None:
    """Over a day some stream is always open, never more than two, and each replacement is told."""
    server = Server()
    found = await heard(server, 24 * HOUR)
    assert (server.blind, server.most_open, server.open_now) == (0.0, 2, 0)
    assert server.opened == 1 + found.count(REPLACED)
    assert 24 * HOUR / LIFE - 1 <= found.count(REPLACED) <= 24 * HOUR / (0.8 * LIFE) + 1


@in_virtual_time
async def test_old_stream_stays_while_no_new_one_can_be_had() -> None:
    """A refused successor is tried again each minute, and nothing that the old stream says is lost."""
    server = Server(refusals=[False, True, True, True])
    found = await heard(server, LIFE + 300.0)
    assert (found.count(REPLACED), server.blind, server.opened) == (1, 0.0, 2)
    minutes = [hearing for hearing in found if not isinstance(hearing, Replaced)]
    assert len(minutes) >= (LIFE + 300.0) / 60.0 - 2


@in_virtual_time
async def test_end_of_the_open_stream_is_the_end() -> None:
    """A stream that ends before it is replaced ends the relay, with its reason."""
    server = Server(lasts=100.0)
    with pytest.raises(StreamEndedError):
        await heard(server, HOUR)
    assert server.open_now == 0


@in_virtual_time
async def test_first_refusal_is_told() -> None:
    """Without a first stream there is no relay."""
    with pytest.raises(InfisicalError, match="Too many"):
        await heard(Server(refusals=[True]), HOUR)
