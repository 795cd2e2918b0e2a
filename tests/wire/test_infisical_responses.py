"""Answers that are slow, vast or packed: no server can hold a request for ever, or fill the memory."""

import asyncio
import gzip
import json
import re
import tracemalloc
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from infisical_events.core.paths.scopes import Scope
from infisical_events.core.status.reasons import Reason
from infisical_events.infisical import http_client
from infisical_events.infisical.authorized_client import AuthorizedClient
from infisical_events.infisical.event_stream import StreamLimits, open_stream
from infisical_events.infisical.http_client import NamespaceSharing, new_client, request_json
from infisical_events.infisical.infisical_errors import InfisicalError
from infisical_events.infisical.session import Session
from infisical_events.infisical.shared_logins import SharedLogins
from infisical_events.infisical.tokens import TokenProvider
from infisical_events.infisical.transport.fair_reads import ReadPace
from infisical_events.runtime.metrics import Metrics
from support.infisical_sessions import (
    BY_HAND,
    LOOPBACK,
    PROJECT,
    UNIVERSAL,
    V4,
    a_session,
    given,
    granted,
    logged_in,
    refused,
)
from support.scripted_server import After, Answer, Request, always, answer, in_turn, serving, stream

MEBI = 1024 * 1024
SCOPES = (Scope.parse("prod:/a"),)
LIST = {"secrets": [{"id": "x", "secretKey": "K", "version": 1}], "imports": []}
DRIP = replace(stream([b" "] * 10_000, content_type="application/json"), pause=0.02)
SLOW_REFUSAL = replace(DRIP, pieces=(b"HTTP/1.1 403 No\r\nContent-Length: 10000\r\n\r\n", *[b" "] * 10_000))


async def read_result(session: Session) -> None:
    """Look at a folder."""
    await session.read_snapshot(SCOPES)


async def subscribe(session: Session) -> None:
    """Open a stream."""
    async with session.stream():
        pass


async def failure(doing: Awaitable[object]) -> InfisicalError:
    """What it fails with."""
    with pytest.raises(InfisicalError) as error:
        await doing
    return error.value


def packed(content: bytes, packing: str = "gzip") -> Answer:
    """An answer with packed content."""
    return answer(200, content, {"Content-Encoding": packing})


