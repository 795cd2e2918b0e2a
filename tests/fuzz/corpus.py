"""Payloads that a server may send on a stream, and their decoding without a network, for fuzzer and tests."""

import json
import math
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from itertools import pairwise

import httpx
from hypothesis import strategies as st

from infisical_events.api.specs import EventType
from infisical_events.core.paths.scopes import Folder
from infisical_events.core.snapshots.events import SecretEvent
from infisical_events.infisical.authorized_client import AuthorizedClient
from infisical_events.infisical.event_stream import StreamItem, StreamLimits, open_stream
from infisical_events.infisical.infisical_errors import StreamEndedError
from infisical_events.infisical.shared_logins import SharedLogins
from infisical_events.infisical.tokens import TokenProvider
from infisical_events.infisical.transport.fair_reads import ReadPace
from support.infisical_sessions import BY_HAND, PROJECT, given


def data(*keys: str) -> str:
    """The data line of an update."""
    items = [{"environment": "prod", "secretPath": "/a", "secretKey": key} for key in keys]
    return "data: " + json.dumps({"data": {"eventType": "secret:update", "payload": items}})


def update(*keys: str) -> SecretEvent:
    """The decoded event."""
    return SecretEvent(EventType.UPDATE, Folder("prod", "/a"), frozenset(keys))


A = f"id: 7\nevent: secret:update\n{data('A')}\n\n".encode()
B = f"event: secret:update\n{data('B')}\n\n".encode()
MANY = f"{data(*(f'KEY_{n}' for n in range(2_000)))}\n\n".encode()

PIECES = (
    *(A, B, b"\n", b"\r", b"\r\n", b"\n\n", b"1", b":", b"\xef\xbb\xbf", b"\xef\xbb", b"\xff", b"\x00"),
    *(b"data: ", b"data\n", b"data: {\n", b"id: 1\n", b"id\n", b"event: ping\n\n", b"event: x\n\n"),
    *(b"retry: 9\n", b"event: error\n\n", b"data: [[[[", b'data: {"data": {"payload": [', b"id: \x00\n"),
    *(b"unknown: field\n", b"unknown\n", b": comment\n", b" \n", b"event: secret:burned\ndata: {}\n\n"),
    *(b'data: {"data": {"eventType": "secret:update", "payload": [7, null, {}]}}\n\n', b"data: 1e999\n\n"),
    *(b'data: {"data": {"eventType": ["secret:update"], "payload": {}}}\n\n', b"data: NaN\n\n"),
    *(b"retry: " + b"9" * 5_000 + b"\n", b"data: " + b"[" * 5_000 + b"\n\n", MANY),
)


@st.composite
def cut_anywhere(draw: st.DrawFn) -> list[bytes]:
    """Any bytes in any chunks, none of them empty."""
    pieces = st.one_of(st.binary(max_size=12), st.sampled_from(PIECES))
    whole = b"".join(draw(st.lists(pieces, max_size=12)))
    cuts = draw(st.sets(st.integers(0, len(whole)), max_size=12)) | {0, len(whole)}
    return [whole[begin:end] for begin, end in pairwise(sorted(cuts))]


@asynccontextmanager
async def hearings_of(chunks: Iterable[bytes], **headers: str) -> AsyncIterator[AsyncIterator[StreamItem]]:
    """A stream of these chunks, without a wire."""

    async def body() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    told = {"Content-Type": "text/event-stream", **headers}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, headers=told, content=body()))
    async with httpx.AsyncClient(transport=transport, base_url="http://i.example") as http:
        client = AuthorizedClient(http, TokenProvider(http, given(BY_HAND), SharedLogins()))
        # What is beyond the pace would wait, in real time.
        async with open_stream(
            client, PROJECT, [], StreamLimits(ReadPace(burst=math.inf))
        ) as received_events:
            yield received_events


async def received(chunks: Iterable[bytes], **headers: str) -> tuple[list[StreamItem], str]:
    """The decoded items, and how the stream ended."""
    said: list[StreamItem] = []
    async with hearings_of(chunks, **headers) as received_events:
        try:
            async for hearing in received_events:
                said.append(hearing)  # noqa: PERF401 - it raises, and what came before counts
        except StreamEndedError as end:
            return said, str(end)
    raise AssertionError("a stream's end is always told")
