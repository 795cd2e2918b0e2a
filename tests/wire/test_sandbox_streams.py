"""The event stream of the local Infisical, byte by byte, as a client of it sees it."""

from __future__ import annotations

import asyncio
import json
import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from infisical_sandbox.server import Controls, Ending, Options, Sandbox
from infisical_sandbox.server.domain import generations
from support.sandbox_client import ALL_EVENTS, DEADLINE, SUBSCRIBE, a_client, a_stream, entries, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

FAST = Options(fan_out_delay=0.0, ping_interval=600.0)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """The newest generation, without pings in between."""
    async with Sandbox.in_thread(FAST) as running:
        yield running


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[httpx.AsyncClient]:
    """Logged in."""
    async with a_client(sandbox) as connected:
        yield connected


def data_of(frame: bytes) -> dict[str, Any]:
    """The JSON of a frame."""
    line = frame.split(b"\n")[2]
    return dict(json.loads(line.removeprefix(b"data: ")))


async def test_the_head_comes_at_once(sandbox: Sandbox, client: httpx.AsyncClient) -> None:
    """Status and headers are there before any byte of the body."""
    async with a_stream(client, sandbox) as stream:
        assert stream.response.status_code == 200
        headers = stream.response.headers
        assert {
            "content-type": "text/event-stream",
            "cache-control": "no-cache",
            "connection": "keep-alive",
            "x-accel-buffering": "no",
            "transfer-encoding": "chunked",
        }.items() <= headers.items()
        assert not headers.keys() & {"etag", "content-length"}
        assert stream.received == b""


async def test_a_frame_is_id_event_and_one_line_of_json(sandbox: Sandbox, client: httpx.AsyncClient) -> None:
    """Byte for byte what the server writes for a batch of two new secrets."""
    before = int(time.time() * 1000)
    async with a_stream(client, sandbox) as stream:
        await sandbox.do(Controls.set_secrets, "prod", "/app", {"A": "1", "Ä": "2"})
        await until(lambda: stream.frames, "an event arrives")

        match = re.fullmatch(rb"id: (\d+)\n(.*)\n\n", bytes(stream.received), re.DOTALL)
        assert match is not None
        assert before <= int(match[1]) <= time.time() * 1000
        assert match[2].decode() == (
            "event: secret:create\n"
            'data: {"projectType":"secret-manager","data":{"eventType":"secret:create","payload":'
            '[{"environment":"prod","secretPath":"/app","secretKey":"A"},'
            '{"environment":"prod","secretPath":"/app","secretKey":"Ä"}]}}'
        )


async def test_an_import_mutation_carries_one_object(sandbox: Sandbox, client: httpx.AsyncClient) -> None:
    """Its payload is an object, not a list, and it follows the change of the imported folder."""
    await sandbox.do(Controls.add_import, "prod", "/app", ("prod", "/shared"))
    await _jobs_done(sandbox)
    async with a_stream(client, sandbox, entries(path="/**")) as stream:
        await sandbox.do(Controls.set_secrets, "prod", "/shared", {"S": "1"})
        await until(lambda: len(stream.frames) > 1, "two events arrive")

        assert [data_of(frame)["data"] for frame in stream.frames] == [
            {
                "eventType": "secret:create",
                "payload": [{"environment": "prod", "secretPath": "/shared", "secretKey": "S"}],
            },
            {
                "eventType": "secret:import-mutation",
                "payload": {"environment": "prod", "secretPath": "/app"},
            },
        ]


async def test_pings_are_bare() -> None:
    """A ping has neither data nor id, and all streams of the server get it at the same instant."""
    async with (
        Sandbox.in_thread(Options(ping_interval=0.05)) as sandbox,
        a_client(sandbox) as client,
        a_stream(client, sandbox) as first,
        a_stream(client, sandbox) as second,
    ):
        await until(lambda: second.received and first.received, "pings arrive")

        assert bytes(first.received).startswith(b"event: ping\n\n")
        assert bytes(second.received).startswith(b"event: ping\n\n")


@pytest.mark.parametrize(
    ("ending", "seen"),
    [(Ending.CLEAN, "complete"), (Ending.ABORT, "incomplete"), (Ending.RESET, "reset")],
)
async def test_a_stream_ends_the_way_it_should(
    sandbox: Sandbox, client: httpx.AsyncClient, ending: Ending, seen: str
) -> None:
    """Complete body, closed without the last chunk, or reset: the client can tell."""
    async with a_stream(client, sandbox) as stream:
        assert await sandbox.do(Controls.end_streams, ending) == 1
        await until(lambda: stream.ended, "the stream ends")

        assert stream.ended == seen
        assert stream.received == b""
    await _streams(sandbox, 0)


