"""A server that resets every connection on arrival, as a load balancer with nobody behind it does."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from infisical_events.core.status.reasons import Reason
from infisical_events.infisical.http_client import new_client, request_json
from infisical_events.infisical.infisical_errors import InfisicalError
from support.infisical_sessions import LOOPBACK

_TRIES = 400
"""About one in thirty meets the moment between connecting and the first byte."""


@pytest.fixture
def address() -> Iterator[str]:
    """Where connections are accepted, and reset at once."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(_TRIES)
        thread = threading.Thread(target=reset_all, args=(listening,))
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def reset_all(listening: socket.socket) -> None:
    """Accept and reset until the listening ends."""
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listening.accept()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()


def test_a_reset_on_arrival_is_a_failure_of_the_network(address: str) -> None:
    """Whenever the reset comes, it is never a defect."""

    async def ask() -> Reason:
        async with new_client(address, LOOPBACK) as client:
            with pytest.raises(InfisicalError) as caught:
                await request_json(client, "GET", "/api/status")
        return caught.value.reason

    async def ask_often() -> set[Reason]:
        reasons: set[Reason] = set()
        for _ in range(_TRIES // 20):
            reasons |= set(await asyncio.gather(*(ask() for _ in range(20))))
        return reasons

    assert asyncio.run(ask_often()) == {Reason.UNREACHABLE}
