"""The stream at the wire: what is heard, and that every end of it is an end."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from infisical_events.api.specs import EventType
from infisical_events.core.paths.scopes import Folder
from infisical_events.core.snapshots.events import SecretEvent, UnrecognizedFrame
from infisical_events.core.status.reasons import Reason
from infisical_events.infisical.authorized_client import AuthorizedClient
from infisical_events.infisical.event_stream import StreamItem, StreamLimits, open_stream
from infisical_events.infisical.http_client import new_client
from infisical_events.infisical.infisical_errors import (
    InfisicalError,
    StreamEndedError,
    StreamGivenUpError,
    StreamRefusedError,
    TokenRejectedError,
)
from infisical_events.infisical.session import Session
from infisical_events.infisical.shared_logins import SharedLogins
from infisical_events.infisical.tokens import TokenProvider
from infisical_events.infisical.transport.fair_reads import ReadPace
from infisical_sandbox.server import Controls, Ending, Options, Sandbox
from infisical_sandbox.server.domain import generations
from support.builders import a_spec, an_entry
from support.infisical_sessions import (
    BY_HAND,
    LOOPBACK,
    PROJECT,
    SUBSCRIBE,
    UNIVERSAL,
    a_sandbox_session,
    a_session,
    given,
    granted,
    logged_in,
    refused,
)
from support.scripted_server import After, Answer, always, answer, in_turn, serving, stream

PING = b"event: ping\n\n"
FOLDER = Folder("prod", "/a")


def frame(*keys: str, name: str = "secret:update", newline: str = "\n") -> bytes:
    """An event of the newest generation, as its server writes it."""
    items = [{"environment": "prod", "secretPath": "/a", "secretKey": key} for key in keys]
    data = {"projectType": "secret-manager", "data": {"eventType": name, "payload": items}}
    lines = ("id: 1750000000000", f"event: {name}", f"data: {json.dumps(data)}", "", "")
    return newline.join(lines).encode()


def update(*keys: str) -> SecretEvent:
    """What such a frame is heard as."""
    return SecretEvent(EventType.UPDATE, FOLDER, frozenset(keys))


async def listened(session: Session) -> tuple[list[StreamItem], StreamEndedError]:
    """All that is heard on a stream until its end, and the end."""
    async with session.stream() as received_events:
        return await ended(received_events)


async def ended(received_events: AsyncIterator[StreamItem]) -> tuple[list[StreamItem], StreamEndedError]:
    """What is heard until the end, and the end."""
    received: list[StreamItem] = []
    try:
        async for hearing in received_events:
            received.append(hearing)  # noqa: PERF401 - it raises, and what came before counts
    except StreamEndedError as end:
        return received, end
    raise AssertionError("a stream's end is always told")


async def heard_of(chunks: Iterable[bytes], after: After = After.KEEP) -> list[StreamItem]:
    """What is heard of these chunks."""
    async with serving(always(stream(chunks, after))) as server, a_session(server.url) as session:
        return (await listened(session))[0]


# -- what is heard ------------------------------------------------------------------------------------


async def test_event() -> None:
    """An event is heard with its type, its folder and all its keys."""
    assert await heard_of([frame("A", "B")]) == [update("A", "B")]


async def test_older_payload() -> None:
    """The older generation's payload, with `type` and `secretKeys`, is heard as the same event."""
    item = {"environment": "prod", "secretPath": "/a", "secretKeys": "A"}
    data = {"type": "secret-manager", "data": {"eventType": "secret:update", "payload": [item]}}
    assert await heard_of([f"event: secret:update\ndata: {json.dumps(data)}\n\n".encode()]) == [update("A")]


async def test_import_mutation() -> None:
    """An import mutation, whose payload is no list, is heard without keys."""
    payload = {"environment": "prod", "secretPath": "/a"}
    data = {
        "projectType": "secret-manager",
        "data": {"eventType": "secret:import-mutation", "payload": payload},
    }
    chunk = f"event: secret:import-mutation\ndata: {json.dumps(data)}\n\n".encode()
    assert await heard_of([chunk]) == [SecretEvent(EventType.IMPORT_MUTATION, FOLDER, frozenset())]


@pytest.mark.parametrize(
    "chunks",
    [
        [PING] * 3,
        [b": a comment\n\n"] * 3,
        [b"\n\n\n"],
        [b"retry: 5\n\n"],
        [b"id: 7\n\n", PING, b": after an id\n\n", b"\n"],
        [b"event: ping\ndata: {}\n\n"],
    ],
)
async def test_pings_are_nothing(chunks: list[bytes]) -> None:
    """Pings, comments, blank lines and bare ids are heard as nothing, also after an event's id stuck."""
    assert await heard_of([*chunks, frame("A"), *chunks]) == [update("A")]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