async def test_a_silent_stream_stays_open(sandbox: Sandbox, client: httpx.AsyncClient) -> None:
    """After the silence fault nothing comes any more, while a new stream works."""
    async with a_stream(client, sandbox) as deaf:
        await sandbox.do(Controls.end_streams, Ending.SILENCE)
        async with a_stream(client, sandbox) as fresh:
            await sandbox.do(Controls.set_secrets, "prod", "/app", {"A": "1"})
            await until(lambda: fresh.frames, "the fresh stream hears")

            assert (deaf.received, deaf.ended) == (b"", "")
            assert await sandbox.do(Controls.count_streams) == 2


async def test_the_life_of_a_stream_ends_by_abort(client: httpx.AsyncClient, sandbox: Sandbox) -> None:
    """At the end of its life the body is cut without a word, as after the server's hour."""
    async with a_stream(client, sandbox) as stream:
        await sandbox.do(Controls.set_timing, stream_lifetime=0.05)
        await until(lambda: stream.ended, "the stream ends")

        assert (stream.ended, stream.received) == ("incomplete", b"")


async def test_a_lost_permission_ends_the_stream_with_an_error_event(
    sandbox: Sandbox, client: httpx.AsyncClient
) -> None:
    """One `event: error`, then a complete end."""
    async with a_stream(client, sandbox) as stream:
        await sandbox.do(Controls.assign_role, "no-access")
        await sandbox.do(Controls.recheck_streams)
        await until(lambda: stream.ended, "the stream ends")

        assert bytes(stream.received) == (
            b'event: error\ndata: {"message":"Permission denied or refresh failed"}\n\n'
        )
        assert stream.ended == "complete"


async def test_a_revoked_token_does_not_end_a_stream(sandbox: Sandbox, client: httpx.AsyncClient) -> None:
    """The re-check asks for membership and rules, never for the token."""
    async with a_stream(client, sandbox) as stream:
        await sandbox.do(Controls.revoke_tokens)
        await sandbox.do(Controls.recheck_streams)
        await sandbox.do(Controls.set_secrets, "prod", "/app", {"A": "1"})
        await until(lambda: stream.frames, "an event arrives")

        assert stream.ended == ""


async def test_each_event_is_tested_against_the_rules(sandbox: Sandbox, client: httpx.AsyncClient) -> None:
    """A wide registration under a narrow rule delivers only what the rule covers."""
    generation = generations.E4
    rule = {
        "subject": generation.event_subject,
        "actions": list(generation.event_actions.values()),
        "conditions": {"secretPath": {"$glob": "/a/**"}},
    }
    await sandbox.do(Controls.permit, [rule])
    async with a_stream(client, sandbox, entries(path="/a/**")) as stream:
        for path in ("/b", "/a/b"):
            await sandbox.do(Controls.set_secrets, "prod", path, {"A": "1"})
        await until(lambda: stream.frames, "an event arrives")

        assert [data_of(frame)["data"]["payload"][0]["secretPath"] for frame in stream.frames] == ["/a/b"]


@pytest.mark.parametrize(
    ("register", "heard"),
    [
        (entries(path="/"), ["/"]),
        (entries(path=None), ["/"]),
        (entries(path="/a"), ["/a"]),
        (entries(path="/a/*"), ["/a/b"]),
        (entries(path="/**"), ["/", "/a", "/a/b"]),
        (entries(environment=None), ["/", "/a", "/a/b", "/a"]),
        (entries("secret:delete"), []),
    ],
    ids=["root", "default path", "folder", "below", "everywhere", "no conditions", "other type"],
)
async def test_only_what_was_registered_is_heard(
    sandbox: Sandbox, client: httpx.AsyncClient, register: list[dict[str, Any]], heard: list[str]
) -> None:
    """Type, environment and path of an event decide, and no event comes twice."""
    async with a_stream(client, sandbox, register) as stream:
        for environment, path in (("prod", "/"), ("prod", "/a"), ("prod", "/a/b"), ("dev", "/a")):
            await sandbox.do(Controls.set_secrets, environment, path, {"A": "1"})
        await sandbox.do(Controls.end_streams)
        await until(lambda: stream.ended, "the stream ends")

    assert [data_of(frame)["data"]["payload"][0]["secretPath"] for frame in stream.frames] == heard