# -- slow ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slow", [DRIP, SLOW_REFUSAL])
@pytest.mark.parametrize("do", [read_result, Session.login])
async def test_answer_that_drips(
    do: Callable[[Session], Awaitable[None]], slow: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that comes byte by byte is given up, and the next request is made as ever."""
    monkeypatch.setattr(http_client, "MAX_REQUEST_SECONDS", 0.2)
    slow_first = {"v4": in_turn(slow, answer(200, LIST)), "login": in_turn(granted())}
    if do is Session.login:
        slow_first = {"v4": always(answer(200, LIST)), "login": in_turn(slow, granted())}
    async with (
        serving(logged_in(**slow_first)) as server,
        a_session(server.url, credentials=UNIVERSAL) as session,
    ):
        error = await failure(do(session))
        await read_result(session)
    assert error.reason is Reason.UNREACHABLE
    assert "No complete response within 0.2 s" in str(error)


SLOW_HEAD = Answer((b"HTTP/1.1 200 OK\r\n", *[b"X-Slow: 1\r\n"] * 10_000), pause=0.02)


@pytest.mark.parametrize("slow", [SLOW_HEAD, SLOW_REFUSAL])
async def test_subscription_that_drips(slow: Answer) -> None:
    """A subscription whose head, or whose refusal, does not come to its end is given up."""
    async with serving(always(slow)) as server, new_client(server.url, LOOPBACK) as http:
        client = AuthorizedClient(http, TokenProvider(http, given(BY_HAND), SharedLogins()))
        error = await failure(_entered(client))
    assert error.reason is Reason.UNREACHABLE
    assert "No complete response within 0.2 s" in str(error)


async def _entered(client: AuthorizedClient) -> None:
    async with open_stream(client, PROJECT, [], StreamLimits(ReadPace(), connecting=0.2)):
        pass


@pytest.mark.parametrize("do", [read_result, subscribe, Session.login])
async def test_cancelled(do: Callable[[Session], Awaitable[None]]) -> None:
    """Who is cancelled while waiting is cancelled, and not told of trouble."""
    asked = asyncio.Event()

    async def script(_: Request) -> Answer:
        asked.set()
        return Answer((), After.SILENCE)

    async with serving(script) as server, a_session(server.url, credentials=UNIVERSAL) as session:
        doing = asyncio.ensure_future(do(session))
        await asyncio.wait_for(asked.wait(), 10)
        doing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await doing


# -- vast ---------------------------------------------------------------------------------------------

ENDLESS = stream([b" " * MEBI] * 100, content_type="application/json")
BOMB = packed(gzip.compress(b" " * 500 * MEBI, 9))


@pytest.mark.parametrize("vast", [ENDLESS, BOMB], ids=["plain", "packed"])
@pytest.mark.parametrize(
    ("do", "most", "reason"),
    [(read_result, 50, Reason.RESPONSE_TOO_LARGE), (Session.login, 4, Reason.UNEXPECTED_RESPONSE)],
)
async def test_answer_that_is_vast(
    do: Callable[[Session], Awaitable[None]], most: int, reason: Reason, vast: Answer
) -> None:
    """An answer that is too long for what was asked is told as such, and costs no more than its bound."""
    script = logged_in(v4=always(vast)) if do is read_result else always(vast)
    async with serving(script) as server, a_session(server.url, credentials=UNIVERSAL) as session:
        tracemalloc.start()
        try:
            error = await failure(do(session))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert error.reason is reason
    assert "longer than" in str(error)
    assert peak < most * MEBI


LONG_KEY = "\N{GRINNING FACE}".encode() + b"k" * 14 * MEBI
"""A text of 56 MiB, because of its first character."""
SMALL_SECRET = b'{"id":"i","version":1,"secretKey":"k"}'


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"{}", Reason.RESPONSE_TOO_LARGE),
        (b"[]", Reason.RESPONSE_TOO_LARGE),
        (b'{"a":1}', Reason.RESPONSE_TOO_LARGE),
        (b"1.5", Reason.RESPONSE_TOO_LARGE),
        (b'"ab"', Reason.UNEXPECTED_RESPONSE),
        (SMALL_SECRET, Reason.RESPONSE_TOO_LARGE),
        (SMALL_SECRET[:-1] + b',"secretValue":[[]]}', Reason.UNEXPECTED_RESPONSE),
        (SMALL_SECRET[:-1] + b',"other":[[],[],[],{"a":[[]]}]}', Reason.RESPONSE_TOO_LARGE),
        (b'{"id":"i","version":1,"secretKey":"' + b"k" * 600_000 + b'"}', Reason.RESPONSE_TOO_LARGE),
        (
            b'{"id":"i","version":1,"secretKey":"' + LONG_KEY + b'"}',
            Reason.RESPONSE_TOO_LARGE,
        ),
        (b'{"id":"' + b"i" * 300 + b'","version":1,"secretKey":"k"}', Reason.UNEXPECTED_RESPONSE),
    ],
    ids=lambda value: value[:16] if isinstance(value, bytes) else None,
)
async def test_answer_of_odd_values(value: bytes, reason: Reason) -> None:
    """An answer within its bytes costs twice or thrice as many at most, whatever it is made of."""
    body = b'{"secrets":[' + (value + b",") * (31 * MEBI // (len(value) + 1)) + value + b"]}"
    tracemalloc.start()
    try:
        async with serving(always(answer(200, body))) as server, a_session(server.url) as session:
            before = tracemalloc.get_traced_memory()[0]
            error = await failure(read_result(session))
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert error.reason is reason
    assert peak < 120 * MEBI


@pytest.mark.parametrize("do", [read_result, subscribe, Session.login])
async def test_refusal_that_is_vast(do: Callable[[Session], Awaitable[None]]) -> None:
    """A refusal that is too long to be read is known by its status all the same."""
    vast = answer(503, b" " * MEBI)
    async with serving(always(vast)) as server, a_session(server.url, credentials=UNIVERSAL) as session:
        assert (await failure(do(session))).reason is Reason.SERVER_ERROR


# -- packed -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 1_000_000])
async def test_packed(size: int) -> None:
    """A list may come packed, however the network cuts it and whatever comes behind."""
    whole = packed(gzip.compress(json.dumps(LIST | {"more": "x" * size}).encode()) + b"behind").pieces[0]
    cut = Answer(tuple(whole[i : i + 500] for i in range(0, len(whole), 500)))
    async with serving(always(cut)) as server, a_session(server.url) as session:
        assert (await session.read_snapshot(SCOPES)).key_count == 1
        assert server.asked(V4)[0].headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize(
    "odd",
    [
        packed(b"no gzip"),
        packed(gzip.compress(json.dumps(LIST).encode())[:-12]),
        packed(gzip.compress(gzip.compress(b"{}")), "gzip, gzip"),
        packed(b"{}", "br"),
        packed(b"{}", "deflate"),
    ],
)
async def test_packed_in_an_odd_way(odd: Answer) -> None:
    """What is broken, or packed in a way that was not asked for, is told as what it is."""
    async with serving(always(odd)) as server, a_session(server.url) as session:
        assert (await failure(read_result(session))).reason is Reason.UNEXPECTED_RESPONSE


async def test_packed_refusal() -> None:
    """The words of a packed refusal are understood."""
    given = {"statusCode": 403, "error": "PermissionDenied", "message": "not yours"}
    body = json.dumps(given).encode()
    told = answer(403, gzip.compress(body), {"Content-Encoding": "gzip"})
    async with serving(always(told)) as server, a_session(server.url) as session:
        assert "(PermissionDenied: not yours)" in str(await failure(read_result(session)))


async def test_stream_is_not_packed() -> None:
    """A stream is asked for unpacked: who packs it holds events back."""
    async with serving(always(refused(403, "PermissionDenied", "no"))) as server:
        async with a_session(server.url) as session:
            await failure(subscribe(session))
        assert server.requests[0].headers["accept-encoding"] == "identity"


# -- counted ------------------------------------------------------------------------------------------


async def test_requests_are_counted() -> None:
    """By method and code, each that was sent; one that the server's own demand holds back was not."""
    metrics = Metrics()
    sharing = NamespaceSharing(metrics=metrics.infisical_requests)
    limited = answer(429, {}, {"Retry-After": "30"})
    script = in_turn(answer(200, {}), answer(418, {}), Answer((), After.RESET), limited)
    async with serving(script) as server, new_client(server.url, LOOPBACK, sharing) as client:
        await request_json(client, "GET", "/")
        for _ in range(4):
            await failure(request_json(client, "POST", "/"))
    text = metrics.render().decode()
    found = re.findall(
        r'^infisical_events_infisical_requests_total{code="(\w+)",method="(\w+)"} 1.0$', text, re.MULTILINE
    )
    assert sorted(found) == [("200", "GET"), ("429", "POST"), ("4xx", "POST"), ("error", "POST")]
    assert 'infisical_events_infisical_request_duration_seconds_count{method="POST"} 3.0' in text
    assert len(server.requests) == 4