async def test_line_ends(newline: str) -> None:
    """Lines may end in every way that the specification of Server-Sent Events admits."""
    # A lone CR is known to end a line only when the next byte is there: the ping brings it.
    assert await heard_of([frame("A", newline=newline), PING]) == [update("A")]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
async def test_split_anywhere(newline: str) -> None:
    """It does not matter where the network cuts the bytes, not even inside a character."""
    whole = frame("KÉY", newline=newline).replace(b"\\u00c9", "É".encode())
    assert await heard_of([whole[i : i + 1] for i in range(len(whole))]) == [update("KÉY")]


async def test_data_of_several_lines() -> None:
    """Data may be spread over lines."""
    spread = frame("A").replace(b'"data": {', b'\ndata: "data": {')
    assert await heard_of([spread]) == [update("A")]


async def test_data_without_a_name() -> None:
    """The type in the data counts, so a frame without a name, or behind a byte order mark, is heard."""
    nameless = frame("A").replace(b"event: secret:update\n", b"")
    assert await heard_of([b"\xef\xbb\xbf" + nameless, nameless]) == [update("A")] * 2


async def test_glued_ping() -> None:
    """An older server's ping without a line end spoils at most the line it is glued to."""
    assert await heard_of([b"1", frame("A"), b"1", frame("B")]) == [update("A"), update("B")]


async def test_invalid_bytes() -> None:
    """Bytes that are no UTF-8 spoil the key they stand in and nothing else."""
    spoiled = frame("A?").replace(b"?", b"\xff")
    assert await heard_of([spoiled, frame("B")]) == [update("A\ufffd"), update("B")]


NONSENSE = {
    "unknown type": frame("A", name="secret:burned"),
    "no JSON": b"event: secret:update\ndata: {\n\n",
    "no envelope": b"data: []\n\n",
    "no data": b"data: {}\n\n",
    "no payload": b'data: {"data": {"eventType": "secret:update"}}\n\n',
    "no place": b'data: {"data": {"eventType": "secret:update", "payload": [{}]}}\n\n',
    "deep": b"data: " + b"[" * 100_000 + b"\n\n",
}


@pytest.mark.parametrize("chunk", NONSENSE.values(), ids=NONSENSE)
async def test_not_understood(chunk: bytes) -> None:
    """What is not understood is told as such, and the stream goes on."""
    first, second = await heard_of([chunk, frame("A")])
    assert isinstance(first, UnrecognizedFrame)
    assert second == update("A")


async def test_ten_thousand_keys() -> None:
    """An event that names ten thousand keys in one line of 600 KB is heard whole."""
    keys = [f"KEY_{n:05}" for n in range(10_000)]
    line = frame(*keys)
    assert len(line) > 600_000
    chunks = [line[i : i + 1_400] for i in range(0, len(line), 1_400)]
    assert await heard_of(chunks) == [update(*keys)]