async def test_the_older_generation_speaks_its_own_way() -> None:
    """`type` and `secretKeys`, and prefixes instead of globs."""
    options = Options(generation=generations.E3, fan_out_delay=0.0)
    async with (
        Sandbox.in_thread(options) as sandbox,
        a_client(sandbox) as client,
        a_stream(client, sandbox, entries(path="/a")) as stream,
    ):
        await sandbox.do(Controls.set_secrets, "prod", "/ab", {"A": "1"})
        await until(lambda: stream.frames, "an event arrives")

        assert data_of(stream.frames[0]) == {
            "type": "secret-manager",
            "data": {
                "eventType": "secret:create",
                "payload": [{"environment": "prod", "secretPath": "/ab", "secretKeys": "A"}],
            },
        }


async def test_the_limit_counts_streams_of_the_project(sandbox: Sandbox, client: httpx.AsyncClient) -> None:
    """One too many is 429 without a retry-after; a closed stream makes room at once."""
    body = {"projectId": sandbox.project_id, "register": entries()}
    sandbox.controls.faults.connection_limit = 1
    async with a_stream(client, sandbox):
        refused = await client.post(SUBSCRIBE, json=body)
    await _streams(sandbox, 0)

    assert (refused.status_code, refused.json()["error"]) == (429, "RateLimitExceeded")
    assert "retry-after" not in refused.headers
    async with a_stream(client, sandbox) as again:
        assert again.response.status_code == 200


async def test_the_hundred_and_first_stream_is_refused(sandbox: Sandbox) -> None:
    """The newest generation admits 100 streams per project."""
    async with a_client(sandbox) as client, asyncio.TaskGroup() as group:
        client._transport._pool._max_connections = 200  # type: ignore[attr-defined]  # httpx caps at 100 by default
        holders = [group.create_task(_hold(client, sandbox)) for _ in range(100)]
        await _streams(sandbox, 100)
        body = {"projectId": sandbox.project_id, "register": entries()}
        refused = await client.post(SUBSCRIBE, json=body)
        for holder in holders:
            holder.cancel()

    assert refused.status_code == 429


async def test_checks_come_in_the_order_of_the_server(sandbox: Sandbox, client: httpx.AsyncClient) -> None:
    """Token, body, project, rules, plan, limit: the first that fails answers."""
    faults = sandbox.controls.faults
    faults.plan_missing, faults.connection_limit = True, 0
    await sandbox.do(Controls.assign_role, "no-access")
    good = {"projectId": sandbox.project_id, "register": entries()}

    async def status(body: dict[str, Any], **headers: str) -> int:
        return (await client.post(SUBSCRIBE, json=body, headers=headers)).status_code

    found = [
        await status({}, authorization="Bearer nonsense"),
        await status({"projectId": "nowhere"}),
        await status(good | {"projectId": "nowhere"}),
        await status(good),
    ]
    await sandbox.do(Controls.assign_role, "viewer")
    found.append(await status(good))
    faults.plan_missing = False
    found.append(await status(good))
    await sandbox.do(Controls.expel)
    found.append(await status(good))

    assert found == [403, 422, 404, 403, 400, 429, 403]


@pytest.mark.parametrize("count", [0, 11])
async def test_one_to_ten_registrations(sandbox: Sandbox, client: httpx.AsyncClient, count: int) -> None:
    """Fewer or more is a validation failure whose message is a list."""
    body = {"projectId": sandbox.project_id, "register": entries(ALL_EVENTS[0]) * count}

    answer = await client.post(SUBSCRIBE, json=body)

    assert (answer.status_code, answer.json()["error"]) == (422, "ValidationFailure")
    assert answer.json()["message"][0]["path"] == ["register"]


async def test_a_refused_registration_says_which_right_is_missing(
    sandbox: Sandbox, client: httpx.AsyncClient
) -> None:
    """The 403 names action and subject and lists the rules that speak of them."""
    generation = generations.E4
    action = generation.event_actions[generations.EventType.CREATE]
    conditions = {"environment": "dev"}
    rule = {"subject": generation.event_subject, "action": action, "conditions": conditions}
    await sandbox.do(Controls.permit, [rule])

    answer = await client.post(
        SUBSCRIBE, json={"projectId": sandbox.project_id, "register": entries("secret:create")}
    )

    assert answer.status_code == 403
    assert answer.json() | {"reqId": ""} == {
        "reqId": "",
        "statusCode": 403,
        "error": "PermissionDenied",
        "message": "You are not allowed to subscribe-to-creation-events on secret-event-subscriptions",
        "details": [
            {
                "action": action,
                "inverted": False,
                "subject": "secret-event-subscriptions",
                "conditions": conditions,
            }
        ],
    }


async def test_a_client_that_leaves_is_forgotten(sandbox: Sandbox, client: httpx.AsyncClient) -> None:
    """Closing the connection frees the slot without any write."""
    async with a_stream(client, sandbox):
        await _streams(sandbox, 1)
    await _streams(sandbox, 0)


async def test_nothing_of_a_large_batch_is_lost(sandbox: Sandbox, client: httpx.AsyncClient) -> None:
    """Two thousand keys of one call are one frame with one line far above 64 KiB."""
    async with a_stream(client, sandbox) as stream:
        await sandbox.do(
            Controls.set_secrets, "prod", "/app", {f"KEY_{number}": "x" for number in range(2000)}
        )
        await until(lambda: stream.frames, "the event arrives")

        [frame] = stream.frames
        assert len(frame) > 65536
        assert len(data_of(frame)["data"]["payload"]) == 2000


async def _hold(client: httpx.AsyncClient, sandbox: Sandbox) -> None:
    async with a_stream(client, sandbox):
        await asyncio.sleep(DEADLINE)


async def _streams(sandbox: Sandbox, count: int) -> None:
    await until(lambda: sandbox.do_blocking(Controls.count_streams) == count, f"{count} streams")


async def _jobs_done(sandbox: Sandbox) -> None:
    await until(lambda: sandbox.controls.instance.fan_out.waiting == 0, "the jobs end")


async def test_events_can_be_dropped_doubled_and_delayed(sandbox: Sandbox, client: httpx.AsyncClient) -> None:
    """The change happens each time; what is heard of it is what the switches say."""
    faults = sandbox.controls.faults
    async with a_stream(client, sandbox, entries("secret:create")) as stream:
        faults.drop_events = 1
        await sandbox.do(Controls.set_secrets, "prod", "/", {"DROPPED": "1"})
        faults.extra_copies = 1
        await sandbox.do(Controls.set_secrets, "prod", "/", {"DOUBLED": "1"})
        faults.extra_copies, faults.delay_events = 0, 0.05
        await sandbox.do(Controls.set_secrets, "prod", "/", {"DELAYED": "1"})
        faults.delay_events = 0.0
        await sandbox.do(Controls.set_secrets, "prod", "/", {"AFTER": "1"})
        await until(lambda: len(stream.frames) > 3, "four events arrive")

    keys = [data_of(frame)["data"]["payload"][0]["secretKey"] for frame in stream.frames]
    assert keys == ["DOUBLED", "DOUBLED", "AFTER", "DELAYED"]


async def test_raw_bytes_reach_the_client_untouched(sandbox: Sandbox, client: httpx.AsyncClient) -> None:
    """Whatever is written into the streams arrives as it is, invalid UTF-8 included."""
    async with a_stream(client, sandbox) as stream:
        await sandbox.do(Controls.write_streams, b"\xff\xfe: half a frame")
        await until(lambda: stream.received, "the bytes arrive")

        assert bytes(stream.received) == b"\xff\xfe: half a frame"


async def test_without_the_plan_nothing_is_published(sandbox: Sandbox, client: httpx.AsyncClient) -> None:
    """An open stream hears nothing, and the journal says that the event was not published."""
    async with a_stream(client, sandbox) as stream:
        sandbox.controls.faults.plan_missing = True
        await sandbox.do(Controls.set_secrets, "prod", "/", {"A": "1"})
        sandbox.controls.faults.plan_missing = False
        await sandbox.do(Controls.set_secrets, "prod", "/", {"B": "1"})
        await until(lambda: stream.frames, "an event arrives")

    assert [data_of(frame)["data"]["payload"][0]["secretKey"] for frame in stream.frames] == ["B"]
    assert "event-not-published" in {entry.kind for entry in await sandbox.do(Controls.journal)}


async def test_a_lost_right_still_delivers_until_the_next_check(
    sandbox: Sandbox, client: httpx.AsyncClient
) -> None:
    """The rules of the last check decide, not those of this moment."""
    async with a_stream(client, sandbox) as stream:
        await sandbox.do(Controls.assign_role, "no-access")
        await sandbox.do(Controls.set_secrets, "prod", "/", {"A": "1"})
        await until(lambda: stream.frames, "an event arrives")


async def test_permissions_are_checked_again_by_the_ping_timer() -> None:
    """With both due at the next tick, the stream gets its ping and then its end."""
    async with (
        Sandbox.in_thread(Options(ping_interval=0.05, recheck_interval=0.01)) as sandbox,
        a_client(sandbox) as client,
        a_stream(client, sandbox) as stream,
    ):
        await sandbox.do(Controls.expel)
        await until(lambda: stream.ended, "the stream ends")

        assert stream.ended == "complete"
        assert b"event: error\n" in stream.received