@pytest.mark.parametrize("line", [b"data: ", b"data: x\n"])
async def test_event_without_end(line: bytes) -> None:
    """An event that does not end, in one line or in many, is the end of the stream and fills no memory."""
    chunk = line * (1024 * 1024 // len(line))
    async with serving(always(stream([chunk] * 20))) as server, a_session(server.url) as session:
        received, end = await listened(session)
    assert received == []
    assert "an event is too large" in str(end)
    assert isinstance(end, StreamGivenUpError)


async def test_long_life() -> None:
    """A stream may say more than any event, in events."""
    many = frame(*(f"KEY_{n}" for n in range(1_000))) * 400
    assert len(many) > 20 * 1024 * 1024
    assert len(await heard_of([many])) == 400


async def test_incomplete_event() -> None:
    """An event that was cut off is not heard."""
    assert await heard_of([frame("A"), frame("B")[:-2]]) == [update("A")]


async def test_events_before_a_reset() -> None:
    """What came before the end is heard, whatever the end is."""
    assert await heard_of([frame("A"), frame("B")], After.CLOSE) == [update("A"), update("B")]


# -- every end is an end ------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [After.KEEP, After.CLOSE, After.RESET])
@pytest.mark.parametrize("chunks", [[], [PING], [frame("A")[:20]]])
async def test_ends(chunks: list[bytes], after: After) -> None:
    """A complete, a cut and a reset body are all the end of the stream."""
    async with serving(always(stream(chunks, after))) as server, a_session(server.url) as session:
        received, end = await listened(session)
    assert (received, end.reason, type(end)) == ([], Reason.STREAM_ENDED, StreamEndedError)


async def test_broken_chunk() -> None:
    """Bytes that are no chunk are the end of the stream."""
    head = stream([]).pieces[0]
    answers = always(Answer((head, b"not a chunk\r\n"), After.SILENCE))
    async with serving(answers) as server, a_session(server.url) as session:
        _, end = await listened(session)
    assert "RemoteProtocolError" in str(end)


@asynccontextmanager
async def listening(url: str, watchdog: float) -> AsyncIterator[AsyncIterator[StreamItem]]:
    """A stream under a short watchdog."""
    async with new_client(url, LOOPBACK) as http:
        client = AuthorizedClient(http, TokenProvider(http, given(BY_HAND), SharedLogins()))
        async with open_stream(client, PROJECT, [], StreamLimits(ReadPace(), watchdog)) as received_events:
            yield received_events


async def test_silence() -> None:
    """A stream on which nothing comes any more is given up, and its connection closed."""
    script = always(stream([frame("A")], After.SILENCE))
    async with serving(script) as server, listening(server.url, 0.2) as received_events:
        received, end = await ended(received_events)
    assert received == [update("A")]
    assert "no data was received" in str(end)
    assert isinstance(end, StreamGivenUpError)


async def test_silence_before_the_head() -> None:
    """A server that accepts and never answers is given up as well."""
    async with serving(always(Answer((), After.SILENCE))) as server:
        with pytest.raises(InfisicalError) as error:
            async with listening(server.url, 0.2):
                raise AssertionError("there is no stream")
    assert error.value.reason is Reason.UNREACHABLE


async def test_any_byte_is_life() -> None:
    """Single bytes of a comment keep a stream alive for many times the watchdog's time."""
    slow = replace(stream([b":"] * 20 + [b"\n", frame("A")]), pause=0.05)
    async with serving(always(slow)) as server, listening(server.url, 0.5) as received_events:
        received, _ = await ended(received_events)
    assert received == [update("A")]


async def test_error_event() -> None:
    """The server's word that the permission is lost is the end of the stream, and is told as such."""
    denied = b'event: error\ndata: {"message":"Permission denied or refresh failed"}\n\n'
    async with serving(always(stream([denied, frame("A")]))) as server, a_session(server.url) as session:
        received, end = await listened(session)
    assert received == []
    assert "permission" in str(end)
    assert isinstance(end, StreamRefusedError)


async def test_nobody_listens_any_more() -> None:
    """Leaving the stream closes its connection: the server sees it gone."""
    async with Sandbox.in_thread() as sandbox, a_sandbox_session(sandbox) as session:
        async with session.stream():
            assert await sandbox.do(Controls.count_streams) == 1
        async with asyncio.timeout(10):
            while await sandbox.do(Controls.count_streams):  # noqa: ASYNC110 - of another thread
                await asyncio.sleep(0.005)


# -- at a local Infisical -----------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [Ending.CLEAN, Ending.ABORT, Ending.RESET])
@pytest.mark.parametrize("generation", generations.BY_NAME.values(), ids=generations.BY_NAME)
async def test_heard_at_an_infisical(ending: Ending, generation: generations.Generation) -> None:
    """All generations of a local Infisical are understood, and each way of theirs to end a stream."""
    options = Options(generation=generation, ping_interval=0.05)
    async with Sandbox.in_thread(options) as sandbox, a_sandbox_session(sandbox) as session:
        await sandbox.do(Controls.set_secrets, "prod", "/a", {"A": "1"})
        async with session.stream() as received_events:
            await sandbox.do(Controls.set_secrets, "prod", "/a", {"A": "2"})
            assert await anext(received_events) == update("A")
            await sandbox.do(Controls.end_streams, ending)
            with pytest.raises(StreamEndedError):
                await anext(received_events)


async def test_permission_lost_at_an_infisical() -> None:
    """Losing the permission ends the stream, and the next subscription is refused with the reason."""
    async with Sandbox.in_thread() as sandbox, a_sandbox_session(sandbox) as session:
        async with session.stream() as received_events:
            await sandbox.do(Controls.assign_role, "no-access")
            await sandbox.do(Controls.recheck_streams)
            with pytest.raises(StreamEndedError, match="permission"):
                await anext(received_events)
        error = await refusal_of(session)
    assert error.reason is Reason.PERMISSION_DENIED
    assert "Secret Events permission" in str(error)


# -- refused ------------------------------------------------------------------------------------------


async def refusal_of(session: Session) -> InfisicalError:
    """What a subscription fails with."""
    with pytest.raises(InfisicalError) as error:
        async with session.stream():
            raise AssertionError("there is no stream")
    return error.value


async def refused_with(given: Answer) -> InfisicalError:
    """What a subscription fails with that is answered like this."""
    async with serving(always(given)) as server, a_session(server.url) as session:
        return await refusal_of(session)


LIMITER = {"x-ratelimit-limit": "60", "x-ratelimit-remaining": "0", "retry-after": "17"}
BODY_429 = {"reqId": "req-abcdefghijklmn", "error": "RateLimitExceeded", "message": "Rate limit exceeded"}
REFUSED: dict[str, tuple[Answer, Reason, str]] = {
    "plan": (
        refused(400, "BadRequest", "Upgrade plan to use event subscriptions"),
        Reason.PLAN_LACKS_EVENT_SUBSCRIPTIONS,
        "(BadRequest: Upgrade plan to use event subscriptions)",
    ),
    "limit": (answer(429, BODY_429), Reason.CONNECTION_LIMIT_REACHED, "100"),
    "limiter": (answer(429, BODY_429, LIMITER), Reason.RATE_LIMITED, "rate limit is exceeded"),
    "rights": (
        refused(403, "PermissionDenied", "You are not allowed to subscribe-to-update-events"),
        Reason.PERMISSION_DENIED,
        "subscribe-to-update-events",
    ),
    "no member": (
        refused(403, "ProjectMembershipNotFound", "You are not a member of this project"),
        Reason.PERMISSION_DENIED,
        "not a member",
    ),
    "project": (
        refused(404, "NotFound", "Project with id x not found"),
        Reason.PROJECT_NOT_FOUND,
        "id … not",
    ),
    "too old": (
        answer(
            404, {"message": f"Route POST:{SUBSCRIBE} not found", "error": "Not Found", "statusCode": 404}
        ),
        Reason.EVENTS_NOT_SUPPORTED,
        "upgrade it",
    ),
    "route": (answer(404, {"message": "Route not found"}), Reason.UNEXPECTED_RESPONSE, "endpoint"),
    "proxy": (answer(404, b"default backend - 404"), Reason.UNEXPECTED_RESPONSE, "endpoint"),
    "issues": (
        refused(422, "ValidationFailure", [{"message": "Required"}, {"message": "Too big"}, "odd"]),
        Reason.REQUEST_REJECTED,
        "Required; Too big",
    ),
    "failure": (refused(500, "InternalServerError", "Something went wrong"), Reason.SERVER_ERROR, "500"),
    "gateway": (answer(502, b"<html>"), Reason.SERVER_ERROR, "502"),
    "redirect": (
        answer(302, b"", {"Location": "https://elsewhere.example"}),
        Reason.UNEXPECTED_RESPONSE,
        "redirects",
    ),
    "page": (answer(200, b"<html>", {"Content-Type": "text/html"}), Reason.UNEXPECTED_RESPONSE, "proxy"),
    "nothing": (answer(204, b"", {"Content-Length": "0"}), Reason.UNEXPECTED_RESPONSE, "204"),
    "closed": (Answer((), After.CLOSE), Reason.UNREACHABLE, "RemoteProtocolError"),
    "reset": (Answer((), After.RESET), Reason.UNREACHABLE, "ReadError"),
    "garbage": (
        Answer((b"SSH-2.0-OpenSSH_9.6\r\n",), After.CLOSE),
        Reason.UNREACHABLE,
        "RemoteProtocolError",
    ),
    "cut refusal": (
        Answer((b"HTTP/1.1 403 No\r\nContent-Length: 100\r\n\r\n{",), After.CLOSE),
        Reason.UNREACHABLE,
        "RemoteProtocolError",
    ),
}


@pytest.mark.parametrize(("given", "reason", "words"), REFUSED.values(), ids=REFUSED)
async def test_refusals(given: Answer, reason: Reason, words: str) -> None:
    """Each refusal of a subscription has its reason and a sentence that says what to do."""
    error = await refused_with(given)
    assert error.reason is reason
    assert words in str(error)


async def test_limiters_wait() -> None:
    """The limiter's wait is passed on; the connection limit has none of its own."""
    assert (await refused_with(REFUSED["limiter"][0])).retry_after == 17.0
    assert (await refused_with(REFUSED["limit"][0])).retry_after == 0.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("17", 17.0),
        ("0", 0.0),
        ("-5", 0.0),
        ("Wed, 21 Oct 2026 07:28:17 GMT", 17.0),
        ("Wed, 21 Oct 2026 09:28:17 +0200", 17.0),
        ("Wed, 21 Oct 2026 07:27:00 GMT", 0.0),
        ("Wed, 21 Oct 2099 07:28:00 GMT", 3600.0),
        ("Wed, 99 Oct 2026 07:28:00 GMT", 0.0),
        ("soon", 0.0),
        ("²", 0.0),
        ("9" * 400, 3600.0),
        ("", 0.0),
    ],
)
async def test_strange_waits(value: str, seconds: float) -> None:
    """A wait that makes no sense is none, none exceeds an hour, and a date counts from the server's own."""
    headers = {"x-ratelimit-limit": "60", "retry-after": value, "date": "Wed, 21 Oct 2026 07:28:00 GMT"}
    assert (await refused_with(answer(429, BODY_429, headers))).retry_after == seconds


@pytest.mark.parametrize("date", [{}, {"date": "today"}, {"date": "Wed, 21 Oct 2026 07:28:00"}])
async def test_wait_until_a_date_of_nobody_knows_when(date: dict[str, str]) -> None:
    """A date of a server that does not tell its own time is a minute away, and no limit of streams."""
    error = await refused_with(answer(429, BODY_429, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"} | date))
    assert (error.reason, error.retry_after) == (Reason.RATE_LIMITED, 60.0)


async def test_server_that_is_busy_until_then() -> None:
    """A failing server's wait is passed on like the limiter's."""
    given = answer(503, BODY_429, {"retry-after": "17"})
    assert (await refused_with(given)).retry_after == 17.0


@pytest.mark.parametrize(
    "prepare",
    [
        lambda controls: setattr(controls.faults, "plan_missing", True),
        lambda controls: setattr(controls.faults, "connection_limit", 0),
    ],
)
async def test_refused_at_an_infisical(prepare: Callable[[Controls], None]) -> None:
    """A local Infisical without the plan, or at its limit of streams, is told from all other trouble."""
    async with Sandbox.in_thread() as sandbox, a_sandbox_session(sandbox) as session:
        await sandbox.do(prepare)
        error = await refusal_of(session)
    assert error.reason in {Reason.PLAN_LACKS_EVENT_SUBSCRIPTIONS, Reason.CONNECTION_LIMIT_REACHED}


@pytest.mark.parametrize("refusal", [401, 403])
async def test_token_refused(refusal: int) -> None:
    """A token that is refused at the subscription is replaced by one login, and the stream opens."""
    given = in_turn(refused(refusal, "TokenError", "Your token has expired"), stream([frame("A")]))
    login = in_turn(granted("first"), granted("second"))
    script = logged_in(login=login, subscribe=given)
    async with serving(script) as server, a_session(server.url, credentials=UNIVERSAL) as session:
        received, _ = await listened(session)
        tokens = [request.headers.get("authorization") for request in server.requests]
    assert received == [update("A")]
    assert tokens == [None, "Bearer first", None, "Bearer second"]


async def test_every_token_refused() -> None:
    """When the new token is refused as well, the subscription is not tried a third time."""
    script = logged_in(subscribe=always(refused(401, "UnauthorizedError", "revoked")))
    async with serving(script) as server, a_session(server.url, credentials=UNIVERSAL) as session:
        error = await refusal_of(session)
        assert len(server.requests) == 4
    assert isinstance(error, TokenRejectedError)


# -- what is asked for --------------------------------------------------------------------------------


async def test_registered() -> None:
    """What is registered are the spec's events, each place once, without what only the operator matches."""
    spec = a_spec(
        an_entry("secret:update", "prod", "/a/**", "A*"),
        an_entry("secret:update", "prod", "/a/**", "B*"),
        an_entry("secret:delete", "dev", "/"),
        projectId="p",
    )
    async with serving(always(stream([]))) as server, a_session(server.url, spec) as session:
        await listened(session)
        [request] = server.requests
    assert request.headers["accept"] == "text/event-stream"
    assert request.json() == {
        "projectId": "p",
        "register": [
            {"event": "secret:update", "conditions": {"environmentSlug": "prod", "secretPath": "/a/**"}},
            {"event": "secret:delete", "conditions": {"environmentSlug": "dev", "secretPath": "/"}},
        ],
    }
